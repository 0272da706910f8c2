"""What a run tells while it runs: rank 0 writes `progress.json`, whoever watches reads it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any

from planogram import storage
from planogram.errors import StorageError
from planogram.train.context import TrainContext

PROGRESS = "progress.json"
WRITE_EVERY_S = 2.0
POLL_EVERY_S = 0.5
# Of a long run every second point is dropped when the curve has grown beyond this.
MAX_POINTS = 2000
Observer = Callable[[dict[str, Any]], None]


class ProgressLog:
    """Collects the curve of a run and writes it every few seconds; on other ranks than 0 it does nothing.

    Args:
        context: this process.
        total_steps: optimizer steps of the run.
        from_step: what came after this step belongs to an interrupted attempt and is dropped.
    """

    def __init__(self, context: TrainContext, total_steps: int, from_step: int) -> None:
        self._uri = storage.join(context.run_dir, PROGRESS)
        self._active = context.is_first
        self._written_at = 0.0
        self._content: dict[str, Any] = {"total_steps": total_steps, "step": from_step, "train": [], "valid": []}
        if self._active and from_step:
            self._keep_until(from_step)

    def _keep_until(self, step: int) -> None:
        earlier = read_progress(self._uri) or self._content
        for key in ("train", "valid"):
            self._content[key] = [entry for entry in earlier[key] if entry["step"] <= step]

    def step(self, step: int, loss: float, learning_rate: float) -> None:
        """Record an optimizer step."""
        self._content["step"] = step
        self._content["train"].append({"step": step, "loss": loss, "learning_rate": learning_rate})
        if len(self._content["train"]) > MAX_POINTS:
            self._content["train"] = self._content["train"][::2]
        if time.monotonic() - self._written_at > WRITE_EVERY_S:
            self.flush()

    def validation(self, step: int, metrics: dict[str, float], seconds: float) -> None:
        """Record a validation and how long it took."""
        self._content["valid"].append({"step": step, "seconds": round(seconds, 2), **metrics})
        self.flush()

    def flush(self) -> None:
        """Write now."""
        if self._active:
            storage.write_json(self._uri, self._content)
            self._written_at = time.monotonic()


def read_progress(uri: str) -> dict[str, Any] | None:
    """The progress that was written; None before the first."""
    return storage.read_json(uri) if storage.exists(uri) else None


@contextmanager
def watch(run_dir: str, label: str, observe: Observer) -> Iterator[None]:
    """Show a progress bar of the run below `run_dir`, and hand its progress to `observe`, while the block runs.

    The bar goes to standard error: standard output is the result's.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    done = Event()
    with Progress(*columns, console=Console(stderr=True), transient=False) as bar:
        task = bar.add_task(label, total=None, note="starting workers")

        def show(progress: dict[str, Any]) -> None:
            bar.update(task, completed=progress["step"], total=progress["total_steps"], note=_note(progress))
            observe(progress)

        thread = Thread(target=_poll, args=(storage.join(run_dir, PROGRESS), show, done), daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def _poll(uri: str, show: Observer, done: Event) -> None:
    finished = False
    while not finished:
        finished = done.wait(POLL_EVERY_S)  # one more look after the end shows the last step
        try:
            progress = read_progress(uri)
        except (StorageError, OSError):  # an object store may fail for a moment; the next look follows at once
            continue
        if progress:
            show(progress)


def _note(progress: dict[str, Any]) -> str:
    recent = progress["train"][-20:]
    parts = [f"loss {sum(entry['loss'] for entry in recent) / len(recent):.4f}"] if recent else []
    if progress["valid"]:
        last = progress["valid"][-1]
        parts += [f"{key} {value:.4f}" for key, value in last.items() if key not in ("step", "seconds")][:3]
    return "  ".join(parts)
