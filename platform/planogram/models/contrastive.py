"""Contrastive training of two-tower models: a softmax over many candidates in the memory of few."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint


def info_nce(
    queries: Tensor,
    candidates: Tensor,
    positives: Tensor,
    temperature: float,
    mask: Tensor | None = None,
    *,
    symmetric: bool = False,
) -> Tensor:
    """Cross-entropy of each query's positive among all candidates, scored by cosine / temperature; mean over queries.

    Source: van den Oord et al. 2018, Representation Learning with Contrastive Predictive Coding (InfoNCE); Henderson et
    al. 2017, Efficient Natural Language Response Suggestion (the others' positives as negatives); `symmetric`: Radford
    et al. 2021, Learning Transferable Visual Models From Natural Language Supervision (CLIP).

    Args:
        queries: (queries, width) of any length but 0.
        candidates: (candidates, width): the positives of all queries, and further negatives.
        positives: (queries,) int64, the row of each query's positive in `candidates`.
        temperature: above 0; small ones make the nearest negatives count most.
        mask: (queries, candidates) bool, True for what must not count as a negative (products that the query fits too).
            A query's own positive counts whatever it says.
        symmetric: average with the cross-entropy of each query among all queries, given its positive; queries with the
            same positive are not each other's negatives.

    Returns:
        Scalar, float32 or wider.
    """
    cosines = _unit(queries) @ _unit(candidates).T
    logits = _without(cosines / temperature, mask, positives)
    loss = functional.cross_entropy(logits, positives)
    if not symmetric:
        return loss
    # Row i: how well every query fits the positive of query i.
    backward = logits[:, positives].T
    own = torch.arange(len(queries), device=positives.device)
    backward = _without(backward, positives[:, None] == positives[None, :], own)
    return (loss + functional.cross_entropy(backward, own)) / 2


def _unit(vectors: Tensor) -> Tensor:
    """Unit vectors; in half precision a cosine / 0.05 would be wrong in its second digit."""
    return functional.normalize(vectors.to(torch.promote_types(vectors.dtype, torch.float32)), dim=-1)


def _without(logits: Tensor, mask: Tensor | None, targets: Tensor) -> Tensor:
    """The logits with minus infinity under the mask, except at the targets."""
    if mask is None:
        return logits
    return logits.masked_fill(mask.scatter(1, targets[:, None], value=False), -torch.inf)


def gather_with_grad(tensor: Tensor, world_size: int) -> Tensor:
    """The rows of all ranks, in the order of ranks, so that every rank's queries see every rank's candidates.

    Backward sums over ranks what their losses say about this rank's rows; so the mean of the ranks' gradients, which
    data parallelism takes, is exactly the gradient of the mean of the ranks' losses. Forward and backward wait for all
    ranks: each must call both. On rank r its own row i is row r * rows + i of the result.

    Args:
        tensor: (rows, ...) with the same shape and dtype on every rank.
        world_size: ranks in the default process group; with 1 the tensor itself is returned and none is needed.

    Returns:
        (world_size * rows, ...).
    """
    return tensor if world_size == 1 else _Gather.apply(tensor, world_size)


class _Gather(torch.autograd.Function):
    """All-gather; the gradient is the sum over ranks of the own share."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, world_size: int) -> Tensor:
        ctx.rows = len(tensor)
        shares = [torch.empty_like(tensor, memory_format=torch.contiguous_format) for _ in range(world_size)]
        torch.distributed.all_gather(shares, tensor.contiguous())
        return torch.cat(shares)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        # The incoming gradient may be shared with other consumers, and the sum is made in place.
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        torch.distributed.all_reduce(total)
        first = torch.distributed.get_rank() * ctx.rows
        return total[first : first + ctx.rows], None


def in_chunks(encode: Callable[..., Tensor], inputs: Sequence[tuple[Tensor, ...]]) -> Tensor:
    """Encode a large batch chunk by chunk: activations of one chunk at a time, and exact gradients of all.

    Forward keeps only the encodings; backward runs each chunk a second time, with the same dropout.

    Source: Chen et al. 2016, Training Deep Nets with Sublinear Memory Cost; for contrastive batches the same idea as
    Gao et al. 2021, Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup (GradCache).

    Args:
        encode: the arguments of one chunk -> (rows, width). It must compute the same when called again.
        inputs: the arguments of each chunk, at least one; rows may differ between chunks.

    Returns:
        (rows of all chunks, width), in their order.
    """
    return torch.cat([checkpoint(encode, *chunk, use_reentrant=False, preserve_rng_state=True) for chunk in inputs])
