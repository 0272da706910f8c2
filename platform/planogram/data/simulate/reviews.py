"""What customers write about products, in words that follow quality, taste and price."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa

from planogram.data.schema import REVIEWS
from planogram.data.simulate.catalogue import LOCALE, Catalogue, Floats, Ints
from planogram.data.simulate.shoppers import Interests, Shoppers, draw_users, taste_for
from planogram.data.simulate.vocabulary import LEVELS, ReviewWords

PART_ROWS = 50_000
# Cuts of the sentiment, which has spread 1, into 1 to 5 stars: like real ones, ratings are mostly high.
RATING_CUTS = (-1.5, -0.9, -0.4, 0.4)
LEVEL_CUTS = (-1.2, -0.4, 0.5)
ASPECT_SPREAD = 0.5
NEUTRAL_OPENING_SHARE = 0.4
ENDING_SHARE = 0.5
LABELS = ("negative", "negative", "neutral", "positive", "positive")


@dataclass(frozen=True)
class Opinion:
    """One opinion, before it is put in words: stars 1 to 5, and the level 0 to 3 of each named aspect."""

    rating: int
    aspects: list[tuple[str, int]]


def simulate_reviews(
    catalogue: Catalogue, shoppers: Shoppers, words: ReviewWords, size: int, seed: np.random.SeedSequence
) -> Iterator[tuple[pa.Table, pa.Table]]:
    """The reviews, part by part, each with its own random stream.

    Yields:
        Rows of the reviews table, and their truth: `review_id`, `sentiment` (mean about 0, spread about 1) and
        `mixed` (says both good and bad).
    """
    bounds = [(first, min(first + PART_ROWS, size)) for first in range(0, size, PART_ROWS)]
    interests = Interests(shoppers, catalogue.category, catalogue.popularity)
    for (first, last), child in zip(bounds, seed.spawn(len(bounds)), strict=True):
        rng = np.random.default_rng(child)
        users = draw_users(shoppers, last - first, rng)
        yield _part(catalogue, shoppers, words, (users, interests.draw(users, rng)), first, rng)


def sentiment(catalogue: Catalogue, taste: Floats, products: Ints, noise: Floats) -> Floats:
    """How content a customer is: 0.75 of the standardized quality, 0.4 taste, 0.5 noise; all of shape (reviews,)."""
    quality = (catalogue.quality[products] - 0.5) / 0.27
    return 0.75 * quality + 0.4 * taste + 0.5 * noise


def _part(
    catalogue: Catalogue,
    shoppers: Shoppers,
    words: ReviewWords,
    who: tuple[Ints, Ints],
    first: int,
    rng: np.random.Generator,
) -> tuple[pa.Table, pa.Table]:
    users, products = who
    taste = taste_for(shoppers, catalogue, users, products[:, None])[:, 0]
    mood = sentiment(catalogue, taste, products, rng.standard_normal(len(users)))
    ratings = np.digitize(mood, RATING_CUTS) + 1
    opinions = [
        _opinion(catalogue, words, int(product), (float(one), int(rating)), rng)
        for product, one, rating in zip(products, mood, ratings, strict=True)
    ]
    nouns = [catalogue.vocabulary.type_names[number] for number in catalogue.type[products]]
    ids = [f"v{number:08d}" for number in range(first, first + len(users))]
    categories = pa.array(catalogue.vocabulary.category_names)
    columns = {
        "review_id": ids,
        "text": [review_text(words, opinion, noun, rng) for opinion, noun in zip(opinions, nouns, strict=True)],
        "product_id": catalogue.ids.take(pa.array(products)),
        "user_id": shoppers.ids.take(pa.array(users)),
        "rating": ratings.astype(np.float64),
        "label": [LABELS[rating - 1] for rating in ratings],
        "category": categories.take(pa.array(catalogue.category[products])),
        "locale": [LOCALE] * len(users),
        "split": pa.nulls(len(users), pa.string()),
    }
    mixed = [len({level >= 2 for _, level in opinion.aspects}) == 2 for opinion in opinions]
    return (
        pa.table(columns, schema=REVIEWS.arrow_schema),
        pa.table({"review_id": ids, "sentiment": mood, "mixed": mixed}),
    )


def _opinion(
    catalogue: Catalogue, words: ReviewWords, product: int, mood: tuple[float, int], rng: np.random.Generator
) -> Opinion:
    category = list(catalogue.vocabulary.categories.values())[catalogue.category[product]]
    names = [category.aspect, *words.aspects]
    count = int(rng.integers(2, 5))
    # The first aspect is the category's own and comes up most.
    chance = np.asarray([3.0] + [1.0] * len(words.aspects))
    chosen = rng.choice(len(names), count, replace=False, p=chance / chance.sum())
    levels = np.digitize(mood[0] + ASPECT_SPREAD * rng.standard_normal(count), LEVEL_CUTS)
    return Opinion(mood[1], [(names[number], int(level)) for number, level in zip(chosen, levels, strict=True)])


def review_text(words: ReviewWords, opinion: Opinion, noun: str, rng: np.random.Generator) -> str:
    """Put an opinion in words: an opening, clauses joined by whether they agree, and sometimes an ending."""
    neutral = rng.random() < NEUTRAL_OPENING_SHARE
    sentences = [_pick(words.openings["any" if neutral else str(opinion.rating)], rng)]
    clauses = [_clause(words, aspect, level, rng) for aspect, level in opinion.aspects]
    text = clauses[0]
    for (before, after), clause in zip(pairwise(opinion.aspects), clauses[1:], strict=True):
        turn = (before[1] >= 2) != (after[1] >= 2)
        if turn or rng.random() < 0.5:
            text += f", {_pick(words.joints['turn' if turn else 'same'], rng)} {clause}"
        else:
            sentences.append(_sentence(text))
            text = clause
    sentences.append(_sentence(text))
    if rng.random() < ENDING_SHARE:
        tone = ("bad", "bad", "middling", "good", "good")[opinion.rating - 1]
        sentences.append(_pick(words.endings[tone], rng))
    return " ".join(sentence for sentence in sentences if sentence).format(noun=noun)


def _clause(words: ReviewWords, aspect: str, level: int, rng: np.random.Generator) -> str:
    levels = words.aspects.get(aspect) or words.category_aspects[aspect]
    return _pick(words.fillers, rng) + _pick(levels[LEVELS[level]], rng)


def _sentence(clause: str) -> str:
    return clause[0].upper() + clause[1:] + "."


def _pick(options: tuple[str, ...], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]
