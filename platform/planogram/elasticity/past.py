"""What was known of a product before each period, and how often its price was seen: what demand is explained by."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from planogram.elasticity.events import weeks
from planogram.errors import DataError

# Periods that are averaged.
WINDOWS = (4, 8)
# Weeks of a year: a season comes again.
YEAR = 52


def weekly_exposures(events: pd.DataFrame) -> pd.DataFrame:
    """How often each product was seen in each week, and how often it was bought.

    Args:
        events: the interactions table: timestamp, event_type, product_id, price. Impressions are what was seen, clicks
            where the shop logs no impressions.

    Returns:
        product_id, period (weeks since the first one of all), price (mean of what was seen), exposure, units
        (purchases, at most the exposure), choice_set (none); by product and week, where the product was seen.

    Raises:
        DataError: nothing was seen at a price.
    """
    priced = events[events["price"] > 0]
    shown = priced[priced["event_type"] == "impression"]
    if shown.empty:
        shown = priced[priced["event_type"] == "click"]
    if shown.empty:
        raise DataError("no impression or click has a price", remedy="map the price of impressions")
    period = weeks(priced["timestamp"])
    keys = ["product_id", "period"]
    seen = shown.assign(period=period).groupby(keys).agg(price=("price", "mean"), exposure=("price", "size"))
    bought = priced[priced["event_type"] == "purchase"].assign(period=period).groupby(keys).size()
    units = bought.reindex(seen.index).fillna(0).clip(upper=seen["exposure"])
    return seen.assign(
        units=units.astype(float), exposure=seen["exposure"].astype(float), choice_set=None
    ).reset_index()


def past(frame: pd.DataFrame) -> pd.DataFrame:
    """Columns that say what was known before a row's period.

    Args:
        frame: product_id, period and units; exposure where there is one.

    Returns:
        In the order of the rows: `last` (log of 1 + units of the period before), `mean_4` and `mean_8` (the same of the
        mean of so many periods), `market` (log of 1 + units of all products in the period before), `age` (log of 1 +
        periods since the product's first), and `season_sin` and `season_cos` where the rows are of a year or longer: in
        less, any trend would pass for a season. NaN where nothing is known. With an exposure, units are rates per
        thousand.
    """
    table = _table(frame)
    columns = {"last": table.shift(1)} | {f"mean_{size}": table.shift(1).rolling(size, 1).mean() for size in WINDOWS}
    place = (
        table.index.get_indexer(pd.Index(frame["period"])),
        table.columns.get_indexer(pd.Index(frame["product_id"])),
    )
    known = {name: np.log1p(values.to_numpy()[place]) for name, values in columns.items()}
    market = table.mean(axis=1).shift(1).to_numpy()[place[0]]
    first = frame.groupby("product_id")["period"].transform("min")
    return pd.DataFrame(
        {
            **known,
            "market": np.log1p(market),
            "age": np.log1p((frame["period"] - first).to_numpy(dtype=float)),
            **_season(frame["period"].to_numpy(dtype=float)),
        }
    )


def _season(period: npt.NDArray[np.float64]) -> dict[str, npt.NDArray[np.float64]]:
    if np.ptp(period) < YEAR:
        return {}
    angle = 2 * np.pi * period / YEAR
    return {"season_sin": np.sin(angle), "season_cos": np.cos(angle)}


def _table(frame: pd.DataFrame) -> pd.DataFrame:
    """(periods, products) units, or rates per thousand; NaN where a product has no row. Every period has its line."""
    sums = frame.groupby(["period", "product_id"])[["units", *(["exposure"] if "exposure" in frame else [])]].sum()
    values = 1000 * sums["units"] / sums["exposure"] if "exposure" in sums else sums["units"]
    table = values.unstack("product_id")
    return table.reindex(range(int(frame["period"].min()), int(frame["period"].max()) + 1))


def loyalty(frame: pd.DataFrame, carry: float = 0.8) -> npt.NDArray[np.float64]:
    """How much a household has chosen each alternative before: an exponentially smoothed share of its earlier choices.

    Args:
        frame: choices in the order of time: group (household), choice_set, product_id, chosen (0 or 1).
        carry: what the earlier value keeps at each choice.

    Returns:
        (rows,) 0..1; 1 / alternatives before a household's first choice.

    Source: Guadagni & Little 1983, A Logit Model of Brand Choice Calibrated on Scanner Data.
    """
    found = np.empty(len(frame))
    known: dict[tuple[int, str], float] = {}
    sizes = frame.groupby("choice_set")["product_id"].transform("size").to_numpy()
    keys = list(zip(frame["group"], frame["product_id"], strict=True))
    chosen = frame["chosen"].to_numpy(dtype=float)
    for row, key in enumerate(keys):
        found[row] = known.get(key, 1 / sizes[row])
        known[key] = carry * found[row] + (1 - carry) * chosen[row]
    return found
