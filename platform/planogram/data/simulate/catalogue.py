"""What the shop sells: facts of products as arrays, and their titles and descriptions as text."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from math import gcd

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from planogram.data.schema import PRODUCTS
from planogram.data.simulate.vocabulary import TIERS, Attribute, Vocabulary

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CURRENCY = "EUR"
LOCALE = "en"
START = datetime(2025, 1, 1, tzinfo=UTC)
NUM_DAYS = 90
NUM_WEEKS = -(-NUM_DAYS // 7)
TASTE_SIZE = 6
SHOWN_SHARE = 0.75
ALSO_KNOWN_SHARE = 0.15
MODEL_NUMBERS = 99


@dataclass(frozen=True)
class Brands:
    """Invented brands, each of one category.

    Attributes:
        names: (brands,).
        category: (brands,) number of the category.
        quality: (brands,) standard normal.
        price_level: (brands,) factor on the ordinary price of a type.
        taste: (brands, TASTE_SIZE) of norm 1: where the brand lies in the space of tastes.
    """

    names: list[str]
    category: Ints
    quality: Floats
    price_level: Floats
    taste: Floats


@dataclass(frozen=True)
class Catalogue:
    """Facts of the products; all arrays have the products along the first axis.

    Attributes:
        type: number of the type.
        brand: number of the brand.
        values: (products, attributes) int8, number of the value; -1: the product does not have the attribute.
        quality: in (0, 1).
        tier: 0 basic, 1 standard, 2 premium: the part of the quality that the description tells.
        model: number of the series and model, unique within a brand.
        reference_price: the usual price, in the shop's currency.
        cost: purchasing cost, in the shop's currency.
        stock: pieces on hand.
        popularity: shares of attention, adding up to one.
        taste: (products, TASTE_SIZE) float32 of norm 1: where the product lies in the space of tastes.
    """

    vocabulary: Vocabulary
    brands: Brands
    type: Ints
    brand: Ints
    values: NDArray[np.int8]
    quality: Floats
    tier: Ints
    model: Ints
    reference_price: Floats
    cost: Floats
    stock: Ints
    popularity: Floats
    taste: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.type)

    @cached_property
    def category(self) -> Ints:
        """(products,) number of the category."""
        return np.asarray(self.vocabulary.category_of_type)[self.type]

    @cached_property
    def family(self) -> Ints:
        """(products,) number of the family of types."""
        return np.asarray(self.vocabulary.family_of_type)[self.type]

    @cached_property
    def ids(self) -> pa.StringArray:
        """(products,) product_id."""
        return pa.array([f"p{number:07d}" for number in range(len(self))])

    @cached_property
    def family_members(self) -> list[Ints]:
        """Products of each family, by number."""
        return groups(self.family, max(self.vocabulary.family_of_type) + 1)

    @cached_property
    def category_members(self) -> list[Ints]:
        """Products of each category, by number."""
        return groups(self.category, len(self.vocabulary.category_names))


def groups(labels: Ints, size: int) -> list[Ints]:
    """The positions of each label 0 … size - 1, ascending."""
    order = np.argsort(labels, kind="stable")
    bounds = np.searchsorted(labels[order], np.arange(1, size))
    return np.split(order, bounds)


def make_catalogue(vocabulary: Vocabulary, size: int, rng: np.random.Generator) -> Catalogue:
    """Draw the facts of `size` products; all types are equally frequent."""
    kinds = rng.permutation((np.arange(size) + rng.integers(len(vocabulary.types))) % len(vocabulary.types))
    brands = _make_brands(vocabulary, size, rng)
    brand = _draw_brands(np.asarray(vocabulary.category_of_type)[kinds], brands, rng)
    quality = _sigmoid(1.1 * brands.quality[brand] + 0.9 * rng.standard_normal(size))
    tier = np.digitize(quality, [0.35, 0.65])
    price = _reference_prices(vocabulary, kinds, tier, brands.price_level[brand], rng)
    margin = np.asarray([category.margin for category in vocabulary.categories.values()])[brands.category[brand]]
    weight = np.exp(rng.standard_normal(size) + 1.5 * quality)
    return Catalogue(
        vocabulary=vocabulary,
        brands=brands,
        type=kinds,
        brand=brand,
        values=_draw_values(vocabulary, kinds, rng),
        quality=quality,
        tier=tier,
        model=_model_numbers(brand, vocabulary, rng),
        reference_price=price,
        cost=np.round(price * (1 - margin * rng.uniform(0.8, 1.2, size)), 2),
        stock=rng.negative_binomial(1, 0.02, size),
        popularity=weight / weight.sum(),
        taste=_unit(brands.taste[brand] + 0.35 * rng.standard_normal((size, TASTE_SIZE))).astype(np.float32),
    )


def _make_brands(vocabulary: Vocabulary, num_products: int, rng: np.random.Generator) -> Brands:
    parts, num_categories = vocabulary.brands, len(vocabulary.categories)
    names = [a + b + c for a in parts.starts for b in parts.middles for c in parts.ends]
    each = int(np.clip(round((num_products / num_categories) ** 0.5), 4, len(names) // num_categories))
    size = each * num_categories
    quality = rng.standard_normal(size)
    return Brands(
        names=[names[number] for number in rng.permutation(len(names))[:size]],
        category=np.repeat(np.arange(num_categories), each),
        quality=quality,
        price_level=np.exp(0.15 * quality + 0.12 * rng.standard_normal(size)),
        taste=_unit(rng.standard_normal((size, TASTE_SIZE))),
    )


def _draw_brands(category: Ints, brands: Brands, rng: np.random.Generator) -> Ints:
    num_categories = int(brands.category.max()) + 1
    each = len(brands.names) // num_categories
    share = rng.dirichlet(np.full(each, 3.0), num_categories)
    ranks = (rng.random(len(category))[:, None] > share.cumsum(axis=1)[category]).sum(axis=1)
    return category * each + np.minimum(ranks, each - 1)


def _draw_values(vocabulary: Vocabulary, kinds: Ints, rng: np.random.Generator) -> NDArray[np.int8]:
    values = np.full((len(kinds), len(vocabulary.attributes)), -1, dtype=np.int8)
    attributes = list(vocabulary.attributes.values())
    for members, numbers in zip(groups(kinds, len(vocabulary.types)), vocabulary.attributes_of_type, strict=True):
        for number in numbers:
            drawn = rng.integers(len(attributes[number].values), size=len(members))
            absent = rng.random(len(members)) < attributes[number].absent
            values[members, number] = np.where(absent, -1, drawn)
    return values


def _reference_prices(
    vocabulary: Vocabulary, kinds: Ints, tier: Ints, level: Floats, rng: np.random.Generator
) -> Floats:
    ordinary = np.asarray([one.price for one in vocabulary.types])[kinds]
    return charm(ordinary * np.asarray([0.7, 1.0, 1.5])[tier] * level * np.exp(0.12 * rng.standard_normal(len(kinds))))


def charm(price: Floats) -> Floats:
    """Prices as shops write them: …,99 from 20 on, …,x9 below."""
    ending = np.where(price >= 20, np.floor(price) + 0.99, np.floor(price * 10) / 10 + 0.09)
    return ending.astype(np.float64).round(2)


def _model_numbers(brand: Ints, vocabulary: Vocabulary, rng: np.random.Generator) -> Ints:
    # A stride without a common divisor visits every model once, so that titles stay distinct within a brand.
    num_models = len(vocabulary.series) * MODEL_NUMBERS
    strides = [step for step in range(num_models // 3, num_models // 2) if gcd(step, num_models) == 1]
    order = np.argsort(brand, kind="stable")
    first = np.searchsorted(brand[order], brand[order], side="left")
    rank = np.empty(len(brand), dtype=np.int64)
    rank[order] = np.arange(len(brand)) - first
    offset = rng.integers(num_models, size=int(brand.max()) + 1)
    step = rng.choice(strides, int(brand.max()) + 1)
    return offset[brand] + rank * step[brand]


def _sigmoid(x: Floats) -> Floats:
    return 1 / (1 + np.exp(-x))


def _unit(x: Floats) -> Floats:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def product_table(catalogue: Catalogue, price: Floats, start: int, stop: int, rng: np.random.Generator) -> pa.Table:
    """The rows `start` to `stop` of the products table, with the given current prices of all products."""
    rows = range(start, stop)
    list_price = charm(catalogue.reference_price[start:stop] * rng.choice([1.0, 1.05, 1.15], stop - start))
    age_days = rng.uniform(0, 30, stop - start)
    end = START + timedelta(days=NUM_DAYS)
    vocabulary = catalogue.vocabulary
    columns = {
        "product_id": catalogue.ids[start:stop],
        "title": [_title(catalogue, row, rng) for row in rows],
        "description": [_description(catalogue, row, rng) for row in rows],
        "brand": [catalogue.brands.names[number] for number in catalogue.brand[start:stop]],
        "category": [vocabulary.category_names[number] for number in catalogue.category[start:stop]],
        "attributes": [
            [(attribute.name or key, value) for key, attribute, value in _properties(catalogue, row)] for row in rows
        ],
        "price": price[start:stop],
        "list_price": np.maximum(list_price, price[start:stop]),
        "cost": catalogue.cost[start:stop],
        "stock": catalogue.stock[start:stop],
        "currency": [CURRENCY] * (stop - start),
        "locale": [LOCALE] * (stop - start),
        "updated_at": [end - timedelta(days=float(days)) for days in age_days],
    }
    return pa.table(columns, schema=PRODUCTS.arrow_schema)


def _properties(catalogue: Catalogue, row: int) -> list[tuple[str, Attribute, str]]:
    vocabulary, values = catalogue.vocabulary, catalogue.values[row]
    return [
        (name, vocabulary.attributes[name], vocabulary.value_names[number][values[number]])
        for number in vocabulary.attributes_of_type[catalogue.type[row]]
        if values[number] >= 0
        for name in [vocabulary.attribute_names[number]]
    ]


def _title(catalogue: Catalogue, row: int, rng: np.random.Generator) -> str:
    vocabulary = catalogue.vocabulary
    shown = [(one.place, value) for _, one, value in _properties(catalogue, row) if rng.random() < SHOWN_SHARE]
    before = [value.title() if value.islower() else value for place, value in shown if place == "before"]
    after = [value for place, value in shown if place == "after"]
    number, series = divmod(int(catalogue.model[row]), len(vocabulary.series))
    model = f"{vocabulary.series[series]} {number % MODEL_NUMBERS + 1}"
    noun = _pick(vocabulary.types[catalogue.type[row]].nouns, rng)
    head = " ".join([catalogue.brands.names[catalogue.brand[row]], model, *before, noun])
    return ", ".join([head.replace("'S", "'s"), *after])


def _description(catalogue: Catalogue, row: int, rng: np.random.Generator) -> str:
    kind = catalogue.vocabulary.types[catalogue.type[row]]
    sentences = [_pick(kind.tell, rng)]
    if properties := _properties(catalogue, row):
        _, attribute, value = properties[rng.integers(len(properties))]
        sentences.append(_pick(attribute.tell, rng).format(v=value))
    if rng.random() < ALSO_KNOWN_SHARE:
        sentences.append(f"Also known as {_pick(kind.asks, rng)}.")
    sentences.append(_pick(catalogue.vocabulary.tiers[TIERS[catalogue.tier[row]]], rng))
    return " ".join(sentences)


def _pick(options: tuple[str, ...], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]
