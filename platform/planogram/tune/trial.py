"""One trial of a campaign, as the ledger knows it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

State = Literal["running", "finished", "stopped", "failed"]
#: states that never change again
SETTLED: tuple[State, ...] = ("finished", "stopped", "failed")


@dataclass(frozen=True)
class Trial:
    """A point of the space and what came of it.

    Attributes:
        number: from 0, in the order of their beginning.
        params: key of the stage's configuration -> value.
        state: `running` also means begun and interrupted; `stopped` is by the scheduler.
        parent: pbt: the trial whose weights it began with.
        attempts: how often it was started.
        seconds: that it ran, over all attempts.
        history: one entry per validation, each with its `step`.
        metrics: of a finished trial.
        bundle: folder of a finished trial's bundle; None once it was removed.
        reason: why it stopped or failed.
    """

    number: int
    params: dict[str, Any]
    state: State = "running"
    parent: int | None = None
    attempts: int = 0
    seconds: float = 0.0
    history: tuple[dict[str, float], ...] = ()
    metrics: dict[str, float] | None = None
    bundle: str | None = None
    reason: str = ""

    @property
    def is_settled(self) -> bool:
        """Whether it never runs again."""
        return self.state in SETTLED

    @property
    def described(self) -> str:
        """Its values in a line."""
        texts = {key: f"{value:.3g}" if isinstance(value, float) else str(value) for key, value in self.params.items()}
        parent = "" if self.parent is None else f", from trial {self.parent}"
        return ", ".join(f"{key}={text}" for key, text in texts.items()) + parent

    def outcome(self, names: Iterable[str]) -> str:
        """What came of it in a line: these metrics, or why there are none."""
        if self.metrics is None:
            return self.reason.partition("\n")[0]
        return ", ".join(f"{name} {self.metrics[name]:.4f}" for name in names)

    def curve(self, metric: str) -> list[tuple[float, float]]:
        """(step, value) of every validation of the training that has this metric; the untrained model's is left out."""
        return [(entry["step"], entry[metric]) for entry in self.history if entry["step"] > 0 and metric in entry]
