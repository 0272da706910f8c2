"""What was known before a row's period, and nothing of the row itself."""

import numpy as np
import pandas as pd
import pytest

from planogram.elasticity.past import loyalty, past, weekly_exposures
from planogram.elasticity.rows import DemandRows
from planogram.errors import DataError

FLOATS = ("price", "log_price", "reference", "offset", "outcome", "exposure")


def frame(**columns):
    return pd.DataFrame(columns)


def test_what_is_known_is_of_earlier_periods():
    rows = frame(product_id=["a"] * 4 + ["b"] * 2, period=[0, 1, 2, 3, 2, 3], units=[1.0, 3.0, 5.0, 7.0, 10.0, 20.0])
    known = past(rows)
    np.testing.assert_allclose(np.expm1(known["last"]), [np.nan, 1, 3, 5, np.nan, 10])
    np.testing.assert_allclose(np.expm1(known["mean_4"]), [np.nan, 1, 2, 3, np.nan, 10])
    # Of all products in the period before: 5 and 10.
    assert np.expm1(known["market"].iloc[3]) == pytest.approx(7.5)
    np.testing.assert_allclose(np.expm1(known["age"]), [0, 1, 2, 3, 0, 1])
    assert "season_sin" not in known


def test_a_season_takes_a_year():
    rows = frame(product_id=["a"] * 105, period=range(105), units=[1.0] * 105)
    season = past(rows)[["season_sin", "season_cos"]]
    np.testing.assert_allclose(season.iloc[0], season.iloc[52], atol=1e-9)


def test_a_row_knows_nothing_of_its_own_units():
    rows = frame(product_id=["a"] * 5, period=range(5), units=[1.0, 2.0, 3.0, 4.0, 5.0])
    other = rows.assign(units=[1.0, 2.0, 99.0, 4.0, 5.0])
    pd.testing.assert_series_equal(past(rows).iloc[2], past(other).iloc[2])


def test_rates_stand_for_units_where_there_is_an_exposure():
    rows = frame(product_id=["a"] * 2, period=[0, 1], units=[2.0, 1.0], exposure=[1000.0, 100.0])
    assert np.expm1(past(rows)["last"].iloc[1]) == pytest.approx(2.0)


def test_a_period_that_a_product_skips_is_not_its_last():
    rows = frame(product_id=["a", "a", "b"], period=[0, 2, 1], units=[4.0, 6.0, 1.0])
    assert np.isnan(past(rows)["last"].iloc[1])


def events(*rows):
    columns = ["timestamp", "event_type", "product_id", "price"]
    made = pd.DataFrame(rows, columns=columns)
    return made.assign(timestamp=pd.to_datetime(made["timestamp"], utc=True))


def test_impressions_and_purchases_of_a_week():
    found = weekly_exposures(
        events(
            ("2025-01-06", "impression", "a", 10.0),
            ("2025-01-07", "impression", "a", 12.0),
            ("2025-01-07", "click", "a", 12.0),
            ("2025-01-08", "purchase", "a", 12.0),
            ("2025-01-14", "impression", "a", 9.0),
        )
    )
    assert found[["period", "price", "exposure", "units"]].to_numpy().tolist() == [[0, 11, 2, 1], [1, 9, 1, 0]]


def test_clicks_are_seen_where_no_impressions_are_logged():
    found = weekly_exposures(events(("2025-01-06", "click", "a", 10.0), ("2025-01-06", "purchase", "a", 10.0)))
    assert found[["exposure", "units"]].to_numpy().tolist() == [[1, 1]]
    with pytest.raises(DataError, match="no impression or click"):
        weekly_exposures(events(("2025-01-06", "purchase", "a", 10.0)))


def test_loyalty_is_what_a_household_took_before():
    rows = frame(
        group=[0, 0, 0, 0, 1, 1],
        choice_set=[0, 0, 1, 1, 2, 2],
        product_id=["a", "b", "a", "b", "a", "b"],
        chosen=[1, 0, 0, 1, 1, 0],
    )
    np.testing.assert_allclose(loyalty(rows, carry=0.8), [0.5, 0.5, 0.6, 0.4, 0.5, 0.5])


def test_rows_are_read_as_they_were_written(tmp_path):
    numbers = np.asarray([0, 1, 1])
    rows = DemandRows(
        texts=["red, shoes", "lamp"],
        text=numbers,
        product_ids=np.asarray(["a", "b", "b"], dtype=object),
        **{name: np.asarray([1.0, np.pi, 3.0]) for name in FLOATS},
        **dict.fromkeys(("sets", "clusters", "period"), numbers),
        features=pd.DataFrame({"feat": [0.0, np.nan, 1.0]}),
        known=pd.DataFrame({"last": [np.nan, 1.0, 2.0], "category": ["x", "y", ""]}),
        part=np.asarray(["train", "valid", "test"]),
    )
    rows.save(tmp_path)
    found = DemandRows.read(tmp_path)
    for name, value in vars(rows).items():
        read = getattr(found, name)
        if isinstance(value, pd.DataFrame):
            pd.testing.assert_frame_equal(read, value, check_dtype=False)
        else:
            np.testing.assert_array_equal(read, value)
    assert found.rows("test").tolist() == [2]
