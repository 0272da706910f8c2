"""Metrics by slice: how good a ranking is for each kind of query, and not on average alone."""

from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from planogram.evaluate.judged import Judged
from planogram.evaluate.kinds import KINDS, UntoldError
from planogram.evaluate.significance import paired, quantiles

Floats = npt.NDArray[np.floating]
# Of fewer queries a mean says little: they are named, and not judged.
LEAST_QUERIES = 20


def slice_columns(judged: Judged) -> tuple[pd.DataFrame, dict[str, str]]:
    """Which slice each query belongs to.

    Returns:
        Indexed by the number of the query, a column of values for each asked slice that the shop's tables tell; and
        the others with the reason.

    Raises:
        ConfigError: the task does not rank products for queries.
    """
    if judged.config.slices:
        judged.check_lists("slices")
    columns: dict[str, dict[int, str]] = {}
    untold: dict[str, str] = {}
    for name in judged.config.slices:
        try:
            columns[name] = KINDS[name](judged)
        except UntoldError as reason:
            untold[name] = str(reason)
    return pd.DataFrame(columns, index=pd.Index(list(judged.lists), name="group")), untold


def slice_rows(judged: Judged, columns: pd.DataFrame, other: "pd.Series[float] | None" = None) -> list[dict[str, Any]]:
    """The metric of every slice.

    Args:
        judged: the bundle's scores.
        columns: of `slice_columns`.
        other: number of the query -> the same metric of another bundle.

    Returns:
        A row for each slice and value, those of most queries first: `slice`, `value`, `queries`, `judged` (whether
        they are enough), `mean`, `interval` (95 %), and against another bundle `difference` (as `significance.paired`).
    """
    own = judged.queries[judged.metric].dropna()
    rows = []
    for name in columns:
        values = columns[name].dropna()
        for value in values.value_counts().index:
            groups = own.index.intersection(values.index[values == value])
            if len(groups):
                rows.append({"slice": name, "value": str(value), **_row(judged, own[groups], other)})
    return rows


def _row(judged: Judged, own: "pd.Series[float]", other: "pd.Series[float] | None") -> dict[str, Any]:
    resamples, seed = judged.config.bootstrap, judged.config.seed
    row: dict[str, Any] = {
        "queries": len(own),
        "judged": len(own) >= LEAST_QUERIES,
        "mean": float(own.mean()),
        "interval": list(quantiles(own.to_numpy(), (0.025, 0.975), resamples, seed)),
    }
    if other is not None:
        row["difference"] = asdict(paired(own.to_numpy() - other[own.index].to_numpy(), resamples, seed))
    return row


def differences_of(judged: Judged, columns: pd.DataFrame, other: "pd.Series[float]") -> dict[tuple[str, str], Floats]:
    """(slice, value) -> (queries,) differences to another bundle, of the slices that are judged."""
    change = (judged.queries[judged.metric] - other).dropna()
    found = {}
    for name in map(str, columns):
        values = columns[name].dropna()
        for value in values.unique():
            own = change[change.index.intersection(values.index[values == value])].to_numpy()
            if len(own) >= LEAST_QUERIES:
                found[name, str(value)] = own
    return found
