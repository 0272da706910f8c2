"""What shoppers ask for, as facts and in their own words."""

from collections.abc import Container
from dataclasses import dataclass, replace

import numpy as np

from planogram.data.simulate.catalogue import Catalogue, Floats, Ints
from planogram.data.simulate.grading import Query, positives
from planogram.data.simulate.vocabulary import Vocabulary
from planogram.errors import ConfigError

KINDS = ("type", "attribute", "brand", "two_attributes", "brand_attribute", "use")
KIND_SHARES = (0.16, 0.28, 0.12, 0.14, 0.1, 0.2)
USUAL_NOUN_SHARE = 0.35
USUAL_VALUE_SHARE = 0.5
EXTRA_NEED_SHARE = 0.25
TYPO_SHARE = 0.03
BEFORE_SHARE = 0.75
MAX_QUERIES_PER_PRODUCT = 100
MAX_MISSES = 3000
_TRAILING = ("with", "without", "for", "that", "by", "against", "size", "eu", "ages")


@dataclass(frozen=True)
class Queries:
    """All queries, distinct in their text.

    Attributes:
        items: (queries,).
        category: (queries,) number of the category.
        weight: (queries,) shares of traffic within a category, a power law.
    """

    items: list[Query]
    category: Ints
    weight: Floats

    def __len__(self) -> int:
        return len(self.items)


def make_queries(catalogue: Catalogue, size: int, rng: np.random.Generator) -> Queries:
    """Draw `size` distinct queries; each has at least one product that meets all its needs.

    Raises:
        ConfigError: the catalogue does not give so many.
    """
    if size > MAX_QUERIES_PER_PRODUCT * len(catalogue):
        raise _too_many(size, catalogue, MAX_QUERIES_PER_PRODUCT * len(catalogue))
    found: dict[str, Query] = {}
    misses = 0
    while len(found) < size:
        query = _draw(catalogue, rng)
        if query.text not in found and positives(query, catalogue)[1].max(initial=0) >= 3:
            found[query.text] = query
            misses = 0
        misses += 1
        if misses > MAX_MISSES:
            raise _too_many(size, catalogue, len(found))
    items = [_mistype(query, found, rng) for query in found.values()]
    kinds = np.asarray([query.type for query in items])
    weight = np.power(1.0 + rng.permutation(size), -0.7, dtype=np.float64)
    return Queries(items, np.asarray(catalogue.vocabulary.category_of_type)[kinds], weight)


def _too_many(size: int, catalogue: Catalogue, limit: int) -> ConfigError:
    return ConfigError(
        f"{size:,} distinct queries cannot be made for {len(catalogue):,} products",
        allowed=f"up to about {limit:,}",
        remedy="ask for fewer queries or more products",
    )


def _draw(catalogue: Catalogue, rng: np.random.Generator) -> Query:
    # A product that exists stands behind each query, so that the shop can meet it.
    product = int(rng.integers(len(catalogue)))
    kind, number = KINDS[rng.choice(len(KINDS), p=KIND_SHARES)], int(catalogue.type[product])
    vocabulary = catalogue.vocabulary
    if kind == "use":
        words, needs = _use(vocabulary, number, rng)
        return Query(words, kind, number, -1, needs)
    held = [(int(a), int(catalogue.values[product, a])) for a in vocabulary.attributes_of_type[number]]
    held = [(attribute, value) for attribute, value in held if value >= 0]
    count = {"attribute": 1, "brand_attribute": 1, "two_attributes": 2}.get(kind, 0)
    chosen = rng.permutation(len(held))[:count]
    needs = dict(held[position] for position in chosen)
    brand = int(catalogue.brand[product]) if kind.startswith("brand") else -1
    words = _phrase(vocabulary, number, needs, rng)
    if brand >= 0:
        words = f"{catalogue.brands.names[brand].lower()} {words}"
    return Query(words, kind, number, brand, needs)


def _use(vocabulary: Vocabulary, number: int, rng: np.random.Generator) -> tuple[str, dict[int, int]]:
    use = vocabulary.types[number].uses[rng.integers(len(vocabulary.types[number].uses))]
    index = {name: position for position, name in enumerate(vocabulary.attribute_names)}
    needs = {index[name]: vocabulary.value_names[index[name]].index(value) for name, value in use.needs.items()}
    free = [attribute for attribute in vocabulary.attributes_of_type[number] if attribute not in needs]
    if not free or rng.random() >= EXTRA_NEED_SHARE:
        return use.say, needs
    attribute = free[rng.integers(len(free))]
    value = int(rng.integers(len(vocabulary.value_names[attribute])))
    return f"{use.say} {_ask(vocabulary, attribute, value, rng)}", {**needs, attribute: value}


def _phrase(vocabulary: Vocabulary, number: int, needs: dict[int, int], rng: np.random.Generator) -> str:
    before: list[str] = []
    after: list[str] = []
    for attribute, value in needs.items():
        words = _ask(vocabulary, attribute, value, rng)
        trails = words[0].isdigit() or words.split()[0] in _TRAILING or rng.random() > BEFORE_SHARE
        (after if trails else before).append(words)
    noun = _usual_or_other(vocabulary.types[number].asks, USUAL_NOUN_SHARE, rng)
    return " ".join([*before, noun, *after])


def _ask(vocabulary: Vocabulary, attribute: int, value: int, rng: np.random.Generator) -> str:
    asks = vocabulary.attributes[vocabulary.attribute_names[attribute]].values
    return _usual_or_other(asks[vocabulary.value_names[attribute][value]], USUAL_VALUE_SHARE, rng)


def _usual_or_other(words: tuple[str, ...], usual_share: float, rng: np.random.Generator) -> str:
    if len(words) == 1 or rng.random() < usual_share:
        return words[0]
    return words[int(rng.integers(1, len(words)))]


def _mistype(query: Query, others: Container[str], rng: np.random.Generator) -> Query:
    if len(query.text) < 6 or rng.random() >= TYPO_SHARE:
        return query
    text, place = query.text, int(rng.integers(1, len(query.text) - 2))
    swapped = text[:place] + text[place + 1] + text[place] + text[place + 2 :]
    # Two queries mistyped into the same text would stand for two different wants.
    return query if swapped in others else replace(query, text=swapped)
