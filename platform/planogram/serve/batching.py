"""Requests of several clients in one forward pass: batches by token budget, sorted by length, without the abandoned."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from planogram.data.collate import token_batches
from planogram.data.tokenizer import Tokens
from planogram.engines.base import Floats
from planogram.serve import metrics

# Of the passes before in the measured pace: about the last ten count.
PACE_MEMORY = 0.9


@dataclass(eq=False)
class Job:
    """The texts of one request, pairs or single ones.

    Attributes:
        abandoned: its client left; nothing more is computed for it.
    """

    tokens: Tokens
    abandoned: bool = False
    queued_s: float = field(default_factory=time.perf_counter)

    @property
    def num_tokens(self) -> int:
        """Tokens of all texts, padding left out."""
        return sum(self.tokens.lengths)


class TokenBatcher:
    """Runs jobs together.

    Args:
        infer: rows (texts, columns) float32 of one padded batch: logits of a ranker, vectors of an embedder.
        columns: of a row.
        executor: one thread, the only one that calls `infer`.
        batch_tokens: padded tokens in one forward pass, and the budget of a batch of jobs.
    """

    def __init__(self, infer: Callable[[Tokens], Floats], columns: int, executor: Executor, batch_tokens: int) -> None:
        self._infer = infer
        self._columns = columns
        self._executor = executor
        self.batch_tokens = batch_tokens
        self._waiting = 0
        self._recent_texts = self._recent_s = 0.0

    @property
    def wait_s(self) -> float:
        """Seconds until all texts that were taken on are done, at the pace of the last passes; 0 before the first."""
        return self._waiting * self._recent_s / self._recent_texts if self._recent_texts else 0.0

    @contextmanager
    def taken_on(self, texts: int) -> Iterator[None]:
        """Count texts as work that waits, until the block ends; from before they are read, so that a burst counts."""
        self._waiting += texts
        try:
            yield
        finally:
            self._waiting -= texts

    def size(self, jobs: Sequence[Job]) -> int:
        """Tokens of a batch of jobs. A single job always fits: `run` takes it in several passes."""
        total = sum(job.num_tokens for job in jobs)
        return min(total, self.batch_tokens) if len(jobs) == 1 else total

    async def run(self, jobs: list[Job]) -> list[Floats]:
        """Rows per job, each (texts, columns) float32; those of an abandoned job stay zero.

        Between two passes the executor is free for a health check, and newly abandoned jobs are dropped.
        """
        self._measure(jobs)
        tokens = Tokens.concatenate([job.tokens for job in jobs])
        owners = np.repeat(np.arange(len(jobs)), [len(job.tokens) for job in jobs])
        values = np.zeros((len(tokens), self._columns), dtype=np.float32)
        loop = asyncio.get_running_loop()
        for positions in token_batches(tokens.lengths, self.batch_tokens):
            live = np.asarray([position for position in positions if not jobs[owners[position]].abandoned], dtype=int)
            if len(live):
                values[live] = await loop.run_in_executor(self._executor, self._timed, tokens.take(live))
        return np.split(values, np.cumsum([len(job.tokens) for job in jobs])[:-1])

    def _measure(self, jobs: Sequence[Job]) -> None:
        now_s = time.perf_counter()
        for job in jobs:
            metrics.observe(metrics.QUEUE_SECONDS, now_s - job.queued_s)
        fill = sum(job.num_tokens for job in jobs) / self.batch_tokens
        metrics.observe(metrics.BATCH_FILL, min(1.0, fill))

    def _timed(self, tokens: Tokens) -> Floats:
        started_s = time.perf_counter()
        try:
            return self._infer(tokens)
        finally:
            took_s = time.perf_counter() - started_s
            self._recent_texts = self._recent_texts * PACE_MEMORY + len(tokens)
            self._recent_s = self._recent_s * PACE_MEMORY + took_s
            metrics.add(metrics.BUSY_SECONDS, took_s)
