"""Pretraining: a shop's own language, from its texts to a bundle that fine-tuning takes as its backbone."""

from typing import Any

from planogram.config import PretrainConfig
from planogram.tasks.language import PretrainStage
from planogram.train.run import execute


def run(config: PretrainConfig) -> dict[str, Any]:
    """Pretrain and write a bundle; see `train.run.execute` for the result and the errors."""
    return execute(PretrainStage(), config)
