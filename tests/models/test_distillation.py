"""Each loss against a float64 reference written as its formula reads."""

import numpy as np
import pytest
import torch

from planogram.models import distillation

GROUPS = np.array([3, 0, 3, 1, 0, 3, 0, 3, 2, 2])


def _lists() -> list[np.ndarray]:
    lists = [np.flatnonzero(group == GROUPS) for group in np.unique(GROUPS)]
    return [rows for rows in lists if len(rows) > 1]


def _margin_mse(student, teacher) -> float:
    terms = [
        ((student[i] - student[j]) - (teacher[i] - teacher[j])) ** 2
        for rows in _lists()
        for i in rows
        for j in rows
        if i < j
    ]
    return sum(terms) / len(terms)


def _softmax(scores) -> np.ndarray:
    return np.exp(scores) / np.exp(scores).sum()


def _kl(student, teacher, temperature=1.0) -> float:
    terms = []
    for rows in _lists():
        wanted, given = _softmax(teacher[rows] / temperature), _softmax(student[rows] / temperature)
        terms.append((wanted * np.log(wanted / given)).sum())
    return temperature**2 * np.mean(terms)


REFERENCES = {distillation.margin_mse: _margin_mse, distillation.kl: _kl}


def _scores(seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    return generator.normal(0, 2, len(GROUPS)), generator.normal(0, 2, len(GROUPS)).round()


@pytest.mark.parametrize("loss", REFERENCES)
@pytest.mark.parametrize("seed", range(4))
def test_loss_equals_its_reference(loss, seed):
    student, teacher = _scores(seed)
    given = loss(torch.tensor(student), torch.tensor(teacher), torch.tensor(GROUPS))
    assert given.item() == pytest.approx(REFERENCES[loss](student, teacher), rel=1e-12)
    single = loss(torch.tensor(student).float(), torch.tensor(teacher).float(), torch.tensor(GROUPS))
    assert single.dtype == torch.float32
    assert single.item() == pytest.approx(given.item(), rel=1e-5)
    assert "Source:" in loss.__doc__


@pytest.mark.parametrize("temperature", [0.5, 4.0])
def test_temperature(temperature):
    student, teacher = _scores(0)
    given = distillation.kl(torch.tensor(student), torch.tensor(teacher), torch.tensor(GROUPS), temperature)
    assert given.item() == pytest.approx(_kl(student, teacher, temperature), rel=1e-12)


@pytest.mark.parametrize("loss", REFERENCES)
def test_gradients_reach_the_student_alone(loss):
    student, teacher = (torch.tensor(scores, requires_grad=True) for scores in _scores(1))
    assert torch.autograd.gradcheck(lambda scores: loss(scores, teacher.detach(), torch.tensor(GROUPS)), student)
    loss(student, teacher, torch.tensor(GROUPS)).backward()
    assert teacher.grad is None


@pytest.mark.parametrize("loss", REFERENCES)
def test_the_teacher_itself_costs_nothing_on_any_level(loss):
    teacher = torch.tensor(_scores(2)[1])
    given = loss(teacher + 7.0 * torch.tensor(GROUPS), teacher, torch.tensor(GROUPS))
    assert given.item() == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("loss", REFERENCES)
def test_lists_of_one_are_zero(loss):
    student = torch.tensor([1.0, -2.0, 0.5], requires_grad=True)
    given = loss(student, torch.tensor([3.0, 1.0, 0.0]), torch.tensor([0, 1, 2]))
    given.backward()
    assert given.item() == 0.0
    assert torch.equal(student.grad, torch.zeros(3))


@pytest.mark.parametrize("loss", REFERENCES)
def test_extreme_scores_stay_finite(loss):
    student = torch.tensor([1e4, -1e4, 0.0], requires_grad=True)
    given = loss(student, torch.tensor([-1e4, 1e4, 0.0]), torch.tensor([0, 0, 0]))
    given.backward()
    assert torch.isfinite(given)
    assert torch.isfinite(student.grad).all()


def _relation_kl(student, teacher, mask) -> float:
    """Over every text, relation head and token, in float64."""
    total, count = 0.0, 0
    for text in range(len(mask)):
        length = int(mask[text].sum())
        for head in range(distillation.RELATION_HEADS):
            found = []
            for states in (teacher, student):
                width = states.shape[-1] // distillation.RELATION_HEADS
                part = states[text, :length, head * width : (head + 1) * width]
                found.append([_softmax(row) for row in part @ part.T / np.sqrt(width)])
            for wanted, given in zip(*found, strict=True):
                total += (wanted * np.log(wanted / given)).sum()
                count += 1
    return total / count


def _states(width, seed):
    return np.random.default_rng(seed).normal(size=(3, 5, width))


MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0]])


def test_relations_of_different_widths_are_compared():
    student, teacher = _states(8, 0), _states(16, 1)
    found = distillation.relation_kl(*(torch.from_numpy(a) for a in (student, teacher, MASK)))
    assert float(found) == pytest.approx(_relation_kl(student, teacher, MASK))
    assert float(distillation.relation_kl(*(torch.from_numpy(a) for a in (teacher, teacher, MASK)))) == 0


def test_hidden_states_of_padding_do_not_count():
    student, teacher = _states(8, 0), _states(8, 1)
    wanted = np.mean([(student[b, t] - teacher[b, t]) ** 2 for b in range(3) for t in range(5) if MASK[b, t]])
    assert float(distillation.hidden_mse(*(torch.from_numpy(a) for a in (student, teacher, MASK)))) == pytest.approx(
        wanted
    )


def test_a_students_relations_have_a_finite_gradient():
    student = torch.from_numpy(_states(8, 0)).requires_grad_()
    distillation.relation_kl(student, torch.from_numpy(_states(8, 1)), torch.from_numpy(MASK)).backward()
    assert torch.isfinite(student.grad).all() and (student.grad[1, 2:] == 0).all() and (student.grad[1, :2] != 0).any()
