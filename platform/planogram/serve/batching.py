"""Requests of several clients in one forward pass: by token budget, of like lengths, short requests first."""

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt

from planogram.data.tokenizer import Tokens
from planogram.engines.base import Floats
from planogram.serve import metrics

# Of the passes before in the measured pace: about the last ten count.
PACE_MEMORY = 0.9
# Padding of so many tokens costs less than a pass of its own, as does that of half of a text's length.
MAX_PADDING = 32
# More tokens than any text has.
LONGEST = 1 << 30


class Job:
    """The texts of one request, pairs or single ones, and what is computed of them.

    Args:
        tokens: of at least one text.
        columns: of a text's row.
        done: gets the rows (texts, columns) float32, or why there are none.
    """

    def __init__(self, tokens: Tokens, columns: int, done: "asyncio.Future[Floats]") -> None:
        self.tokens = tokens
        self.done = done
        self.queued_s = time.perf_counter()
        self.started = False
        self._rows = np.zeros((len(tokens), columns), dtype=np.float32)
        lengths = np.asarray(tokens.lengths)
        self._left = np.argsort(lengths, kind="stable")
        self._lengths = lengths[self._left]
        self._tokens = int(lengths.sum())

    @property
    def waits(self) -> bool:
        """Whether a text is left, and somebody waits for it."""
        return len(self._left) > 0 and not self.done.done()

    def urgency(self, now_s: float) -> float:
        """Seconds that it has waited, by the square of its tokens."""
        return (now_s - self.queued_s) / max(1, self._tokens) ** 2

    def longest(self, width: int) -> int:
        """Tokens of the longest text left that has so many at most; 0 where there is none."""
        end = int(np.searchsorted(self._lengths, width, side="right"))
        return int(self._lengths[end - 1]) if end else 0

    def take(self, width: int, room: int) -> npt.NDArray[np.int64]:
        """Positions of the longest texts left that suit a pass of so many tokens a row, `room` of them at most."""
        end = int(np.searchsorted(self._lengths, width, side="right"))
        start = max(int(np.searchsorted(self._lengths, width - max(MAX_PADDING, width // 2))), end - room)
        taken = self._left[start:end]
        self._left = np.delete(self._left, slice(start, end))
        self._lengths = np.delete(self._lengths, slice(start, end))
        return taken

    def keep(self, positions: npt.NDArray[np.int64], rows: Floats) -> None:
        """Keep what a pass gave; the last one ends the job."""
        self._rows[positions] = rows
        if not len(self._left) and not self.done.done():
            self.done.set_result(self._rows)


# Of each request the positions of its texts.
Pass = list[tuple[Job, npt.NDArray[np.int64]]]


class TokenBatcher:
    """Computes rows of texts, those of several requests in one forward pass.

    Before each pass it is decided anew whose texts come next: the request that has waited longest for the square of its
    tokens. So one that is ten times as long as another lets it pass unless it has waited a hundred times as long, those
    of one length keep their order, and none waits for ever.

    Args:
        infer: rows (texts, columns) float32 of one padded batch: logits of a ranker, vectors of an embedder.
        columns: of a row.
        executor: its threads alone call `infer`. Between two passes they are free for a health check.
        batch_tokens: padded tokens in one forward pass; a longer text stands alone.
        batch_wait_s: how long the first request after none waits for others to join it.
        passes: that are computed at a time, at most.

    Source: after highest response ratio next, P. Brinch Hansen 1971, Short-term scheduling in multiprogramming systems,
    which divides by the length itself: there a long request at its end still holds up those that just came.
    """

    def __init__(
        self,
        infer: Callable[[Tokens], Floats],
        columns: int,
        executor: Executor,
        batch_tokens: int,
        batch_wait_s: float = 0.0,
        passes: int = 1,
    ) -> None:
        self._infer = infer
        self._columns = columns
        self._executor = executor
        self._batch_tokens = batch_tokens
        self._batch_wait_s = batch_wait_s
        self._jobs: list[Job] = []
        self._passes = passes
        self._runs: list[asyncio.Task[None]] = []
        self._computing = 0
        self._waiting: list[int] = []
        self._recent_texts = self._recent_s = 0.0

    def wait_s(self, texts: int) -> float:
        """Seconds until a new request of so many texts begins, at the pace of the last passes; 0 before the first.

        Of a longer request twice as many texts count, for the new one comes before the others.
        """
        if not self._recent_texts:
            return 0.0
        before = sum(min(each, 2 * texts) for each in self._waiting)
        return before * self._recent_s / self._recent_texts

    @contextmanager
    def taken_on(self, texts: int) -> Iterator[None]:
        """Count texts as work that waits, until the block ends; from before they are read, so that a burst counts."""
        self._waiting.append(texts)
        try:
            yield
        finally:
            self._waiting.remove(texts)

    async def compute(self, tokens: Tokens) -> Floats:
        """Rows (texts, columns) float32. Once cancelled, nothing more is computed for it.

        Raises:
            Exception: whatever `infer` raises, to all requests of that pass.
        """
        if not len(tokens):
            return np.zeros((0, self._columns), dtype=np.float32)
        loop = asyncio.get_running_loop()
        job = Job(tokens, self._columns, loop.create_future())
        self._jobs.append(job)
        self._runs = [run for run in self._runs if not run.done()]
        if len(self._runs) < self._passes:
            self._runs.append(loop.create_task(self._run()))
        try:
            return await job.done
        finally:
            self._jobs.remove(job)

    async def _run(self) -> None:
        """One pass after the other, until no text is left."""
        loop = asyncio.get_running_loop()
        if self._batch_wait_s:
            await asyncio.sleep(self._batch_wait_s)
        while taken := self._next_pass():
            self._computing += 1
            try:
                texts = Tokens.concatenate([job.tokens.take(positions) for job, positions in taken])
                rows = await loop.run_in_executor(self._executor, self._timed, texts)
                ends = np.cumsum([len(positions) for _, positions in taken])
                for (job, positions), part in zip(taken, np.split(rows, ends[:-1]), strict=True):
                    job.keep(positions, part)
            except Exception as error:  # of these requests; the others go on
                self._fail(taken, error)
            finally:
                self._computing -= 1

    def _next_pass(self) -> Pass:
        """Whose texts come next, and which; empty where none are left."""
        now_s = time.perf_counter()
        jobs = [job for job in self._jobs if job.waits]
        if not jobs:
            return []
        jobs.sort(key=lambda job: job.urgency(now_s), reverse=True)
        width, texts, taken = max(1, jobs[0].longest(LONGEST)), 0, Pass()
        limit = width + max(MAX_PADDING, width // 2)
        for job in jobs:
            wider = max(width, job.longest(limit))
            room = self._batch_tokens // wider - texts if taken else max(1, self._batch_tokens // width)
            if room > 0 and len(positions := job.take(wider, room)):
                taken.append((job, positions))
                width, texts = wider, texts + len(positions)
                self._started(job, now_s)
        metrics.observe(metrics.BATCH_FILL, min(1.0, texts * width / self._batch_tokens))
        return taken

    def _started(self, job: Job, now_s: float) -> None:
        if not job.started:
            job.started = True
            metrics.observe(metrics.QUEUE_SECONDS, now_s - job.queued_s)

    def _fail(self, taken: Pass, error: Exception) -> None:
        for job, _ in taken:
            if not job.done.done():
                job.done.set_exception(error)

    def _timed(self, tokens: Tokens) -> Floats:
        started_s = time.perf_counter()
        try:
            return self._infer(tokens)
        finally:
            # Passes that are computed together share the processors.
            took_s = (time.perf_counter() - started_s) / max(1, self._computing)
            self._recent_texts = self._recent_texts * PACE_MEMORY + len(tokens)
            self._recent_s = self._recent_s * PACE_MEMORY + took_s
            metrics.add(metrics.BUSY_SECONDS, took_s)
