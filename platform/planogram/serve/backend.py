"""What routes ask of the replicas behind them, and how that can fail. Tests put a fake in its place."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from planogram.data.text import Language
from planogram.engines.base import Floats
from planogram.errors import OverloadedError, PlanogramError

if TYPE_CHECKING:
    from planogram.serve.policy import Policy

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


class Backend(Protocol):
    """The replicas behind the routes, and the rules that hold now.

    Every method raises OverloadedError (shed), LateError, UnavailableError or FailedError.

    Attributes:
        policy: replaced as a whole; a request reads it once.
        sequencer: proposes what comes next in a history.
    """

    #: None: nothing embeds
    embedder: ModelInfo | None
    #: None: there is none
    sequencer: ModelInfo | None
    policy: "Policy"

    @property
    def catalogue(self) -> str:
        """The version of the products that every replica has; empty: not known, or it is just changing."""
        ...

    @property
    def model(self) -> ModelInfo:
        """The model that ranks, as far as it is known: it may change at any moment."""
        ...

    async def following(self) -> list[Following]:
        """What serves and what should: of the ranker, then of the canary where there is one."""
        ...

    async def retrieve(self, query: str, filters: Filters, limit: int, facets: Sequence[str] = ()) -> Retrieved:
        """The best `limit` products for a query text, best first, with the facets that are named."""
        ...

    async def lookup(self, product_ids: Sequence[str], filters: Filters) -> list[dict[str, Any]]:
        """The products with these ids that meet the filters, in the order given."""
        ...

    async def recommend(
        self, history: Sequence[str], exclude: Sequence[str], filters: Filters, limit: int
    ) -> Retrieved:
        """What shoppers take next after these products (ids, oldest first); nothing where none of them is known."""
        ...

    async def next_items(
        self, history: Sequence[str], exclude: Sequence[str], filters: Filters, limit: int, timeout_s: float
    ) -> Retrieved:
        """What the sequencer says that comes next after these products (ids, oldest first), the likeliest first.

        Each product has a `next_item`, see `Sequencer.rank`. There is nothing where none of the history is known to the
        model. Only where there is a `sequencer`.
        """
        ...

    async def similar(self, product_id: str, filters: Filters, limit: int) -> Retrieved:
        """The products most like one, by their content, without itself; nothing where it is not known."""
        ...

    async def popular(self, filters: Filters, limit: int) -> Retrieved:
        """The products that most shoppers take."""
        ...

    async def change(self, products: Sequence[dict[str, Any]], deleted: Sequence[str]) -> str:
        """Add or replace products, take others out by their ids; returns the version of the catalogue afterwards."""
        ...

    async def history(self, user_id: str) -> list[str]:
        """Ids of the products that a shopper bought, oldest first; empty where the shopper is not known."""
        ...

    async def score(self, query: Queries, documents: Sequence[Document], timeout_s: float | None = None) -> Scored:
        """Scores of documents for one query, or for one each; `timeout_s`: None where the request's limit is enough."""
        ...

    @property
    def demand_model(self) -> ModelInfo:
        """The model that foretells demand, as far as it is known; only with the route `price`."""
        ...

    async def demand(self, products: Sequence[Document], timeout_s: float | None = None) -> Scored:
        """Level and log elasticity of products; only with the route `price`."""
        ...

    async def embed(self, texts: Sequence[str]) -> Embedded:
        """Vectors of texts; only where there is an `embedder`."""
        ...

    async def explain(
        self, query: str, documents: Sequence[Document], timeout_s: float | None = None
    ) -> list[list[TokenWeight]]:
        """The words of the query and of each document's title with their weights; see `attribution`."""
        ...

    async def check(self) -> None:
        """Return when every replica group answers, raise when one does not."""
        ...
