"""Numbers and categories beside the text: fitted on training rows by scikit-learn, kept as plain arrays."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import Field
from sklearn.preprocessing import OneHotEncoder, QuantileTransformer

from planogram.errors import DataError
from planogram.section import Section

Floats = npt.NDArray[np.float32]
# Of a number. On purchases of visits 16 to 32 did equally well, 8 and 64 worse.
NUM_BINS = 16
# A category of fewer rows tells nothing that could be learned.
MIN_CATEGORY_ROWS = 10
# Added to standard deviations, so that what nearly never varies is not blown up.
MIN_DEVIATION = 0.01


class Numeric(Section):
    """A number as columns: 1 in the bins below it, the share passed in its own, 0 above; and whether it is missing.

    Source: piecewise linear encoding, Gorishniy et al. 2022, On Embeddings for Numerical Features in Tabular Deep
    Learning; here without extrapolation, for the outliers of a shop's data.

    Attributes:
        edges: of the bins, strictly rising; many equal values share one. A constant has a single edge, and no bin.
    """

    name: str
    edges: tuple[float, ...] = Field(..., strict=False)

    @property
    def width(self) -> int:
        """Columns: one for each bin, one for missing."""
        return max(len(self.edges) - 1, 0) + 1


class Categorical(Section):
    """A category, one column for each that training saw often enough."""

    name: str
    categories: tuple[str, ...] = Field(..., strict=False)

    @property
    def width(self) -> int:
        """Columns."""
        return len(self.categories)

    def encode(self, values: "pd.Series[str]") -> npt.NDArray[np.float64]:
        """(rows, width) 1 in the column of the row's category; what training never saw is in none."""
        return (_labels(values)[:, None] == np.asarray(self.categories, dtype=object)).astype(np.float64)


@dataclass(frozen=True, eq=False)
class _Moments:
    """Of the encoded training rows: means and inverse standard deviations, each (width,)."""

    means: npt.NDArray[np.float64]
    scales: npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Bins:
    """The columns of all numbers at once, since a server encodes them with each request.

    Attributes:
        source: (columns,) which number each is of.
        low: (columns,) where its bin begins.
        span: (columns,) how long the bin is.
        missing: (numbers,) the columns that say that a number is missing.
    """

    source: npt.NDArray[np.int64]
    low: npt.NDArray[np.float64]
    span: npt.NDArray[np.float64]
    missing: npt.NDArray[np.int64]

    @classmethod
    def of(cls, numeric: Sequence[Numeric]) -> "_Bins":
        edges = [np.asarray(column.edges) for column in numeric]
        # Of a column for missing values nothing is computed: its bin is any.
        low = [np.append(each[:-1], 0.0) for each in edges]
        span = [np.append(np.diff(each), 1.0) for each in edges]
        widths = [column.width for column in numeric]
        source = np.repeat(np.arange(len(numeric)), widths)
        return cls(source, np.concatenate(low), np.concatenate(span), np.cumsum(widths) - 1)

    def encode(self, numbers: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """(rows, columns) of (rows, numbers); NaN where a number is missing."""
        filled = np.clip((numbers[:, self.source] - self.low) / self.span, 0.0, 1.0)
        filled[:, self.missing] = np.isnan(numbers)
        return filled


class FeatureSpec(Section):
    """How columns become the input of the dense tower; part of the bundle.

    Attributes:
        means: (width,) of the encoded training rows.
        scales: (width,) the inverse of their standard deviations; 0 for what never varied and so taught nothing.
    """

    numeric: tuple[Numeric, ...] = Field((), strict=False)
    categorical: tuple[Categorical, ...] = Field((), strict=False)
    means: tuple[float, ...] = Field((), strict=False)
    scales: tuple[float, ...] = Field((), strict=False)

    @property
    def columns(self) -> tuple[Numeric | Categorical, ...]:
        """All of them, in the order of what `transform` returns."""
        return (*self.numeric, *self.categorical)

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that are needed."""
        return tuple(column.name for column in self.columns)

    @property
    def width(self) -> int:
        """Columns of what `transform` returns."""
        return sum(column.width for column in self.columns)

    def transform(self, frame: pd.DataFrame) -> Floats:
        """(rows, width) float32, standardised; a missing number stands at the mean and says so in a column.

        Raises:
            DataError: a column is absent.
        """
        if absent := [name for name in self.names if name not in frame]:
            raise DataError(f"features {', '.join(absent)} are missing", remedy="give every feature of the bundle")
        standardised = (self.encode(frame) - self._moments.means) * self._moments.scales
        return np.nan_to_num(standardised, nan=0.0).astype(np.float32)

    def encode(self, frame: pd.DataFrame) -> npt.NDArray[np.float64]:
        """(rows, width) before they are standardised; NaN where a number is missing."""
        parts = [column.encode(frame[column.name]) for column in self.categorical]
        if self.numeric:
            parts.insert(0, self._bins.encode(_numbers(frame[[column.name for column in self.numeric]])))
        return np.concatenate(parts, axis=1) if parts else np.zeros((len(frame), 0))

    @cached_property
    def _bins(self) -> _Bins:
        return _Bins.of(self.numeric)

    @cached_property
    def _moments(self) -> _Moments:
        return _Moments(np.asarray(self.means), np.asarray(self.scales))


def fit_features(frame: pd.DataFrame, names: Sequence[str], categories: Sequence[str] = ()) -> FeatureSpec:
    """Learn the bins of numbers, the categories and the scales of both from training rows.

    A column is numeric if all its values are numbers and `categories` does not name it. One without any value tells
    nothing and is left out.

    Args:
        frame: training rows alone.
        names: the columns.
        categories: those whose numbers are codes.
    """
    names = [name for name in names if frame[name].notna().any()]
    numeric = [name for name in names if name not in categories and _is_numeric(frame[name])]
    spec = FeatureSpec(
        numeric=_numeric(frame, numeric),
        categorical=_categorical(frame, [name for name in names if name not in numeric]),
    )
    if not spec.width:
        return spec
    encoded = spec.encode(frame)
    deviations = np.nanstd(encoded, axis=0)
    scales = np.where(deviations > 0, 1 / (deviations + MIN_DEVIATION), 0.0)
    return spec.model_copy(
        update={"means": tuple(np.nanmean(encoded, axis=0).tolist()), "scales": tuple(scales.tolist())}
    )


def _numbers(frame: pd.DataFrame) -> npt.NDArray[np.float64]:
    # What is floats already, as a server has it with each request, need not be parsed again.
    plain = (frame.dtypes == np.float64).all()
    return (frame if plain else frame.apply(pd.to_numeric, errors="coerce")).to_numpy(dtype=np.float64)


def _is_numeric(values: "pd.Series[float]") -> bool:
    return bool(pd.to_numeric(values.dropna(), errors="coerce").notna().all())


def _labels(values: "pd.Series[str]") -> npt.NDArray[np.object_]:
    """Categories as texts; the code 3 reads the same from a column of integers, of floats and of texts."""
    if pd.api.types.is_numeric_dtype(values):
        values = values.map("{:.15g}".format)
    return values.astype(str).to_numpy(dtype=object)


def _numeric(frame: pd.DataFrame, names: Sequence[str]) -> tuple[Numeric, ...]:
    if not names:
        return ()
    rows = frame[list(names)].apply(pd.to_numeric).astype(np.float64)
    fitted = QuantileTransformer(n_quantiles=min(NUM_BINS + 1, len(rows)), subsample=None).fit(rows)
    edges = [np.unique(quantiles[np.isfinite(quantiles)]) for quantiles in fitted.quantiles_.T]
    return tuple(Numeric(name=name, edges=tuple(column.tolist())) for name, column in zip(names, edges, strict=True))


def _categorical(frame: pd.DataFrame, names: Sequence[str]) -> tuple[Categorical, ...]:
    if not names:
        return ()
    rows = np.column_stack([_labels(frame[name]) for name in names])
    fitted = OneHotEncoder(min_frequency=MIN_CATEGORY_ROWS, handle_unknown="infrequent_if_exist").fit(rows)
    return tuple(
        Categorical(name=name, categories=tuple(str(c) for c in all_ if few is None or c not in set(few)))
        for name, all_, few in zip(names, fitted.categories_, fitted.infrequent_categories_, strict=True)
    )
