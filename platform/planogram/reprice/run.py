"""From a catalogue and a demand model to a table of prices and a report of what they would do."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import track

from planogram import storage
from planogram.data.shop import open_shop
from planogram.errors import ConfigError
from planogram.pricing.choose import decide_all
from planogram.pricing.curve import DemandCurve
from planogram.pricing.decision import Decision, stays
from planogram.pricing.demand import Baseline, curves
from planogram.pricing.family import groups
from planogram.pricing.guardrails import check_all
from planogram.pricing.item import NO_PRICE, PriceItem
from planogram.pricing.paths import default_audit, open_switch
from planogram.pricing.policy import PricePolicy
from planogram.pricing.replay import DecisionLog
from planogram.pricing.settings import RepriceConfig
from planogram.registry.bundle import BASELINE, open_bundle
from planogram.registry.store import Registry
from planogram.reprice.catalogue import catalogue, items_of, logits_of
from planogram.reprice.report import Effect, plot, report
from planogram.section import parse

TABLE = "prices.parquet"
REPORT = "report.json"
MANIFEST = "repricing.json"
# Products that are decided, checked and recorded together; a family is never torn apart.
AT_ONCE = 2000


@dataclass(frozen=True)
class Priced:
    """Products with what was decided; a curve is None where nothing is known of the demand."""

    items: list[PriceItem]
    curves: list[DemandCurve | None]
    decisions: list[Decision]


def run(config: RepriceConfig) -> dict[str, Any]:
    """Price every product of a shop.

    Returns:
        `applied`, `products`, `changed`, `rules` (how often each set the price), `expected` (units, revenue and profit
        per period at current and at new prices, and their change with an 80 % interval), `table`, `report`, `plot`.

    Raises:
        ConfigError: the bundle is no demand model of units or purchases.
        NotFoundError: there is no such bundle or shop.
        StorageError: `out` is already there.
    """
    version = Registry().resolve(config.demand)
    folder, manifest = open_bundle(version.path)
    if manifest.demand is None or manifest.demand.kind == "choice":
        raise ConfigError(
            f"{config.demand} is no demand model of units or purchases",
            allowed="a bundle of finetune with task=demand",
            remedy="train one, or name another",
        )
    products = catalogue(config, manifest)
    items = items_of(products, config)
    baseline = parse(Baseline, storage.read_json(str(folder / BASELINE)), BASELINE)
    found = curves(logits_of(products, version, manifest, config), items, manifest.demand.kind, baseline)
    with storage.sealed_folder(config.out, MANIFEST) as (made, payload):
        priced = _decided(items, found, config)
        effect = Effect.of(priced.items, priced.curves, priced.decisions)
        _table(products, priced, set(baseline.products)).to_parquet(made / TABLE, index=False)
        summary = {"applied": config.apply, **report(priced.decisions, effect)}
        storage.write_json(str(made / REPORT), summary)
        (made / "report.png").write_bytes(plot(priced.decisions, effect))
        reference = version.reference if version.version else version.path
        payload |= {
            "demand": reference,
            "data_digest": open_shop(config.shop)["data_digest"],
            "config": config.model_dump(mode="json", exclude={"cluster"}),
        }
    names = {"table": TABLE, "report": REPORT, "plot": "report.png"}
    return summary | {name: storage.join(config.out, file) for name, file in names.items()}


def _decided(items: list[PriceItem], found: list[DemandCurve | None], config: RepriceConfig) -> Priced:
    """Decisions of all products, in their order."""
    policy, switch = config.policy, open_switch(config.kill_switch)
    log = DecisionLog(config.audit or default_audit()) if config.apply else None
    rng = np.random.default_rng(config.seed)
    decisions: dict[str, Decision] = {}
    parts = list(_parts(items, found, policy))
    for places in track(parts, "pricing", console=Console(stderr=True), transient=True):
        own, of_own = [items[place] for place in places], [cast(DemandCurve, found[place]) for place in places]
        decided = decide_all(of_own, own, policy, rng)
        final = check_all(decided, own, policy, switch)
        if log is not None:
            log.append(of_own, own, policy, decided, final)
        decisions |= {decision.product_id: decision for decision in final}
    return Priced(items, found, [decisions.get(item.product_id) or stays(item, NO_PRICE) for item in items])


def _parts(items: Sequence[PriceItem], found: Sequence[DemandCurve | None], policy: PricePolicy) -> Iterator[list[int]]:
    """Places of products with a curve, whole families together."""
    known = [place for place, curve in enumerate(found) if curve is not None]
    part: list[int] = []
    for group in groups([items[place] for place in known], policy, None):
        part += [known[place] for place in group]
        if len(part) >= AT_ONCE:
            yield part
            part = []
    if part:
        yield part


def _table(products: pd.DataFrame, priced: Priced, known: set[str]) -> pd.DataFrame:
    """A row per product, with the reason of its price."""
    rows = [
        {
            "price": decision.price,
            "current_price": decision.current_price,
            "rule": decision.rule,
            "expected_units": decision.expected_units,
            "expected_profit": decision.expected_profit,
            "elasticity": None if curve is None else decision.elasticity,
            "change_low": decision.interval[0] if decision.interval else None,
            "change_high": decision.interval[1] if decision.interval else None,
            "lowest": decision.bounds[0] if decision.bounds else None,
            "highest": decision.bounds[1] if decision.bounds else None,
            "propensity": decision.propensity,
            "known": decision.product_id in known,
        }
        for decision, curve in zip(priced.decisions, priced.curves, strict=True)
    ]
    return pd.concat([products[["product_id", "title"]], pd.DataFrame(rows)], axis=1)
