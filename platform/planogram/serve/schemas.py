"""Requests and responses of Planogram's own routes. Unknown fields are refused and values are never coerced."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from planogram.serve.backend import Filters, ModelInfo

MAX_CANDIDATES = 1000
MAX_TOP_K = 200
MAX_QUERY_CHARS = 2048
MAX_FILTER_VALUES = 100

Query = Annotated[str, Field(min_length=1, max_length=MAX_QUERY_CHARS)]
Name = Annotated[str, Field(min_length=1, max_length=256)]
Price = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Request(BaseModel):
    """Base of request bodies."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class SearchFilters(Request):
    """Conditions on the products that are found."""

    price_min: Price | None = Field(None, description="in the shop's currency, itself allowed")
    price_max: Price | None = Field(None, description="in the shop's currency, itself allowed")
    brand: list[Name] = Field([], max_length=MAX_FILTER_VALUES, description="any of these, letter by letter")
    category: list[Name] = Field([], max_length=MAX_FILTER_VALUES, description="any of these, letter by letter")
    in_stock: bool = Field(False, description="leave out products without stock, or whose stock is not known")

    @model_validator(mode="after")
    def _range_is_not_empty(self) -> "SearchFilters":
        if self.price_min is not None and self.price_max is not None and self.price_min > self.price_max:
            raise ValueError("price_min is above price_max")
        return self

    def conditions(self) -> Filters:
        """The same for the retriever."""
        return Filters(self.price_min, self.price_max, tuple(self.brand), tuple(self.category), self.in_stock)


class SearchRequest(Request):
    """Body of `POST /search`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"query": "red running shoes", "filters": {"price_max": 100, "in_stock": True}, "top_k": 10}]
        }
    )

    query: Query
    filters: SearchFilters = SearchFilters()
    candidates: list[Name] | None = Field(
        None, min_length=1, max_length=MAX_CANDIDATES, description="ids of the products to rank, in place of retrieval"
    )
    num_candidates: int | None = Field(
        None,
        ge=1,
        le=MAX_CANDIDATES,
        description="products to retrieve and rank; absent: the server's setting",
    )
    top_k: int = Field(10, ge=1, le=MAX_TOP_K, description="results in the answer")


class Model(BaseModel):
    """The model that a response comes from. Version 0 is a bundle that was never published."""

    model_config = ConfigDict(frozen=True)

    name: str
    version: int
    digest: str

    @classmethod
    def of(cls, info: ModelInfo) -> "Model":
        """What a response says of a bundle."""
        return cls(name=info.name, version=info.version, digest=info.digest)


class SearchResult(BaseModel):
    """One product. What the shop does not say is null."""

    product_id: str
    position: int = Field(description="1 is the best")
    score: float | None = Field(description="of the deciding head; null where the ranker did not answer")
    signals: dict[str, float] = Field(description="the score of every head of the model")
    truncated: bool = Field(description="the product's text was cut to the model's length")
    title: str
    brand: str | None = None
    category: str | None = None
    price: float | None = None
    list_price: float | None = None
    currency: str | None = None
    stock: int | None = None


class SearchResponse(BaseModel):
    """Body of the answer to `POST /search`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "ranking_id": "6f1c0a9b52cf4d1f8d7d3b6f1a0c9e21",
                    "request_id": "b7e0c6f0b7d94b0f9a4c0f9c6f5a7b31",
                    "model": {"name": "shop-ranker", "version": 3, "digest": "9f2c4e1ab0d37788"},
                    "took_ms": 41.7,
                    "degraded": False,
                    "reason": None,
                    "unknown_candidates": [],
                    "results": [
                        {
                            "product_id": "p-17",
                            "position": 1,
                            "score": 0.93,
                            "signals": {"relevance": 0.93},
                            "truncated": False,
                            "title": "Red running shoes",
                            "brand": "Acme",
                            "category": "Shoes",
                            "price": 79.9,
                            "list_price": 99.9,
                            "currency": "EUR",
                            "stock": 12,
                        }
                    ],
                }
            ]
        }
    )

    ranking_id: str = Field(description="name it in the events that follow: it joins them to this ranking")
    request_id: str
    model: Model
    took_ms: float
    degraded: bool = Field(description="a fallback answered: the products stand in the retriever's order")
    reason: str | None = Field(
        None, description="why, where degraded: ranker_overloaded, _late, _unavailable or _failed"
    )
    unknown_candidates: list[str] = Field(description="ids in `candidates` that the shop lacks or the filters exclude")
    results: list[SearchResult]
