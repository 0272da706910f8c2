"""Markets of choices: what a conditional logit knows of held-out households beside constant shares."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from planogram.elasticity.logit import Logit, elasticities, fit_logit, make_choices, negative_log_likelihood
from planogram.errors import DataError

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Market:
    """Choice sets of the same products.

    Attributes:
        name: what the product ids begin with, else the ids.
        frame: rows, sorted by choice set.
        products: ids, sorted.
        features: that are there and vary.
    """

    name: str
    frame: pd.DataFrame
    products: tuple[str, ...]
    features: tuple[str, ...]


@dataclass(frozen=True)
class MarketResult:
    """A market's logit.

    Attributes:
        shares_nll, logit_nll: (folds,) nats per held-out choice, of the shares of the other folds and of the logit.
        fit: on all choices.
        elasticities: row i answers to the price of column j.
        choices, groups: how many; groups are households, or choice sets where these name none.
    """

    shares_nll: Floats
    logit_nll: Floats
    fit: Logit
    elasticities: pd.DataFrame
    choices: int
    groups: int


def markets(frame: pd.DataFrame, features: Sequence[str]) -> list[Market]:
    """The markets of a shop, by which products stand in a choice set.

    Args:
        frame: choice_set, product_id, price, chosen and the features, which may be missing in whole markets.
        features: names of the features.
    """
    rows = frame.sort_values(["choice_set", "product_id"], kind="stable").reset_index(drop=True)
    ids = rows.groupby("choice_set")["product_id"].agg(tuple)
    return [
        Market(_common_name(products), own, products, tuple(name for name in features if own[name].nunique() > 1))
        for products, own in rows.groupby(rows["choice_set"].map(ids), sort=True)
    ]


def estimate(market: Market, folds: int) -> MarketResult:
    """Fit a market's logit, and measure it on households that it did not see.

    Args:
        market: of two products or more.
        folds: of whole groups, scikit-learn's GroupKFold: balanced, not shuffled.

    Raises:
        DataError: there are fewer groups than folds; or see `fit_logit`.
    """
    if (count := market.frame["group"].nunique()) < folds:
        raise DataError(f"{count} groups of choices for {folds} folds", remedy="lower the folds or bring more choices")
    measured = np.asarray([_held_out(market, rest, held_out) for rest, held_out in _folds(market.frame, folds)])
    choices = make_choices(market.frame, market.products, market.features)
    fit = fit_logit(choices)
    answers = elasticities(fit, choices, market.frame["product_id"])
    return MarketResult(measured[:, 0], measured[:, 1], fit, answers, len(choices), count)


def _folds(frame: pd.DataFrame, folds: int) -> Iterator[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]:
    from sklearn.model_selection import GroupKFold

    yield from GroupKFold(folds).split(frame, groups=frame["group"])


def _held_out(market: Market, rest: npt.NDArray[np.intp], held_out: npt.NDArray[np.intp]) -> tuple[float, float]:
    known, unseen = market.frame.iloc[rest], market.frame.iloc[held_out]
    fit = fit_logit(make_choices(known, market.products, market.features))
    nll = negative_log_likelihood(fit.coefficients, make_choices(unseen, market.products, market.features))
    return _shares_nll(known, unseen), nll


def _shares_nll(known: pd.DataFrame, unseen: pd.DataFrame) -> float:
    """Nats per choice of the products' shares, each of which has half a choice more than was seen."""
    taken = known.groupby("product_id")["chosen"].sum() + 0.5
    chosen = unseen.loc[unseen["chosen"] == 1, "product_id"]
    return float(-np.log(chosen.map(taken / taken.sum())).mean())


def _common_name(products: tuple[str, ...]) -> str:
    heads = {product.partition("/")[0] for product in products}
    return heads.pop() if len(heads) == 1 and all("/" in product for product in products) else ", ".join(products)
