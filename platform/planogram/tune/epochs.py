"""What stopping early saves: epochs that trials trained, beside those that they would have trained."""

from collections.abc import Mapping, Sequence
from typing import Any

from planogram.config import CompressConfig, TuneConfig
from planogram.config.training import TrainConfig
from planogram.tune.space import with_params
from planogram.tune.stages import stage_config
from planogram.tune.trial import Trial


def epochs(config: TuneConfig, base: Mapping[str, Any], trials: Sequence[Trial]) -> dict[str, float] | None:
    """Epochs of all trials together; None where `max_steps` ends trainings before their epochs do.

    Args:
        config: of the campaign.
        base: values that all trials share.
        trials: of the ledger.

    Returns:
        `trained`: by validations, so a little less than was trained. `whole`: had the scheduler stopped none; a trial
        that finished counts as it is, for its own patience may have ended it.
    """
    trained = whole = 0.0
    for trial in trials:
        train = _train_of(config, with_params(base, trial.params))
        if train is None or train.max_steps is not None:
            return None
        own = len(trial.curve(config.main_metric)) / train.validations_per_epoch
        trained += own
        whole += own if trial.state == "finished" else train.epochs
    return {"trained": trained, "whole": whole}


def _train_of(config: TuneConfig, values: dict[str, Any]) -> TrainConfig | None:
    section = stage_config(config.stage, values)
    found = section.recovery.train if isinstance(section, CompressConfig) else getattr(section, "train", None)
    return found if isinstance(found, TrainConfig) else None
