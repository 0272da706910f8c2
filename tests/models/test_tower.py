import numpy as np
import torch

from planogram.models.tower import Cross, Tower


def _features(rows: int = 4, width: int = 5) -> torch.Tensor:
    return torch.randn(rows, width, generator=torch.Generator().manual_seed(2))


def test_a_tower_drops_out_in_training_alone():
    tower = Tower(5, 8, dropout=0.5)
    features = _features()
    assert (tower(features) == 0).float().mean() > 0.2
    tower.eval()
    assert tower(features).shape == (4, 8)
    torch.testing.assert_close(tower(features), tower(features), atol=0, rtol=0)
    assert (tower(features) != 0).all()


def test_columns_drop_out_in_training_alone():
    tower = Tower(5, 8, input_dropout=0.5)
    features = _features()
    assert not torch.equal(tower(features), tower(features))
    tower.eval()
    assert torch.equal(tower(features), tower(features))


def test_a_cross_layer_is_that_of_its_paper():
    """Wang et al. 2021, equation 4 with U V for W, in float64."""
    torch.manual_seed(0)
    cross = Cross(5).double()
    columns, crossed = _features().double(), _features(4, 5).double() ** 2
    u, v, b = (tensor.detach().numpy() for tensor in (cross.up.weight, cross.down.weight, cross.up.bias))
    x0, x = columns.numpy(), crossed.numpy()
    expected = np.stack([x0[row] * (u @ (v @ x[row]) + b) + x[row] for row in range(4)])
    np.testing.assert_allclose(cross(columns, crossed).detach().numpy(), expected, atol=1e-12)


def test_crosses_learn_a_product_that_the_sum_of_columns_hides():
    """The sign of x0 * x1: no single column says anything of it."""
    torch.manual_seed(0)
    features = torch.randn(512, 4)
    target = (features[:, 0] * features[:, 1] > 0).float()
    tower = Tower(4, 2, crosses=1)
    head = torch.nn.Linear(2, 1)
    optimizer = torch.optim.Adam([*tower.parameters(), *head.parameters()], lr=0.02)
    for _ in range(300):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(head(tower(features))[:, 0], target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    right = ((head(tower(features))[:, 0] > 0) == target.bool()).float().mean()
    assert right > 0.95
