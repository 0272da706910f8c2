"""What replicas are asked with and answer with, and how that can fail."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from planogram.data.text import Language
from planogram.engines.base import Floats
from planogram.errors import OverloadedError, PlanogramError

# A product has the columns of the products table; a string is a text as it came.
Document = str | Mapping[str, Any]
# One for all documents, or one for each.
Queries = str | Sequence[str]


class LateError(OverloadedError):
    """No answer within the time that was given."""


class ShedError(OverloadedError):
    """A replica has too much work, and says so."""


class UnavailableError(OverloadedError):
    """No replica is there to answer, or it went away while it did."""


class FailedError(PlanogramError):
    """A replica raised an error that is not the client's."""


@dataclass(frozen=True)
class Filters:
    """Conditions that every candidate meets.

    Attributes:
        price_min, price_max: in the shop's currency, both allowed themselves.
        brands, categories, locales: any of these, letter by letter; empty: all.
        in_stock: stock is known and above 0.
    """

    price_min: float | None = None
    price_max: float | None = None
    brands: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    locales: tuple[str, ...] = ()
    in_stock: bool = False


@dataclass(frozen=True)
class ModelInfo:
    """The bundle that ranks, or the one that embeds.

    Attributes:
        version: of the registry; 0: the folder of a bundle that was never published.
        path: folder or URI of the bundle.
        digest: sha256 of its manifest, 16 characters.
        heads: names of the scores, in the order of the columns of `Scored.values`; none of an embedder.
        text_season: whether the season stands beside the query.
        width: of the vectors; 0 of a ranker.
        demand: what a demand model's outcome is; empty of other models.
        others: versions that other replicas answer with at this moment, while they change.
    """

    name: str
    version: int
    path: str
    digest: str
    heads: tuple[str, ...]
    text_fields: tuple[str, ...]
    max_tokens: int
    text_language: Language = "en"
    text_season: bool = False
    width: int = 0
    demand: str = ""
    others: tuple[int, ...] = ()

    @property
    def reference(self) -> str:
        """`name:version`; the name alone where it was never published."""
        return f"{self.name}:{self.version}" if self.version else self.name

    @property
    def primary(self) -> int:
        """Column of the head that decides the order: `relevance` where there is one, else the first."""
        return self.heads.index("relevance") if "relevance" in self.heads else 0


@dataclass(frozen=True)
class ValueCount:
    """How many products have a value."""

    value: str
    count: int


@dataclass(frozen=True)
class RangeCount:
    """How many products have a price from `min` to `max`, in the shop's currency."""

    min: float
    max: float
    count: int


Facets = dict[str, list[ValueCount] | list[RangeCount]]


@dataclass(frozen=True)
class Retrieved:
    """What was found.

    Attributes:
        products: best first; columns of the products table, and of `planogram.data.signals` where the shop has them.
        facets: name -> counts over all products that match, not only over `products`.
        corrected_query: what was searched for where the query was misspelt.
    """

    products: list[dict[str, Any]]
    facets: Facets = field(default_factory=dict)
    corrected_query: str | None = None


@dataclass(frozen=True)
class TokenWeight:
    """A word and what it does to a score.

    Attributes:
        weight: by how much the deciding score falls when the word is left out; below 0: it rises.
        field: the text that the word stands in.
    """

    token: str
    weight: float
    field: Literal["query", "title"]


@dataclass(frozen=True)
class Busy:
    """What a replica with too much work answers. No exception: Ray Serve writes a traceback for each, under overload.

    Attributes:
        wait_s: seconds of work that waits already.
    """

    wait_s: float


@dataclass(frozen=True)
class Scored:
    """Scores of a list of documents, in its order.

    Attributes:
        values: (documents, heads) float32.
        truncated: whether a document was cut to the model's length.
        num_tokens: of all pairs, padding left out.
        logits: (documents, heads) float32, what the activation and the calibration made `values` of.
        canary: whether the canary answered.
        known: how many of the documents were in the cache; None: there is none.
    """

    values: Floats
    truncated: list[bool]
    num_tokens: int
    model: ModelInfo
    logits: Floats
    canary: bool = False
    known: int | None = None


@dataclass(frozen=True)
class Embedded:
    """Vectors of a list of texts, in its order.

    Attributes:
        values: (texts, width) float32, each of length 1.
        truncated: whether a text was cut to the model's length.
        num_tokens: of all texts, padding left out.
    """

    values: Floats
    truncated: list[bool]
    num_tokens: int
    model: ModelInfo


@dataclass(frozen=True)
class Following:
    """What a ranker serves, and what it should.

    Attributes:
        wanted: version that its reference points to; that of `model` where all is well.
        problem: why that one is not served; empty: it is.
        canary: its share and what came of it; None: it is the main model.
    """

    model: ModelInfo
    wanted: int
    problem: str = ""
    canary: Mapping[str, float] | None = None
