"""`POST /search`: candidates from the retriever, order from the ranker, and the answer when the ranker has none."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from planogram.errors import OverloadedError
from planogram.serve.backend import Backend, FailedError, LateError, Scored, UnavailableError
from planogram.serve.call import Call
from planogram.serve.schemas import Model, SearchRequest, SearchResponse, SearchResult
from planogram.serve.settings import AppArgs

Product = Mapping[str, Any]
SHOWN = ("brand", "category", "price", "list_price", "currency", "stock")


async def search(request: SearchRequest, backend: Backend, args: AppArgs, call: Call) -> SearchResponse:
    """Rank the shop's products for a query.

    Where the ranker sheds, is late or fails, the retriever's order answers and the response says so.

    Raises:
        OverloadedError, FailedError: the retriever did not answer.
    """
    with call.stage("retrieve"):
        products = await _candidates(request, backend, args)
    scored: Scored | None = None
    try:
        if products:
            with call.stage("rank"):
                scored = await backend.score(request.query, products, args.limits.ranker_timeout_s)
    except (OverloadedError, FailedError) as error:
        call.reason = fallback_reason(error)
    found = {str(product["product_id"]) for product in products}
    return SearchResponse(
        ranking_id=uuid.uuid4().hex,
        request_id=call.request_id,
        model=Model.of(scored.model if scored else backend.model),
        degraded=bool(call.reason),
        reason=call.reason or None,
        unknown_candidates=[name for name in request.candidates or () if name not in found],
        results=rank(products, scored, request.top_k),
        took_ms=call.took_ms,
    )


async def _candidates(request: SearchRequest, backend: Backend, args: AppArgs) -> list[dict[str, Any]]:
    filters = request.filters.conditions()
    if request.candidates is not None:
        return await backend.lookup(list(dict.fromkeys(request.candidates)), filters)
    # Fewer candidates than results would answer with less than what was asked for.
    limit = request.num_candidates or max(args.retriever.candidates, request.top_k)
    return await backend.retrieve(request.query, filters, limit)


def rank(products: Sequence[Product], scored: Scored | None, top_k: int) -> list[SearchResult]:
    """The best products, best first; without scores in the order given. Ties keep that order."""
    if scored is None:
        return [_result(product, position, None, {}, False) for position, product in enumerate(products[:top_k], 1)]
    values = scored.values
    deciding = values[:, scored.model.primary]
    order = np.argsort(-deciding, kind="stable")[:top_k]
    return [
        _result(
            products[index],
            position,
            float(deciding[index]),
            {head: float(values[index, column]) for column, head in enumerate(scored.model.heads)},
            scored.truncated[index],
        )
        for position, index in enumerate(order, 1)
    ]


def fallback_reason(error: OverloadedError | FailedError) -> str:
    """What a degraded answer says about its ranker."""
    if isinstance(error, LateError):
        return "ranker_late"
    if isinstance(error, UnavailableError):
        return "ranker_unavailable"
    return "ranker_failed" if isinstance(error, FailedError) else "ranker_overloaded"


def _result(
    product: Product, position: int, score: float | None, signals: dict[str, float], truncated: bool
) -> SearchResult:
    return SearchResult(
        product_id=product["product_id"],
        title=product["title"],
        position=position,
        score=score,
        signals=signals,
        truncated=truncated,
        **{name: product.get(name) for name in SHOWN},
    )
