"""Room for trials: what one may write, whether the disk has it, and what is removed when a trial has settled."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from planogram import storage
from planogram.config import TuneConfig
from planogram.errors import StorageError
from planogram.train import checkpoint
from planogram.train.run import INITIAL
from planogram.tune.ledger import Ledger
from planogram.tune.objective import ranked
from planogram.tune.stages import run_folder
from planogram.tune.trial import Trial

GB = 1e9
# Folders of a run that only its training needs; `ray` is Ray Train's own.
SCRATCH = (checkpoint.FOLDER, checkpoint.BEST, INITIAL, "ray")
BUNDLE = "bundle"
# A checkpoint of AdamW holds weights, both moments and DeepSpeed's float32 copy: four times the weights. So many stay,
# and one more is written; the same of the best weights, which stand alone; then the initial weights and the bundle.
WEIGHTS_OF_A_TRIAL = 4 * (checkpoint.KEEP + 1) + (checkpoint.KEEP + 1) + 2


def need_bytes(weights: int, concurrent: int, keep: int, free_gb: float) -> int:
    """Bytes that a campaign may take, with what is to stay free.

    Args:
        weights: bytes of one model's.
        concurrent: trials at once.
        keep: bundles that stay.
        free_gb: gigabytes that stay free.
    """
    return int(weights * (WEIGHTS_OF_A_TRIAL * concurrent + keep) + free_gb * GB)


def check_room(folder: str, needed: int) -> None:
    """Refuse to go on where the disk is too full.

    Raises:
        StorageError: says how much is needed and how much there is.
    """
    if not storage.is_local(folder):
        return
    place = storage.local_path(folder)
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < needed:
        raise StorageError(
            f"{folder} has {free / GB:.2f} GB free, the trials may need {needed / GB:.2f} GB",
            remedy="free space, lower `concurrent`, `keep` or `free_gb`, or set PLANOGRAM_HOME to a larger disk",
        )


def weights_bytes(campaign: str, trials: Sequence[Trial]) -> int:
    """Bytes of the largest model that the trials have prepared so far; 0 before the first."""
    folders = [Path(run_folder(campaign, trial.number), part) for trial in trials for part in (INITIAL, BUNDLE)]
    sizes = [path.stat().st_size for folder in folders if folder.is_dir() for path in folder.glob("*.safetensors")]
    return max(sizes, default=0)


def tidy(config: TuneConfig, ledger: Ledger, trials: Sequence[Trial]) -> None:
    """Remove what settled trials no longer need: their training's folders, and all bundles but the best.

    A failed trial keeps its checkpoints, so that it can go on when it is tried again. Of pbt the bundles of the last
    two generations stay too, since others begin with them.
    """
    best = {trial.number for trial in ranked(trials, config.metrics)[: config.keep]}
    if config.scheduler.kind == "pbt":
        population = config.scheduler.population
        first = ((len(trials) - 1) // population - 1) * population
        best |= {trial.number for trial in trials if trial.number >= first}
    for trial in trials:
        if trial.state in ("finished", "stopped"):
            for place in _scratch(config, Path(run_folder(config.name, trial.number))):
                # A worker that is being ended may still write: what is left goes with the next trial.
                shutil.rmtree(place, ignore_errors=True)
        if trial.state == "finished" and trial.bundle and trial.number not in best:
            shutil.rmtree(trial.bundle, ignore_errors=True)
            ledger.forget_bundle(trial.number)


def _scratch(config: TuneConfig, folder: Path) -> list[Path]:
    """What only the training of a run needs; of `compress` also the runs of its rounds."""
    rounds = list(folder.parent.glob(f"{folder.name}-[pr]*-*")) if config.stage == "compress" else []
    return [*(folder / part for part in SCRATCH), *rounds]
