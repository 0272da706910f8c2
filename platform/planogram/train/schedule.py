"""Learning-rate schedules, as a factor on the optimizer's rates."""

import math
from typing import Literal

Schedule = Literal["linear", "cosine", "constant"]


def factor(schedule: Schedule, step: int, total_steps: int, warmup_share: float) -> float:
    """The factor 0..1 at an optimizer step: a linear rise, then a fall to 0 at `total_steps` unless constant.

    Args:
        schedule: shape after the warm-up.
        step: optimizer steps done so far.
        total_steps: of the whole run.
        warmup_share: share of `total_steps` that rises.
    """
    warmup_steps = round(warmup_share * total_steps)
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    if schedule == "constant":
        return 1.0
    progress = min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps))
    return 1 - progress if schedule == "linear" else 0.5 * (1 + math.cos(math.pi * progress))
