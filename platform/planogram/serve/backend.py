"""What routes ask of the replicas behind them, and how that can fail. Tests put a fake in its place."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from planogram.data.text import Language
from planogram.engines.base import Floats
from planogram.errors import OverloadedError, PlanogramError

# A product has the columns of the products table; a string is a text as it came.
Document = str | Mapping[str, Any]


class LateError(OverloadedError):
    """No answer within the time that was given."""


class UnavailableError(OverloadedError):
    """No replica is there to answer, or it went away while it did."""


class FailedError(PlanogramError):
    """A replica raised an error that is not the client's."""


@dataclass(frozen=True)
class Filters:
    """Conditions that every candidate meets.

    Attributes:
        price_min, price_max: in the shop's currency, both allowed themselves.
        brands, categories: any of these, letter by letter; empty: all.
        in_stock: stock is known and above 0.
    """

    price_min: float | None = None
    price_max: float | None = None
    brands: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    in_stock: bool = False


@dataclass(frozen=True)
class ModelInfo:
    """The bundle that ranks.

    Attributes:
        version: of the registry; 0: the folder of a bundle that was never published.
        path: folder or URI of the bundle.
        digest: sha256 of its manifest, 16 characters.
        heads: names of the scores, in the order of the columns of `Scored.values`.
        text_season: whether the season stands beside the query.
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
class Scored:
    """Scores of a list of documents, in its order.

    Attributes:
        values: (documents, heads) float32.
        truncated: whether a document was cut to the model's length.
        num_tokens: of all pairs, padding left out.
        canary: whether the canary answered.
    """

    values: Floats
    truncated: list[bool]
    num_tokens: int
    model: ModelInfo
    canary: bool = False


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


class Backend(Protocol):
    """The replicas behind the routes.

    Every method raises OverloadedError (shed), LateError, UnavailableError or FailedError.
    """

    @property
    def model(self) -> ModelInfo:
        """The model that ranks, as far as it is known: it may change at any moment."""
        ...

    async def following(self) -> list[Following]:
        """What serves and what should: of the ranker, then of the canary where there is one."""
        ...

    async def retrieve(self, query: str, filters: Filters, limit: int) -> list[dict[str, Any]]:
        """The best `limit` products for a query text, best first: columns of the products table."""
        ...

    async def lookup(self, product_ids: Sequence[str], filters: Filters) -> list[dict[str, Any]]:
        """The products with these ids that meet the filters, in the order given."""
        ...

    async def score(self, query: str, documents: Sequence[Document], timeout_s: float | None = None) -> Scored:
        """Scores of documents for a query; `timeout_s` is None where the request's own limit is enough."""
        ...

    async def check(self) -> None:
        """Return when every replica group answers, raise when one does not."""
        ...
