"""Search sessions: who came, what was shown, clicked, put in the cart and bought."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from planogram.data.schema import INTERACTIONS
from planogram.data.simulate import behaviour
from planogram.data.simulate.catalogue import NUM_DAYS, START, Catalogue, Floats, Ints
from planogram.data.simulate.lexical import Pools
from planogram.data.simulate.prices import Prices
from planogram.data.simulate.queries import Queries
from planogram.data.simulate.shoppers import Interests, Shoppers, draw_users, taste_for

# About 500,000 rows in a part file: clicks, carts and purchases add nearly a tenth.
IMPRESSIONS_PER_PART = 460_000
EVENTS = ("impression", "click", "cart", "purchase")
_DAY_S = 86_400
_HOURLY = (2, 1, 1, 1, 1, 2, 4, 7, 9, 10, 10, 10, 11, 11, 10, 10, 11, 12, 14, 16, 17, 14, 9, 5)
_DAILY = (1.0, 0.95, 0.95, 1.0, 1.05, 1.2, 1.3)


@dataclass(frozen=True)
class Shop:
    """All that stands behind the sessions."""

    catalogue: Catalogue
    prices: Prices
    shoppers: Shoppers
    queries: Queries
    pools: Pools
    page_size: int
    randomised_share: float


@dataclass(frozen=True)
class Pages:
    """What was shown; sessions along the first axis, positions along the second.

    Attributes:
        second: (sessions,) seconds since the start, ascending.
        user: (sessions,) numbers of shoppers.
        query: (sessions,) numbers of queries.
        randomised: (sessions,) whether the page is a random draw of the pool in random order.
        product: (sessions, positions) numbers of products.
        grade: (sessions, positions) true grades.
    """

    second: Floats
    user: Ints
    query: Ints
    randomised: NDArray[np.bool_]
    product: Ints
    grade: NDArray[np.int8]


def parts(num_sessions: int, page_size: int) -> list[tuple[int, int]]:
    """First and last + 1 session of every part file."""
    step = max(1, IMPRESSIONS_PER_PART // page_size)
    return [(first, min(first + step, num_sessions)) for first in range(0, num_sessions, step)]


def simulate_parts(shop: Shop, num_sessions: int, seed: np.random.SeedSequence) -> Iterator[tuple[pa.Table, pa.Table]]:
    """The interactions of `num_sessions` searches and the truth about their pages, part by part.

    Every part has its own random stream, whatever the others drew, and only one is in memory.

    Yields:
        Rows of the interactions table by time, and a table with `ranking_id` and `randomised`.
    """
    bounds = parts(num_sessions, shop.page_size)
    interests = Interests(shop.shoppers, shop.queries.category, shop.queries.weight)
    for (first, last), child in zip(bounds, seed.spawn(len(bounds)), strict=True):
        rng = np.random.default_rng(child)
        pages = _show(shop, interests, (first, last, num_sessions), rng)
        yield _interactions(shop, pages, first, rng), _page_truth(pages, first)


def _show(shop: Shop, interests: Interests, part: tuple[int, int, int], rng: np.random.Generator) -> Pages:
    first, last, num_sessions = part
    size = last - first
    second = _times((np.arange(first, last) + rng.random(size)) / num_sessions)
    user = draw_users(shop.shoppers, size, rng)
    query = interests.draw(user, rng)
    randomised = rng.random(size) < shop.randomised_share
    # The largest of scores plus Gumbel noise are a draw without replacement in proportion to exp(score): Plackett-Luce.
    score = np.where(randomised[:, None], np.float32(0), shop.pools.scores[query])
    noisy = score + rng.gumbel(size=score.shape)
    place = np.argsort(-noisy, axis=1)[:, : shop.page_size]
    rows = query[:, None]
    return Pages(second, user, query, randomised, shop.pools.products[rows, place], shop.pools.grades[rows, place])


def _times(quantiles: Floats) -> Floats:
    """Seconds since the start at which these shares of all traffic are over: evenings and week-ends are busier."""
    load = np.asarray(
        [_HOURLY[hour] * _DAILY[(START.weekday() + day) % 7] for day in range(NUM_DAYS) for hour in range(24)]
    )
    done = np.concatenate([[0.0], load.cumsum()]) / load.sum()
    return np.interp(quantiles, done, 3600.0 * np.arange(len(load) + 1))


def _interactions(shop: Shop, pages: Pages, first: int, rng: np.random.Generator) -> pa.Table:
    week = np.minimum(pages.second // (7 * _DAY_S), len(shop.prices.weekly) - 1).astype(np.int64)
    price = shop.prices.weekly[week[:, None], pages.product].astype(np.float64)
    shown = np.arange(pages.product.size)
    season = shop.prices.season[week[:, None], pages.product].astype(np.float64)
    clicked, carted, bought = _respond(shop, pages, (price, season), rng)
    delay = np.cumsum([rng.exponential(scale, len(shown)) for scale in (15.0, 90.0, 240.0)], axis=0)
    cell = np.concatenate([shown, clicked, carted, bought])
    kind = np.repeat(np.arange(len(EVENTS)), [len(shown), len(clicked), len(carted), len(bought)])
    seconds = pages.second[cell // pages.product.shape[1]]
    seconds += np.concatenate([np.zeros(len(shown)), delay[0, clicked], delay[1, carted], delay[2, bought]])
    pieces = np.where(rng.random(len(shown)) < behaviour.SECOND_PIECE_SHARE, 2, 1)
    order = np.argsort(seconds, kind="stable")
    return _table(shop, pages, first, (cell[order], kind[order], seconds[order]), (price.ravel(), pieces))


def _respond(
    shop: Shop, pages: Pages, shown: tuple[Floats, Floats], rng: np.random.Generator
) -> tuple[Ints, Ints, Ints]:
    """Which of the cells (sessions x positions, flattened) were clicked, put in the cart and bought.

    Args:
        shop: its catalogue and shoppers.
        pages: what was shown.
        shown: price, and what the season adds to the purchase logit, of each cell.
        rng: of the draws.
    """
    price, season = shown
    catalogue, prices = shop.catalogue, shop.prices
    taste = taste_for(shop.shoppers, catalogue, pages.user, pages.product)
    ordinary = np.asarray([one.price for one in catalogue.vocabulary.types])[catalogue.type[pages.product]]
    sensitivity = shop.shoppers.sensitivity[pages.user][:, None]
    attraction = behaviour.attractiveness(pages.grade, taste, sensitivity, np.log(price / ordinary))
    examined = behaviour.examination(np.arange(1, pages.product.shape[1] + 1))
    clicked = np.flatnonzero(rng.random(price.shape) < examined * attraction)
    product = pages.product.ravel()[clicked]
    chance = behaviour.purchase_probability(
        pages.grade.ravel()[clicked],
        catalogue.quality[product],
        taste.ravel()[clicked],
        prices.intercept[product] + season.ravel()[clicked],
        prices.elasticity[product],
        np.log(price.ravel()[clicked] / catalogue.reference_price[product]),
    )
    buys = rng.random(len(clicked)) < chance
    carts = buys | (rng.random(len(clicked)) < behaviour.CART_SHARE)
    return clicked, clicked[carts], clicked[buys]


def _table(
    shop: Shop, pages: Pages, first: int, events: tuple[Ints, Ints, Floats], cells: tuple[Floats, Ints]
) -> pa.Table:
    cell, kind, seconds = events
    price, pieces = cells
    width = pages.product.shape[1]
    session = cell // width
    number = (first + session) * width + cell % width
    start_us = int(START.timestamp() * 1e6)
    texts = pa.array([query.text for query in shop.queries.items])
    propensity = np.where(pages.randomised, 1 / shop.pools.size, np.nan)
    columns = {
        "event_id": _identifiers("e", number * len(EVENTS) + kind, 12),
        "timestamp": pa.array((start_us + seconds * 1e6).astype(np.int64)).cast(pa.timestamp("us", tz="UTC")),
        "event_type": pa.array(EVENTS).take(pa.array(kind)),
        "product_id": shop.catalogue.ids.take(pa.array(pages.product.ravel()[cell])),
        "user_id": shop.shoppers.ids.take(pa.array(pages.user[session])),
        "session_id": _identifiers("s", first + session, 9),
        "ranking_id": _identifiers("r", first + session, 9),
        "query": texts.take(pa.array(pages.query[session])),
        "position": cell % width + 1,
        "price": np.round(price[cell], 2),
        "quantity": pa.array(pieces[cell], mask=kind < EVENTS.index("cart")),
        "rating": pa.nulls(len(cell), pa.float64()),
        "propensity": pa.array(propensity[session], from_pandas=True),
        "split": pa.nulls(len(cell), pa.string()),
    }
    return pa.table(columns, schema=INTERACTIONS.arrow_schema)


def _page_truth(pages: Pages, first: int) -> pa.Table:
    numbers = np.arange(first, first + len(pages.query))
    return pa.table({"ranking_id": _identifiers("r", numbers, 9), "randomised": pages.randomised})


def _identifiers(prefix: str, numbers: Ints, width: int) -> pa.StringArray:
    digits = pc.utf8_lpad(pa.array(numbers).cast(pa.string()), width, "0")
    return pc.binary_join_element_wise(prefix, digits, "")
