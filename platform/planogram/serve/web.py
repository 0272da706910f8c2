"""The HTTP application: routes over a `Backend`, without a word about Ray."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Request
from starlette.responses import JSONResponse, Response

import planogram
from planogram.errors import OverloadedError
from planogram.serve.backend import Backend, FailedError, Following
from planogram.serve.call import Call
from planogram.serve.dialects import JinaRequest, JinaResponse, jina_rerank, model_names
from planogram.serve.guard import Guard
from planogram.serve.problems import INTERNAL, Problem, install, problem_of, validation_problem
from planogram.serve.schemas import SearchRequest, SearchResponse
from planogram.serve.search import search
from planogram.serve.settings import AppArgs


def create_app(backend: Backend, args: AppArgs) -> FastAPI:
    """The application with the routes that `args` names.

    Args:
        backend: answers for the replicas.
        args: routes, limits and defaults.
    """
    app = FastAPI(
        title="Planogram",
        version=planogram.__version__,
        description="Search ranking and reranking. Every error is JSON and says its `request_id`.",
        responses=_documented_errors(),
        redoc_url=None,
    )
    install(app)
    app.add_middleware(Guard, limits=args.limits)
    app.include_router(status_router(backend, args))
    if "search" in args.routes:
        app.include_router(search_router(backend, args))
    if "rerank" in args.routes:
        app.include_router(rerank_router(backend, args))
    return app


def current_call(request: Request) -> Call:
    """The request's id and clock, which the guard started."""
    call: Call = request.state.call
    return call


CurrentCall = Annotated[Call, Depends(current_call)]


def search_router(backend: Backend, args: AppArgs) -> APIRouter:
    """`POST /search`."""
    router = APIRouter(tags=["search"])

    @router.post("/search", summary="Rank the shop's products for a query")
    async def post_search(body: SearchRequest, call: CurrentCall) -> SearchResponse:
        return await search(body, backend, args, call)

    return router


def rerank_router(backend: Backend, args: AppArgs) -> APIRouter:
    """`POST /v1/rerank`."""
    router = APIRouter(tags=["rerank"])

    @router.post("/v1/rerank", summary="Rank given documents for a query (Jina)")
    async def post_rerank(body: JinaRequest, call: CurrentCall) -> JinaResponse:
        return await jina_rerank(body, backend, args.ranker, call)

    return router


def status_router(backend: Backend, args: AppArgs) -> APIRouter:
    """`GET /v1/models`, `/healthz` and `/readyz`."""
    router = APIRouter(tags=["status"])

    @router.get("/v1/models", summary="The models that are served (OpenAI)")
    async def get_models(call: CurrentCall) -> dict[str, Any]:
        cards = [model_card(following, args) for following in await backend.following()]
        return {"object": "list", "data": cards, "request_id": call.request_id}

    @router.get("/healthz", summary="This process answers")
    async def get_health(call: CurrentCall) -> dict[str, Any]:
        return {"status": "ok", "request_id": call.request_id}

    @router.get("/readyz", summary="The retriever and the ranker answer")
    async def get_ready(call: CurrentCall) -> Response:
        try:
            await backend.check()
        except (OverloadedError, FailedError) as error:
            message = "a replica failed its check" if isinstance(error, FailedError) else problem_of(error).message
            return Problem(503, "not_ready", message).response(call)
        return JSONResponse({"status": "ready", "request_id": call.request_id})

    return router


def model_card(following: Following, args: AppArgs) -> dict[str, Any]:
    """A model as `/v1/models` lists it. `wanted` and `problem` are there where its alias means another version."""
    model = following.model
    canary = {} if following.canary is None else {"canary": following.canary}
    astray = following.wanted != model.version or following.problem
    return {
        "id": model.name,
        "object": "model",
        "created": 0,
        "owned_by": "planogram",
        "version": model.version,
        "digest": model.digest,
        # The canary is asked by nobody's name.
        "names": [] if canary else model_names(model, args.ranker),
        "heads": list(model.heads),
        "max_tokens": model.max_tokens,
        "routes": list(args.routes),
        **canary,
        **({"wanted": following.wanted, "problem": following.problem} if astray else {}),
    }


def _documented_errors() -> dict[int | str, dict[str, Any]]:
    examples = {
        400: Problem(400, "malformed", "the body is not valid JSON: Expecting value at character 0"),
        413: Problem(413, "too_large", "the body is longer than 262144 bytes"),
        422: validation_problem([{"loc": ("body", "top_k"), "msg": "Input should be less than or equal to 200"}]),
        500: INTERNAL,
        503: Problem(503, "overloaded", "the ranker has too many requests"),
        504: Problem(504, "late", "no answer within 10 s"),
    }
    return {
        status: {
            "description": problem.kind,
            "content": {"application/json": {"example": problem.body("b7e0c6f0b7d94b0f9a4c0f9c6f5a7b31")}},
        }
        for status, problem in examples.items()
    }
