"""Reranking as Text Embeddings Inference does it: `POST /rerank` with `texts`. With `documents` it is Jina's."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from planogram.errors import RequestError, TooLargeError
from planogram.serve.backend import Backend
from planogram.serve.call import CurrentCall
from planogram.serve.dialects.jina import JinaRequest, JinaResponse, jina_rerank
from planogram.serve.dialects.shared import deciding, ranked
from planogram.serve.documented import MODEL_NOT_SERVED, documented_errors
from planogram.serve.problems import EmptyError
from planogram.serve.schemas import MAX_CANDIDATES, Query, Request
from planogram.serve.settings import AppArgs
from planogram.serve.values import Scored

PATH = "/rerank"


class TeiRequest(Request):
    """Body of `POST /rerank` with `texts`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"query": "red running shoes", "texts": ["Trail shoes, red", "Blue desk lamp"], "return_text": True}
            ]
        }
    )

    query: Query
    texts: list[str] = Field(max_length=MAX_CANDIDATES, json_schema_extra={"minItems": 1})
    truncate: bool | None = Field(None, description="false or absent: a text that is too long is an error")
    truncation_direction: Literal["right", "Right", "left", "Left"] = Field(
        "right", description="`left` is refused: models are trained on texts that are cut at their end"
    )
    raw_scores: bool = Field(False, description="logits in place of scores")
    return_text: bool = False


class TeiRank(BaseModel):
    """One text. `text` is there when it was asked for, `truncated` where the text was cut."""

    index: int = Field(description="position of the text in the request, from 0")
    score: float
    text: str | None = None
    truncated: bool | None = None


RANKS_EXAMPLE = [
    {"index": 0, "score": 0.91, "text": "Trail shoes, red"},
    {"index": 1, "score": 0.04, "text": "Blue desk lamp"},
]


async def tei_rerank(request: TeiRequest, backend: Backend) -> list[TeiRank]:
    """Score texts and answer as Text Embeddings Inference does: a bare list by falling score.

    Raises:
        EmptyError: there are no texts.
        TooLargeError: a text is too long, and may not be cut.
        RequestError: texts are to be cut at their start.
        OverloadedError, FailedError: the ranker did not answer.
    """
    if not request.texts:
        raise EmptyError("`texts` cannot be empty")
    if request.truncation_direction.lower() == "left":
        raise RequestError(
            "truncation_direction is left",
            allowed="right: the model is trained on texts that are cut at their end",
            remedy="cut the texts before you send them",
        )
    scored = await backend.score(request.query, request.texts)
    if not request.truncate:
        _check_lengths(scored)
    return [
        TeiRank(
            index=index,
            score=value,
            text=request.texts[index] if request.return_text else None,
            truncated=scored.truncated[index] or None,
        )
        for index, value in ranked(deciding(scored, raw=request.raw_scores))
    ]


def _check_lengths(scored: Scored) -> None:
    if any(scored.truncated):
        raise TooLargeError(
            f"texts.{scored.truncated.index(True)}: too long",
            allowed=f"{scored.model.max_tokens} tokens together with the query",
            remedy="send shorter texts, or `truncate: true`",
        )


def dialect_of(body: Any) -> str | None:
    """Whose request a body of `/rerank` is: the branch, or None where it is neither's."""
    if isinstance(body, dict):
        return "tei" if "texts" in body else "jina" if "documents" in body else None
    return "tei" if isinstance(body, TeiRequest) else "jina" if isinstance(body, JinaRequest) else None


RerankRequest = Annotated[
    Annotated[TeiRequest, Tag("tei")] | Annotated[JinaRequest, Tag("jina")],
    Discriminator(
        dialect_of,
        custom_error_type="neither",
        custom_error_message="Give an object with `texts` (Text Embeddings Inference) or `documents` (Jina)",
    ),
]


def tei_router(backend: Backend, args: AppArgs) -> APIRouter:
    """`POST /rerank`."""
    ok = {"content": {"application/json": {"examples": {"texts": {"value": RANKS_EXAMPLE}}}}}
    router = APIRouter(tags=["rerank"], responses={200: ok, **documented_errors(PATH, MODEL_NOT_SERVED)})

    @router.post(
        PATH,
        summary="Rank given `texts` (Text Embeddings Inference) or `documents` (Jina) for a query",
        response_model_exclude_none=True,
    )
    async def post_rerank(body: RerankRequest, call: CurrentCall) -> list[TeiRank] | JinaResponse:
        if isinstance(body, JinaRequest):
            return await jina_rerank(body, backend, args.ranker, call)
        return await tei_rerank(body, backend)

    return router
