"""`POST /search`: candidates -> hide -> score -> blend, rules, diversity, pins -> answer."""

from collections.abc import Sequence

from planogram.errors import OverloadedError
from planogram.serve.answers import Model, SearchResponse
from planogram.serve.attribution import MAX_DOCUMENTS
from planogram.serve.backend import Backend
from planogram.serve.call import Call
from planogram.serve.order import arrange
from planogram.serve.results import results
from planogram.serve.rules import ActiveRules, Product
from planogram.serve.schemas import SearchRequest
from planogram.serve.settings import AppArgs
from planogram.serve.steps import diversity_of, fallback_reason, num_candidates, score, unknown, with_pinned
from planogram.serve.values import FailedError, Retrieved, TokenWeight


async def search(request: SearchRequest, backend: Backend, args: AppArgs, call: Call) -> SearchResponse:
    """Rank the shop's products for a query.

    Where the ranker sheds, is late or fails, the retriever's order answers and the response says so.

    Raises:
        OverloadedError, FailedError: the retriever did not answer.
    """
    call.user = request.user_id or ""
    policy = backend.policy
    found = await _candidates(request, backend, args)
    query = found.corrected_query or request.query
    rules = ActiveRules.select(policy.rules, "search", query, request.filters.category)
    products = rules.visible(await with_pinned(found.products, request, rules, backend))
    scored = await score(query, products, policy.search, backend, args, call)
    arrangement = arrange(
        products, scored, policy.search, rules, diversity_of(request, policy.diversity), request.top_k
    )
    tokens: list[list[TokenWeight]] = []
    if request.explain and scored is not None:
        shown = [placed.product for placed in arrangement.placed[:MAX_DOCUMENTS]]
        tokens = await _tokens(query, shown, backend, args, call)
    return SearchResponse(
        request_id=call.request_id,
        model=Model.of(scored.model if scored else backend.model),
        degraded=bool(call.reason),
        reason=call.reason or None,
        unknown_candidates=unknown(request, products),
        corrected_query=found.corrected_query,
        facets=found.facets,
        results=results(arrangement, request.explain, tokens),
        took_ms=call.took_ms,
    )


async def _candidates(request: SearchRequest, backend: Backend, args: AppArgs) -> Retrieved:
    filters = request.filters.conditions()
    if request.candidates is not None:
        return Retrieved(await backend.lookup(list(dict.fromkeys(request.candidates)), filters))
    return await backend.retrieve(request.query, filters, num_candidates(request, args), request.facets)


async def _tokens(
    query: str, shown: Sequence[Product], backend: Backend, args: AppArgs, call: Call
) -> list[list[TokenWeight]]:
    left_s = args.limits.ranker_timeout_s - call.took_ms / 1000
    try:
        return await backend.explain(query, shown, max(left_s, 0.0)) if shown else []
    except (OverloadedError, FailedError) as error:
        call.reason = fallback_reason("explanation", error)
        return []
