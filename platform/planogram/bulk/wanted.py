"""Which pairs are to be scored: a product of queries and candidates is never held as a whole."""

import io
from dataclasses import dataclass

import pandas as pd

from planogram import storage
from planogram.config import ScoreConfig
from planogram.data.examples.base import product_texts, text_columns
from planogram.data.shop import read_table
from planogram.data.text import query_text
from planogram.errors import ConfigError, DataError
from planogram.registry.bundle import BundleManifest

SHOWN = 3


@dataclass(frozen=True)
class Wanted:
    """Pairs by number.

    Attributes:
        queries: as they were given.
        products: ids.
        texts: product id -> text.
        crossed: whether every query is wanted with every product; else both are parallel.
    """

    queries: list[str]
    products: list[str]
    texts: dict[str, str]
    crossed: bool

    def __len__(self) -> int:
        return len(self.queries) * len(self.products) if self.crossed else len(self.queries)

    def rows(self, start: int, stop: int) -> pd.DataFrame:
        """The pairs of these numbers: `query`, `product_id` and `text`."""
        numbers = range(start, min(stop, len(self)))
        if self.crossed:
            width = len(self.products)
            pairs = [(self.queries[number // width], self.products[number % width]) for number in numbers]
        else:
            pairs = [(self.queries[number], self.products[number]) for number in numbers]
        frame = pd.DataFrame(pairs, columns=["query", "product_id"])
        return frame.assign(text=[self.texts[product] for product in frame["product_id"]])


def wanted(config: ScoreConfig, manifest: BundleManifest) -> Wanted:
    """The pairs that a configuration names.

    Raises:
        NotFoundError: there is no such file or shop.
        DataError: a product is not in the shop, or nothing is wanted.
        ConfigError: the file of pairs lacks a column, or is of another kind.
    """
    products = read_table(config.shop, "products", text_columns(manifest.text_fields))
    if config.pairs:
        frame = _pairs(config.pairs)
        queries, ids = frame["query"].tolist(), frame["product_id"].tolist()
    else:
        queries = _lines(config.queries) if config.queries else _judged(config.shop)
        ids = _lines(config.candidates) if config.candidates else products["product_id"].tolist()
    needed = products[products["product_id"].isin(set(ids))]
    if unknown := sorted(set(ids) - set(needed["product_id"])):
        raise DataError(
            f"{len(unknown)} products are not in {config.shop}: {', '.join(unknown[:SHOWN])} …",
            remedy="take them out, or prepare the shop with them",
        )
    if not queries or not ids:
        raise DataError("there is no pair to score", remedy="name a file of queries, of candidates or of pairs")
    texts = product_texts(needed, manifest.text_fields, manifest.text_language)
    return Wanted([query_text(query) for query in queries], ids, texts, crossed=config.pairs is None)


def _judged(shop: str) -> list[str]:
    return [str(query) for query in read_table(shop, "judgments", ["query"])["query"].unique()]


def _lines(path: str) -> list[str]:
    """The different lines of a file, in their order; empty ones left out."""
    lines = (line.strip() for line in storage.read_bytes(path).decode().splitlines())
    return list(dict.fromkeys(line for line in lines if line))


def _pairs(path: str) -> pd.DataFrame:
    content = io.BytesIO(storage.read_bytes(path))
    if path.endswith(".csv"):
        frame = pd.read_csv(content, dtype=str, keep_default_na=False)
    elif path.endswith(".parquet"):
        frame = pd.read_parquet(content)
    else:
        raise ConfigError(f"pairs: {path}", allowed="a file whose name ends in .csv or .parquet")
    if absent := [name for name in ("query", "product_id") if name not in frame]:
        raise ConfigError(
            f"{path} has no column {', '.join(absent)}", allowed=", ".join(map(str, frame.columns)), remedy="name it so"
        )
    return frame[["query", "product_id"]].astype(str)
