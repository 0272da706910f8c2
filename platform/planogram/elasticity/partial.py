"""Elasticities with all else predicted away: double machine learning of the partially linear model."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from planogram.elasticity.learners import Learner, MakeLearner
from planogram.elasticity.slope import Estimate, slope
from planogram.errors import DataError

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Averaged:
    """The learners of all folds, which together saw every row; for rows that none of them saw."""

    learners: tuple[Learner, ...]

    def predict(self, frame: pd.DataFrame) -> Floats:
        """(rows,) mean of their predictions; of logarithms, the mean of logarithms."""
        return np.mean([learner.predict(frame) for learner in self.learners], axis=0)


@dataclass(frozen=True)
class CrossFitted:
    """A nuisance function.

    Attributes:
        oof: (rows,) predictions for every row by the learner that did not see its group.
        model: for later rows.
    """

    oof: Floats
    model: Averaged


@dataclass(frozen=True)
class PartialOut:
    """An elasticity of the partially linear model, and what it was made of.

    Attributes:
        price: (rows,) residuals of the log price.
        target: (rows,) residuals of the log units.
        price_r2: share of the log price's variance that is predicted out of fold. Near 1 the price hardly moves by
            itself, and there is little to learn from.
        target_r2: the same of the log units.
    """

    estimate: Estimate
    price: Floats
    target: Floats
    price_r2: float
    target_r2: float


def fold_groups(frame: pd.DataFrame, block_periods: int) -> Integers:
    """(rows,) numbers of what must not be torn apart by folds.

    Choice sets of several rows; else a product's rows of so many periods in a row, whose errors are related; else rows.

    Args:
        frame: product_id, choice_set, store, period.
        block_periods: length of a block of periods.
    """
    if frame["choice_set"].duplicated().any():
        return frame["choice_set"].to_numpy().astype(np.int64)
    if frame["period"].nunique() == 1:
        return np.arange(len(frame), dtype=np.int64)
    blocks = [frame["product_id"], frame["store"], frame["period"] // block_periods]
    return frame.groupby(blocks, sort=False).ngroup().to_numpy().astype(np.int64)


def cross_fit(
    frame: pd.DataFrame, features: Sequence[str], target: Floats, folds: int, groups: Integers, learner: MakeLearner
) -> CrossFitted:
    """Predict a target of every row by a learner that saw other groups alone.

    The folds depend on the groups alone, so that several targets share them.

    Args:
        frame: the features; texts and integers are categories, floats are numbers.
        features: columns that predict.
        target: (rows,).
        folds: how many.
        groups: (rows,) rows of one group are in one fold.
        learner: makes a learner of the features; see `learners`.

    Raises:
        DataError: there are fewer groups than folds.
    """
    from sklearn.model_selection import GroupKFold

    if (count := len(np.unique(groups))) < folds:
        raise DataError(f"{count} groups for {folds} folds", remedy="lower the folds or bring more observations")
    oof = np.full(len(frame), np.nan)
    learners = []
    # Shuffled: in turn, blocks of the same weeks of all products would be one fold, and their weeks never seen.
    for rest, held_out in GroupKFold(folds, shuffle=True, random_state=0).split(frame, groups=groups):
        fitted = learner(features).fit(frame.iloc[rest], target[rest])
        oof[held_out] = fitted.predict(frame.iloc[held_out])
        learners.append(fitted)
    return CrossFitted(oof, Averaged(tuple(learners)))


def partial_out(
    frame: pd.DataFrame,
    features: Sequence[str],
    target: Floats,
    folds: int,
    groups: Integers,
    learner: MakeLearner,
    *,
    clusters: Integers | None = None,
) -> PartialOut:
    """The elasticity theta of y = theta log price + g(x) + error, whatever smooth g is.

    Both the log price and y are predicted from x without the row's own group, and theta is the slope of one residual on
    the other. Errors of the two predictions enter theta only as their product (Robinson 1988; Chernozhukov et al. 2018,
    Double/debiased machine learning for treatment and structural parameters, section 4.1, partialling out; the standard
    error of their theorem 3.2).

    Args:
        frame: log_price and the features.
        features: x.
        target: (rows,) y: log units, or purchases over their mean.
        folds: how many.
        groups: (rows,) rows of one group are in one fold.
        learner: of both; see `learners`.
        clusters: (rows,) of the errors; absent: HC1.

    Raises:
        DataError: the features predict the price wholly, or there are fewer groups than folds.
    """
    log_price = frame["log_price"].to_numpy(dtype=float)
    price, other = (
        values - cross_fit(frame, features, values, folds, groups, learner).oof for values in (log_price, target)
    )
    estimate = slope(price, other, clusters)
    return PartialOut(estimate, price, other, explained(log_price, price), explained(target, other))


def explained(values: Floats, residuals: Floats) -> float:
    """R2: the share of variance that is not in the residuals; below 0 where the mean predicts better."""
    return 1 - float(residuals @ residuals) / float(((values - values.mean()) ** 2).sum())
