"""What predicts a price or units from all that is known beside the price: dummies, and trees on what they leave."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd
from threadpoolctl import threadpool_limits

from planogram.errors import DataError

Floats = npt.NDArray[np.float64]
LearnerName = Literal["ridge", "boosting"]
# In rows of a dummy that stand at the mean: a product with very few rows is drawn towards the others, hardly any else.
PENALTY = 0.1
# Dummies fitted alone hold what trees find later, as the weather of a product's weeks: they are fitted anew.
ROUNDS = 2
# Of a fit of trees on one thread: below, it is several times as fast.
FEW_ROWS = 50_000


class Learner(Protocol):
    """A regression of frames; `predict` is on the scale of the target, or its logarithm where that is said."""

    def fit(self, frame: pd.DataFrame, target: Floats) -> "Learner":
        """Learn from (rows,) targets."""
        ...

    def predict(self, frame: pd.DataFrame) -> Floats:
        """(rows,) expectations."""
        ...


MakeLearner = Callable[[Sequence[str]], Learner]


class Dummies:
    """Columns for a linear model: a dummy for each value of a category, and standardised numbers.

    A value that training did not see has no dummy, and so stands at the mean of those that it saw.

    Args:
        features: columns of texts or integers are categories, those of floats are numbers.
    """

    def __init__(self, features: Sequence[str]) -> None:
        self.features = list(features)

    def fit(self, frame: pd.DataFrame) -> "Dummies":
        """Learn the categories and scales."""
        from sklearn.preprocessing import OneHotEncoder

        if not self.features:
            raise DataError("no features to predict from", remedy="name one or more columns")
        self.numbers = [name for name in self.features if pd.api.types.is_float_dtype(frame[name])]
        self.categories = [name for name in self.features if name not in self.numbers]
        self.encoder = OneHotEncoder(handle_unknown="ignore").fit(frame[self.categories]) if self.categories else None
        values = frame[self.numbers].to_numpy(dtype=float)
        self.means = np.asarray([np.nanmean(column) for column in values.T])
        self.scales = np.asarray([np.nanstd(column) or 1.0 for column in values.T])
        return self

    def transform(self, frame: pd.DataFrame) -> Any:
        """(rows, columns) sparse; a missing number stands at the mean."""
        from scipy.sparse import csr_array, hstack

        parts = [csr_array(self._standardised(frame))] if self.numbers else []
        if self.encoder is not None:
            parts.append(csr_array(self.encoder.transform(frame[self.categories])))
        return hstack(parts, format="csr")

    def told(self, frame: pd.DataFrame, coefficients: Floats) -> Floats:
        """(rows, categories + numbers): what a linear model says of each category, and the numbers as they are.

        Trees take it in place of the categories: a single cut then parts products that sell much from the others.
        """
        numbers = frame[self.numbers].to_numpy(dtype=float)
        if self.encoder is None:
            return numbers
        dummies, first, said = self.encoder.transform(frame[self.categories]).tocsc(), len(self.numbers), []
        start = 0
        for levels in self.encoder.categories_:
            stop = start + len(levels)
            said.append(dummies[:, start:stop] @ coefficients[first + start : first + stop])
            start = stop
        return np.column_stack([*said, numbers])

    def _standardised(self, frame: pd.DataFrame) -> Floats:
        values = frame[self.numbers].to_numpy(dtype=float)
        return np.nan_to_num((values - self.means) / self.scales, nan=0.0)


class RidgeDummies:
    """Ridge regression on dummies and numbers."""

    def __init__(self, features: Sequence[str]) -> None:
        self.dummies = Dummies(features)

    def fit(self, frame: pd.DataFrame, target: Floats) -> "RidgeDummies":
        """Learn."""
        from sklearn.linear_model import Ridge

        design = self.dummies.fit(frame).transform(frame)
        self.model = Ridge(alpha=PENALTY, solver="lsqr", tol=1e-8).fit(design, target)
        return self

    def predict(self, frame: pd.DataFrame) -> Floats:
        """(rows,) expectations."""
        return np.asarray(self.model.predict(self.dummies.transform(frame)), dtype=float)


class BoostedDummies:
    """Ridge regression on dummies and boosted trees, each on what the other leaves.

    Dummies tell products and periods apart, which trees alone would do in hundreds of cuts; trees find what is no
    straight line, and what counts on some products more than on others. Integers, such as the period, enter the trees
    as numbers too. Source: backfitting, Hastie & Tibshirani 1986, Generalized Additive Models.
    """

    def __init__(self, features: Sequence[str]) -> None:
        self.features = features

    def fit(self, frame: pd.DataFrame, target: Floats) -> "BoostedDummies":
        """Learn."""
        self.first = self.linear = RidgeDummies(self.features).fit(frame, target)
        columns = self._columns(frame)
        for _ in range(ROUNDS):
            self.trees = _Trees("squared_error", columns, target - self.linear.predict(frame))
            self.linear = RidgeDummies(self.features).fit(frame, target - self.trees.predict(columns))
        return self

    def predict(self, frame: pd.DataFrame) -> Floats:
        """(rows,) expectations."""
        return self.linear.predict(frame) + self.trees.predict(self._columns(frame))

    def _columns(self, frame: pd.DataFrame) -> Floats:
        return _tree_columns(self.first.dummies, self.first.model.coef_, frame)


class BoostedPoisson:
    """The logarithm of expected units, which may be 0: as `BoostedDummies`, by Poisson likelihoods.

    A part that multiplies a mean m learns units / m with weights m: the same likelihood as with log m as an offset.
    """

    def __init__(self, features: Sequence[str]) -> None:
        self.dummies = Dummies(features)

    def fit(self, frame: pd.DataFrame, target: Floats) -> "BoostedPoisson":
        """Learn from units.

        Raises:
            DataError: nothing was sold, or units are negative.
        """
        if not target.mean() > 0 or target.min() < 0:
            raise DataError("units that are negative or all 0", allowed="0 or more", remedy="bring observed sales")
        design = self.dummies.fit(frame).transform(frame)
        self.first = self.linear = _poisson(design, target, np.full(len(target), target.mean()))
        columns = self._columns(frame)
        self.level = float(target.mean())
        for _ in range(ROUNDS):
            mean = self.linear.predict(design) * self.level
            self.trees = _Trees("poisson", columns, target / mean, mean / mean.mean())
            self.linear = _poisson(design, target, self.trees.predict(columns) * self.level)
        return self

    def predict(self, frame: pd.DataFrame) -> Floats:
        """(rows,) logarithms of expected units."""
        mean = self.linear.predict(self.dummies.transform(frame)) * self.level
        return np.log(mean * self.trees.predict(self._columns(frame)))

    def _columns(self, frame: pd.DataFrame) -> Floats:
        return _tree_columns(self.dummies, self.first.coef_, frame)


#: name -> learner of prices, log units and rates
LEARNERS: dict[LearnerName, MakeLearner] = {"ridge": RidgeDummies, "boosting": BoostedDummies}


def _few_threads(rows: int) -> AbstractContextManager[Any]:
    """Boosted trees on few rows take one thread: more wait for each other longer than they compute."""
    return threadpool_limits(1, "openmp") if rows < FEW_ROWS else nullcontext()


class _Trees:
    """Boosted trees, learned from (rows, columns)."""

    def __init__(self, loss: str, columns: Floats, target: Floats, weights: Floats | None = None) -> None:
        from sklearn.ensemble import HistGradientBoostingRegressor

        # Small and slow: what dummies leave is mostly noise, and what learns it by heart predicts other rows worse.
        self.model = HistGradientBoostingRegressor(
            loss=loss, learning_rate=0.05, max_iter=150, max_leaf_nodes=15, min_samples_leaf=20, random_state=0
        )
        with _few_threads(len(target)):
            self.model.fit(columns, target, sample_weight=weights)

    def predict(self, columns: Floats) -> Floats:
        """(rows,) expectations."""
        with _few_threads(len(columns)):
            return np.asarray(self.model.predict(columns))


def _poisson(design: Any, units: Floats, mean: Floats) -> Any:
    """What multiplies a mean."""
    from sklearn.linear_model import PoissonRegressor

    model = PoissonRegressor(alpha=PENALTY / len(units), max_iter=1000)
    # Steps of L-BFGS solve systems of ten unknowns, which threads slow down.
    with threadpool_limits(1, "blas"):
        return model.fit(design, units / mean, sample_weight=mean)


def _tree_columns(dummies: Dummies, coefficients: Floats, frame: pd.DataFrame) -> Floats:
    integers = [name for name in dummies.categories if pd.api.types.is_integer_dtype(frame[name])]
    return np.column_stack([dummies.told(frame, coefficients), frame[integers].to_numpy(dtype=float)])
