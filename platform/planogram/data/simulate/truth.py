"""What nobody in the shop knows, written beside the data for tests and examples. Training never reads it."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from planogram.config import SimulateConfig
from planogram.data.simulate import behaviour
from planogram.data.simulate.catalogue import TASTE_SIZE, Catalogue
from planogram.data.simulate.grading import RULES, positives
from planogram.data.simulate.lexical import Pools
from planogram.data.simulate.prices import RESPONSE, Prices
from planogram.data.simulate.queries import Queries
from planogram.data.simulate.shoppers import Shoppers
from planogram.data.simulate.vocabulary import TIERS

# Grades above zero that are written at most; beyond, `grading.grade` gives them from the facts of both sides.
MAX_GRADES = 50_000_000
PART_ROWS = 500_000
_TASTE = pa.list_(pa.float32(), TASTE_SIZE)


def product_truth(catalogue: Catalogue, prices: Prices) -> pa.Table:
    """Facts of the products: type, tier, quality, taste and the parameters of demand."""
    vocabulary = catalogue.vocabulary
    ordinary = np.asarray([one.price for one in vocabulary.types])
    return pa.table(
        {
            "product_id": catalogue.ids,
            "type": pa.array(vocabulary.type_names).take(pa.array(catalogue.type)),
            "tier": pa.array(TIERS).take(pa.array(catalogue.tier)),
            "quality": catalogue.quality,
            "popularity": catalogue.popularity,
            "reference_price": catalogue.reference_price,
            "ordinary_price": ordinary[catalogue.type],
            "elasticity": prices.elasticity,
            "intercept": prices.intercept,
            "taste": pa.FixedSizeListArray.from_arrays(pa.array(catalogue.taste.ravel()), type=_TASTE),
        }
    )


def price_truth(catalogue: Catalogue, prices: Prices) -> Iterator[pa.Table]:
    """Price and season of every product in every week, counted from 0; one table for a week."""
    for week, (weekly, season) in enumerate(zip(prices.weekly, prices.season, strict=True)):
        price = np.round(weekly.astype(np.float64), 2)
        number = pa.repeat(week, len(catalogue))
        yield pa.table({"product_id": catalogue.ids, "week": number, "price": price, "season": season})


def shopper_truth(catalogue: Catalogue, shoppers: Shoppers) -> pa.Table:
    """Tastes, sensitivity to price, activity and interests (by category, in the order of parameters.json)."""
    width = len(catalogue.vocabulary.category_names)
    shares = pa.array(shoppers.category_share.ravel())
    return pa.table(
        {
            "user_id": shoppers.ids,
            "sensitivity": shoppers.sensitivity,
            "activity": shoppers.activity,
            "taste": pa.FixedSizeListArray.from_arrays(pa.array(shoppers.taste.ravel()), type=_TASTE),
            "category_share": pa.FixedSizeListArray.from_arrays(shares, type=pa.list_(pa.float64(), width)),
        }
    )


def query_truth(catalogue: Catalogue, queries: Queries) -> pa.Table:
    """What the queries want, in words; `brand` is null where any will do."""
    vocabulary, brands = catalogue.vocabulary, catalogue.brands.names
    needs = [
        [(vocabulary.attribute_names[a], vocabulary.value_names[a][v]) for a, v in query.needs.items()]
        for query in queries.items
    ]
    return pa.table(
        {
            "query": [query.text for query in queries.items],
            "kind": [query.kind for query in queries.items],
            "category": [vocabulary.category_names[number] for number in queries.category],
            "type": [vocabulary.type_names[query.type] for query in queries.items],
            "brand": pa.array([brands[q.brand] if q.brand >= 0 else None for q in queries.items], pa.string()),
            "needs": pa.array(needs, pa.map_(pa.string(), pa.string())),
            "weight": queries.weight,
        }
    )


def grade_truth(catalogue: Catalogue, queries: Queries) -> Iterator[pa.Table]:
    """Every pair of query and product with a grade above zero; any other pair has grade 0."""
    texts = pa.array([query.text for query in queries.items])
    rows: list[tuple[int, Any, Any]] = []
    size = 0
    for number, query in enumerate(queries.items):
        products, grades = positives(query, catalogue)
        rows.append((number, products, grades))
        size += len(products)
        if size >= PART_ROWS or number == len(queries) - 1:
            counts = [len(products) for _, products, _ in rows]
            numbers = pa.array(np.repeat([number for number, _, _ in rows], counts))
            yield pa.table(
                {
                    "query": texts.take(numbers),
                    "product_id": catalogue.ids.take(pa.array(np.concatenate([products for _, products, _ in rows]))),
                    "grade": np.concatenate([grades for _, _, grades in rows]),
                }
            )
            rows, size = [], 0


def count_grades(catalogue: Catalogue, queries: Queries) -> int:
    """How many rows `grade_truth` has at most, from the sizes of the families."""
    families = [catalogue.vocabulary.family_of_type[query.type] for query in queries.items]
    sizes = [len(members) for members in catalogue.family_members]
    return sum(sizes[family] for family in families)


def pool_truth(catalogue: Catalogue, queries: Queries, pools: Pools) -> pa.Table:
    """The candidates of every query with the scores of the logging policy, best first."""
    texts = pa.array([query.text for query in queries.items])
    return pa.table(
        {
            "query": texts.take(pa.array(np.repeat(np.arange(len(queries)), pools.size))),
            "product_id": catalogue.ids.take(pa.array(pools.products.ravel())),
            "score": pools.scores.ravel(),
            "grade": pools.grades.ravel(),
        }
    )


def parameters(config: SimulateConfig, catalogue: Catalogue, page_size: int, pool_size: int) -> dict[str, Any]:
    """Figures and formulas that hold for the whole shop."""
    return {
        "config": config.model_dump(),
        "categories": catalogue.vocabulary.category_names,
        "grades": {str(grade): rule for grade, rule in RULES.items()},
        "judgment_noise": config.judgment_noise,
        **behaviour.parameters(page_size),
        "pages": {
            "logging": "Plackett-Luce over pools.score of the query's pool: score plus Gumbel noise, largest first",
            "randomised": "uniform draw of the pool without replacement; rankings.randomised tells which",
            "randomised_share": config.randomised_share,
            "pool_size": pool_size,
            "propensity": "P(this product at this position of the page) = 1 / pool_size; null on other pages",
        },
        "sentiment": "0.75 * (product.quality - 0.5) / 0.27 + 0.4 * taste + 0.5 * normal noise",
        "prices": "weekly; products.price is that of the last week. " + _prices(config),
    }


def _prices(config: SimulateConfig) -> str:
    if not config.price_response:
        return "They are independent of demand, which has no season"
    return f"They follow prices.season, by exp({RESPONSE * config.price_response:g} season)"
