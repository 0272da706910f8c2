"""Losses that make a student score like its teacher, list by list.

Shapes: student and teacher are (batch,) float32 logits; groups is (batch,) int64, and examples with the same number
belong to one list (one query). No gradient reaches the teacher. Lists of one say nothing: a batch of them gives 0 with
a gradient of 0.
"""

from torch import Tensor

from planogram.models.losses import list_log_softmax, same_list


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
