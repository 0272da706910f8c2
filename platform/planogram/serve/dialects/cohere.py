"""Reranking as Cohere's API does it: `POST /v2/rerank`. Their Python client works with `base_url` alone changed."""

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from planogram.errors import RequestError
from planogram.serve.backend import Backend
from planogram.serve.call import Call, CurrentCall
from planogram.serve.dialects.shared import ModelName, answered_by, check_model, deciding, ranked
from planogram.serve.documented import MODEL_NOT_SERVED, documented_errors
from planogram.serve.schemas import MAX_CANDIDATES, Query, Request
from planogram.serve.settings import AppArgs
from planogram.serve.values import Scored

PATH = "/v2/rerank"


class CohereRequest(Request):
    """Body of `POST /v2/rerank`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "model": "shop-ranker",
                    "query": "red running shoes",
                    "documents": ["Trail shoes, red", "Blue desk lamp"],
                    "top_n": 2,
                }
            ]
        }
    )

    model: ModelName | None = None
    query: Query
    documents: list[str] = Field(min_length=1, max_length=MAX_CANDIDATES)
    top_n: int | None = Field(None, ge=1, description="absent: all")
    max_tokens_per_doc: int | None = Field(
        None, ge=1, description="not less than the model's own length, to which query and document are cut together"
    )
    priority: int | None = Field(
        None, ge=0, le=999, description="taken, and without effect: requests are answered in the order they come"
    )


class CohereResult(BaseModel):
    """One document; `truncated` is there where it was cut."""

    index: int = Field(description="position of the document in the request, from 0")
    relevance_score: float
    truncated: bool | None = None


class CohereVersion(BaseModel):
    """The version of the API."""

    version: str = "2"
    is_experimental: bool = False


class CohereUnits(BaseModel):
    """What is counted: one search a request."""

    search_units: int = 1


class CohereMeta(BaseModel):
    """Beside the results; `warnings` are there where a document was cut."""

    api_version: CohereVersion = CohereVersion()
    billed_units: CohereUnits = CohereUnits()
    warnings: list[str] | None = None


class CohereResponse(BaseModel):
    """Body of the answer to `POST /v2/rerank`: results by falling score."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "b7e0c6f0b7d94b0f9a4c0f9c6f5a7b31",
                    "results": [{"index": 0, "relevance_score": 0.91}, {"index": 1, "relevance_score": 0.04}],
                    "meta": {
                        "api_version": {"version": "2", "is_experimental": False},
                        "billed_units": {"search_units": 1},
                    },
                }
            ]
        }
    )

    id: str
    results: list[CohereResult]
    meta: CohereMeta


async def cohere_rerank(request: CohereRequest, backend: Backend, reference: str, call: Call) -> CohereResponse:
    """Score documents and answer as Cohere does.

    Raises:
        NotFoundError: the request names a model that is not served.
        RequestError: it wants documents cut shorter than the model cuts them.
        OverloadedError, FailedError: the ranker did not answer.
    """
    check_model(request.model, backend.model, reference, call)
    longest = backend.model.max_tokens
    if request.max_tokens_per_doc is not None and request.max_tokens_per_doc < longest:
        raise RequestError(
            "max_tokens_per_doc is below the model's own length",
            allowed=f"from {longest}, or absent",
            remedy="leave it out, and send shorter documents",
        )
    scored = await backend.score(request.query, request.documents)
    # The answer has no place for a model's name; this refuses that of another version than the request names.
    answered_by(request.model, scored)
    return CohereResponse(
        id=call.request_id,
        results=[
            CohereResult(index=index, relevance_score=value, truncated=scored.truncated[index] or None)
            for index, value in ranked(deciding(scored), request.top_n)
        ],
        meta=CohereMeta(warnings=_warnings(scored)),
    )


def _warnings(scored: Scored) -> list[str] | None:
    cut = sum(scored.truncated)
    limit = scored.model.max_tokens
    return [f"{cut} of the documents were cut: with the query they have more than {limit} tokens"] if cut else None


def cohere_router(backend: Backend, args: AppArgs) -> APIRouter:
    """`POST /v2/rerank`."""
    router = APIRouter(tags=["rerank"], responses=documented_errors(PATH, MODEL_NOT_SERVED))

    @router.post(PATH, summary="Rank given documents for a query (Cohere)", response_model_exclude_none=True)
    async def post_cohere_rerank(body: CohereRequest, call: CurrentCall) -> CohereResponse:
        return await cohere_rerank(body, backend, args.ranker, call)

    return router
