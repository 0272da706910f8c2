"""The contract of an engine, and scoring on top of it.

`tokenize` is work of the CPU, `infer` of the device, `finish` turns logits into scores in float32. They are apart so
that a server can tokenize one batch while the device works on another.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from planogram.config import EngineName
from planogram.data.collate import token_batches
from planogram.data.match import encode
from planogram.data.tokenizer import PairTokenizer, Tokens
from planogram.registry.bundle import BundleManifest, Calibration

Pair = tuple[str, str]
Floats = npt.NDArray[np.float32]
#: passes batches (positions of pairs) on, and may show how far they are
Watch = Callable[[Sequence[npt.NDArray[np.int64]]], Iterable[npt.NDArray[np.int64]]]


class Engine(Protocol):
    """Runs one bundle.

    Attributes:
        manifest: of the bundle.
        passes: how many threads should call `infer` at a time, so that the engine's own never wait for the next pass.
    """

    manifest: BundleManifest
    passes: int

    def tokenize(self, pairs: Sequence[Pair], features: pd.DataFrame | None = None) -> Tokens:
        """Token ids of (query text, product text) pairs, with the features that the bundle takes beside them."""
        ...

    def infer(self, tokens: Tokens) -> Floats:
        """Logits (pairs, heads) float32 of one batch, padded to its longest pair."""
        ...

    def finish(self, logits: Floats) -> Floats:
        """Scores (pairs, heads) float32: the activation of each head."""
        ...


class PairEngine:
    """What engines of cross-encoders share: how texts are read, and how logits become scores.

    Attributes:
        manifest: of the bundle.
        passes: as of `Engine`.
        tokenizer: of the bundle.
    """

    manifest: BundleManifest
    passes: int = 1
    tokenizer: PairTokenizer

    def tokenize(self, pairs: Sequence[Pair], features: pd.DataFrame | None = None) -> Tokens:
        """Token ids of (query text, product text) pairs, with the features that the bundle takes beside them.

        Raises:
            DataError: the bundle takes features that are not given.
        """
        given = pd.DataFrame(index=range(len(pairs))) if features is None else features
        return encode(self.tokenizer, self.manifest.features, pairs, given)

    def finish(self, logits: Floats) -> Floats:
        """Scores (pairs, heads) float32."""
        return activate(self.manifest, logits)


def concurrent_passes(name: EngineName, threads: int) -> int:
    """How many threads should run an engine at a time, so that its own threads never wait for the next pass."""
    return 2 if name.startswith("openvino") and threads > 1 else 1


@dataclass(frozen=True)
class Scores:
    """Scores of a list of pairs, in its order.

    Attributes:
        values: (pairs, heads) float32.
        truncated: whether a pair was cut to `max_tokens`.
        num_tokens: tokens of all pairs, padding left out.
    """

    values: Floats
    truncated: list[bool]
    num_tokens: int


def score(
    engine: Engine,
    pairs: Sequence[Pair],
    batch_tokens: int,
    features: pd.DataFrame | None = None,
    watch: Watch = iter,
) -> Scores:
    """Score pairs in batches of similar length.

    Args:
        engine: the loaded bundle.
        pairs: (query text, product text).
        batch_tokens: padded tokens in one batch.
        features: one row per pair, where the bundle takes any.
        watch: sees the batches go by.
    """
    tokens = engine.tokenize(pairs, features)
    return Scores(score_tokens(engine, tokens, batch_tokens, watch), tokens.truncated, sum(tokens.lengths))


def score_tokens(engine: Engine, tokens: Tokens, batch_tokens: int, watch: Watch = iter) -> Floats:
    """Scores (pairs, heads) float32 of pairs that are tokenized already, in their order."""
    values = np.zeros((len(tokens), len(engine.manifest.heads)), dtype=np.float32)
    batches = token_batches(tokens.lengths, batch_tokens)
    with ThreadPoolExecutor(engine.passes) as pool:
        # An engine for one thread may be for the one that loaded it.
        each = pool.map if engine.passes > 1 else map
        logits = each(lambda positions: engine.infer(tokens.take(positions)), batches)
        for positions, found in zip(watch(batches), logits, strict=True):
            values[positions] = engine.finish(found)
    return values


def activate(manifest: BundleManifest, logits: Floats) -> Floats:
    """Each head's calibrated score, in float32: half precision would tie the best candidates."""
    scores = logits.astype(np.float32, copy=True)
    for column, head in enumerate(manifest.heads):
        if head.activation == "sigmoid":
            scores[:, column] = calibrated(head.calibration, scores[:, column])
    return scores


def calibrated(calibration: Calibration, logits: Floats) -> Floats:
    """Probabilities (pairs,) float32 of logits."""
    scores = sigmoid(logits * np.float32(calibration.scale) + np.float32(calibration.shift))
    if calibration.knots:
        scores = np.interp(scores, calibration.knots, calibration.values).astype(np.float32)
    return scores


def sigmoid(logits: Floats) -> Floats:
    """The logistic function in the two branches that cannot overflow."""
    exponential = np.exp(-np.abs(logits))
    scores: Floats = np.where(logits >= 0, np.float32(1), exponential) / (1 + exponential)
    return scores
