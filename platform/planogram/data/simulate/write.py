"""`planogram data simulate`: make a shop and write it as the raw export that an import would receive."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from planogram import storage
from planogram.config import SimulateConfig
from planogram.data.schema import TABLES
from planogram.data.simulate import truth
from planogram.data.simulate.catalogue import CURRENCY, LOCALE, Catalogue, make_catalogue, product_table
from planogram.data.simulate.judgments import judgment_table
from planogram.data.simulate.lexical import TitleIndex, make_pools
from planogram.data.simulate.prices import Prices, current, make_prices
from planogram.data.simulate.queries import make_queries
from planogram.data.simulate.reviews import simulate_reviews
from planogram.data.simulate.sessions import Shop, simulate_parts
from planogram.data.simulate.shoppers import make_shoppers
from planogram.data.simulate.vocabulary import load_review_words, load_vocabulary

SIMULATION_MANIFEST = "simulation.json"
MAPPING_FILE = "mapping.yaml"
PRODUCTS_PER_PART = 20_000
_STAGES = ("catalogue", "texts", "prices", "shoppers", "queries", "pools", "judgments", "sessions", "reviews")


def simulate(config: SimulateConfig, out: str) -> dict[str, Any]:
    """Make a shop whose truth is known.

    Args:
        config: sizes and seed; the same ones give the same bytes.
        out: new folder, local or URI. It gets `products/`, `judgments/`, `interactions/` and `reviews/` (Parquet, the
            columns of `planogram.data.schema`), `mapping.yaml` for `planogram data prepare`, and `truth/`.

    Returns:
        Rows by table and, in `events`, by event; numbers of queries and shoppers.

    Raises:
        StorageError: `out` is already there.
        ConfigError: the products do not give so many distinct queries.
    """
    with storage.sealed_folder(out, SIMULATION_MANIFEST) as (folder, payload):
        summary = _simulate(config, folder)
        payload |= {"format": 1, "config": config.model_dump(), "summary": summary}
    return summary


def _simulate(config: SimulateConfig, folder: Path) -> dict[str, Any]:
    seeds = dict(zip(_STAGES, np.random.SeedSequence(config.seed).spawn(len(_STAGES)), strict=True))
    rngs = {stage: np.random.default_rng(seed) for stage, seed in seeds.items()}
    catalogue = make_catalogue(load_vocabulary(), config.products, rngs["catalogue"])
    prices = make_prices(catalogue, rngs["prices"], config.price_response)
    index = _write_products(folder / "products", catalogue, prices, seeds["texts"])
    shoppers = make_shoppers(config.shoppers, len(catalogue.vocabulary.categories), rngs["shoppers"])
    queries = make_queries(catalogue, config.queries, rngs["queries"])
    page_size = min(config.page_size, config.products)
    pools = make_pools(catalogue, queries, index, page_size, rngs["pools"])
    judged = judgment_table(
        catalogue, queries, index, config.judged_per_query, config.judgment_noise, rngs["judgments"]
    )
    write_parts(folder / "judgments", [judged])
    shop = Shop(catalogue, prices, shoppers, queries, pools, page_size, config.randomised_share)
    events = _write_interactions(folder, shop, config.sessions, seeds["sessions"])
    reviews = simulate_reviews(catalogue, shoppers, load_review_words(), config.reviews, seeds["reviews"])
    num_reviews = _write_with_truth(folder, "reviews", reviews)
    _write_truth(folder / "truth", shop, config)
    rows = {
        "products": len(catalogue),
        "judgments": judged.num_rows,
        "interactions": sum(events.values()),
        "reviews": num_reviews,
    }
    mapping = mapping_yaml([name for name, size in rows.items() if size])
    storage.write_bytes(str(folder / MAPPING_FILE), mapping.encode())
    return {**rows, "events": events, "queries": len(queries), "shoppers": len(shoppers)}


def write_parts(folder: Path, tables: Iterable[pa.Table]) -> int:
    """Write tables as `part-00000.parquet` and so on, one at a time, and return the number of rows."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = 0
    for number, table in enumerate(tables):
        pq.write_table(table, folder / f"part-{number:05d}.parquet")
        rows += table.num_rows
    return rows


def _write_products(folder: Path, catalogue: Catalogue, prices: Prices, seed: np.random.SeedSequence) -> TitleIndex:
    index, price = TitleIndex(), current(prices)
    starts = range(0, len(catalogue), PRODUCTS_PER_PART)

    def tables() -> Iterable[pa.Table]:
        for start, child in zip(starts, seed.spawn(len(starts)), strict=True):
            stop = min(start + PRODUCTS_PER_PART, len(catalogue))
            table = product_table(catalogue, price, start, stop, np.random.default_rng(child))
            index.add(table["title"].to_pylist())
            yield table

    write_parts(folder, tables())
    index.freeze()
    return index


def _write_interactions(folder: Path, shop: Shop, num_sessions: int, seed: np.random.SeedSequence) -> dict[str, int]:
    events: dict[str, int] = {}

    def tables() -> Iterable[tuple[pa.Table, pa.Table]]:
        for table, pages in simulate_parts(shop, num_sessions, seed):
            for count in table["event_type"].value_counts().to_pylist():
                events[count["values"]] = events.get(count["values"], 0) + count["counts"]
            yield table, pages

    _write_with_truth(folder, "interactions", tables(), "rankings")
    return dict(sorted(events.items()))


def _write_with_truth(
    folder: Path, name: str, tables: Iterable[tuple[pa.Table, pa.Table]], truth_name: str | None = None
) -> int:
    rows = 0
    targets = (folder / name, folder / "truth" / (truth_name or name))
    for target in targets:
        target.mkdir(parents=True, exist_ok=True)
    for number, pair in enumerate(tables):
        for target, table in zip(targets, pair, strict=True):
            pq.write_table(table, target / f"part-{number:05d}.parquet")
        rows += pair[0].num_rows
    return rows


def _write_truth(folder: Path, shop: Shop, config: SimulateConfig) -> None:
    catalogue, queries = shop.catalogue, shop.queries
    write_parts(folder / "products", [truth.product_truth(catalogue, shop.prices)])
    write_parts(folder / "prices", truth.price_truth(catalogue, shop.prices))
    write_parts(folder / "shoppers", [truth.shopper_truth(catalogue, shop.shoppers)])
    write_parts(folder / "queries", [truth.query_truth(catalogue, queries)])
    write_parts(folder / "pools", [truth.pool_truth(catalogue, queries, shop.pools)])
    if truth.count_grades(catalogue, queries) <= truth.MAX_GRADES:
        write_parts(folder / "grades", truth.grade_truth(catalogue, queries))
    parameters = truth.parameters(config, catalogue, shop.page_size, shop.pools.size)
    storage.write_json(str(folder / "parameters.json"), parameters)


def mapping_yaml(names: Iterable[str]) -> str:
    """The source mapping that imports these tables; `truth/` and columns without any value are no part of it."""
    tables = {
        name: {
            "sources": [
                {
                    "files": f"{name}/*.parquet",
                    "format": "parquet",
                    "fields": {
                        column.name: column.name
                        for column in TABLES[name].columns
                        if (name, column.name) != ("interactions", "rating") and column.name != "split"
                    },
                }
            ]
        }
        for name in names
    }
    mapping = {
        "name": "simulated-shop",
        "description": "A shop made by `planogram data simulate`; what is hidden from it lies in truth/.",
        "currency": CURRENCY,
        "locale": LOCALE,
        "tables": tables,
    }
    return yaml.safe_dump(mapping, sort_keys=False)
