"""The rows of a demand model: texts, prices against what they were expected to be, and what was bought."""

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit

from planogram.config import DemandConfig
from planogram.data.examples.base import product_texts, text_columns
from planogram.data.examples.load import tower_columns
from planogram.data.shop import has_table, read_table
from planogram.data.splits import assign
from planogram.elasticity.learners import BoostedDummies, BoostedPoisson, MakeLearner
from planogram.elasticity.observations import OUTCOMES, load_observations, numbered_periods
from planogram.elasticity.partial import cross_fit
from planogram.elasticity.past import loyalty, past, weekly_exposures
from planogram.elasticity.rows import DemandRows
from planogram.errors import DataError

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
# Rates that are expected: their logit stays finite.
RATES = (1e-6, 0.99)
# Added to units before a logarithm is taken of a product's mean.
HALF = 0.5
# Columns that tell periods apart.
PERIODS = ("period", "category_period")
# Columns of an observation that are no feature of it.
_OWN = ("product_id", "price", "log_price", "choice_set", "group", "period", "store", "exposure")


def load_rows(config: DemandConfig) -> DemandRows:
    """All rows of a shop; what is expected of them is learned without the test part.

    Rows that validate are expected out of fold, as those that train are: in a period that nothing else is known of, a
    season of demand would look like an answer to its prices, and validation would choose too low an elasticity.

    Raises:
        DataError: the shop has no demand of this kind, or no product of it has a text.
    """
    frame = _frame(config)
    texts = _texts(config, frame)
    frame = frame[frame["product_id"].isin(texts.keys())].reset_index(drop=True)
    if frame.empty:
        raise DataError("no product with demand has a text", remedy="check the products table and text.fields")
    split = frame.assign(user_id=frame["group"], timestamp=frame["period"])
    part = assign(split, config.split)
    known = pd.DataFrame(index=frame.index) if config.kind == "choice" else _known(config, frame)
    expected = _expected(config, frame, known, part != "test")
    numbers, written = pd.factorize(frame["product_id"].map(texts))
    return DemandRows(
        texts=list(written),
        text=numbers.astype(np.int64),
        product_ids=frame["product_id"].to_numpy(dtype=object),
        price=frame["price"].to_numpy(),
        log_price=frame["log_price"].to_numpy() - expected["log_reference"].to_numpy(),
        reference=np.exp(expected["log_reference"].to_numpy()),
        offset=expected["offset"].to_numpy(),
        outcome=frame[_outcome(config)].to_numpy(dtype=float),
        exposure=frame["exposure"].to_numpy(),
        sets=frame["choice_set"].to_numpy(dtype=np.int64),
        clusters=_clusters(config, frame),
        period=frame["period"].to_numpy(dtype=np.int64),
        features=tower_columns(config.tower, frame),
        known=known,
        part=part,
    )


def _outcome(config: DemandConfig) -> str:
    return "units" if config.kind == "purchase" else OUTCOMES[config.kind]


def _frame(config: DemandConfig) -> pd.DataFrame:
    """Observations in the order of their choice sets, with an exposure."""
    if config.kind == "purchase":
        return _exposed(config)
    observations = load_observations(config.shop, config.kind, config.best_sellers, config.weekly_price)
    frame = observations.frame.assign(exposure=1.0)
    if config.kind == "choice":
        frame = frame.sort_values("choice_set", kind="stable", ignore_index=True)
        frame["loyalty"] = loyalty(frame)
    return frame


def _exposed(config: DemandConfig) -> pd.DataFrame:
    weekly = weekly_exposures(read_table(config.shop, "interactions"))
    if config.best_sellers:
        best = weekly.groupby("product_id")["units"].sum().nlargest(config.best_sellers).index
        weekly = weekly[weekly["product_id"].isin(best)]
    weekly = weekly.reset_index(drop=True)
    rows = np.arange(len(weekly))
    period = numbered_periods(weekly["period"])
    return weekly.assign(log_price=np.log(weekly["price"]), choice_set=rows, group=rows, store="", period=period)


def _texts(config: DemandConfig, frame: pd.DataFrame) -> dict[str, str]:
    products = read_table(config.shop, "products", text_columns(config.text.fields))
    products = products[products["product_id"].isin(set(frame["product_id"]))]
    texts = product_texts(products, config.text.fields, config.text.language)
    return {product: text for product, text in texts.items() if text}


def _clusters(config: DemandConfig, frame: pd.DataFrame) -> Integers:
    if config.kind == "choice":
        return frame["group"].to_numpy(dtype=np.int64)
    numbers = frame.groupby(["product_id", "period"], sort=False).ngroup()
    return np.asarray(numbers, dtype=np.int64)


def _expected(
    config: DemandConfig, frame: pd.DataFrame, known: pd.DataFrame, seen: npt.NDArray[np.bool_]
) -> pd.DataFrame:
    """`log_reference` and `offset` of every row; see `DemandRows`.

    Prices are seen against the mean price of their product (its effect), and, cross-fitted, against what period, season
    and earlier demand would make one expect. The offset is what these say of the units.
    """
    log_mean = _product_mean(frame["log_price"], frame["product_id"], seen)
    if config.kind == "choice":
        return pd.DataFrame({"log_reference": log_mean, "offset": 0.0})
    level = _product_level(config, frame, seen)
    if config.effects.method == "none":
        return pd.DataFrame({"log_reference": log_mean, "offset": level})
    price = _cross_fitted(config, known, frame["log_price"] - log_mean, seen, level, BoostedDummies)
    rates = frame[_outcome(config)] / frame["exposure"]
    scale = np.exp(level) if config.kind == "units" else expit(level)
    # Relative to the product's own level, so that all products teach how periods differ.
    log_ratio = _cross_fitted(config, known, rates / scale, seen, level, BoostedPoisson)
    return pd.DataFrame({"log_reference": log_mean + price, "offset": _link(config, np.exp(log_ratio) * scale)})


def _cross_fitted(
    config: DemandConfig,
    known: pd.DataFrame,
    target: "pd.Series[float]",
    seen: npt.NDArray[np.bool_],
    level: Floats,
    learner: MakeLearner,
) -> Floats:
    """(rows,) expected values: out of fold for rows that were seen, by the learners of all folds elsewhere.

    Periods that were not seen are foretold from what was known before them: their own effect is not known.
    """
    training = known[seen].reset_index(drop=True)
    rows, values = np.arange(len(training)), np.asarray(target, dtype=np.float64)
    fitted = cross_fit(training, [str(name) for name in known], values[seen], config.effects.folds, rows, learner)
    expected = np.empty(len(known))
    expected[seen] = fitted.oof
    if seen.all():
        return expected
    if config.split.by != "time":
        expected[~seen] = fitted.model.predict(known[~seen])
        return expected
    before = known.drop(columns=[name for name in PERIODS if name in known]).assign(level=level)
    ahead = learner([str(name) for name in before])
    expected[~seen] = ahead.fit(before[seen].reset_index(drop=True), values[seen]).predict(before[~seen])
    return expected


def _known(config: DemandConfig, frame: pd.DataFrame) -> pd.DataFrame:
    """What expectations are made of: nothing of a row's own price or outcome."""
    outcome = _outcome(config)
    extra = frame[[name for name in frame if name not in _OWN and name != outcome]]
    sold = frame.rename(columns={outcome: "units"}).drop(columns=[] if config.kind == "purchase" else ["exposure"])
    known = pd.concat([past(sold), extra], axis=1).dropna(axis=1, how="all")
    known["period"] = frame["period"].to_numpy(dtype=np.int64)
    if has_table(config.shop, "products"):
        products = read_table(config.shop, "products", ["product_id", "category"]).set_index("product_id")["category"]
        if products.notna().any():
            category = frame["product_id"].map(products).fillna("").astype(str)
            # A season of some categories alone is what prices follow most: each of them has periods of its own.
            known["category_period"] = (category + " " + frame["period"].astype(str)).to_numpy(dtype=object)
            known["category"] = category.to_numpy(dtype=object)
    return known


def _product_mean(values: "pd.Series[float]", products: "pd.Series[str]", seen: npt.NDArray[np.bool_]) -> Floats:
    """(rows,) the mean of the product's rows that were seen, without the row itself; of all its rows where none was.

    With the row itself, a product of few periods would explain much of its own outcome, and its price less.
    """
    weights = seen.astype(float)
    totals, counts = (
        column.groupby(products).transform("sum").to_numpy() for column in (values * weights, pd.Series(weights))
    )
    others = counts - weights
    whole = values.groupby(products).transform("mean").to_numpy(dtype=np.float64)
    found: Floats = np.where(others > 0, (totals - values * weights) / np.maximum(others, 1), whole)
    return found


def _product_level(config: DemandConfig, frame: pd.DataFrame, seen: npt.NDArray[np.bool_]) -> Floats:
    """(rows,) log of the product's mean units, or logit of its rate, drawn a little towards that of the shop."""
    outcome = frame[_outcome(config)]
    total = _product_mean(outcome, frame["product_id"], seen)
    exposed = _product_mean(frame["exposure"], frame["product_id"], seen)
    shop = float(outcome[seen].sum() / frame["exposure"][seen].sum())
    rows = frame.groupby("product_id")["price"].transform("size")
    rates = (total * rows + HALF) / (exposed * rows + HALF / max(shop, 1e-9))
    return _link(config, rates.to_numpy())


def _link(config: DemandConfig, rates: Floats) -> Floats:
    if config.kind == "purchase":
        clipped = np.clip(rates, *RATES)
        return np.log(clipped / (1 - clipped))
    return np.log(np.maximum(rates, RATES[0]))
