"""A lane: one loaded bundle with threads of its own. A replica has several while its model changes."""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

import numpy as np

from planogram.data.tokenizer import Tokens
from planogram.engines.base import Engine, Pair
from planogram.serve.batching import TokenBatcher
from planogram.serve.texts import pair_texts
from planogram.serve.values import Document, FailedError, ModelInfo, Queries

T = TypeVar("T")
Load = Callable[[], tuple[ModelInfo, Engine]]
MakeBatcher = Callable[[Engine, Executor], TokenBatcher]


@dataclass(frozen=True, eq=False)
class Lane:
    """A loaded bundle. Its threads end when nothing refers to it any more, after what they still have to do.

    Attributes:
        device: its threads alone call `engine.infer`; where it is one, it also loaded the engine, since torch counts
            threads per calling thread.
        tokenizer: one thread, the only one that calls `engine.tokenize`.
        batcher: runs jobs on `device`.
        health: tokens of a tiny inference.
    """

    model: ModelInfo
    engine: Engine
    device: ThreadPoolExecutor
    tokenizer: ThreadPoolExecutor
    batcher: TokenBatcher
    health: Tokens

    @classmethod
    def open(cls, load: Load, batcher: MakeBatcher, timeout_s: float | None = None, passes: int = 1) -> "Lane":
        """Verify and load a bundle in a new thread and warm it up: the first pass allocates what later ones reuse.

        Args:
            load: in a thread of `device`.
            batcher: of the engine and its threads.
            timeout_s: for each step.
            passes: threads of `device`.

        Raises:
            TimeoutError: it took longer. Its thread is left to itself: nothing can end it.
            FailedError: its scores are not finite.
            Exception: whatever `load` raises.
        """
        device, tokenizer = ThreadPoolExecutor(passes, "infer"), ThreadPoolExecutor(1, "tokenize")
        model, engine = outcome(device.submit(load), timeout_s)
        health = outcome(tokenizer.submit(engine.tokenize, [("health", "check")]), timeout_s)
        lane = cls(model, engine, device, tokenizer, batcher(engine, device), health)
        outcome(device.submit(lane.infer_health), timeout_s)
        return lane

    def infer_health(self) -> None:
        """A tiny inference, for the thread of `device`.

        Raises:
            FailedError: it gives scores that are not finite.
        """
        scores = self.engine.finish(self.engine.infer(self.health))
        if not np.isfinite(scores).all():
            raise FailedError(f"{self.model.reference} gives scores that are not finite")

    def pairs(self, query: Queries, documents: Sequence[Document]) -> list[Pair]:
        """The texts of each pair."""
        model = self.model
        month = datetime.now(UTC).month if model.text_season else None
        return pair_texts(query, documents, model.text_fields, model.text_language, month)

    def tokenize(self, query: Queries, documents: Sequence[Document]) -> Tokens:
        """Tokens of each pair, for the thread of `tokenizer`."""
        return self.engine.tokenize(self.pairs(query, documents))


def outcome(future: Future[T], timeout_s: float | None = None) -> T:
    """The result of what runs in a thread of a lane.

    Raises:
        TimeoutError: there is none yet.
        FailedError: a library in Rust panicked, which is no Exception and would end the thread that waits.
        Exception: what was raised.
    """
    error = future.exception(timeout_s)
    if error is None:
        return future.result()
    if isinstance(error, Exception):
        raise error
    raise FailedError(f"{type(error).__name__}: {error}") from error
