"""`POST /recommend`: shopper -> candidates -> hide -> score -> blend, rules, diversity, pins -> answer."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from planogram.data.text import clean, history_text
from planogram.errors import OverloadedError
from planogram.serve.answers import Model, RecommendResponse
from planogram.serve.backend import Backend
from planogram.serve.blend import Blend
from planogram.serve.call import Call
from planogram.serve.order import arrange
from planogram.serve.results import results
from planogram.serve.rules import ActiveRules, Product
from planogram.serve.schemas import MAX_CANDIDATES, RecommendRequest
from planogram.serve.settings import AppArgs
from planogram.serve.steps import diversity_of, fallback_reason, num_candidates, score, unknown, with_pinned
from planogram.serve.values import FailedError, Filters, Retrieved, Scored

Source = Literal["candidates", "similar", "complementary", "next_item", "history", "popular"]
# What came long ago says little of what comes next.
MAX_RECENT = 50
# As many as training writes out by default (`text.history`).
MAX_WRITTEN = 10


@dataclass(frozen=True)
class Shopper:
    """Whom products are recommended to.

    Attributes:
        history: ids of what was bought and of this visit, oldest first.
        recent: the newest of them that the shop has, oldest first.
        product: whose page is shown; None: none, or the shop does not have it.
        excluded: ids that are not recommended.
    """

    history: tuple[str, ...]
    recent: tuple[Product, ...]
    product: Product | None
    excluded: frozenset[str]


async def recommend(request: RecommendRequest, backend: Backend, args: AppArgs, call: Call) -> RecommendResponse:
    """Recommend products of the shop.

    Where the shopper or the product is not known, what is known answers, at last the popular products; where the
    ranker does not answer, the retriever's order does. The response says so.

    Raises:
        OverloadedError, FailedError: the retriever did not answer.
    """
    call.user = request.user_id or ""
    policy = backend.policy
    shopper = await _shopper(request, backend)
    source, found = await _candidates(request, shopper, backend, args, call)
    rules = ActiveRules.select(policy.rules, "recommend", None, request.filters.category)
    products = rules.visible(_allowed(await with_pinned(found, request, rules, backend), shopper))
    scored = await _score(products, shopper, policy.recommend, backend, args, call)
    diversity = diversity_of(request, policy.diversity)
    arrangement = arrange(products, scored, policy.recommend, rules, diversity, request.top_k)
    return RecommendResponse(
        request_id=call.request_id,
        model=Model.of(scored.model if scored else backend.model),
        degraded=bool(call.reason),
        reason=call.reason or None,
        unknown_candidates=unknown(request, products),
        source=source,
        results=results(arrangement, request.explain),
        took_ms=call.took_ms,
    )


async def _shopper(request: RecommendRequest, backend: Backend) -> Shopper:
    bought = await backend.history(request.user_id) if request.user_id is not None else []
    history = (*bought, *request.history)
    asked = () if request.product_id is None else (request.product_id,)
    # A product that was had twice stands where it was had last.
    recent = tuple(dict.fromkeys(reversed(history)))[:MAX_RECENT][::-1]
    ids = list(dict.fromkeys((*recent, *asked)))
    known = {product["product_id"]: product for product in await backend.lookup(ids, Filters())} if ids else {}
    return Shopper(
        history=history,
        recent=tuple(known[product_id] for product_id in recent if product_id in known),
        product=known.get(request.product_id) if request.product_id is not None else None,
        excluded=frozenset((*history, *asked) if request.exclude_owned else asked),
    )


async def _candidates(
    request: RecommendRequest, shopper: Shopper, backend: Backend, args: AppArgs, call: Call
) -> tuple[Source, list[dict[str, Any]]]:
    filters = request.filters.conditions()
    if request.candidates is not None:
        return "candidates", _allowed(await backend.lookup(list(dict.fromkeys(request.candidates)), filters), shopper)
    limit = num_candidates(request, args)
    if reason := _what_is_unknown(request, shopper):
        call.reason = reason
    for attempt in _attempts(request, shopper, backend, args, filters, limit):
        if products := _allowed(await _tried(attempt, call), shopper)[:limit]:
            return attempt.source, products
        call.reason = call.reason or attempt.otherwise
    popular = await backend.popular(filters, _with_room(limit, shopper))
    return "popular", _allowed(popular.products, shopper)[:limit]


def _what_is_unknown(request: RecommendRequest, shopper: Shopper) -> str:
    """What was named and cannot be used; empty: nothing, or something else that was named can be."""
    if request.product_id is not None:
        return "" if shopper.product else "unknown_product"
    if shopper.recent:
        return ""
    if shopper.history:
        return "unknown_history"
    return "unknown_user" if request.user_id is not None else ""


@dataclass(frozen=True)
class Attempt:
    """A way to find products.

    Attributes:
        otherwise: the reason to say where it finds none.
    """

    source: Source
    find: Callable[[], Awaitable[Retrieved]]
    otherwise: str


def _attempts(
    request: RecommendRequest, shopper: Shopper, backend: Backend, args: AppArgs, filters: Filters, limit: int
) -> list[Attempt]:
    """Ways to find products, the best first."""
    excluded = sorted(shopper.excluded)
    attempts: list[Attempt] = []
    if shopper.product is not None:
        product_id = str(shopper.product["product_id"])
        if request.relation == "complementary":
            beside = partial(backend.recommend, [product_id], excluded, filters, limit)
            attempts.append(Attempt("complementary", beside, "no_complementary"))
        alike = partial(backend.similar, product_id, filters, _with_room(limit, shopper))
        attempts.append(Attempt("similar", alike, "no_similar"))
    if shopper.recent:
        attempts += _from_history(shopper, backend, args, filters, limit)
    return attempts


def _from_history(shopper: Shopper, backend: Backend, args: AppArgs, filters: Filters, limit: int) -> Iterator[Attempt]:
    """What comes next by the sequencer, where there is one; what is taken by the same shoppers."""
    asked = [str(product["product_id"]) for product in shopper.recent], sorted(shopper.excluded), filters, limit
    if backend.sequencer is not None:
        find = partial(backend.next_items, *asked, args.limits.ranker_timeout_s)
        yield Attempt("next_item", find, "no_next_item")
    yield Attempt("history", partial(backend.recommend, *asked), "no_history")


async def _tried(attempt: Attempt, call: Call) -> list[dict[str, Any]]:
    """The products of an attempt; none where the sequencer does not answer, and the call then says so."""
    try:
        return (await attempt.find()).products
    except (OverloadedError, FailedError) as error:
        if attempt.source != "next_item":
            raise
        call.reason = call.reason or fallback_reason("sequencer", error)
        return []


def _with_room(limit: int, shopper: Shopper) -> int:
    """So many that enough are left without the excluded ones."""
    return min(limit + len(shopper.excluded), MAX_CANDIDATES)


def _allowed(products: Sequence[dict[str, Any]], shopper: Shopper) -> list[dict[str, Any]]:
    return [product for product in products if product["product_id"] not in shopper.excluded]


async def _score(
    products: Sequence[Product], shopper: Shopper, blend: Blend, backend: Backend, args: AppArgs, call: Call
) -> Scored | None:
    """The ranker's scores, where one of its heads counts and there is something to compare products with."""
    text = _text(shopper, blend, backend)
    if not text or not blend.needs(backend.model.heads):
        return None
    return await score(text, products, blend, backend, args, call)


def _text(shopper: Shopper, blend: Blend, backend: Backend) -> str:
    """What stands in the place of a query: the shopper's history in words, or the title of the product.

    The head `preference` learned from histories, so for it a product's page is the newest part of one.
    """
    page = [] if shopper.product is None else [str(shopper.product["title"])]
    if page and not blend.needs(("preference",)):
        return clean(page[0])
    titles = [str(product["title"]) for product in shopper.recent] + page
    return history_text(titles[-MAX_WRITTEN:], None, backend.model.text_language)
