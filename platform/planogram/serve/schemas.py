"""Requests of Planogram's own routes. Unknown fields are refused and values are never coerced."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from planogram.serve.values import Filters

MAX_CANDIDATES = 1000
MAX_TOP_K = 200
MAX_QUERY_CHARS = 2048
MAX_FILTER_VALUES = 100
MAX_HISTORY = 500

Query = Annotated[str, Field(min_length=1, max_length=MAX_QUERY_CHARS)]
Name = Annotated[str, Field(min_length=1, max_length=256)]
Price = Annotated[float, Field(ge=0, allow_inf_nan=False)]
FacetName = Literal["brand", "category", "price"]


class Request(BaseModel):
    """Base of request bodies."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class SearchFilters(Request):
    """Conditions on the products that are found."""

    price_min: Price | None = Field(None, description="in the shop's currency, itself allowed")
    price_max: Price | None = Field(None, description="in the shop's currency, itself allowed")
    brand: list[Name] = Field([], max_length=MAX_FILTER_VALUES, description="any of these, letter by letter")
    category: list[Name] = Field([], max_length=MAX_FILTER_VALUES, description="any of these, letter by letter")
    locale: list[Name] = Field([], max_length=MAX_FILTER_VALUES, description="any of these, such as en-US")
    in_stock: bool = Field(False, description="leave out products without stock, or whose stock is not known")

    @model_validator(mode="after")
    def _range_is_not_empty(self) -> "SearchFilters":
        if self.price_min is not None and self.price_max is not None and self.price_min > self.price_max:
            raise ValueError("price_min is above price_max")
        return self

    def conditions(self) -> Filters:
        """The same for the retriever."""
        brands, categories, locales = (tuple(values) for values in (self.brand, self.category, self.locale))
        return Filters(self.price_min, self.price_max, brands, categories, locales, self.in_stock)


class ResultsRequest(Request):
    """What all requests for results may say."""

    user_id: Name | None = Field(
        None, description="keeps a shopper with one model; in /recommend, what was bought comes before `history`"
    )
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
    diversity: float | None = Field(
        None, ge=0, le=1, description="0: by score alone; 1: as different as can be; absent: the server's setting"
    )
    explain: bool = Field(False, description="say of every result why it stands where it does")


class SearchRequest(ResultsRequest):
    """Body of `POST /search`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "query": "red running shoes",
                    "filters": {"price_max": 100, "in_stock": True},
                    "top_k": 10,
                    "facets": ["brand", "price"],
                    "explain": True,
                }
            ]
        }
    )

    query: Query
    facets: list[FacetName] = Field(
        [], max_length=3, description="count the products that match by these: brand, category, price"
    )

    @model_validator(mode="after")
    def _facets_count_what_matches(self) -> "SearchRequest":
        if self.facets and self.candidates is not None:
            raise ValueError("facets count the products that match the query: leave out facets or candidates")
        if len(set(self.facets)) < len(self.facets):
            raise ValueError("facets names one twice")
        return self


class RecommendRequest(ResultsRequest):
    """Body of `POST /recommend`. Without user, history and product the popular products answer."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"user_id": "u-42", "history": ["p-17", "p-3"], "filters": {"in_stock": True}, "top_k": 10},
                {"product_id": "p-17", "relation": "complementary", "top_k": 4},
            ]
        }
    )

    history: list[Name] = Field(
        [], max_length=MAX_HISTORY, description="ids of the products of this visit, oldest first"
    )
    product_id: Name | None = Field(None, description="recommend for this product's page")
    relation: Literal["similar", "complementary"] = Field(
        "similar", description="to `product_id`: like it, or taken together with it"
    )
    exclude_owned: bool = Field(True, description="leave out what the shopper bought, and the products of `history`")
