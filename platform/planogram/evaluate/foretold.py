"""A demand model measured on rows of a shop, beside last week, boosted trees, shares, and a logit of prices."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from planogram.config import DemandConfig, EvaluateConfig
from planogram.elasticity.demand import load_rows
from planogram.elasticity.learners import FEW_ROWS
from planogram.elasticity.logit import fit_logit, make_choices, negative_log_likelihood
from planogram.elasticity.loglog import slopes
from planogram.elasticity.rows import DemandRows
from planogram.engines.base import score
from planogram.engines.load import load_engine
from planogram.evaluate.demand import demand_metrics, elasticities_of, half_deviance
from planogram.registry.bundle import BundleManifest
from planogram.section import parse

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
# Added to units before a logarithm is taken.
HALF = 0.5


def evaluate(path: str, manifest: BundleManifest, config: EvaluateConfig) -> dict[str, Any]:
    """Foretell a part of the shop.

    Returns:
        `examples`, `queries` (choice sets, or products), `metrics` (of `demand_metrics`; floors under `last`, `mean_4`
        and `lightgbm` for units, and `MARKET.log_loss`, `MARKET.shares.log_loss` and `MARKET.logit.log_loss` for
        choices; `own_elasticity.correlation` and `.spearman`: of the text's elasticities with estimates from the
        products' own rows of the part), `intervals` and `lexical` (both empty).
    """
    trained = parse(DemandConfig, manifest.lineage["config"], "the bundle's lineage")
    settings = trained.model_copy(update={"shop": config.shop, "split": config.split or trained.split})
    rows = load_rows(settings)
    chosen = rows.rows(config.part)
    logits = _logits(path, manifest, rows, chosen, config)
    metrics = demand_metrics(settings.kind, rows, chosen, logits)
    if settings.kind == "choice":
        metrics |= _markets(settings, rows, chosen, logits)
    else:
        metrics |= _own_elasticities(rows, chosen, logits)
    if settings.kind == "units":
        metrics |= _floors(rows, chosen)
    groups = rows.sets if settings.kind == "choice" else rows.text
    return {
        "examples": len(chosen),
        "queries": len(np.unique(groups[chosen])),
        "metrics": metrics,
        "intervals": {},
        "lexical": {},
    }


def _logits(
    path: str, manifest: BundleManifest, rows: DemandRows, chosen: Integers, config: EvaluateConfig
) -> npt.NDArray[np.float32]:
    """(n, 2 * members); a text that stands beside no features is read once."""
    engine = load_engine(path, config.engine)
    if manifest.features.width:
        pairs = [("", rows.texts[number]) for number in rows.text[chosen]]
        return score(engine, pairs, config.batch_tokens, rows.features.iloc[chosen].reset_index(drop=True)).values
    numbers, places = np.unique(rows.text[chosen], return_inverse=True)
    return score(engine, [("", rows.texts[number]) for number in numbers], config.batch_tokens).values[places]


def _floors(rows: DemandRows, chosen: Integers) -> dict[str, float]:
    """The period before, the mean of four, and boosted trees that are given the price and all that is known."""
    outcome = rows.outcome[chosen]
    found = {name: np.expm1(rows.known[name].to_numpy()[chosen]) for name in ("last", "mean_4") if name in rows.known}
    found["lightgbm"] = _boosted(rows, chosen)
    metrics: dict[str, float] = {}
    for name, expected in found.items():
        filled = np.where(np.isnan(expected), outcome.mean(), expected)
        metrics[f"{name}.wape"] = float(np.abs(outcome - filled).sum() / outcome.sum())
        metrics[f"{name}.log_loss"] = half_deviance(outcome, np.maximum(filled, HALF))
    return metrics


def _boosted(rows: DemandRows, chosen: Integers) -> Floats:
    """LightGBM (Ke et al. 2017) of Poisson deviance, which may do with the price what it wants.

    Not from the offset: the product's mean in it leaves the row out, and so tells trees the row's own outcome.
    """
    import lightgbm

    frame = rows.known.select_dtypes("number").assign(price=rows.price, log_price=rows.log_price)
    fitted = rows.rows("train")
    threads = 1 if len(fitted) < FEW_ROWS else None
    trees = lightgbm.LGBMRegressor(
        objective="poisson", learning_rate=0.05, n_estimators=300, random_state=0, n_jobs=threads, verbose=-1
    )
    trees.fit(frame.iloc[fitted], rows.outcome[fitted])
    return np.asarray(trees.predict(frame.iloc[chosen]), dtype=np.float64)


def _own_elasticities(rows: DemandRows, chosen: Integers, logits: npt.NDArray[np.float32]) -> dict[str, float]:
    """How the text's elasticities agree with slopes of the products' own rows, by precision."""
    units = np.log(rows.outcome[chosen] / rows.exposure[chosen] + HALF / rows.exposure[chosen])
    offset = rows.offset[chosen] if (rows.exposure == 1).all() else -np.logaddexp(0.0, -rows.offset[chosen])
    frame = pd.DataFrame({"product_id": rows.product_ids[chosen]})
    own = slopes(frame, rows.log_price[chosen], units - offset).dropna().set_index("product_id")
    told = pd.Series(elasticities_of(logits).mean(axis=1)).groupby(rows.product_ids[chosen]).mean()
    both = own.assign(told=told.reindex(own.index)).dropna()
    if len(both) < 3:
        return {}
    weights = 1 / (both["standard_error"].to_numpy() ** 2 + 1.0)
    estimates, from_text = -both["elasticity"].to_numpy(), both["told"].to_numpy()
    covariance = np.cov(estimates, from_text, aweights=weights)
    correlation = covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1])
    ranks = (-both["elasticity"]).rank().corr(both["told"].rank())
    return {"own_elasticity.correlation": float(correlation), "own_elasticity.spearman": float(ranks)}


def _markets(
    config: DemandConfig, rows: DemandRows, chosen: Integers, logits: npt.NDArray[np.float32]
) -> dict[str, float]:
    """Choice sets of the same products by themselves, beside constant shares and a conditional logit of prices."""
    ids = {number: tuple(sorted(names)) for number, names in pd.Series(rows.product_ids).groupby(rows.sets)}
    market = [ids[number] for number in rows.sets]
    metrics: dict[str, float] = {}
    for products in sorted({market[row] for row in chosen}):
        mine = np.asarray([place for place, row in enumerate(chosen) if market[row] == products])
        own = demand_metrics(config.kind, rows, chosen[mine], logits[mine])
        name = products[0].partition("/")[0]
        train = np.asarray([row for row in np.flatnonzero(rows.part == "train") if market[row] == products])
        metrics |= {f"{name}.log_loss": own["log_loss"], f"{name}.accuracy": own["accuracy"]}
        metrics |= {f"{name}.{key}": value for key, value in _price_logit(rows, products, train, chosen[mine]).items()}
    return metrics


def _price_logit(rows: DemandRows, products: tuple[str, ...], train: Integers, tested: Integers) -> dict[str, float]:
    """Nats per held-out choice of shares, and of a logit of prices and the features that vary (but no loyalty)."""
    frame = pd.DataFrame(
        {"product_id": rows.product_ids, "choice_set": rows.sets, "price": rows.price, "chosen": rows.outcome}
    ).join(rows.features.drop(columns="loyalty", errors="ignore"))
    names = [name for name in frame.columns[4:] if frame[name].iloc[train].nunique() > 1]
    shares = frame.iloc[train].groupby("product_id")["chosen"].sum()
    odds = np.log((shares + HALF) / (shares + HALF).sum())
    bought = frame.iloc[tested].query("chosen > 0")["product_id"]
    fitted = fit_logit(make_choices(frame.iloc[train], products, names))
    held_out = make_choices(frame.iloc[tested], products, names)
    return {
        "shares.log_loss": float(-bought.map(odds).mean()),
        "logit.log_loss": float(negative_log_likelihood(fitted.coefficients, held_out)),
    }
