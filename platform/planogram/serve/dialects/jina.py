"""Reranking as Jina's API does it: `POST /v1/rerank`, and `/rerank` where the body has `documents`."""

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from planogram.serve.backend import Backend
from planogram.serve.call import Call, CurrentCall
from planogram.serve.dialects.shared import ModelName, answered_by, check_model, deciding, ranked
from planogram.serve.documented import MODEL_NOT_SERVED, documented_errors
from planogram.serve.schemas import MAX_CANDIDATES, Query, Request
from planogram.serve.settings import AppArgs

PATH = "/v1/rerank"


class TextDocument(Request):
    """A document as an object."""

    text: str


class JinaRequest(Request):
    """Body of `POST /v1/rerank`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "model": "shop-ranker",
                    "query": "red running shoes",
                    "documents": ["Trail shoes, red", {"text": "Blue desk lamp"}],
                    "top_n": 2,
                }
            ]
        }
    )

    model: ModelName | None = None
    query: Query
    documents: list[str | TextDocument] = Field(min_length=1, max_length=MAX_CANDIDATES)
    top_n: int | None = Field(None, ge=0, description="0 or absent: all")
    return_documents: bool = True

    def texts(self) -> list[str]:
        """The documents' texts as they came."""
        return [document if isinstance(document, str) else document.text for document in self.documents]


class JinaDocument(BaseModel):
    """The document of a result."""

    text: str


class JinaResult(BaseModel):
    """One document. `document` is there when it was asked for, `truncated` where the document was cut."""

    index: int = Field(description="position of the document in the request, from 0")
    relevance_score: float
    document: JinaDocument | None = None
    truncated: bool | None = None


class JinaUsage(BaseModel):
    """Tokens that the model read."""

    total_tokens: int
    prompt_tokens: int


class JinaResponse(BaseModel):
    """Body of the answer to `POST /v1/rerank`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "model": "shop-ranker",
                    "id": "b7e0c6f0b7d94b0f9a4c0f9c6f5a7b31",
                    "usage": {"total_tokens": 23, "prompt_tokens": 23},
                    "results": [
                        {"index": 0, "relevance_score": 0.91, "document": {"text": "Trail shoes, red"}},
                        {"index": 1, "relevance_score": 0.04, "document": {"text": "Blue desk lamp"}},
                    ],
                }
            ]
        }
    )

    model: str
    id: str
    usage: JinaUsage
    results: list[JinaResult]


async def jina_rerank(request: JinaRequest, backend: Backend, reference: str, call: Call) -> JinaResponse:
    """Score documents and answer as Jina does.

    Raises:
        NotFoundError: the request names a model that is not served.
        OverloadedError, FailedError: the ranker did not answer.
    """
    check_model(request.model, backend.model, reference, call)
    texts = request.texts()
    scored = await backend.score(request.query, texts)
    return JinaResponse(
        model=answered_by(request.model, scored),
        id=call.request_id,
        usage=JinaUsage(total_tokens=scored.num_tokens, prompt_tokens=scored.num_tokens),
        results=[
            JinaResult(
                index=index,
                relevance_score=value,
                document=JinaDocument(text=texts[index]) if request.return_documents else None,
                truncated=scored.truncated[index] or None,
            )
            for index, value in ranked(deciding(scored), request.top_n)
        ],
    )


def jina_router(backend: Backend, args: AppArgs) -> APIRouter:
    """`POST /v1/rerank`."""
    router = APIRouter(tags=["rerank"], responses=documented_errors(PATH, MODEL_NOT_SERVED))

    @router.post(PATH, summary="Rank given documents for a query (Jina)", response_model_exclude_none=True)
    async def post_jina_rerank(body: JinaRequest, call: CurrentCall) -> JinaResponse:
        return await jina_rerank(body, backend, args.ranker, call)

    return router
