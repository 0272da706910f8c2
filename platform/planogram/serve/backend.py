"""What routes ask of the replicas behind them. Tests put a fake in its place."""

from collections.abc import Sequence
from typing import Any, Protocol

from planogram.serve.policy import Policy
from planogram.serve.values import (
    Document,
    Embedded,
    Filters,
    Following,
    ModelInfo,
    Queries,
    Retrieved,
    Scored,
    TokenWeight,
)


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
    policy: Policy

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
