"""What stands behind a mean: slices, calibration, another bundle beside it, robustness, and who is seen."""

from typing import Any

import pandas as pd

from planogram.evaluate.calibration import reliability
from planogram.evaluate.compare import compare, other_of
from planogram.evaluate.exposure import exposure
from planogram.evaluate.judged import Judged
from planogram.evaluate.keep import keep
from planogram.evaluate.robustness import robustness
from planogram.evaluate.slices import slice_columns, slice_rows


def depth(judged: Judged) -> dict[str, Any]:
    """Everything that the configuration asks for beside means.

    Returns:
        `calibration` (as `reliability`) where the head is a probability; `slices` (as `slice_rows`) and `untold` (slice
        -> why the shop does not tell it); `compare` (as `compare`); `robustness` and `exposure` (as the functions of
        these names); `files` (name -> where it stands). Each where it was asked for.

    Raises:
        ConfigError: the task does not rank products for queries, or the other bundle cannot be compared.
    """
    config = judged.config
    columns, untold = slice_columns(judged)
    other = other_of(judged, config.compare) if config.compare else None
    theirs = other.queries[other.metric] if other else None
    found: dict[str, Any] = {"calibration": reliability(judged.head, judged.examples.grades, judged.scores)}
    if config.slices:
        found |= {"slices": slice_rows(judged, columns, theirs), "untold": untold}
    if other:
        found["compare"] = compare(judged, other)
    if config.robustness:
        found |= {"robustness": robustness(judged), "exposure": exposure(judged)}
    found = {name: value for name, value in found.items() if value is not None}
    if config.out:
        found["files"] = keep(config.out, found, _queries(judged, columns, theirs), judged.metric)
    return found


def _queries(judged: Judged, columns: pd.DataFrame, theirs: "pd.Series[float] | None") -> pd.DataFrame:
    """A row for each query: its text, how many candidates, metrics, slices, and the other bundle's metric."""
    about = pd.DataFrame(
        {
            "query": pd.Series(judged.texts, dtype=object),
            "candidates": pd.Series({group: len(rows) for group, rows in judged.lists.items()}, dtype="int64"),
        }
    )
    table = about.join(judged.queries).join(columns)
    if theirs is not None:
        table = table.assign(other=theirs, difference=table[judged.metric] - theirs)
    return table.reset_index(drop=True)
