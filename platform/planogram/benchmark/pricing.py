"""`planogram benchmark pricing`: profit of a policy against the optimum that knows the truth, over a simulated year."""

from dataclasses import replace
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import track

from planogram import storage
from planogram.benchmark.kept import keep
from planogram.benchmark.market import Market, read_market
from planogram.benchmark.pricing_report import page, plot
from planogram.data.examples.base import product_texts, text_columns
from planogram.data.shop import read_table
from planogram.engines.base import score
from planogram.engines.load import load_engine
from planogram.errors import ConfigError
from planogram.pricing.bounds import Bounds, bounds
from planogram.pricing.choose import decide_all
from planogram.pricing.curve import DemandCurve, Kind
from planogram.pricing.demand import Baseline, curves
from planogram.pricing.guardrails import GUARDRAIL, check_all
from planogram.pricing.item import PriceItem
from planogram.pricing.learn import Beliefs
from planogram.pricing.money import Ruler
from planogram.pricing.policy import PricePolicy
from planogram.pricing.settings import BenchmarkPricingConfig, Exploration
from planogram.registry.bundle import BASELINE, open_bundle
from planogram.registry.store import Registry
from planogram.section import parse

Floats = npt.NDArray[np.float64]
# Prices at which the truth is asked for its optimum.
OPTIMUM_GRID = 61


class _Never:
    """A kill switch that is off."""

    def is_on(self) -> bool:
        return False


def run(config: BenchmarkPricingConfig) -> dict[str, Any]:
    """Price a simulated shop by its demand model, at once and over a year of weekly prices that learn from sales.

    Returns:
        `products`; `share_of_optimum` of the model's prices and `share_before` of the shop's (profit a week over that
        of the best prices within the same rules); `correlation` of elasticities with the true ones; `year`: for each
        way to explore, `share_of_optimum` of the whole year and of its last quarter, `regret` (cumulative, by week, in
        the shop's currency), `breaches` of the rules and `caught` by the guardrails; `file`, `plot`, `page`.

    Raises:
        ConfigError: the bundle is no demand model of purchases.
        NotFoundError: there is no such bundle, shop or truth.
    """
    market = read_market(config.shop, config.raw, config.seed)
    items = _items(config, market)
    found = _curves(config, market, items)
    best = _optimum(market, items, config.policy)
    told = [decision.price for decision in decide_all(found, items, config.policy)]
    before = np.asarray([item.current_price for item in items], dtype=float)
    costs = np.asarray([item.cost for item in items], dtype=float)
    truth = market.facts["elasticity"].to_numpy()
    result: dict[str, Any] = {
        "products": len(items),
        "share_of_optimum": _share(market, np.asarray(told, dtype=float), best, costs),
        "share_before": _share(market, before, best, costs),
        "correlation": float(np.corrcoef(np.log([c.elasticity for c in found]), np.log(truth))[0, 1]),
        "year": {
            name: _year(config, name, market, items, found, best)
            for name in track(config.explorations, "years", console=Console(stderr=True), transient=True)
        },
    }
    return result | keep(config.name, result, plot(result), page)


def _items(config: BenchmarkPricingConfig, market: Market) -> list[PriceItem]:
    products = read_table(config.shop, "products", ["product_id", "price", "cost"]).set_index("product_id")
    rows = products.loc[market.product_ids.tolist()]
    return [
        PriceItem(str(name), float(price), cost=float(cost))
        for name, price, cost in zip(rows.index, rows["price"], rows["cost"], strict=True)
    ]


def _curves(config: BenchmarkPricingConfig, market: Market, items: list[PriceItem]) -> list[DemandCurve]:
    """What the model says, for the impressions that a week of this market brings."""
    version = Registry().resolve(config.bundle)
    folder, manifest = open_bundle(version.path)
    if manifest.demand is None or manifest.demand.kind != "purchase":
        raise ConfigError(
            f"{config.bundle} foretells no purchases",
            allowed="a bundle of finetune with task=demand, kind=purchase",
            remedy="train one on the simulated shop",
        )
    products = read_table(config.shop, "products", text_columns(manifest.text_fields))
    texts = product_texts(products, manifest.text_fields, manifest.text_language)
    engine = load_engine(version.path, config.engine)
    logits = score(engine, [("", texts[item.product_id]) for item in items], 4096).values
    baseline = parse(Baseline, storage.read_json(str(folder / BASELINE)), BASELINE)
    found = cast(list[DemandCurve], curves(logits, items, cast(Kind, manifest.demand.kind), baseline))
    return [replace(c, exposure=float(e)) for c, e in zip(found, market.exposures, strict=True)]


def _optimum(market: Market, items: list[PriceItem], policy: PricePolicy) -> Floats:
    """(products,) profit a week at the best prices within the rules; what may not change keeps its price."""
    limits = [_limits(item, policy) for item in items]
    shares = np.linspace(0.0, 1.0, OPTIMUM_GRID)
    costs = np.asarray([item.cost for item in items], dtype=float)
    profits = []
    for share in shares:
        prices = np.asarray([low + share * (high - low) for low, high in limits])
        profits.append(_profit(market, prices, costs))
    return np.max(profits, axis=0)


def _limits(item: PriceItem, policy: PricePolicy) -> tuple[float, float]:
    found = bounds(item, policy)
    if not isinstance(found, Bounds):
        assert item.current_price is not None
        return item.current_price, item.current_price
    ruler = Ruler.of(policy.currency_step)
    return ruler.price(found.low_steps), ruler.price(found.high_steps)


def _profit(market: Market, prices: Floats, costs: Floats) -> Floats:
    return (prices - costs) * market.exposures * market.rates(prices)


def _share(market: Market, prices: Floats, best: Floats, costs: Floats) -> float:
    return float(_profit(market, prices, costs).sum() / best.sum())


def _year(
    config: BenchmarkPricingConfig,
    exploration: Exploration,
    market: Market,
    items: list[PriceItem],
    found: list[DemandCurve],
    best: Floats,
) -> dict[str, Any]:
    """Weekly prices around the first ones, believed demand brought up to date by what was sold each week."""
    rng = np.random.default_rng(config.seed)
    policy = config.policy.model_copy(update={"exploration": exploration})
    beliefs = Beliefs.of(found, config.particles, rng)
    costs = np.asarray([item.cost for item in items], dtype=float)
    gained, breaches, caught = [], 0, 0
    for _ in range(config.weeks):
        decided = decide_all(beliefs.believed(), items, policy, rng)
        final = check_all(decided, items, policy, _Never())
        caught += sum(decision.rule.startswith(GUARDRAIL) for decision in final)
        prices = np.asarray([decision.price for decision in final], dtype=float)
        breaches += sum(not _allowed(price, item, policy) for price, item in zip(prices, items, strict=True))
        shown = rng.poisson(market.exposures)
        sold = rng.binomial(shown, market.rates(prices)).astype(float)
        beliefs = beliefs.updated(prices, sold, shown.astype(float), rng)
        gained.append(float(_profit(market, prices, costs).sum()))
    ideal = float(best.sum())
    last = gained[-max(config.weeks // 4, 1) :]
    return {
        "share_of_optimum": float(np.mean(gained) / ideal),
        "share_of_last_quarter": float(np.mean(last) / ideal),
        "regret": np.cumsum(ideal - np.asarray(gained)).tolist(),
        "breaches": breaches,
        "caught": caught,
    }


def _allowed(price: float, item: PriceItem, policy: PricePolicy) -> bool:
    """Whether a price is within the rules, or unchanged."""
    low, high = _limits(item, policy)
    return price == item.current_price or low - 1e-9 <= price <= high + 1e-9
