"""Parts of a table of scores: each is written whole, with a seal that says what it is of."""

import hashlib
import io
import json
import time
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from planogram import storage
from planogram.bulk.wanted import Wanted, wanted
from planogram.config import ScoreConfig
from planogram.engines.base import score
from planogram.engines.load import load_engine
from planogram.errors import IntegrityError, NotFoundError
from planogram.registry.bundle import open_bundle


@dataclass(frozen=True)
class Sealed:
    """What stands beside a part.

    Attributes:
        of: sha256 of what it was made from: the bundle, the engine and the pairs with their texts.
        sha256: of its file.
        rows: pairs.
        truncated: how many of them were cut to the model's longest input.
        seconds: that scoring took.
    """

    of: str
    sha256: str
    rows: int
    truncated: int
    seconds: float


class PartScorer:
    """Scores and writes parts; loads the bundle and the texts once.

    Args:
        config: what is scored, and where the parts go.
        path: of the bundle.
    """

    def __init__(self, config: ScoreConfig, path: str) -> None:
        _, self.manifest = open_bundle(path)
        self.config = config
        self.wanted = wanted(config, self.manifest)
        # A worker of Ray Data has one core.
        self.engine = load_engine(path, config.engine, 1 if config.workers else None)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Score the part of this number and write it.

        Returns:
            What its seal says, and `part`.
        """
        number = int(row["part"])
        pairs = part_pairs(self.wanted, self.config, number)
        began_s = time.perf_counter()
        texts = list(zip(pairs["query"], pairs["text"], strict=True))
        scores = score(self.engine, texts, self.config.batch_tokens)
        seconds = time.perf_counter() - began_s
        heads = {head.name: scores.values[:, column] for column, head in enumerate(self.manifest.heads)}
        table = pairs.drop(columns="text").assign(**heads, truncated=scores.truncated)
        content = io.BytesIO()
        table.to_parquet(content, index=False)
        of = subject(pairs, self.config, self.manifest.subject(self.config.engine))
        digest = hashlib.sha256(content.getvalue()).hexdigest()
        sealed = Sealed(of, digest, len(table), int(sum(scores.truncated)), seconds)
        storage.write_bytes(file_of(self.config, number), content.getvalue())
        # Last: a part without its seal is not there.
        storage.write_json(_seal_of(self.config, number), asdict(sealed))
        return {"part": number, **asdict(sealed)}


def part_pairs(pairs: Wanted, config: ScoreConfig, number: int) -> pd.DataFrame:
    """The pairs of a part: `query`, `product_id` and `text`."""
    start = number * config.pairs_per_part
    return pairs.rows(start, start + config.pairs_per_part)


def subject(pairs: pd.DataFrame, config: ScoreConfig, scored_by: str) -> str:
    """The sha256 of all that the scores of a part depend on.

    Args:
        pairs: of the part.
        config: names the engine.
        scored_by: the bundle's `subject` for this engine.
    """
    said = [config.engine, scored_by, *(pairs[name].tolist() for name in ("query", "product_id", "text"))]
    return hashlib.sha256(json.dumps(said, ensure_ascii=False).encode()).hexdigest()


def sealed_part(config: ScoreConfig, number: int, of: str) -> Sealed | None:
    """The seal of a part that is there, whole, and of these pairs by this bundle; None where it has to be scored."""
    try:
        sealed = Sealed(**storage.read_json(_seal_of(config, number)))
        content = storage.read_bytes(file_of(config, number))
    except (NotFoundError, IntegrityError, TypeError):
        return None
    whole = sealed.of == of and hashlib.sha256(content).hexdigest() == sealed.sha256
    return sealed if whole else None


def file_of(config: ScoreConfig, number: int) -> str:
    """Where the table of a part stands."""
    return storage.join(config.out, f"part-{number:05d}.parquet")


def _seal_of(config: ScoreConfig, number: int) -> str:
    # A leading underscore: readers of a folder of Parquet files pass over it.
    return storage.join(config.out, f"_part-{number:05d}.json")
