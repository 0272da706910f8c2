"""The softmax against a float64 reference, chunks against the whole, and ranks against one process."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from planogram.models.contrastive import gather_with_grad, in_chunks, info_nce

WORLD_SIZE = 2
TEMPERATURE = 0.1


def _vectors(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Five queries, eight candidates; queries 1 and 4 have the same positive."""
    generator = np.random.default_rng(seed)
    queries, candidates = generator.normal(size=(5, 6)), generator.normal(size=(8, 6))
    return torch.tensor(queries), torch.tensor(candidates), torch.tensor([3, 0, 7, 2, 0])


def _mask(seed: int) -> torch.Tensor:
    """It hides some positives too, which must count all the same."""
    return torch.tensor(np.random.default_rng(seed).random((5, 8)) < 0.4)


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.sqrt(a @ a) / np.sqrt(b @ b))


def _reference(queries, candidates, positives, hidden, symmetric=False) -> float:
    queries, candidates, positives = queries.numpy(), candidates.numpy(), positives.numpy()
    size, forward, backward = len(queries), 0.0, 0.0
    for i in range(size):
        own = np.exp(_cosine(queries[i], candidates[positives[i]]) / TEMPERATURE)
        others = [
            np.exp(_cosine(queries[i], candidates[c]) / TEMPERATURE)
            for c in range(len(candidates))
            if c != positives[i] and not hidden[i, c]
        ]
        forward -= np.log(own / (own + sum(others))) / size
        rivals = [
            np.exp(_cosine(queries[j], candidates[positives[i]]) / TEMPERATURE)
            for j in range(size)
            if positives[j] != positives[i] and not hidden[j, positives[i]]
        ]
        backward -= np.log(own / (own + sum(rivals))) / size
    return (forward + backward) / 2 if symmetric else forward


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_info_nce_equals_its_reference(seed, masked, symmetric):
    vectors = _vectors(seed)
    mask = _mask(seed) if masked else None
    expected = _reference(*vectors, np.zeros((5, 8), bool) if mask is None else mask.numpy(), symmetric)
    given = info_nce(*vectors, TEMPERATURE, mask, symmetric=symmetric)
    assert given.item() == pytest.approx(expected, rel=1e-12)
    queries, candidates, positives = vectors
    single = info_nce(queries.float(), candidates.float(), positives, TEMPERATURE, mask, symmetric=symmetric)
    assert single.dtype == torch.float32
    assert single.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("symmetric", [False, True])
def test_gradient_equals_finite_differences(symmetric):
    queries, candidates, positives = _vectors(0)
    assert torch.autograd.gradcheck(
        lambda q, c: info_nce(q, c, positives, TEMPERATURE, _mask(0), symmetric=symmetric),
        (queries.requires_grad_(), candidates.requires_grad_()),
    )


def test_lengths_do_not_matter_and_half_precision_is_widened():
    queries, candidates, positives = _vectors(0)
    expected = info_nce(queries, candidates, positives, TEMPERATURE).item()
    assert info_nce(queries * 30, candidates / 7, positives, TEMPERATURE).item() == pytest.approx(expected, rel=1e-12)
    half = info_nce(queries.bfloat16(), candidates.bfloat16(), positives, TEMPERATURE)
    wide = info_nce(queries.bfloat16().float(), candidates.bfloat16().float(), positives, TEMPERATURE)
    assert half.dtype == torch.float32
    assert half.item() == wide.item()


def test_a_query_without_negatives_is_zero():
    queries, candidates, positives = _vectors(0)
    queries.requires_grad_()
    loss = info_nce(queries, candidates, positives, TEMPERATURE, torch.ones(5, 8, dtype=torch.bool), symmetric=True)
    loss.backward()
    assert loss.item() == 0.0
    assert torch.equal(queries.grad, torch.zeros_like(queries))


def _tower(dropout: float) -> torch.nn.Module:
    torch.manual_seed(0)
    layers = torch.nn.Linear(6, 32), torch.nn.GELU(), torch.nn.Dropout(dropout), torch.nn.Linear(32, 4)
    return torch.nn.Sequential(*layers).double()


def _gradients(tower, encoded) -> list[torch.Tensor]:
    return list(torch.autograd.grad(info_nce(encoded, encoded.roll(1, 0), torch.arange(len(encoded)), 0.2), tower))


def test_gradients_of_chunks_are_those_of_the_whole():
    tower, inputs = _tower(0.0), torch.randn(10, 6, dtype=torch.float64)
    whole = _gradients(tower.parameters(), tower(inputs))
    chunked = _gradients(tower.parameters(), in_chunks(tower, [(part,) for part in inputs.split(4)]))
    for a, b in zip(whole, chunked, strict=True):
        assert torch.allclose(a, b, rtol=1e-6, atol=1e-12)


def test_the_second_pass_draws_the_same_dropout():
    tower, chunks = _tower(0.5), torch.randn(10, 6, dtype=torch.float64).split(4)
    torch.manual_seed(1)
    encoded = torch.cat([tower(part) for part in chunks])
    kept = _gradients(tower.parameters(), encoded)
    torch.manual_seed(1)
    again = in_chunks(tower, [(part,) for part in chunks])
    assert torch.equal(again, encoded)
    after = torch.get_rng_state()
    recomputed = _gradients(tower.parameters(), again)
    assert torch.equal(torch.get_rng_state(), after)
    for a, b in zip(kept, recomputed, strict=True):
        assert torch.allclose(a, b, rtol=1e-6, atol=1e-12)


def test_chunks_keep_only_encodings_for_backward():
    """What autograd saves outside of the chunks does not grow with the width inside them."""
    saved = []
    tower, inputs = _tower(0.0), torch.randn(64, 6, dtype=torch.float64)

    def pack(tensor):
        saved.append(tensor.shape)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        in_chunks(tower, [(part,) for part in inputs.split(8)])
    assert not [shape for shape in saved if shape[-1:] == (32,)]


def test_chunks_take_several_arguments():
    left, right = torch.randn(5, 3), torch.randn(5, 3)
    given = in_chunks(lambda a, b: a * b, list(zip(left.split(2), right.split(2), strict=True)))
    assert torch.equal(given, left * right)


def test_one_rank_gathers_nothing():
    tensor = torch.randn(2, 3)
    assert gather_with_grad(tensor, 1) is tensor


def _shares(rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(rank)
    return tuple(torch.randn(3, 6, dtype=torch.float64, generator=generator).requires_grad_() for _ in range(2))


def _run_rank(rank: int, folder: str) -> None:
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=WORLD_SIZE
    )
    queries, candidates = _shares(rank)
    everything = gather_with_grad(candidates, WORLD_SIZE)
    loss = info_nce(queries, everything, torch.arange(3) + 3 * rank, TEMPERATURE)
    gradients = torch.autograd.grad(loss, (queries, candidates))
    torch.save((everything.detach(), loss.detach(), *gradients), f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


def test_ranks_compute_what_one_process_would(tmp_path):
    command = [sys.executable, __file__, str(tmp_path)]
    ranks = [subprocess.Popen([*command, str(rank)]) for rank in range(WORLD_SIZE)]
    assert [rank.wait(timeout=120) for rank in ranks] == [0] * WORLD_SIZE
    shares = [_shares(rank) for rank in range(WORLD_SIZE)]
    queries, candidates = (torch.cat(parts) for parts in zip(*shares, strict=True))
    expected = info_nce(queries, candidates, torch.arange(len(queries)), TEMPERATURE)
    gradients = torch.autograd.grad(expected, [part for share in shares for part in share])
    results = [torch.load(tmp_path / f"{rank}.pt") for rank in range(WORLD_SIZE)]
    assert sum(result[1].item() for result in results) / WORLD_SIZE == pytest.approx(expected.item(), rel=1e-12)
    for rank, (everything, _, *given) in enumerate(results):
        assert torch.equal(everything, candidates.detach())
        for own, one in zip(given, gradients[2 * rank : 2 * rank + 2], strict=True):
            assert torch.allclose(own / WORLD_SIZE, one, rtol=1e-9, atol=1e-15)


if __name__ == "__main__":
    _run_rank(int(sys.argv[2]), sys.argv[1])
