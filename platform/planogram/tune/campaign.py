"""A campaign between its ledger and whoever runs its trials: hands out trials, hears them, and settles them."""

import time
from collections.abc import Callable
from dataclasses import replace
from enum import Enum
from math import isfinite, nan

from planogram import storage
from planogram.config import TuneConfig
from planogram.errors import PlanogramError
from planogram.tune import disk
from planogram.tune.budget import Spent, exhausted, spent
from planogram.tune.ledger import Ledger
from planogram.tune.rungs import goes_on
from planogram.tune.search import size, suggest
from planogram.tune.trial import State, Trial

TOUCH_EVERY_S = 5.0


class Answer(Enum):
    """What a campaign says where it hands out no trial."""

    WAIT = "others must settle first"
    DONE = "there will be none"


class Campaign:
    """The trials of a campaign; all that it decides follows from the ledger.

    Attributes:
        problem: what keeps new trials from beginning, though there should be more.
        ended: why no further trial begins, in words; empty while some may.
        trials: number -> trial, as the ledger has them.

    Args:
        config: of the campaign.
        ledger: of the same.
        concurrent: trials at once, by which room on the disk is counted.
        say: hears a line about whatever happens.
        clock: seconds.
    """

    def __init__(
        self,
        config: TuneConfig,
        ledger: Ledger,
        concurrent: int,
        say: Callable[[str], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.config, self._ledger, self.concurrent = config, ledger, concurrent
        self._say, self._clock = say, clock
        self.problem: PlanogramError | None = None
        self.ended = ""
        self._size = size(config)
        self._active: dict[int, float] = {}
        self._touched = clock()
        ledger.begin(self._touched)
        self.trials = {trial.number: trial for trial in ledger.trials()}
        self.last_spent = self.spent
        again = ("running", "failed") if config.retry_failed else ("running",)
        self._waiting = [trial.number for trial in self.trials.values() if trial.state in again]

    def has_more(self) -> bool:
        """Whether there is a trial to run, within the budget and with room on the disk."""
        self.ended = self._why_end()
        return not self.ended

    def is_active(self, number: int) -> bool:
        """Whether a trial runs now."""
        return number in self._active

    @property
    def spent(self) -> Spent:
        """What the campaign has taken so far."""
        return spent(self.config.budget, self._ledger.elapsed_s(), list(self.trials.values()))

    def next(self) -> Trial | Answer:
        """The next trial to run: first what an earlier start left, then new ones."""
        self.tick()
        if self.ended:
            return Answer.DONE
        self.ended = self._why_end()
        if self.ended:
            self._say(self.ended)
            return Answer.DONE
        trial = self._resumed() or self._new()
        if trial is None:
            return Answer.WAIT
        self._ledger.attempt(trial.number)
        self._active[trial.number] = self._clock()
        self.trials[trial.number] = replace(trial, state="running", attempts=trial.attempts + 1, reason="")
        return self.trials[trial.number]

    def _why_end(self) -> str:
        if reason := exhausted(self.config.budget, self.spent):
            return reason
        if not self._waiting and len(self.trials) >= self._size:
            return f"all {self._size} trials have begun"
        try:
            weights = disk.weights_bytes(self.config.name, list(self.trials.values()))
            at_once = max(1, self.concurrent - len(self._active))
            needed = disk.need_bytes(weights, at_once, self.config.keep, self.config.free_gb)
            disk.check_room(storage.home(), needed)
        except PlanogramError as error:
            self.problem = error
            return error.given
        return ""

    def _resumed(self) -> Trial | None:
        if not self._waiting:
            return None
        trial = self.trials[self._waiting.pop(0)]
        self._say(f"trial {trial.number} goes on")
        return trial

    def _new(self) -> Trial | None:
        trial = suggest(self.config, list(self.trials.values()))
        if trial is not None:
            self._ledger.add(trial)
            self._say(f"trial {trial.number} begins: {trial.described}")
        return trial

    def hear(self, number: int, metrics: dict[str, float]) -> bool:
        """A validation of a trial that runs; returns whether it trains on."""
        self.tick()
        self._ledger.report(number, metrics)
        trial = self.trials[number]
        kept = [entry for entry in trial.history if entry["step"] != metrics["step"]]
        history = tuple(sorted([*kept, metrics], key=lambda entry: entry["step"]))
        self.trials[number] = replace(trial, history=history)
        if exhausted(self.config.budget, self.spent):
            # It stays unfinished: with a larger budget it goes on.
            self.tick(now=True)
            self._active.pop(number, None)
            self._say(f"trial {number} is interrupted: the budget is spent")
            return False
        name = self.config.main_metric
        everyone = list(self.trials.values())
        if goes_on(self.trials[number], everyone, self.config.scheduler, name, self.config.metrics[name]):
            return True
        validations = len(self.trials[number].curve(name))
        self._settle(number, "stopped", reason=f"not among the best after {validations} validations")
        return False

    def finish(self, number: int, metrics: dict[str, float], bundle: str, history: list[dict[str, float]]) -> None:
        """A trial has ended by itself. One without a number for each metric that is looked for has failed."""
        for entry in history:
            self._ledger.report(number, entry)
        self.trials[number] = replace(self.trials[number], history=tuple(history) or self.trials[number].history)
        if absent := [name for name in self.config.metrics if not isfinite(metrics.get(name, nan))]:
            self._settle(number, "failed", reason=f"no metric {', '.join(absent)}; there are {', '.join(metrics)}")
        else:
            self._settle(number, "finished", metrics=metrics, bundle=bundle)

    def fail(self, number: int, reason: str) -> None:
        """A trial cannot go on."""
        self._settle(number, "failed", reason=reason)

    def _settle(
        self,
        number: int,
        state: State,
        *,
        metrics: dict[str, float] | None = None,
        bundle: str | None = None,
        reason: str = "",
    ) -> None:
        settled = replace(self.trials[number], state=state, metrics=metrics, bundle=bundle, reason=reason)
        self._ledger.settle(
            number, settled.state, metrics=settled.metrics, bundle=settled.bundle, reason=settled.reason
        )
        self.tick(now=True)
        self._active.pop(number, None)
        seconds = self.trials[number].seconds
        self.trials[number] = replace(settled, seconds=seconds)
        self._say(f"trial {number} {state}: {settled.outcome(self.config.metrics)}")
        # What has just settled may still be written to by a worker that ends.
        self.tidy(leave_out=number)

    def tidy(self, leave_out: int | None = None) -> None:
        """Remove what settled trials no longer need."""
        disk.tidy(self.config, self._ledger, [t for t in self.trials.values() if t.number != leave_out])
        bundles = {trial.number: trial.bundle for trial in self._ledger.trials()}
        for number, trial in self.trials.items():
            self.trials[number] = replace(trial, bundle=bundles.get(number))

    def tick(self, *, now: bool = False) -> None:
        """Write down every few seconds that the campaign lives, and how long its trials have run."""
        time_s = self._clock()
        if not now and time_s - self._touched < TOUCH_EVERY_S:
            return
        self._touched = time_s
        ran = {number: time_s - since for number, since in self._active.items()}
        self._ledger.touch(time_s, ran)
        for number, seconds in ran.items():
            self._active[number] = time_s
            self.trials[number] = replace(self.trials[number], seconds=self.trials[number].seconds + seconds)
        # For the table, which is drawn by a thread that must not use the database.
        self.last_spent = self.spent
