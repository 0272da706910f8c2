"""Numbers and categories beside the text: a small dense network."""

from torch import Tensor, nn

# Of a cross layer's matrix, far below the number of columns.
CROSS_RANK = 16


class Tower(nn.Module):
    """Numbers and categories beside the text: products of columns, then two dense layers.

    Args:
        width: columns of the features.
        hidden_size: of both layers.
        crosses: layers of products; n of them form products of up to n + 1 columns.
        dropout: after each dense layer.
        input_dropout: of the columns.
    """

    def __init__(
        self, width: int, hidden_size: int, *, crosses: int = 0, dropout: float = 0.0, input_dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.crosses = nn.ModuleList(Cross(width) for _ in range(crosses))
        self.input_dropout = nn.Dropout(input_dropout)
        self.layers = nn.Sequential(
            nn.Linear(width, hidden_size),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden_size, hidden_size),
            nn.GELU(),
            nn.Dropout(dropout),
        )

    def forward(self, features: Tensor) -> Tensor:
        """(batch, width) to (batch, hidden_size), in the dtype of the weights."""
        columns = self.input_dropout(features.to(self.layers[0].weight.dtype))
        crossed = columns
        for cross in self.crosses:
            crossed = cross(columns, crossed)
        return self.layers(crossed)


class Cross(nn.Module):
    """x0 * (U V x + b) + x: every column times a learned mix of the others (DCN V2, Wang et al. 2021).

    Args:
        width: columns.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.down = nn.Linear(width, CROSS_RANK, bias=False)
        self.up = nn.Linear(CROSS_RANK, width)

    def forward(self, columns: Tensor, crossed: Tensor) -> Tensor:
        """Products of the columns with what earlier layers made of them: (batch, width)."""
        return columns * self.up(self.down(crossed)) + crossed
