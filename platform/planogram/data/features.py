"""Numbers and categories beside the text: fitted on training rows by scikit-learn, kept as plain arrays."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import Field
from sklearn.compose import ColumnTransformer
from sklearn.preprocessing import OneHotEncoder, QuantileTransformer

from planogram.errors import DataError
from planogram.section import Section

Floats = npt.NDArray[np.float32]
MAX_QUANTILES = 100
# A category of fewer rows tells nothing that could be learned.
MIN_CATEGORY_ROWS = 10
# The normal quantiles of the smallest and largest values are infinite; this is where they end.
TAIL = 3.0


class Numeric(Section):
    """A number: its place among the training values as a normal score, and whether it is missing.

    Attributes:
        quantiles: of the training values, rising.
        scores: the normal score of each.
    """

    name: str
    quantiles: tuple[float, ...] = Field(..., strict=False)
    scores: tuple[float, ...] = Field(..., strict=False)


class Categorical(Section):
    """A category, one column for each that training saw often enough."""

    name: str
    categories: tuple[str, ...] = Field(..., strict=False)


class FeatureSpec(Section):
    """How columns become the input of the dense tower; part of the bundle."""

    numeric: tuple[Numeric, ...] = Field((), strict=False)
    categorical: tuple[Categorical, ...] = Field((), strict=False)

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that are needed."""
        return (*(column.name for column in self.numeric), *(column.name for column in self.categorical))

    @property
    def width(self) -> int:
        """Columns of what `transform` returns."""
        return 2 * len(self.numeric) + sum(len(column.categories) for column in self.categorical)

    def transform(self, frame: pd.DataFrame) -> Floats:
        """(rows, width) float32; what training never saw is all zeros, what is missing says so in a column.

        Raises:
            DataError: a column is absent.
        """
        if absent := [name for name in self.names if name not in frame]:
            raise DataError(f"features {', '.join(absent)} are missing", remedy="give every feature of the bundle")
        columns = [part for column in self.numeric for part in _scores(column, frame[column.name])]
        for column in self.categorical:
            values = frame[column.name].astype(str).to_numpy()
            columns += [(values == category).astype(np.float32) for category in column.categories]
        return np.stack(columns, axis=1) if columns else np.zeros((len(frame), 0), dtype=np.float32)


def fit_features(frame: pd.DataFrame, names: Sequence[str]) -> FeatureSpec:
    """Learn the scales of numbers and the categories from training rows.

    A column is numeric if all its values are numbers; one without any value tells nothing and is left out.

    Args:
        frame: training rows alone.
        names: the columns.
    """
    names = [name for name in names if frame[name].notna().any()]
    numeric = [name for name in names if pd.to_numeric(frame[name].dropna(), errors="coerce").notna().all()]
    categorical = [name for name in names if name not in numeric]
    rows = frame.assign(
        **{name: pd.to_numeric(frame[name]) for name in numeric},
        **{name: frame[name].astype(str) for name in categorical},
    )
    quantile = QuantileTransformer(n_quantiles=min(MAX_QUANTILES, len(frame)), output_distribution="normal")
    onehot = OneHotEncoder(min_frequency=MIN_CATEGORY_ROWS, handle_unknown="infrequent_if_exist")
    fitted = ColumnTransformer([("numeric", quantile, numeric), ("categorical", onehot, categorical)]).fit(rows)
    return FeatureSpec(
        numeric=_numeric(fitted.named_transformers_["numeric"], numeric) if numeric else (),
        categorical=_categorical(fitted.named_transformers_["categorical"], categorical) if categorical else (),
    )


def _numeric(fitted: QuantileTransformer, names: Sequence[str]) -> tuple[Numeric, ...]:
    columns = []
    for index, name in enumerate(names):
        # Equal quantiles (many zeros) become one knot with their mean score, or interpolation would be undefined.
        knots, places = np.unique(fitted.quantiles_[:, index], return_inverse=True)
        scores = np.clip(_normal_scores(fitted.references_), -TAIL, TAIL)
        means = np.bincount(places, weights=scores) / np.bincount(places)
        columns.append(Numeric(name=name, quantiles=tuple(knots.tolist()), scores=tuple(means.tolist())))
    return tuple(columns)


def _normal_scores(references: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    from scipy.stats import norm

    return np.asarray(norm.ppf(references))


def _categorical(fitted: OneHotEncoder, names: Sequence[str]) -> tuple[Categorical, ...]:
    rare = fitted.infrequent_categories_
    return tuple(
        Categorical(name=name, categories=tuple(str(c) for c in all_ if few is None or c not in set(few)))
        for name, all_, few in zip(names, fitted.categories_, rare, strict=True)
    )


def _scores(column: Numeric, values: "pd.Series[float]") -> list[Floats]:
    numbers = pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64)
    missing = np.isnan(numbers)
    scores = np.interp(np.where(missing, 0.0, numbers), column.quantiles, column.scores)
    return [np.where(missing, 0.0, scores).astype(np.float32), missing.astype(np.float32)]
