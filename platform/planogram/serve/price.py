"""`POST /price`: products -> demand curves -> decisions -> guardrails -> audit -> answer.

A price that cannot be decided, checked and recorded does not change.
"""

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from planogram.data.text import clean
from planogram.errors import OverloadedError, PlanogramError
from planogram.pricing.choose import decide_all
from planogram.pricing.curve import DemandCurve
from planogram.pricing.decision import Decision, stays
from planogram.pricing.demand import curves
from planogram.pricing.guardrails import check_all
from planogram.pricing.item import NO_PRICE, PriceItem
from planogram.pricing.policy import PricePolicy
from planogram.serve.answers import Model
from planogram.serve.backend import Backend
from planogram.serve.call import Call
from planogram.serve.desk import PriceDesk
from planogram.serve.price_schemas import CurvePoint, PricedItem, PricedProduct, PriceRequest, PriceResponse
from planogram.serve.settings import AppArgs
from planogram.serve.steps import fallback_reason
from planogram.serve.values import FailedError, Filters

LACKS = "the catalogue lacks it"
# Of the curve that an explanation shows, and how far it reaches around the current price where no bounds are known.
CURVE_POINTS = 9
CURVE_REACH = 0.2


@dataclass(frozen=True)
class _Priced:
    """Items with what was decided; curve and decision are None where the demand is not known."""

    items: list[PriceItem]
    curves: list[DemandCurve | None]
    decisions: list[Decision]
    known: list[bool]


async def price(request: PriceRequest, backend: Backend, desk: PriceDesk, args: AppArgs, call: Call) -> PriceResponse:
    """Decide prices. Where the catalogue, the demand model or the audit fails, prices stay and the answer says so."""
    policy = backend.policy.prices
    if request.objective is not None:
        policy = policy.model_copy(update={"objective": request.objective})
    items = [_item(asked, {}) for asked in request.items]
    try:
        found = await backend.lookup([item.product_id for item in request.items], Filters())
        products = {product["product_id"]: product for product in found}
        items = [_item(asked, products.get(asked.product_id, {})) for asked in request.items]
        priced = await _decided(items, products, backend, desk, policy, args.limits.ranker_timeout_s)
    except (OverloadedError, FailedError) as error:
        call.reason = fallback_reason("pricing", error)
        priced = _staying(items, "no demand model")
    except (PlanogramError, OSError) as error:
        desk.failed(error)
        call.reason = "pricing_failed"
        priced = _staying(items, "pricing failed")
    return PriceResponse(
        request_id=call.request_id,
        model=Model.of(backend.demand_model),
        degraded=bool(call.reason),
        reason=call.reason or None,
        objective=policy.objective,
        prices=_shown(priced, request.explain),
        took_ms=call.took_ms,
    )


async def _decided(
    items: list[PriceItem],
    products: Mapping[str, Mapping[str, Any]],
    backend: Backend,
    desk: PriceDesk,
    policy: PricePolicy,
    timeout_s: float,
) -> _Priced:
    readable = [place for place, item in enumerate(items) if item.product_id in products]
    if not readable:
        return _staying(items, LACKS)
    scored = await backend.demand([products[items[place].product_id] for place in readable], timeout_s)
    baseline = await asyncio.to_thread(desk.baseline, scored.model)
    made = curves(scored.logits, [items[place] for place in readable], desk.kind, baseline)
    by_place = dict(zip(readable, made, strict=True))
    of_items = [by_place.get(place) for place in range(len(items))]
    # Off the event loop: it computes, and writes to the disk.
    final = await asyncio.to_thread(_recorded, items, of_items, policy, desk)
    why = [NO_PRICE if item.product_id in products else LACKS for item in items]
    decisions = [final.get(item.product_id) or stays(item, reason) for item, reason in zip(items, why, strict=True)]
    return _Priced(items, of_items, decisions, [item.product_id in baseline.products for item in items])


def _recorded(
    items: Sequence[PriceItem], found: Sequence[DemandCurve | None], policy: PricePolicy, desk: PriceDesk
) -> dict[str, Decision]:
    """Product id -> decision of the items with a curve: decided, checked and in the audit."""
    pairs = [(item, curve) for item, curve in zip(items, found, strict=True) if curve is not None]
    if not pairs:
        return {}
    own, own_curves = [item for item, _ in pairs], [curve for _, curve in pairs]
    decided = decide_all(own_curves, own, policy, np.random.default_rng())
    checked = check_all(decided, own, policy, desk.switch)
    desk.log.append(own_curves, own, policy, decided, checked)
    return {decision.product_id: decision for decision in checked}


def _item(asked: PricedItem, product: Mapping[str, Any]) -> PriceItem:
    """What is known of a product: the catalogue's word holds, so that a request cannot move a floor by another cost."""
    said = asked.model_dump()
    known = {name: _number(product.get(name)) for name in ("cost", "list_price", "stock")}
    known["current_price"] = _number(product.get("price"))
    merged = said | {name: value for name, value in known.items() if value is not None}
    family = merged["family"]
    return PriceItem(**{**merged, "family": clean(family) if family else None})


def _number(value: Any) -> float | None:
    return None if value is None or math.isnan(value) else float(value)


def _staying(items: Sequence[PriceItem], why: str) -> _Priced:
    return _Priced(list(items), [None] * len(items), [stays(item, why) for item in items], [False] * len(items))


def _shown(priced: _Priced, explain: bool) -> list[PricedProduct]:
    rows = zip(priced.items, priced.curves, priced.decisions, priced.known, strict=True)
    return [
        PricedProduct(
            product_id=item.product_id,
            price=decision.price,
            current_price=decision.current_price,
            expected_units=decision.expected_units,
            expected_profit=decision.expected_profit,
            elasticity=None if curve is None else _elasticity(curve, decision.price),
            interval=None if decision.interval is None else list(decision.interval),
            bounds=None if decision.bounds is None else list(decision.bounds),
            rule=decision.rule,
            propensity=decision.propensity,
            known=known,
            curve=_points(curve, item, decision) if explain and curve is not None else None,
        )
        for item, curve, decision, known in rows
    ]


def _elasticity(curve: DemandCurve, price: float | None) -> float:
    """Of units at a price; of a purchase, the logit's times the share that does not buy (Train 2009, section 3.6)."""
    if curve.kind == "units" or price is None:
        return curve.elasticity
    bought = float(curve.units(np.asarray([price]))[0]) / curve.exposure
    return curve.elasticity * (1 - bought)


def _points(curve: DemandCurve, item: PriceItem, decision: Decision) -> list[CurvePoint]:
    low, high = decision.bounds or (
        curve.reference * (1 - CURVE_REACH),
        curve.reference * (1 + CURVE_REACH),
    )
    prices = np.linspace(low, high, CURVE_POINTS)
    units = curve.units(prices)
    draws = curve.units_draws(prices) if len(curve.draws) else units[None]
    lows, highs = np.quantile(draws, [0.1, 0.9], axis=0)
    return [
        CurvePoint(
            price=float(price),
            units=float(units[place]),
            units_low=float(lows[place]),
            units_high=float(highs[place]),
            profit=None if item.cost is None else float((price - item.cost) * units[place]),
        )
        for place, price in enumerate(prices)
    ]
