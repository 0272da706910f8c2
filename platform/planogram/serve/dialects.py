"""Reranking in the words of other servers, so that the clients people have work unchanged.

A dialect is a request model, a response model, and two functions between them and `Backend.score`.
"""

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_serializer
from pydantic_core.core_schema import SerializerFunctionWrapHandler

from planogram.errors import NotFoundError
from planogram.serve.backend import Backend, ModelInfo, Scored, UnavailableError
from planogram.serve.call import Call
from planogram.serve.schemas import MAX_CANDIDATES, Query, Request

ModelName = Annotated[
    str,
    Field(
        pattern=r"^[a-z0-9][a-z0-9._-]{0,63}([@:][a-z0-9][a-z0-9._-]{0,63})?$",
        description="name, name:version or the reference that is served; absent: the one model that is served",
    ),
]


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
    top_n: int = Field(0, ge=0, description="0: all")
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

    @model_serializer(mode="wrap")
    def _leave_out_absent(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in handler(self).items() if value is not None}


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
    call.model = request.model
    check_model(request.model, backend.model, reference)
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
            for index, value in ranked(scored, request.top_n)
        ],
    )


def ranked(scored: Scored, top_n: int) -> Sequence[tuple[int, float]]:
    """(index, score of the deciding head), best first; ties in the order of the request; `top_n` 0 is all."""
    values = scored.values[:, scored.model.primary]
    order = np.argsort(-values, kind="stable")
    return [(int(index), float(values[index])) for index in (order[:top_n] if top_n else order)]


def model_names(model: ModelInfo, reference: str) -> list[str]:
    """The names by which a request may ask for the served model."""
    versioned = [f"{model.name}:{version}" for version in (model.version, *model.others) if version]
    # A folder is no name: it would tell clients about the server's disk.
    given = [reference] if "/" not in reference else []
    return list(dict.fromkeys([model.name, *versioned, *given]))


def answered_by(name: str | None, scored: Scored) -> str:
    """The name of the model that answered: as the request names it, unless it is another one's answer.

    Raises:
        UnavailableError: the request names a version, and one that took its place answered.
    """
    if scored.canary:
        return scored.model.reference
    if name and ":" in name and name != scored.model.reference:
        raise UnavailableError(f"{scored.model.reference} takes the place of {name}", remedy="send the request again")
    return name or scored.model.name


def check_model(name: str | None, model: ModelInfo, reference: str) -> None:
    """Refuse a model that is not served.

    Raises:
        NotFoundError: names those that are.
    """
    names = model_names(model, reference)
    if name is not None and name not in names:
        raise NotFoundError(f"model {name!r} is not served", allowed=", ".join(names), remedy="name one of these")
