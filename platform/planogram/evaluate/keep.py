"""The folder of an evaluation: plots, and a table with a row for each query."""

import io
from typing import Any

import pandas as pd

from planogram import storage
from planogram.evaluate import plots


def keep(folder: str, found: dict[str, Any], queries: pd.DataFrame, metric: str) -> dict[str, str]:
    """Write what was found, over an earlier evaluation in the same folder.

    Args:
        folder: path or URI.
        found: what `depth` returns.
        queries: a row for each query.
        metric: that lists are compared by.

    Returns:
        Name -> where it stands: `queries` (Parquet), and as PNG `calibration`, `slices` and `differences` where there
        is something to draw.
    """
    table = io.BytesIO()
    queries.to_parquet(table, index=False)
    written = {"queries": ("queries.parquet", table.getvalue())}
    written |= {name: (f"{name}.png", picture) for name, picture in pictures(found, queries, metric).items()}
    files = {}
    for name, (file, content) in written.items():
        files[name] = storage.join(folder, file)
        storage.write_bytes(files[name], content)
    return files


def pictures(found: dict[str, Any], queries: pd.DataFrame, metric: str) -> dict[str, bytes]:
    """Name -> PNG of what there is to draw."""
    drawn = {}
    if "calibration" in found:
        drawn["calibration"] = plots.reliability_diagram(found["calibration"])
    if shown := [row for row in found.get("slices", ()) if row["judged"]]:
        drawn["slices"] = plots.slices_plot(shown, metric)
    if "difference" in queries:
        drawn["differences"] = plots.differences_plot(queries["difference"].dropna().to_numpy(), metric)
    return drawn
