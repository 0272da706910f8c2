"""The HTTP application: routes over a `Backend`, without a word about Ray."""

import asyncio
from typing import Any, cast

from fastapi import APIRouter, FastAPI
from starlette.responses import JSONResponse, Response

import planogram
from planogram.errors import OverloadedError
from planogram.pricing.curve import Kind
from planogram.serve.answer_memo import AnswerMemo
from planogram.serve.answers import RecommendResponse, SearchResponse
from planogram.serve.auth import gate_of
from planogram.serve.backend import Backend
from planogram.serve.call import CurrentCall
from planogram.serve.desk import PriceDesk, switch_state, turn_switch
from planogram.serve.dialects.cohere import cohere_router
from planogram.serve.dialects.jina import jina_router
from planogram.serve.dialects.openai import embeddings_router, models_router
from planogram.serve.dialects.tei import tei_router
from planogram.serve.dialects.vllm import vllm_router
from planogram.serve.documented import documented_errors
from planogram.serve.guard import Guard
from planogram.serve.ingest import IngestRequest, IngestResponse, ingest
from planogram.serve.price import price
from planogram.serve.price_schemas import PriceRequest, PriceResponse, SwitchRequest, SwitchResponse
from planogram.serve.problems import install, problem_of, response
from planogram.serve.readiness import shared
from planogram.serve.recommend import recommend
from planogram.serve.schemas import RecommendRequest, SearchRequest
from planogram.serve.search import search
from planogram.serve.settings import AppArgs
from planogram.serve.shapes import Problem
from planogram.serve.tracing import Tracing, start_tracing
from planogram.serve.values import FailedError
from planogram.serve.watch import watched


def create_app(backend: Backend, args: AppArgs, tracing: Tracing | None = None) -> FastAPI:
    """The application with the routes that `args` names.

    Args:
        backend: answers for the replicas.
        args: routes, limits and defaults.
        tracing: makes the spans; absent: as `args` says.

    Raises:
        ConfigError: the API keys cannot be read, or a package is missing.
    """
    tracing = tracing or start_tracing(args.tracing)
    backend = watched(backend, tracing)
    app = FastAPI(
        title="Planogram",
        version=planogram.__version__,
        description="Search, recommendation, pricing, reranking and embedding. Errors are JSON, in the path's dialect.",
        redoc_url=None,
        # FastAPI's own telemetry would send queries of URLs, and values that do not fit, to where OTEL_* points.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    install(app)
    app.add_middleware(Guard, limits=args.limits, gate=gate_of(args.auth), tracing=tracing)
    app.include_router(status_router(backend))
    app.include_router(models_router(backend, args))
    memo = AnswerMemo.of(args, backend)
    if "search" in args.routes:
        app.include_router(search_router(backend, args, memo))
    if "recommend" in args.routes:
        app.include_router(recommend_router(backend, args, memo))
    if "ingest" in args.routes:
        app.include_router(ingest_router(backend))
    if args.pricing:
        desk = PriceDesk.open(args.pricing, cast(Kind, backend.demand_model.demand))
        app.include_router(price_router(backend, args, desk))
    if "rerank" in args.routes:
        for router in (jina_router, cohere_router, tei_router, vllm_router):
            app.include_router(router(backend, args))
    if "embeddings" in args.routes:
        app.include_router(embeddings_router(backend, args))
    return app


def search_router(backend: Backend, args: AppArgs, memo: AnswerMemo) -> APIRouter:
    """`POST /search`."""
    router = APIRouter(tags=["search"], responses=documented_errors())

    @router.post("/search", summary="Rank the shop's products for a query")
    async def post_search(body: SearchRequest, call: CurrentCall) -> SearchResponse:
        return await memo.answer("search", SearchResponse, body, call, lambda: search(body, backend, args, call))

    return router


def recommend_router(backend: Backend, args: AppArgs, memo: AnswerMemo) -> APIRouter:
    """`POST /recommend`."""
    router = APIRouter(tags=["recommend"], responses=documented_errors())

    @router.post("/recommend", summary="What a shopper may want next, or beside a product")
    async def post_recommend(body: RecommendRequest, call: CurrentCall) -> RecommendResponse:
        return await memo.answer(
            "recommend", RecommendResponse, body, call, lambda: recommend(body, backend, args, call)
        )

    return router


def ingest_router(backend: Backend) -> APIRouter:
    """`POST /ingest/products`."""
    router = APIRouter(tags=["ingest"], responses=documented_errors())

    @router.post("/ingest/products", summary="Change the catalogue: the next search sees it")
    async def post_products(body: IngestRequest, call: CurrentCall) -> IngestResponse:
        return await ingest(body, backend, call)

    return router


def price_router(backend: Backend, args: AppArgs, desk: PriceDesk) -> APIRouter:
    """`POST /price`, and the kill switch at `GET` and `POST /admin/prices`."""
    router = APIRouter(tags=["price"], responses=documented_errors())

    @router.post("/price", summary="Prices of products within the shop's rules")
    async def post_price(body: PriceRequest, call: CurrentCall) -> PriceResponse:
        return await price(body, backend, desk, args, call)

    @router.get("/admin/prices", summary="Whether the kill switch holds all prices")
    async def get_switch(call: CurrentCall) -> SwitchResponse:
        return await asyncio.to_thread(switch_state, desk.switch, call)

    @router.post("/admin/prices", summary="Turn the kill switch of all prices")
    async def post_switch(body: SwitchRequest, call: CurrentCall) -> SwitchResponse:
        return await asyncio.to_thread(turn_switch, desk.switch, body, call)

    return router


def status_router(backend: Backend) -> APIRouter:
    """`GET /healthz` and `/readyz`."""
    router = APIRouter(tags=["status"])
    check = shared(backend.check)

    @router.get("/healthz", summary="This process answers")
    async def get_health(call: CurrentCall) -> dict[str, Any]:
        return {"status": "ok", "request_id": call.request_id}

    @router.get("/readyz", summary="All replicas behind this process answer")
    async def get_ready(call: CurrentCall) -> Response:
        try:
            await check()
        except (OverloadedError, FailedError) as error:
            message = "a replica failed its check" if isinstance(error, FailedError) else problem_of(error).message
            return response(Problem(503, "not_ready", message), call)
        return JSONResponse({"status": "ready", "request_id": call.request_id})

    return router
