"""Fine-tuning: the tasks of a shop, from a backbone to a bundle."""

from typing import Any

from planogram.config import FinetuneConfig, NextItemConfig
from planogram.tasks.contrastive import ContrastiveStage
from planogram.tasks.next_item import NextItemStage, refitted
from planogram.tasks.scoring import ScoringStage
from planogram.train.run import execute


def run(config: FinetuneConfig | NextItemConfig) -> dict[str, Any]:
    """Fine-tune and write a bundle; see `train.run.execute` for the result and the errors."""
    if isinstance(config, NextItemConfig):
        return _next_item(config)
    stage = ContrastiveStage() if config.model == "bi-encoder" else ScoringStage()
    return execute(stage, config)


def _next_item(config: NextItemConfig) -> dict[str, Any]:
    """One training, or with `refit` a second one, whose result is returned with the metrics of the first."""
    chosen = execute(NextItemStage(), config)
    if not config.refit:
        return chosen
    return execute(NextItemStage(), refitted(config, chosen)) | {"metrics": chosen["metrics"]}
