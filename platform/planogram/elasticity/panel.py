"""Elasticities of units and purchases, estimator by estimator and product by product."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from rich.console import Console
from rich.progress import track

from planogram.config import ElasticityConfig
from planogram.elasticity.explain import EXPLAINED
from planogram.elasticity.learners import LEARNERS
from planogram.elasticity.loglog import fit_by, fit_ols, slopes
from planogram.elasticity.observations import Observations
from planogram.elasticity.partial import PartialOut, fold_groups, partial_out
from planogram.elasticity.partial_poisson import partial_poisson
from planogram.elasticity.ppml import fit_ppml
from planogram.elasticity.sample import Sample, clusters_in_words, make_sample, sample_of
from planogram.elasticity.shrink import shrink
from planogram.elasticity.slope import Estimate
from planogram.errors import ConfigError, DataError

Row = dict[str, Any]


@dataclass(frozen=True)
class _Panel:
    """What is estimated from: `sample` has logarithms, `counted` all rows with their units, where there are units."""

    sample: Sample
    counted: Sample | None
    config: ElasticityConfig


def panel(observations: Observations, config: ElasticityConfig, categories: "pd.Series[str]") -> dict[str, Any]:
    """Every estimator that the rows allow.

    Args:
        observations: of units or purchases.
        config: of the verb.
        categories: product_id -> category.

    Returns:
        `rows`, `products`, `periods`, `zeros` (rows of 0 units that logarithms leave out), `standard_errors` (in
        words), `estimators` (a row for each), `nuisance` (R2 of the cross-fitted predictions), `not_estimated` (why),
        `by_product` and, with `split_by`, `by_feature`.

    Raises:
        ConfigError: `features` or `split_by` names a feature that does not exist.
        DataError: all else predicts the price, or there are fewer blocks of rows than folds.
    """
    sample, zeros = make_sample(observations, config)
    by_feature = {"by_feature": _by_feature(sample, observations, config.split_by)} if config.split_by else {}
    parts = _Panel(sample, _counted(observations, config), config)
    with Console(stderr=True).status("predicting prices and units from all else"):
        residuals = _cross_fitted(sample, config)
    rows, left_out = _estimate(_estimators(parts, residuals))
    return {
        "rows": len(sample.frame),
        "products": int(sample.frame["product_id"].nunique()),
        "periods": int(sample.frame["period"].nunique()),
        "zeros": zeros,
        "standard_errors": clusters_in_words(config, sample),
        "estimators": rows,
        "nuisance": {"price_r2": residuals.price_r2, "target_r2": residuals.target_r2},
        "not_estimated": _without_data(sample) | left_out,
        "by_product": _by_product(sample, residuals, categories, config),
        **by_feature,
    }


def _estimate(steps: dict[str, Callable[[], Estimate]]) -> tuple[list[Row], dict[str, str]]:
    """The estimators' rows, and why others are missing."""
    rows: list[Row] = []
    left_out: dict[str, str] = {}
    for name, step in track(steps.items(), "estimators", console=Console(stderr=True), transient=True):
        try:
            rows.append(_row(name, step()))
        except DataError as error:
            left_out[name] = error.given
    return rows, left_out


def _estimators(parts: _Panel, residuals: PartialOut) -> dict[str, Callable[[], Estimate]]:
    """Name -> how it is estimated, from the most confounded to the least; without those that the data cannot tell."""
    sample, counted = parts.sample, parts.counted
    both = (*sample.products, *sample.periods)

    def ols(effects: Sequence[str] = (), covariates: Sequence[str] = ()) -> Estimate:
        return fit_ols(sample.frame, sample.target, effects, covariates, sample.clusters)

    steps: dict[str, Callable[[], Estimate]] = {
        "pooled": ols,
        "products": lambda: ols(sample.products),
        "products and features": lambda: ols(sample.products, sample.features),
        "products and periods": lambda: ols(both, sample.features),
    }
    if counted is not None:
        steps["poisson"] = lambda: fit_ppml(counted.frame, counted.target, both, counted.features, counted.clusters)
    steps["cross-fitted"] = lambda: residuals.estimate
    if counted is not None:
        steps["cross-fitted poisson"] = lambda: _cross_fitted_poisson(counted, parts.config)
    return {name: step for name, step in steps.items() if name not in _without_data(sample)}


def _without_data(sample: Sample) -> dict[str, str]:
    missing = {}
    if not sample.features:
        missing["products and features"] = "the rows have no features"
    if not sample.periods:
        missing["products and periods"] = "the rows have no periods"
    return missing


def _counted(observations: Observations, config: ElasticityConfig) -> Sample | None:
    if observations.kind != "units":
        return None
    units = observations.frame["units"].to_numpy(dtype=float)
    return sample_of(observations.frame, units, observations.features, config)


def _cross_fitted(sample: Sample, config: ElasticityConfig) -> PartialOut:
    groups = fold_groups(sample.frame, config.block_periods)
    learner = LEARNERS[config.learner]
    return partial_out(
        sample.frame, sample.known, sample.target, config.folds, groups, learner, clusters=sample.clusters
    )


def _cross_fitted_poisson(counted: Sample, config: ElasticityConfig) -> Estimate:
    groups = fold_groups(counted.frame, config.block_periods)
    learner = LEARNERS[config.learner]
    return partial_poisson(
        counted.frame, counted.known, counted.target, config.folds, groups, learner, clusters=counted.clusters
    )


def _row(name: str, estimate: Estimate) -> Row:
    does, confounded_by = EXPLAINED[name]
    return {
        "name": name,
        "elasticity": estimate.elasticity,
        "standard_error": estimate.standard_error,
        "interval": list(estimate.interval),
        "rows": estimate.rows,
        "does": does,
        "confounded_by": confounded_by,
    }


def _by_product(
    sample: Sample, residuals: PartialOut, categories: "pd.Series[str]", config: ElasticityConfig
) -> list[Row]:
    """Elasticities of products from what cross-fitting left, drawn towards those of their category."""
    own = slopes(sample.frame, residuals.price, residuals.target)
    if (own["elasticity"].notna() & (own["standard_error"] > 0)).sum() < 2:
        return _records(own)
    return _records(shrink(own, categories, config.least_sensitivity))


def _by_feature(sample: Sample, observations: Observations, name: str) -> list[Row]:
    """Least squares of every product at every value of a feature: nothing is shared between them."""
    if name not in observations.features:
        raise ConfigError(
            f"split_by: {name} does not exist", allowed=", ".join(observations.features), remedy="name one of these"
        )
    return _records(fit_by(sample.frame, sample.target, ["product_id", name]))


def _records(frame: pd.DataFrame) -> list[Row]:
    """Rows for JSON, which has no missing numbers."""
    rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in rows]
