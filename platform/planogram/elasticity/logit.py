"""The conditional logit: which product of a choice set is taken, by prices and by what else differs between them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from planogram.elasticity.loglog import known
from planogram.errors import DataError

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
MAX_STEPS = 100
TOLERANCE = 1e-9
# Of a coefficient, in log odds for a standard deviation of its column; where it is larger, there is no maximum.
LARGEST_ERROR = 100.0


@dataclass(frozen=True)
class Choices:
    """Choice sets as arrays; rows of a set stand together.

    Attributes:
        design: (rows, columns).
        names: of the columns; `price` is the first one.
        starts: (sets,) first row of every set.
        sets: (rows,) number of the row's set.
        chosen: (rows,) 1 for the alternative taken, one of every set.
    """

    design: Floats
    names: tuple[str, ...]
    starts: npt.NDArray[np.intp]
    sets: Integers
    chosen: Floats

    def __len__(self) -> int:
        return len(self.starts)


@dataclass(frozen=True)
class Logit:
    """A fitted conditional logit.

    Attributes:
        names, coefficients, standard_errors: of the columns; utilities are design @ coefficients.
        log_likelihood: of the choices it was fitted to.
        choices: how many these are.
    """

    names: tuple[str, ...]
    coefficients: Floats
    standard_errors: Floats
    log_likelihood: float
    choices: int

    @property
    def price(self) -> float:
        """Utility of one unit of the currency, below 0."""
        return float(self.coefficients[0])


def make_choices(frame: pd.DataFrame, products: Sequence[str], features: Sequence[str] = ()) -> Choices:
    """The design of a market: the price, features, and a constant for every product but the last.

    Args:
        frame: rows of one market: choice_set, product_id, price, chosen and the features.
        products: of the market, in the order of the constants.
        features: numeric columns that may differ between alternatives.

    Raises:
        DataError: not exactly one alternative of a set is chosen, or a feature is missing.
    """
    rows = frame.sort_values("choice_set", kind="stable")
    _, starts, sets = np.unique(rows["choice_set"].to_numpy(), return_index=True, return_inverse=True)
    chosen = rows["chosen"].to_numpy(dtype=float)
    if (wrong := int((np.add.reduceat(chosen, starts) != 1).sum())) > 0:
        raise DataError(f"{wrong} choice sets without exactly one chosen product", remedy="leave them out of the table")
    constants = [(rows["product_id"] == name).to_numpy(dtype=float) for name in products[:-1]]
    design = np.column_stack([rows["price"].to_numpy(dtype=float), known(rows, features), *constants])
    names = ("price", *features, *(f"constant of {name}" for name in products[:-1]))
    return Choices(design, names, starts, sets.astype(np.int64), chosen)


def probabilities(coefficients: Floats, choices: Choices) -> Floats:
    """(rows,) P(alternative | set) = exp(u) / sum(exp(u)): McFadden 1974, Conditional logit analysis."""
    utility = choices.design @ coefficients
    utility = utility - np.maximum.reduceat(utility, choices.starts)[choices.sets]
    odds = np.exp(utility)
    return odds / np.add.reduceat(odds, choices.starts)[choices.sets]


def log_likelihood(coefficients: Floats, choices: Choices) -> float:
    """The sum of log probabilities of what was chosen."""
    return float(choices.chosen @ np.log(np.maximum(probabilities(coefficients, choices), np.finfo(float).tiny)))


def gradient(coefficients: Floats, choices: Choices) -> Floats:
    """(columns,) of the log-likelihood: sum of (chosen - P) x."""
    return choices.design.T @ (choices.chosen - probabilities(coefficients, choices))


def hessian(coefficients: Floats, choices: Choices) -> Floats:
    """(columns, columns) of the log-likelihood: minus the sum of P (x - m) (x - m)', with m a set's sum of P x."""
    chances = probabilities(coefficients, choices)[:, None]
    means = np.add.reduceat(chances * choices.design, choices.starts, axis=0)[choices.sets]
    centred = choices.design - means
    return -(chances * centred).T @ centred


def fit_logit(choices: Choices) -> Logit:
    """Maximum likelihood by Newton's method; the likelihood is concave, so a step that overshoots is halved.

    Standard errors are those of the inverse information; they take choices of one household for unrelated.

    Raises:
        DataError: a column does not vary within sets, or a column tells every choice, so that there is no maximum.
    """
    coefficients = np.zeros(choices.design.shape[1])
    value = log_likelihood(coefficients, choices)
    for _ in range(MAX_STEPS):
        slope, information = gradient(coefficients, choices), -hessian(coefficients, choices)
        _check(_is_regular(information), choices)
        step = np.linalg.solve(information, slope).astype(np.float64)
        if slope @ step <= TOLERANCE:
            errors = np.sqrt(np.diag(np.linalg.inv(information)))
            _check(bool((errors * choices.design.std(axis=0) < LARGEST_ERROR).all()), choices)
            return Logit(choices.names, coefficients, errors, value, len(choices))
        coefficients, value = _climb(coefficients, step, value, choices)
    raise DataError(f"the logit did not settle in {MAX_STEPS} steps", remedy="name fewer features")


def negative_log_likelihood(coefficients: Floats, choices: Choices) -> float:
    """Per choice, in nats."""
    return -log_likelihood(coefficients, choices) / len(choices)


def elasticities(fit: Logit, choices: Choices, products: "pd.Series[Any]") -> pd.DataFrame:
    """Own and cross elasticities of expected demand.

    Of one choice, d log P_i / d log p_i = b p_i (1 - P_i) and d log P_i / d log p_j = -b p_j P_j, with b the
    coefficient of the price. Over choices they are weighed by P_i: Ben-Akiva & Lerman 1985, Discrete Choice Analysis.
    In one choice every other product answers alike to a price (independence of irrelevant alternatives).

    Args:
        fit: the logit.
        choices: of sets with every product once.
        products: (rows,) product of each row of `choices`.

    Returns:
        (products, products): row i answers to the price of column j.
    """
    count = products.nunique()
    order = np.lexsort([products.to_numpy(dtype=str), choices.sets])
    chances, prices = (
        values[order].reshape(-1, count) for values in (probabilities(fit.coefficients, choices), choices.design[:, 0])
    )
    answers = -fit.price * (chances.T @ (prices * chances)) / chances.sum(axis=0)[:, None]
    own = fit.price * (chances * prices * (1 - chances)).sum(axis=0) / chances.sum(axis=0)
    np.fill_diagonal(answers, own)
    names = sorted(products.unique())
    return pd.DataFrame(answers, index=names, columns=names)


def _climb(coefficients: Floats, step: Floats, value: float, choices: Choices) -> tuple[Floats, float]:
    for halvings in range(30):
        tried = coefficients + step / 2**halvings
        if (reached := log_likelihood(tried, choices)) > value:
            return tried, reached
    raise DataError("no step raises the likelihood of the logit", remedy="scale the features alike")


def _is_regular(information: Floats) -> bool:
    scale = np.sqrt(np.diag(information))
    return bool((scale > 0).all() and np.linalg.cond(information / np.outer(scale, scale)) < 1e10)


def _check(told_apart: bool, choices: Choices) -> None:
    if not told_apart:
        raise DataError(
            f"the logit cannot tell {', '.join(choices.names)} apart",
            remedy="leave out features that do not vary within choice sets, or that tell every choice",
        )
