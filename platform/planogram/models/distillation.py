"""Losses that make a student score like its teacher, list by list, and see texts as it does.

Shapes: student and teacher are (batch,) float32 logits; groups is (batch,) int64, and examples with the same number
belong to one list (one query). No gradient reaches the teacher. Lists of one say nothing: a batch of them gives 0 with
a gradient of 0.
"""

from torch import Tensor
from torch.nn import functional

from planogram.models.losses import list_log_softmax, same_list

RELATION_HEADS = 4


def margin_mse(student: Tensor, teacher: Tensor, groups: Tensor) -> Tensor:
    """Squared error between the margins s_i - s_j of student and teacher, the mean over all pairs of one list.

    The student may settle on its own level of scores, but not on its own scale.

    Source: Hofstätter et al. 2020, Improving Efficient Neural Ranking Models with Cross-Architecture Knowledge
    Distillation.
    """
    errors = student - teacher.detach()
    # Each pair stands in both triangles; the upper one alone would give the same mean.
    pairs = same_list(groups).fill_diagonal_(False)
    return ((errors[:, None] - errors[None, :]).square() * pairs).sum() / pairs.sum().clamp(min=1)


def kl(student: Tensor, teacher: Tensor, groups: Tensor, temperature: float = 1.0) -> Tensor:
    """T^2 KL(softmax(teacher / T) || softmax(student / T)) within a list, the mean over lists of two or more.

    T^2 keeps the size of the gradient the same whatever the temperature.

    Source: Hinton et al. 2015, Distilling the Knowledge in a Neural Network.
    """
    same = same_list(groups)
    sizes = same.sum(1)
    wanted = list_log_softmax(teacher.detach() / temperature, same)
    given = list_log_softmax(student / temperature, same)
    compared = sizes > 1
    divergence = (wanted.exp() * (wanted - given) * compared).sum()
    # An example of a list of n is 1 / n of it.
    num_lists = (compared / sizes).sum().clamp(min=1)
    return temperature**2 * divergence / num_lists


def hidden_mse(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Squared error of hidden states, the mean over tokens and columns.

    Args:
        student: (batch, tokens, width).
        teacher: of the same shape.
        mask: (batch, tokens) 1 for a token, 0 for padding.
    """
    errors = (student.float() - teacher.detach().float()).square().mean(-1)
    return (errors * mask).sum() / mask.sum()


def relation_kl(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """KL divergence of self-relations softmax(X X^T / sqrt(width)), the mean over tokens and relation heads.

    Student and teacher may have different widths and numbers of heads: both are cut into `RELATION_HEADS`.

    Args:
        student: (batch, tokens, width) queries, keys or values of a layer, all heads together; the width is a
            multiple of `RELATION_HEADS`.
        teacher: (batch, tokens, width of its own).
        mask: (batch, tokens) 1 for a token, 0 for padding.

    Source: Wang et al. 2021, MiniLMv2.
    """
    wanted, given = _relations(teacher.detach(), mask), _relations(student, mask)
    # Padding has probability 0 in both; its logarithm would not be finite.
    present = mask[:, None, None, :].bool()
    terms = (wanted.exp() * (wanted - given)).masked_fill(~present, 0).sum(-1)
    return (terms * mask[:, None, :]).sum() / (mask.sum() * RELATION_HEADS)


def _relations(states: Tensor, mask: Tensor) -> Tensor:
    """(batch, heads, tokens, tokens) log probabilities; padding is no one's relation."""
    batch, tokens, width = states.shape
    heads = states.float().view(batch, tokens, RELATION_HEADS, width // RELATION_HEADS).transpose(1, 2)
    scores = heads @ heads.transpose(-1, -2) / (width // RELATION_HEADS) ** 0.5
    return functional.log_softmax(scores.masked_fill(~mask[:, None, None, :].bool(), float("-inf")), dim=-1)
