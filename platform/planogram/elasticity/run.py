"""`planogram elasticities`: how much less is bought when a price rises, by estimators that hold ever more constant."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from rich.console import Console
from rich.progress import track

from planogram import storage
from planogram.config import ElasticityConfig
from planogram.data.shop import has_table, open_shop, read_table
from planogram.elasticity.choice import Market, estimate, markets
from planogram.elasticity.explain import EXPLAINED
from planogram.elasticity.observations import Observations, load_observations
from planogram.elasticity.panel import panel
from planogram.elasticity.report import page, plot
from planogram.errors import ConfigError


def run(config: ElasticityConfig) -> dict[str, Any]:
    """Estimate, and write the figures, a plot and a page.

    Returns:
        `shop`, `data_digest`, `kind`, `left_out` (why -> rows without price or outcome); of units and purchases what
        `panel` returns, of choices `markets`; `file`, `plot` and `page`: where they stand.

    Raises:
        NotFoundError: there is no such shop.
        ConfigError: `out` is no JSON file, or a feature does not exist.
        DataError: the shop says nothing of prices and what was bought, or prices do not vary.
    """
    if not config.out.endswith(".json"):
        raise ConfigError(f"out: {config.out}", allowed="a name that ends in .json", remedy="name a JSON file")
    digest = open_shop(config.shop)["data_digest"]
    observations = load_observations(config.shop, config.kind, config.best_sellers, config.weekly_price)
    about = {"shop": config.shop, "data_digest": digest, "kind": observations.kind, "left_out": observations.left_out}
    if observations.kind == "choice":
        result = about | {"markets": _choices(observations, config)}
    else:
        result = about | panel(observations, config, _categories(config.shop))
    return result | _write(result, config.out.removesuffix(".json"))


def _write(result: Mapping[str, Any], place: str) -> dict[str, str]:
    picture = plot(dict(result))
    storage.write_json(f"{place}.json", result)
    storage.write_bytes(f"{place}.png", picture)
    storage.write_bytes(f"{place}.html", page(dict(result), picture))
    return {"file": f"{place}.json", "plot": f"{place}.png", "page": f"{place}.html"}


def _categories(shop: str) -> "pd.Series[str]":
    if not has_table(shop, "products"):
        return pd.Series(dtype=str)
    return read_table(shop, "products", ["product_id", "category"]).set_index("product_id")["category"].dropna()


def _choices(observations: Observations, config: ElasticityConfig) -> list[dict[str, Any]]:
    names = observations.features if config.features is None else config.features
    if unknown := [name for name in names if name not in observations.features]:
        raise ConfigError(
            f"features: {', '.join(unknown)} does not exist",
            allowed=", ".join(observations.features),
            remedy="name these",
        )
    found = markets(observations.frame, names)
    bar = track(found, "markets", console=Console(stderr=True), transient=True)
    return [_of_market(market, config.folds) for market in bar]


def _of_market(market: Market, folds: int) -> dict[str, Any]:
    result = estimate(market, folds)
    measured = {"shares": result.shares_nll, "conditional logit": result.logit_nll}
    estimators = [
        {
            "name": name,
            "nll": float(values.mean()),
            "each_fold": values.tolist(),
            "does": EXPLAINED[name][0],
            "confounded_by": EXPLAINED[name][1],
        }
        for name, values in measured.items()
    ]
    columns = zip(result.fit.names, result.fit.coefficients, result.fit.standard_errors, strict=True)
    return {
        "name": market.name,
        "choices": result.choices,
        "groups": result.groups,
        "estimators": estimators,
        "coefficients": [
            {"name": name, "coefficient": float(value), "standard_error": float(error)}
            for name, value, error in columns
        ],
        "elasticities": result.elasticities.to_dict("index"),
    }
