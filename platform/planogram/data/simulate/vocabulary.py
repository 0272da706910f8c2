"""The words of the simulated shop, read from the YAML files that lie beside this module."""

from functools import cached_property
from importlib import resources
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict

Level = Literal["awful", "poor", "good", "great"]
LEVELS: tuple[Level, ...] = ("awful", "poor", "good", "great")
TIERS = ("basic", "standard", "premium")


class _Words(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Attribute(_Words):
    """A property of products.

    Attributes:
        place: where its value stands in a title.
        absent: share of the products of a type that do not have it.
        tell: sentences of descriptions; `{v}` is the value.
        values: value -> the words in which people ask for it.
        name: its name in the products table; absent: the key in the file.
    """

    place: Literal["before", "after", "nowhere"]
    tell: tuple[str, ...]
    values: dict[str, tuple[str, ...]]
    absent: float = 0.0
    name: str | None = None


class Use(_Words):
    """A need in people's own words and the attribute values that meet it."""

    say: str
    needs: dict[str, str]


class ProductType(_Words):
    """A type of product; `price` is that of an ordinary one, in the shop's currency."""

    family: str
    nouns: tuple[str, ...]
    asks: tuple[str, ...]
    price: float
    attributes: tuple[str, ...]
    tell: tuple[str, ...]
    uses: tuple[Use, ...]


class Category(_Words):
    """A department: mean price elasticity of its purchases, margin on the usual price, aspect of its reviews."""

    elasticity: float
    margin: float
    aspect: str
    types: dict[str, ProductType]


class BrandParts(_Words):
    """Syllables of invented brands."""

    starts: tuple[str, ...]
    middles: tuple[str, ...]
    ends: tuple[str, ...]


class Vocabulary(_Words):
    """Everything a title, a description or a query may say.

    The order of the file numbers categories, types, attributes and values; all arrays of the simulation use these
    numbers.
    """

    brands: BrandParts
    series: tuple[str, ...]
    tiers: dict[str, tuple[str, ...]]
    attributes: dict[str, Attribute]
    categories: dict[str, Category]

    @cached_property
    def category_names(self) -> list[str]:
        """Names of categories by number."""
        return list(self.categories)

    @cached_property
    def type_names(self) -> list[str]:
        """Names of types by number, over all categories."""
        return [name for category in self.categories.values() for name in category.types]

    @cached_property
    def types(self) -> list[ProductType]:
        """Types by number, over all categories."""
        return [one for category in self.categories.values() for one in category.types.values()]

    @cached_property
    def category_of_type(self) -> list[int]:
        """Number of the category of each type."""
        return [number for number, category in enumerate(self.categories.values()) for _ in category.types]

    @cached_property
    def family_of_type(self) -> list[int]:
        """Number of the family of each type; families do not reach beyond their category."""
        pairs = zip(self.category_of_type, self.types, strict=True)
        keys = [(category, one.family) for category, one in pairs]
        numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
        return [numbers[key] for key in keys]

    @cached_property
    def attribute_names(self) -> list[str]:
        """Keys of attributes by number."""
        return list(self.attributes)

    @cached_property
    def value_names(self) -> list[list[str]]:
        """Values of each attribute, both by number."""
        return [list(attribute.values) for attribute in self.attributes.values()]

    @cached_property
    def attributes_of_type(self) -> list[list[int]]:
        """Numbers of the attributes of each type."""
        numbers = {name: number for number, name in enumerate(self.attributes)}
        return [[numbers[name] for name in one.attributes] for one in self.types]


class ReviewWords(_Words):
    """Everything a review may say; see the file."""

    openings: dict[str, tuple[str, ...]]
    endings: dict[str, tuple[str, ...]]
    joints: dict[str, tuple[str, ...]]
    fillers: tuple[str, ...]
    aspects: dict[str, dict[Level, tuple[str, ...]]]
    category_aspects: dict[str, dict[Level, tuple[str, ...]]]


def load_vocabulary() -> Vocabulary:
    """Read the words of the catalogue and the queries."""
    return Vocabulary.model_validate(_read("vocabulary.yaml"))


def load_review_words() -> ReviewWords:
    """Read the words of the reviews."""
    return ReviewWords.model_validate(_read("reviews.yaml"))


def _read(name: str) -> Any:
    return yaml.safe_load(resources.files(__package__).joinpath(name).read_text(encoding="utf-8"))
