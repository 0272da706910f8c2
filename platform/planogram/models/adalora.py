"""AdaLoRA (Zhang et al. 2023): low-rank updates P Λ Q whose ranks go to the layers that need them.

Training starts with half as many triplets again as the target, and the least important ones over all layers are
masked on a cubic schedule. PEFT's implementation keeps the importance in a dict that no checkpoint holds and masks by
writing zeros into weights, which ZeRO and bfloat16 overwrite from their float32 copies at the next step. Here
everything is in buffers, and the mask acts in the forward pass.
"""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from planogram.errors import TrainingError
from planogram.models.linears import features, is_conv

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Shares of all steps: masking begins and ends. The paper's settings lie at 0.09 to 0.15 and 0.4 to 0.55.
START_SHARE = 0.1
END_SHARE = 0.5
# Of the moving averages of importance and of its uncertainty, in the paper's experiments.
SMOOTHING = 0.85
# Of the regularizer; the paper tries 0.1 to 0.5.
ORTHOGONALITY = 0.5
FACTORS = ("left", "values", "right")


class AdaLora(nn.Module):
    """The update of one linear layer, as its singular triplets.

    Args:
        inputs, outputs: widths of the layer.
        rank: mean rank over all layers at the end.
        alpha: scale of the update, divided by rank.
        dropout: before the update.

    Attributes:
        left: (outputs, triplets), P.
        values: (triplets,), the diagonal of Λ; it does not decay, being a vector.
        right: (triplets, inputs), Q.
        mask: (triplets,) 1 where the triplet counts.
    """

    def __init__(self, inputs: int, outputs: int, rank: int, alpha: float, dropout: float) -> None:
        super().__init__()
        self.rank, self.scale = rank, alpha / rank
        triplets = -(-3 * rank // 2)
        self.dropout = nn.Dropout(dropout)
        self.left = nn.Parameter(torch.randn(outputs, triplets) * 0.02)
        self.values = nn.Parameter(torch.zeros(triplets))
        self.right = nn.Parameter(torch.randn(triplets, inputs) * 0.02)
        self.register_buffer("mask", torch.ones(triplets))
        for name in FACTORS:
            self.register_buffer(f"importance_{name}", torch.zeros_like(getattr(self, name)))
            self.register_buffer(f"uncertainty_{name}", torch.zeros_like(getattr(self, name)))
        self.hook: Any = None

    def forward(self, hidden: Tensor) -> Tensor:
        """The update's output: (…, inputs) to (…, outputs)."""
        mask = self.mask.to(self.values.dtype)  # DeepSpeed casts weights to bfloat16, not buffers
        # The second term is 0, but lets masked values go on learning, so that a triplet can come back.
        kept = self.values * mask + (self.values - self.values.detach()) * (1 - mask)
        projected = self.dropout(hidden.to(self.right.dtype)) @ self.right.T
        return (projected * kept) @ self.left.T * self.scale

    def delta(self) -> Tensor:
        """The update as a weight (outputs, inputs)."""
        return (self.left * (self.values * self.mask)) @ self.right * self.scale

    @torch.no_grad()
    def observe(self) -> None:
        """Take the gradients of this step into the importance: |weight · gradient|, smoothed (equations 8 to 10)."""
        for name in FACTORS:
            weight = getattr(self, name)
            sensitivity = (weight.float() * _gradient(weight).float()).abs()
            importance, uncertainty = getattr(self, f"importance_{name}"), getattr(self, f"uncertainty_{name}")
            importance.lerp_(sensitivity.to(importance.dtype), 1 - SMOOTHING)
            uncertainty.lerp_((sensitivity - importance).abs().to(uncertainty.dtype), 1 - SMOOTHING)

    def scores(self) -> Tensor:
        """Importance (triplets,) float32 of whole triplets (equation 7)."""
        left, values, right = (
            getattr(self, f"importance_{name}").float() * getattr(self, f"uncertainty_{name}").float()
            for name in FACTORS
        )
        return values + left.mean(0) + right.mean(1)


def attach(layer: nn.Module, rank: int, alpha: float, dropout: float) -> None:
    """Give a linear layer an update; the layer's own weights keep their names."""
    layer.adalora = AdaLora(*features(layer), rank, alpha, dropout).to(layer.weight.device)
    layer.adalora.hook = layer.register_forward_hook(_add_update)


@torch.no_grad()
def merge(backbone: "PreTrainedModel") -> None:
    """Fold every update into its layer's weight and remove it."""
    for layer in [module for module in backbone.modules() if hasattr(module, "adalora")]:
        delta = layer.adalora.delta()
        layer.weight += delta.T if is_conv(layer) else delta
        layer.adalora.hook.remove()
        del layer.adalora


def allocate(backbone: nn.Module, step: int, total_steps: int) -> None:
    """Observe importance and mask triplets down to the budget of this step; nothing without AdaLoRA in the backbone.

    Call it between backward and optimizer step, once per optimizer step (not per micro batch of an accumulation), on
    every rank: under ZeRO 1 and 2 it gathers the averaged gradients, so all ranks come to the same masks. Everything
    it knows is in buffers of the backbone; with those restored, a resumed run goes on as if uninterrupted.

    Args:
        backbone: adapted.
        step: 1 for the first optimizer step.
        total_steps: optimizer steps of the whole run.

    Raises:
        TrainingError: a gradient is missing.
    """
    start, end = schedule(total_steps)
    updates = adaloras(backbone)
    if not updates or step > end:
        return
    for update in updates:
        update.observe()
    if step > start:
        target = sum(update.rank for update in updates)
        extra = sum(len(update.mask) for update in updates) - target
        _mask(updates, target + int(extra * (1 - (step - start) / (end - start)) ** 3))


def schedule(total_steps: int) -> tuple[int, int]:
    """The steps after which masking starts and at which the final ranks stand."""
    start = int(START_SHARE * total_steps)
    return start, max(start + 1, int(END_SHARE * total_steps))


def regularizer(backbone: nn.Module) -> Tensor:
    """What to add to the loss: a scalar that keeps P and Q near orthogonal (equation 4), 0 without AdaLoRA.

    As in the authors' code, the mean over matrices of the Frobenius norms of PᵀP − I and QQᵀ − I.
    """
    norms = [_skewness(update.left.T) + _skewness(update.right) for update in adaloras(backbone)]
    return ORTHOGONALITY * torch.stack(norms).mean() / 2 if norms else torch.zeros(())


def adaloras(backbone: nn.Module) -> list[AdaLora]:
    """All updates, in the model's order."""
    return [module for module in backbone.modules() if isinstance(module, AdaLora)]


def _mask(updates: list[AdaLora], budget: int) -> None:
    scores = torch.cat([update.scores() for update in updates])
    # Stable, so that ties fall alike on every rank.
    kept = torch.argsort(scores, descending=True, stable=True)[:budget]
    mask = torch.zeros_like(scores).index_fill_(0, kept, 1.0)
    for update, share in zip(updates, mask.split([len(update.mask) for update in updates]), strict=True):
        update.mask.copy_(share)


def _gradient(weight: nn.Parameter) -> Tensor:
    """The gradient that the optimizer will see, the same on every rank."""
    gradient = weight.grad
    if hasattr(weight, "_hp_mapping"):  # ZeRO 1 and 2 and its bfloat16 optimizer keep it elsewhere
        from deepspeed.utils import safe_get_full_grad

        gradient = safe_get_full_grad(weight)
    if gradient is None:
        raise TrainingError(
            "AdaLoRA allocates ranks by gradients, and there are none",
            remedy="call allocate after backward and before the optimizer's step",
        )
    return gradient


def _skewness(rows: Tensor) -> Tensor:
    """How far rows (n, m) are from orthonormal."""
    return torch.linalg.matrix_norm(rows @ rows.T - torch.eye(len(rows), dtype=rows.dtype, device=rows.device))


def _add_update(layer: Any, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
    return output + layer.adalora(inputs[0]).to(output.dtype)
