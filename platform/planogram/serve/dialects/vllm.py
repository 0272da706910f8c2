"""Scoring as vLLM does it: `POST /v1/score` of one query with many documents, or of pairs."""

import time
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, model_validator

from planogram.serve.backend import Backend
from planogram.serve.call import Call, CurrentCall
from planogram.serve.dialects.shared import ModelName, answered_by, check_model, deciding
from planogram.serve.documented import MODEL_NOT_SERVED, documented_errors
from planogram.serve.schemas import MAX_CANDIDATES, Query, Request
from planogram.serve.settings import AppArgs

PATH = "/v1/score"


class ScoreRequest(Request):
    """Body of `POST /v1/score`: `queries` and `documents`, or the same as `text_1` and `text_2`."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [{"required": ["queries", "documents"]}, {"required": ["text_1", "text_2"]}],
            "examples": [
                {
                    "model": "shop-ranker",
                    "queries": "red running shoes",
                    "documents": ["Trail shoes, red", "Blue desk lamp"],
                }
            ],
        }
    )

    model: ModelName | None = None
    queries: Query | list[Query] | None = Field(None, description="one for all documents, or one for each")
    documents: str | list[str] | None = None
    text_1: Query | list[Query] | None = Field(None, description="an older name of `queries`")
    text_2: str | list[str] | None = Field(None, description="an older name of `documents`")
    use_activation: bool | None = Field(None, description="false: logits in place of scores")
    truncate_prompt_tokens: Literal[-1] | None = Field(
        None, description="-1 is what the server does: to its own length"
    )
    encoding_format: Literal["float"] | None = None
    priority: Literal[0] | None = None
    user: str | None = Field(None, max_length=256, description="taken, and without effect")

    @model_validator(mode="after")
    def _one_query_or_one_each(self) -> "ScoreRequest":
        by_name = (self.queries is not None, self.documents is not None)
        by_number = (self.text_1 is not None, self.text_2 is not None)
        if (by_name, by_number) not in (((True, True), (False, False)), ((False, False), (True, True))):
            raise ValueError("give `queries` and `documents`, or `text_1` and `text_2`")
        queries, documents = self.pairs()
        if not 1 <= len(documents) <= MAX_CANDIDATES:
            raise ValueError(f"there are {len(documents)} documents; allowed: 1 to {MAX_CANDIDATES}")
        if not isinstance(queries, str) and len(queries) != len(documents):
            raise ValueError(
                f"there are {len(queries)} queries and {len(documents)} documents; allowed: one query, or one for each"
            )
        return self

    def pairs(self) -> tuple[str | list[str], list[str]]:
        """The query, or one for each document, and the documents."""
        queries = self.text_1 if self.queries is None else self.queries
        documents = self.text_2 if self.documents is None else self.documents
        assert queries is not None and documents is not None
        one = queries[0] if isinstance(queries, list) and len(queries) == 1 else queries
        return one, [documents] if isinstance(documents, str) else documents


class ScoreItem(BaseModel):
    """The score of one pair; `truncated` is there where it was cut."""

    index: int = Field(description="position of the document in the request, from 0")
    object: Literal["score"] = "score"
    score: float
    truncated: bool | None = None


class ScoreUsage(BaseModel):
    """Tokens that the model read."""

    prompt_tokens: int
    total_tokens: int


class ScoreResponse(BaseModel):
    """Body of the answer to `POST /v1/score`, in the order of the request."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "score-b7e0c6f0b7d94b0f9a4c0f9c6f5a7b31",
                    "object": "list",
                    "created": 1767225600,
                    "model": "shop-ranker",
                    "data": [
                        {"index": 0, "object": "score", "score": 0.91},
                        {"index": 1, "object": "score", "score": 0.04},
                    ],
                    "usage": {"prompt_tokens": 23, "total_tokens": 23},
                }
            ]
        }
    )

    id: str
    object: Literal["list"] = "list"
    created: int = Field(description="Unix time, seconds")
    model: str
    data: list[ScoreItem]
    usage: ScoreUsage


async def vllm_score(request: ScoreRequest, backend: Backend, reference: str, call: Call) -> ScoreResponse:
    """Score pairs and answer as vLLM does.

    Raises:
        NotFoundError: the request names a model that is not served.
        OverloadedError, FailedError: the ranker did not answer.
    """
    check_model(request.model, backend.model, reference, call)
    scored = await backend.score(*request.pairs())
    scores = deciding(scored, raw=request.use_activation is False)
    return ScoreResponse(
        id=f"score-{call.request_id}",
        created=int(time.time()),
        model=answered_by(request.model, scored),
        data=[
            ScoreItem(index=index, score=float(score), truncated=cut or None)
            for index, (score, cut) in enumerate(zip(scores, scored.truncated, strict=True))
        ],
        usage=ScoreUsage(prompt_tokens=scored.num_tokens, total_tokens=scored.num_tokens),
    )


def vllm_router(backend: Backend, args: AppArgs) -> APIRouter:
    """`POST /v1/score`."""
    router = APIRouter(tags=["rerank"], responses=documented_errors(PATH, MODEL_NOT_SERVED))

    @router.post(PATH, summary="Score pairs of query and document (vLLM)", response_model_exclude_none=True)
    async def post_score(body: ScoreRequest, call: CurrentCall) -> ScoreResponse:
        return await vllm_score(body, backend, args.ranker, call)

    return router
