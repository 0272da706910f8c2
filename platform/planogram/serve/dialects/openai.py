"""Vectors and the list of models as OpenAI's API gives them: `POST /v1/embeddings` and `GET /v1/models`."""

import base64
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from starlette.responses import Response

from planogram.data.text import clean
from planogram.engines.base import Floats
from planogram.errors import RequestError
from planogram.serve.backend import Backend
from planogram.serve.call import Call, CurrentCall
from planogram.serve.dialects.shared import ModelName, check_model, model_names
from planogram.serve.documented import MODEL_NOT_SERVED, documented_errors
from planogram.serve.schemas import MAX_CANDIDATES, Request
from planogram.serve.settings import AppArgs
from planogram.serve.values import FailedError, Following, ModelInfo

EMBEDDINGS = "/v1/embeddings"
MODELS = "/v1/models"
# Errors of a request that has none.
WITHOUT_A_BODY = (401, 403, 429, 500, 503, 504)


def _check_texts(value: Any) -> Any:
    """Say in one sentence what is wrong, where a union of types would give one for each."""
    texts = value if isinstance(value, list) else [value]
    if any(isinstance(text, int | list) for text in texts):
        raise ValueError(
            "token ids are not read, since every model has its own; send texts "
            "(LangChain: OpenAIEmbeddings(check_embedding_ctx_length=False))"
        )
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("give a text or a list of texts")
    if not 1 <= len(texts) <= MAX_CANDIDATES:
        raise ValueError(f"there are {len(texts)} texts; allowed: 1 to {MAX_CANDIDATES}")
    empty = [index for index, text in enumerate(texts) if not clean(text)]
    if empty:
        raise ValueError(f"text {empty[0]} is empty; markup and white space do not count")
    return value


class EmbeddingsRequest(Request):
    """Body of `POST /v1/embeddings`."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"model": "shop-embedder", "input": ["Trail shoes, red", "Blue desk lamp"]}]}
    )

    model: ModelName | None = None
    input: Annotated[str | list[str], BeforeValidator(_check_texts)] = Field(
        description=f"a text, or up to {MAX_CANDIDATES} of them; none empty"
    )
    encoding_format: Literal["float", "base64"] = Field("float", description="base64: of little-endian float32")
    dimensions: int | None = Field(
        None, ge=1, description="cut the vectors to their first so many coordinates, and scale them to length 1 again"
    )
    user: str | None = Field(None, max_length=256, description="taken, and without effect")

    def texts(self) -> list[str]:
        """The texts as they came."""
        return [self.input] if isinstance(self.input, str) else self.input


class Embedding(BaseModel):
    """The vector of one text, of length 1; `truncated` is there where the text was cut."""

    object: Literal["embedding"] = "embedding"
    index: int = Field(description="position of the text in the request, from 0")
    embedding: list[float] | str
    truncated: bool | None = None


class EmbeddingsUsage(BaseModel):
    """Tokens that the model read."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsResponse(BaseModel):
    """Body of the answer to `POST /v1/embeddings`, in the order of the request."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "object": "list",
                    "data": [{"object": "embedding", "index": 0, "embedding": [0.6, -0.8]}],
                    "model": "shop-embedder",
                    "usage": {"prompt_tokens": 6, "total_tokens": 6},
                }
            ]
        }
    )

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: EmbeddingsUsage


async def openai_embeddings(
    request: EmbeddingsRequest, backend: Backend, reference: str, call: Call
) -> EmbeddingsResponse:
    """Embed texts and answer as OpenAI does.

    Raises:
        NotFoundError: the request names a model that does not embed here.
        RequestError: it wants more dimensions than the model has.
        OverloadedError, FailedError: the embedder did not answer.
    """
    model = backend.embedder
    assert model is not None
    check_model(request.model, model, reference, call)
    if request.dimensions is not None and request.dimensions > model.width:
        raise RequestError(
            "dimensions is above the model's own", allowed=f"1 to {model.width}", remedy="leave it out, or lower it"
        )
    embedded = await backend.embed(request.texts())
    vectors = shortened(embedded.values, request.dimensions)
    encode = _base64 if request.encoding_format == "base64" else _numbers
    return EmbeddingsResponse(
        data=[
            Embedding(index=index, embedding=encode(vector), truncated=cut or None)
            for index, (vector, cut) in enumerate(zip(vectors, embedded.truncated, strict=True))
        ],
        model=request.model or embedded.model.name,
        usage=EmbeddingsUsage(prompt_tokens=embedded.num_tokens, total_tokens=embedded.num_tokens),
    )


def shortened(vectors: Floats, dimensions: int | None) -> Floats:
    """The first coordinates of unit vectors, scaled to length 1 again.

    Raises:
        FailedError: nothing is left of a vector.
    """
    if dimensions is None or dimensions == vectors.shape[1]:
        return vectors
    cut = vectors[:, :dimensions]
    lengths = np.linalg.norm(cut, axis=1, keepdims=True)
    if not lengths.all():
        raise FailedError(f"the first {dimensions} coordinates of a vector are 0")
    return cut / lengths


def _numbers(vector: Floats) -> list[float]:
    return vector.tolist()


def _base64(vector: Floats) -> str:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()


def embeddings_router(backend: Backend, args: AppArgs) -> APIRouter:
    """`POST /v1/embeddings`."""
    router = APIRouter(tags=["embeddings"], responses=documented_errors(EMBEDDINGS, MODEL_NOT_SERVED))
    reference = args.embedder or ""

    @router.post(EMBEDDINGS, summary="Turn texts into vectors (OpenAI)", response_model=EmbeddingsResponse)
    async def post_embeddings(body: EmbeddingsRequest, call: CurrentCall) -> Response:
        answer = await openai_embeddings(body, backend, reference, call)
        # Written here: FastAPI would check every coordinate once more.
        return Response(answer.model_dump_json(exclude_none=True), media_type="application/json")

    return router


def models_router(backend: Backend, args: AppArgs) -> APIRouter:
    """`GET /v1/models`."""
    documented = documented_errors(MODELS)
    router = APIRouter(tags=["status"], responses={status: documented[status] for status in WITHOUT_A_BODY})

    @router.get(MODELS, summary="The models that are served (OpenAI)")
    async def get_models(call: CurrentCall) -> dict[str, Any]:
        cards = [_ranker_card(following, args) for following in await backend.following()]
        if backend.embedder is not None:
            cards.append(_model_card(backend.embedder, args, args.embedder or ""))
        if backend.sequencer is not None:
            # Asked by nobody's name.
            cards.append({**_model_card(backend.sequencer, args, ""), "names": [], "role": "sequencer"})
        return {"object": "list", "data": cards, "request_id": call.request_id}

    return router


def _ranker_card(following: Following, args: AppArgs) -> dict[str, Any]:
    """A ranker. `wanted` and `problem` are there where its alias means another version."""
    card = _model_card(following.model, args, args.ranker)
    if following.canary is not None:
        # The canary is asked by nobody's name.
        card = {**card, "names": [], "canary": following.canary}
    if following.wanted != following.model.version or following.problem:
        card = {**card, "wanted": following.wanted, "problem": following.problem}
    return card


def _model_card(model: ModelInfo, args: AppArgs, reference: str) -> dict[str, Any]:
    own = {"role": "embedder", "dimensions": model.width} if model.width else {"role": "ranker", "heads": model.heads}
    return {
        "id": model.name,
        "object": "model",
        "created": 0,
        "owned_by": "planogram",
        "version": model.version,
        "digest": model.digest,
        "names": model_names(model, reference),
        "max_tokens": model.max_tokens,
        "routes": args.routes,
        **own,
    }
