"""Fine-tuning: the tasks of a shop, from a backbone to a bundle."""

from typing import Any

from planogram.config import FinetuneConfig
from planogram.tasks.contrastive import ContrastiveStage
from planogram.tasks.scoring import ScoringStage
from planogram.train.run import execute


def run(config: FinetuneConfig) -> dict[str, Any]:
    """Fine-tune and write a bundle; see `train.run.execute` for the result and the errors."""
    stage = ContrastiveStage() if config.model == "bi-encoder" else ScoringStage()
    return execute(stage, config)
