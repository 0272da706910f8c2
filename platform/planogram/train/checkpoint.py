"""Checkpoints that are whole or not there.

Every rank seals its own share, `checkpoints/step-00000120/rank-0-of-2/`. A checkpoint counts once the shares of all
ranks verify; the newest one that does is loaded, so a crash at any write costs at most one interval.

DeepSpeed's state is a pickle: it is loaded only from folders whose digests this project wrote.
"""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from planogram import storage
from planogram.errors import IntegrityError, NotFoundError, TrainingError
from planogram.train.context import TrainContext
from planogram.train.engine import TrainEngine

SEAL = "seal.json"
RANDOM_STATE = "random.safetensors"
FOLDER = "checkpoints"
BEST = "best"
BEST_WEIGHTS = "model.safetensors"
BEST_LOGITS = "valid.safetensors"
KEEP = 2
_SHARE = re.compile(r"^rank-(\d+)-of-(\d+)$")


@dataclass
class LoopState:
    """Where the loop stands.

    Attributes:
        epoch: the running epoch, from 0.
        micro_step: micro batches done in this epoch.
        step: optimizer steps done in the run.
        best_metric, best_step: of the best validation so far; None before the first.
        worse: validations since then.
        stopped: early stopping ended the run.
        seconds: spent in the micro steps that are done, without what an interruption undid.
        peak_memory_mb: of this rank, MiB, at the last checkpoint.
        history: one entry per validation.
    """

    epoch: int = 0
    micro_step: int = 0
    step: int = 0
    best_metric: float | None = None
    best_step: int = 0
    worse: int = 0
    stopped: bool = False
    seconds: float = 0.0
    peak_memory_mb: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)


def save(context: TrainContext, engine: TrainEngine, state: LoopState) -> None:
    """Write this rank's share of a checkpoint; every rank calls it. The last `KEEP` checkpoints and bests are kept."""
    share = storage.join(_root(context), _name(state.step), f"rank-{context.rank}-of-{context.world_size}")
    if storage.exists(share):  # a crash left this rank's share of a checkpoint that was never whole
        _remove(share)
    with storage.sealed_folder(share, SEAL) as (folder, payload):
        engine.save(folder)
        save_file({"torch": torch.get_rng_state()}, folder / RANDOM_STATE)
        payload["state"] = asdict(state)
    context.gather(True)
    if context.is_first:
        _prune(context)


def load(context: TrainContext, engine: TrainEngine) -> LoopState | None:
    """Load the newest whole checkpoint into the engine; None where there is none. Every rank calls it.

    Raises:
        TrainingError: it was written by another number of workers.
    """
    chosen = context.agree(_newest_whole(context) if context.is_first else None)
    if chosen is None:
        return None
    root = storage.join(_root(context), chosen)
    shares = _shares(root)
    world_size = len(shares)
    if world_size != context.world_size:
        raise TrainingError(
            f"{root} was written by {world_size} workers, this run has {context.world_size}",
            remedy=f"set launch.workers={world_size}, or start a new run",
        )
    own = storage.fetch(shares[context.rank], SEAL)
    with _assembled([storage.fetch(share, SEAL) for share in shares]) as folder:
        engine.load(folder)
    torch.set_rng_state(load_file(own / RANDOM_STATE)["torch"])
    return LoopState(**storage.read_json(str(own / SEAL))["state"])


def _root(context: TrainContext) -> str:
    return storage.join(context.run_dir, FOLDER)


def _name(step: int) -> str:
    return f"step-{step:08d}"


def _shares(checkpoint: str) -> list[str]:
    """The shares of one checkpoint by rank; empty unless every rank's folder is there."""
    found: dict[int, str] = {}
    sizes = set()
    for name in storage.list_names(checkpoint):
        if match := _SHARE.match(name):
            found[int(match[1])] = storage.join(checkpoint, name)
            sizes.add(int(match[2]))
    whole = len(sizes) == 1 and set(found) == set(range(sizes.pop()))
    return [found[rank] for rank in sorted(found)] if whole else []


def _newest_whole(context: TrainContext) -> str | None:
    for name in reversed(storage.list_names(_root(context))):
        shares = _shares(storage.join(_root(context), name))
        if shares and all(_verifies(share) for share in shares):
            return name
    return None


def _verifies(share: str) -> bool:
    try:
        storage.fetch(share, SEAL)
    except (IntegrityError, NotFoundError) as error:
        print(f"checkpoint skipped, the one before it is used: {error.given}", flush=True)  # noqa: T201 - worker's log
        return False
    return True


@contextmanager
def _assembled(shares: list[Path]) -> Iterator[Path]:
    """One folder with the files of all ranks, as links: DeepSpeed reads the shares of others too."""
    with tempfile.TemporaryDirectory(prefix="planogram-checkpoint-") as temporary:
        for share in shares:
            for path in share.rglob("*"):
                if path.is_file() and path.name not in (SEAL, RANDOM_STATE):
                    link = Path(temporary) / path.relative_to(share)
                    link.parent.mkdir(parents=True, exist_ok=True)
                    link.symlink_to(path.absolute())
        yield Path(temporary)


def _prune(context: TrainContext) -> None:
    root, best = _root(context), storage.join(context.run_dir, BEST)
    whole = [name for name in storage.list_names(root) if _shares(storage.join(root, name))]
    for name in storage.list_names(root):
        if whole and name < whole[-KEEP:][0]:
            _remove(storage.join(root, name))
    for name in storage.list_names(best)[:-KEEP]:
        _remove(storage.join(best, name))


def _remove(uri: str) -> None:
    fs, path = storage.filesystem(uri)
    fs.rm(path, recursive=True)


def save_best(context: TrainContext, step: int, weights: dict[str, torch.Tensor], logits: torch.Tensor) -> None:
    """Seal the best weights so far. Rank 0 calls it.

    Args:
        context: of rank 0.
        step: optimizer step of these weights.
        weights: of the whole model.
        logits: (validation examples, outputs), kept for fitting cutoffs.
    """
    target = storage.join(context.run_dir, BEST, _name(step))
    if storage.exists(target):  # a resumed run comes to the same weights again
        _remove(target)
    with storage.sealed_folder(target, SEAL) as (folder, payload):
        save_file(weights, folder / BEST_WEIGHTS)
        save_file({"logits": logits}, folder / BEST_LOGITS)
        payload["step"] = step


def best_folder(run_dir: str, step: int) -> Path:
    """The verified folder of the best weights."""
    return storage.fetch(storage.join(run_dir, BEST, _name(step)), SEAL)
