"""What a model must show before it takes traffic: scores as they should be, on requests that real clients sent."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from planogram.data.tokenizer import UNKNOWN, Tokens
from planogram.engines.base import Engine, Floats, PairEngine
from planogram.errors import PlanogramError
from planogram.serve.lane import Lane, outcome
from planogram.serve.values import Document, ModelInfo, Queries

# Documents of one request that a probe reads, and pairs whose passes are timed, on the serving model as well: enough to
# see a fault, and few enough to leave the processor to traffic.
MAX_DOCUMENTS = 4
TIMED_PAIRS = 8
# Half precision and padding move a score in its third digit; a mask that is ignored moves it in its first.
TOLERANCE = 0.02
# Of tokens; the tokenizer of another language or another model knows far fewer of a shop's words.
MAX_MORE_UNKNOWN = 0.2
SLACK_S = 0.05
RUNS = 2


class ProbeError(PlanogramError):
    """A model that may not take traffic."""


@dataclass(frozen=True)
class Recent:
    """A request that was answered."""

    query: Queries
    documents: Sequence[Document]

    @classmethod
    def of(cls, query: Queries, documents: Sequence[Document]) -> "Recent":
        """As much of a request as a probe reads."""
        return cls(query if isinstance(query, str) else query[:MAX_DOCUMENTS], documents[:MAX_DOCUMENTS])


BUILT_IN = (
    Recent("red running shoes", ("Red running shoes for women", "Blue desk lamp with a switch", "Wool shirt, large")),
    Recent("größe 42 鞋", ("Größe 42", "x", "")),
)


def check_heads(new: ModelInfo, needed: ModelInfo) -> None:
    """Refuse a model without the scores that the application was built on.

    Args:
        new: the model.
        needed: the one that the application was built with: its blend and its rules name that one's heads.

    Raises:
        ProbeError: a head is missing, or another head would decide the order.
    """
    missing = [head for head in needed.heads if head not in new.heads]
    if missing:
        raise ProbeError(
            f"{new.reference} has no head {', '.join(missing)}",
            allowed=", ".join(needed.heads),
            remedy="train it with these heads, or deploy the application anew",
        )
    if new.heads[new.primary] != needed.heads[needed.primary]:
        raise ProbeError(
            f"{new.reference} would order by {new.heads[new.primary]}, not by {needed.heads[needed.primary]}",
            remedy="deploy the application anew if that is meant",
        )


def probe(new: Lane, old: Lane | None, recent: Sequence[Recent], max_slowdown: float, timeout_s: float) -> None:
    """Let a loaded model score requests, beside the one that serves.

    Args:
        new: the model.
        old: what serves; it answers in its own thread, between two batches. None: nothing does.
        recent: requests of clients; a built-in one is added.
        max_slowdown: times of the old one's seconds that the new one may take.
        timeout_s: for each step.

    Raises:
        ProbeError: says what is wrong.
        TimeoutError: it took too long.
    """
    requests = [*recent, *BUILT_IN]
    tokens = _tokens(new, requests, timeout_s)
    alone = [outcome(new.device.submit(_scores, new, each), timeout_s) for each in tokens]
    _check_scores(new, alone)
    # A loop in a thread of its own: a replica starts within the loop of Ray Serve.
    together = outcome(new.tokenizer.submit(asyncio.run, _together(new, tokens)), timeout_s)
    for one, other in zip(alone, together, strict=True):
        if not np.allclose(one, new.engine.finish(other), rtol=TOLERANCE, atol=TOLERANCE):
            raise ProbeError(f"{new.model.reference} scores requests together otherwise than alone")
    if old is not None:
        _compare(new, old, requests, tokens, max_slowdown, timeout_s)


def _tokens(lane: Lane, requests: Sequence[Recent], timeout_s: float) -> list[Tokens]:
    return [
        outcome(lane.tokenizer.submit(lane.tokenize, request.query, request.documents), timeout_s)
        for request in requests
    ]


def _scores(lane: Lane, tokens: Tokens) -> Floats:
    """Scores (pairs, heads) of one request alone; for the thread of the device."""
    scores = lane.engine.finish(lane.engine.infer(tokens))
    if scores.shape != (len(tokens), len(lane.model.heads)):
        raise ProbeError(f"{lane.model.reference} gives scores of shape {scores.shape}, not one per document and head")
    return scores


async def _together(lane: Lane, tokens: Sequence[Tokens]) -> list[Floats]:
    return await asyncio.gather(*[lane.batcher.compute(each) for each in tokens])


def _check_scores(lane: Lane, scores: Sequence[Floats]) -> None:
    if not all(np.isfinite(each).all() for each in scores):
        raise ProbeError(f"{lane.model.reference} gives scores that are not finite")
    deciding = np.concatenate([each[:, lane.model.primary] for each in scores])
    if np.ptp(deciding) == 0:
        raise ProbeError(f"{lane.model.reference} gives every document the same score")


def _compare(
    new: Lane, old: Lane, requests: Sequence[Recent], tokens: Sequence[Tokens], max_slowdown: float, timeout_s: float
) -> None:
    before = _tokens(old, requests, timeout_s)
    unknown, unknown_before = unknown_share(new.engine, tokens), unknown_share(old.engine, before)
    if unknown > unknown_before + MAX_MORE_UNKNOWN:
        raise ProbeError(
            f"the tokenizer of {new.model.reference} does not know {unknown:.0%} of the tokens of recent requests, "
            f"that of {old.model.reference} {unknown_before:.0%}",
            remedy="publish the bundle anew, with its own tokenizer",
        )
    seconds = [_seconds(lane, each, timeout_s) for lane, each in ((old, before), (new, tokens))]
    if seconds[1] > seconds[0] * max_slowdown + SLACK_S:
        raise ProbeError(
            f"{new.model.reference} takes {seconds[1] * 1000:.0f} ms for what takes {old.model.reference} "
            f"{seconds[0] * 1000:.0f} ms",
            allowed=f"{max_slowdown:g} times as long",
            remedy="compress it, or raise follow.max_slowdown",
        )


def unknown_share(engine: Engine, tokens: Sequence[Tokens]) -> float:
    """Share of tokens, 0 to 1, that stand for words which the tokenizer does not know."""
    unknown = engine.tokenizer.whole.token_to_id(UNKNOWN) if isinstance(engine, PairEngine) else None
    ids = [number for each in tokens for row in each.input_ids for number in row]
    return ids.count(unknown) / len(ids) if ids and unknown is not None else 0.0


def _seconds(lane: Lane, tokens: Sequence[Tokens], timeout_s: float) -> float:
    """The best of a few passes over the first pairs. Each waits for its turn between two batches."""
    pairs = Tokens.concatenate(tokens)
    timed = pairs.take(range(min(TIMED_PAIRS, len(pairs))))
    return min(outcome(lane.device.submit(_timed, lane.engine, timed), timeout_s) for _ in range(RUNS))


def _timed(engine: Engine, tokens: Tokens) -> float:
    """Seconds of one pass; measured in the thread of the device, so that its queue does not count."""
    started = time.perf_counter()
    engine.finish(engine.infer(tokens))
    return time.perf_counter() - started
