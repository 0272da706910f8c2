"""What `/search` and `/recommend` answer: results with their signals and, where asked, why they stand where they do."""

import uuid
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from planogram.serve.values import ModelInfo, RangeCount, TokenWeight, ValueCount

RESULT_EXAMPLE: dict[str, JsonValue] = {
    "product_id": "p-17",
    "position": 1,
    "score": 1.0,
    "signals": {"relevance": 0.9, "sentiment": 0.7},
    "truncated": False,
    "title": "Red running shoes",
    "brand": "Acme",
    "category": "Shoes",
    "price": 79.9,
    "list_price": 99.9,
    "currency": "EUR",
    "stock": 12,
    "explanation": {
        "signals": {
            "relevance": {"value": 0.9, "weight": 1.0, "contribution": 0.9},
            "margin": {"value": None, "weight": None, "contribution": 0.05},
        },
        "rules": [{"name": "summer-shoes", "effect": "boost", "contribution": 0.05}],
        "diversity_penalty": 0.0,
        "tokens": [{"token": "red", "weight": 0.21, "field": "query"}],
    },
}
ANSWER_EXAMPLE: dict[str, JsonValue] = {
    "ranking_id": "6f1c0a9b52cf4d1f8d7d3b6f1a0c9e21",
    "request_id": "b7e0c6f0b7d94b0f9a4c0f9c6f5a7b31",
    "model": {"name": "shop-ranker", "version": 3, "digest": "9f2c4e1ab0d37788"},
    "took_ms": 41.7,
    "degraded": False,
    "reason": None,
    "unknown_candidates": [],
    "results": [RESULT_EXAMPLE],
}


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


class Contribution(BaseModel):
    """What a signal adds to the score: value times weight."""

    value: float | None = Field(None, description="null for margin, which would tell what the product costs the shop")
    weight: float | None = Field(None, description="null for margin")
    contribution: float


class RuleEffect(BaseModel):
    """A rule that touched a result."""

    name: str
    effect: Literal["boost", "bury", "pin"]
    contribution: float = Field(description="what a boost added to the score; 0 for others")


class Explanation(BaseModel):
    """Why a result stands where it does. The contributions of signals and rules sum to the score."""

    signals: dict[str, Contribution]
    rules: list[RuleEffect]
    diversity_penalty: float = Field(
        description="taken off for likeness to results above, where scores are brought to 0..1; not part of the score"
    )
    tokens: list[TokenWeight] | None = Field(
        None, description="of the first results of /search: how much the deciding score falls without a word"
    )


class Result(BaseModel):
    """One product. What the shop does not say is null."""

    product_id: str
    position: int = Field(description="1 is the best")
    score: float | None = Field(None, description="weighted sum of signals; null where the ranker did not answer")
    signals: dict[str, float] = Field(
        description="the score of every head of the model, `sentiment` of reviews, `next_item` of the sequencer"
    )
    truncated: bool = Field(description="the product's text was cut to the model's length")
    title: str
    brand: str | None = None
    category: str | None = None
    price: float | None = None
    list_price: float | None = None
    currency: str | None = None
    stock: int | None = None
    explanation: Explanation | None = Field(None, description="where `explain` is true")


class Answer(BaseModel):
    """What all answers with results have."""

    ranking_id: str = Field(
        default_factory=lambda: uuid.uuid4().hex,
        description="name it in the events that follow: it joins them to this ranking",
    )
    request_id: str
    model: Model
    took_ms: float
    degraded: bool = Field(description="a fallback answered; `reason` says why")
    reason: str | None = None
    unknown_candidates: list[str] = Field(
        description="ids in `candidates` that the shop lacks, or that filters or rules exclude"
    )
    results: list[Result]


class SearchResponse(Answer):
    """Body of the answer to `POST /search`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    **ANSWER_EXAMPLE,
                    "corrected_query": None,
                    "facets": {
                        "brand": [{"value": "Acme", "count": 31}],
                        "price": [{"min": 0.0, "max": 50.0, "count": 12}],
                    },
                }
            ]
        }
    )

    corrected_query: str | None = Field(None, description="what was searched for, where the query was misspelt")
    facets: dict[str, list[ValueCount] | list[RangeCount]] = Field(
        description="those that were asked for, over all products that match"
    )


class RecommendResponse(Answer):
    """Body of the answer to `POST /recommend`."""

    model_config = ConfigDict(json_schema_extra={"examples": [{**ANSWER_EXAMPLE, "source": "history"}]})

    source: Literal["candidates", "similar", "complementary", "next_item", "history", "popular"] = Field(
        description="where the products come from; `next_item`: the sequencer proposed them"
    )
