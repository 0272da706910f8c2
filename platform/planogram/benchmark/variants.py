"""What the benchmark of engines runs: each variant in a process of its own, and one of them at a time."""

import multiprocessing
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from planogram.benchmark.peer import OnnxEngine
from planogram.config import EngineName
from planogram.data.examples import Examples
from planogram.data.tokenizer import Tokens
from planogram.engines.base import Engine, score, score_tokens
from planogram.engines.load import load_engine
from planogram.errors import PlanogramError

PEER = "onnxruntime-int8"
# As the server's.
BATCH_TOKENS = 1024
# Shapes that nothing else runs: so many pairs, of each of these lengths.
NEW_PAIRS, NEW_LENGTHS = 7, range(17, 80, 6)
ANSWER_S = 600


@dataclass(frozen=True)
class Variant:
    """A bundle on an engine.

    Attributes:
        name: in the report.
        path: folder of the bundle.
        engine: an `EngineName`, or `PEER`.
    """

    name: str
    path: str
    engine: str


class VariantError(PlanogramError):
    """A variant cannot run on this machine."""


class Running:
    """A variant's process.

    Args:
        variant: what it runs.
        examples: pairs of the shop.
        threads: of one inference.

    Raises:
        VariantError: its engine cannot be loaded; the message says why.
    """

    def __init__(self, variant: Variant, examples: Examples, threads: int) -> None:
        self.variant = variant
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(variant, examples, threads, theirs), daemon=True)
        self._process.start()
        theirs.close()
        self._answer()

    def times(self, pairs: int, tokens: int, repeats: int) -> list[float]:
        """Seconds of each of so many inferences of one shape."""
        return cast(list[float], self._ask("times", pairs, tokens, repeats))

    def mixed(self, *, naive: bool) -> float:
        """Pairs per second of the shop's texts, tokenization included; `naive` pads batches of 32 in given order."""
        return cast(float, self._ask("mixed", naive))

    def stall_ms(self) -> float:
        """What the first inference of a new shape takes above the second: the median over shapes; once a process."""
        return cast(float, self._ask("stall_ms"))

    def scores(self) -> npt.NDArray[np.float32]:
        """(examples,) of the first head."""
        return cast(npt.NDArray[np.float32], self._ask("scores"))

    def memory_mb(self) -> float:
        """Resident memory of the process in MiB, libraries included."""
        return cast(float, self._ask("memory_mb"))

    def close(self) -> None:
        """End the process."""
        self._connection.close()
        self._process.join(10)
        if self._process.is_alive():
            self._process.kill()

    def _ask(self, what: str, *arguments: Any) -> Any:
        self._connection.send((what, arguments))
        return self._answer()

    def _answer(self) -> Any:
        try:
            if not self._connection.poll(ANSWER_S):
                raise VariantError(f"{self.variant.name} gave no answer for {ANSWER_S} s")
            answer = self._connection.recv()
        except EOFError as error:
            raise VariantError(f"the process of {self.variant.name} died") from error
        if isinstance(answer, Exception):
            raise VariantError(f"{self.variant.name}: {answer}") from answer
        return answer


def _serve(variant: Variant, examples: Examples, threads: int, connection: Connection) -> None:
    """The process: load, then answer until the other side closes."""
    try:
        worker = _Worker(variant, examples, threads)
    except Exception as error:  # whatever it is, the parent says it
        connection.send(error)
        return
    connection.send("ready")
    while True:
        try:
            what, arguments = connection.recv()
        except EOFError:
            return
        try:
            connection.send(getattr(worker, what)(*arguments))
        except Exception as error:
            connection.send(error)


class _Worker:
    def __init__(self, variant: Variant, examples: Examples, threads: int) -> None:
        self.examples = examples
        if variant.engine == PEER:
            self.engine: Engine = OnnxEngine(variant.path, threads)
        else:
            self.engine = load_engine(variant.path, cast(EngineName, variant.engine), threads)

    def times(self, pairs: int, tokens: int, repeats: int) -> list[float]:
        batch = shaped(self.engine.tokenize(self.examples.pairs, self.examples.features), pairs, tokens)
        return [_seconds(lambda: self.engine.infer(batch)) for _ in range(repeats)]

    def mixed(self, naive: bool) -> float:
        pairs, features = self.examples.pairs, self.examples.features
        if naive:
            return len(pairs) / _seconds(self._padded)
        return len(pairs) / _seconds(lambda: score(self.engine, pairs, BATCH_TOKENS, features))

    def _padded(self) -> None:
        tokens = self.engine.tokenize(self.examples.pairs, self.examples.features)
        for start in range(0, len(tokens), 32):
            rows = range(start, min(start + 32, len(tokens)))
            self.engine.finish(self.engine.infer(tokens.take(rows)))

    def stall_ms(self) -> float:
        tokens = self.engine.tokenize(self.examples.pairs, self.examples.features)
        extra = []
        for length in NEW_LENGTHS:
            batch = shaped(tokens, NEW_PAIRS, length)
            first, again = (_seconds(partial(self.engine.infer, batch)) for _ in range(2))
            extra.append(first - again)
        return 1000 * median(extra)

    def scores(self) -> npt.NDArray[np.float32]:
        tokens = self.engine.tokenize(self.examples.pairs, self.examples.features)
        return score_tokens(self.engine, tokens, BATCH_TOKENS)[:, 0]

    def memory_mb(self) -> float:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def shaped(tokens: Tokens, pairs: int, length: int) -> Tokens:
    """So many pairs of exactly so many tokens: real ones, cut, or repeated where they are shorter."""
    rows = [position % len(tokens) for position in range(pairs)]
    chosen = tokens.take(rows)
    return Tokens(
        [_exactly(ids, length) for ids in chosen.input_ids],
        [_exactly(types, length) for types in chosen.token_type_ids],
        chosen.truncated,
        chosen.features,
    )


def _exactly(values: list[int], length: int) -> list[int]:
    """The first token, and then the others as often as it takes."""
    rest = values[1:]
    return [values[0], *(rest * (length // len(rest) + 1))[: length - 1]]


def _seconds(run: Callable[[], Any]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started
