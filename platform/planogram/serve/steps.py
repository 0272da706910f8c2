"""The steps that `/search` and `/recommend` share."""

from collections.abc import Sequence
from typing import Any

from planogram.errors import OverloadedError
from planogram.serve.backend import Backend
from planogram.serve.blend import NEXT_ITEM, Blend, signal_names
from planogram.serve.call import Call
from planogram.serve.rules import ActiveRules, Product
from planogram.serve.schemas import ResultsRequest
from planogram.serve.settings import AppArgs
from planogram.serve.values import Document, FailedError, LateError, Scored, UnavailableError


def num_candidates(request: ResultsRequest, args: AppArgs) -> int:
    """How many products to find: fewer candidates than results would answer with less than what was asked for."""
    return request.num_candidates or max(args.retriever.candidates, request.top_k)


async def with_pinned(
    products: list[dict[str, Any]], request: ResultsRequest, rules: ActiveRules, backend: Backend
) -> list[dict[str, Any]]:
    """The products and, unless the request names its candidates, those that rules pin and filters allow."""
    found = {product["product_id"] for product in products}
    missing = [product_id for product_id in rules.pins() if product_id not in found]
    if not missing or request.candidates is not None:
        return products
    return products + await backend.lookup(missing, request.filters.conditions())


async def score(
    query: str, products: Sequence[Document], blend: Blend, backend: Backend, args: AppArgs, call: Call
) -> Scored | None:
    """The ranker's scores, and None without products.

    Also None where the ranker does not answer, or another model answers that lacks a signal of the blend, as while one
    is exchanged for another; the call then says so.
    """
    if not products:
        return None
    try:
        scored = await backend.score(query, products, args.limits.ranker_timeout_s)
    except (OverloadedError, FailedError) as error:
        call.reason = fallback_reason("ranker", error)
        return None
    if blend.weights.keys() <= {*signal_names(scored.model), NEXT_ITEM}:
        return scored
    call.reason = "signal_missing"
    return None


def fallback_reason(what: str, error: OverloadedError | FailedError) -> str:
    """What a degraded answer says about what it lacks."""
    if isinstance(error, LateError):
        return f"{what}_late"
    if isinstance(error, UnavailableError):
        return f"{what}_unavailable"
    return f"{what}_failed" if isinstance(error, FailedError) else f"{what}_overloaded"


def diversity_of(request: ResultsRequest, default: float) -> float:
    """The request's diversity, or the shop's."""
    return default if request.diversity is None else request.diversity


def unknown(request: ResultsRequest, products: Sequence[Product]) -> list[str]:
    """The ids in `candidates` that are not among the products."""
    found = {product["product_id"] for product in products}
    return [name for name in request.candidates or () if name not in found]
