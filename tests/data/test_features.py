"""Numbers and categories beside the text."""

import json

import numpy as np
import pandas as pd
import pytest

from planogram.data.features import NUM_BINS, FeatureSpec, Numeric, fit_features
from planogram.errors import DataError

RNG = np.random.default_rng(0)
FRAME = pd.DataFrame(
    {
        "amount": RNG.exponential(10, 500),
        "visits": RNG.poisson(0.4, 500),
        "month": RNG.choice(["May", "June", "July"], 500),
        "rare": ["seldom"] * 3 + ["often"] * 497,
    }
)


@pytest.fixture(scope="module")
def spec() -> FeatureSpec:
    return fit_features(FRAME, list(FRAME))


def test_kinds_are_found_and_rare_categories_dropped(spec):
    assert [column.name for column in spec.numeric] == ["amount", "visits"]
    assert {column.name: column.categories for column in spec.categorical} == {
        "month": ("July", "June", "May"),
        "rare": ("often",),
    }
    assert spec.width == spec.transform(FRAME).shape[1] == len(spec.means) == len(spec.scales)


def test_bins_hold_equal_shares_of_training_rows(spec):
    edges = spec.numeric[0].edges
    assert len(edges) == NUM_BINS + 1
    counts, _ = np.histogram(FRAME["amount"], edges)
    assert counts.min() >= 500 // NUM_BINS - 1
    assert counts.max() <= 500 // NUM_BINS + 2


def test_a_value_many_rows_share_is_one_edge(spec):
    edges = spec.numeric[1].edges
    assert (np.diff(edges) > 0).all()
    assert edges[0] == 0
    assert len(edges) < 6


def test_bins_fill_from_below():
    spec = FeatureSpec(
        numeric=(
            Numeric(name="pages", edges=(0.0, 1.0, 3.0, 7.0)),
            Numeric(name="same", edges=(5.0,)),
            Numeric(name="price", edges=(0.0, 10.0)),
        )
    )
    pages = [-5, 0.5, 2, 3, 6, 100]
    filled = spec.encode(pd.DataFrame({"price": [5.0, np.nan] * 3, "pages": pages, "same": [5, 6] * 3}))
    assert filled[:, :3].tolist() == [[0, 0, 0], [0.5, 0, 0], [1, 0.5, 0], [1, 1, 0], [1, 1, 0.75], [1, 1, 1]]
    assert not filled[:, 3:5].any()
    np.testing.assert_array_equal(filled[:, 5:], [[0.5, 0], [np.nan, 1]] * 3)


def test_training_rows_are_standardised(spec):
    values = spec.transform(FRAME)
    assert np.abs(values.mean(0)).max() < 1e-5
    varied = np.asarray(spec.scales) > 0
    assert (values.std(0)[varied] > 0.8).all()
    assert (values.std(0) <= 1.001).all()


def test_what_is_missing_stands_at_the_mean_and_says_so():
    frame = FRAME.assign(amount=FRAME["amount"].where(FRAME.index % 4 > 0))
    spec = fit_features(frame, ["amount"])
    missing, present = spec.transform(pd.DataFrame({"amount": [np.nan, 1.0]}))
    assert missing[:-1].tolist() == [0] * (spec.width - 1)
    assert missing[-1] > 1 > 0 > present[-1]


def test_what_never_varied_says_nothing():
    """An indicator that training never saw set would otherwise reach the tower through weights that learned nothing."""
    spec = fit_features(FRAME.assign(constant=7, absent=np.nan), ["amount", "constant", "absent"])
    seen = pd.DataFrame({"amount": [1.0, 1.0], "constant": [7, 8], "absent": [np.nan, 3.0]})
    assert np.array_equal(*spec.transform(seen))
    assert spec.transform(pd.DataFrame({"amount": [np.nan], "constant": [np.nan], "absent": [1]})).tolist() == [
        [0.0] * spec.width
    ]


def test_new_categories_are_none_of_the_known(spec):
    base = {"amount": 1.0, "visits": 0, "rare": "often"}
    never, june = spec.transform(pd.DataFrame([base | {"month": "Never"}, base | {"month": "June"}]))[:, -4:-1]
    assert (never < 0).all()
    assert (june > 0).tolist() == [False, True, False]


def test_texts_of_numbers_are_numbers():
    spec = fit_features(pd.DataFrame({"pages": ["3", "40", "7"] * 20}), ["pages"])
    assert [column.name for column in spec.numeric] == ["pages"]


@pytest.mark.parametrize("kind", [str, int, float])
def test_codes_are_categories_where_they_are_named_so(kind):
    codes = pd.DataFrame({"browser": [1, 2, 13] * 20})
    spec = fit_features(codes.astype(str), ["browser"], categories=["browser"])
    assert [column.categories for column in spec.categorical] == [("1", "13", "2")]
    assert np.array_equal(spec.transform(codes.astype(kind)), spec.transform(codes.astype(str)))
    assert (spec.transform(codes.astype(kind)) > 0).sum(1).tolist() == [1] * len(codes)


def test_a_spec_survives_json(spec):
    again = FeatureSpec.model_validate(json.loads(json.dumps(spec.model_dump(mode="json"), allow_nan=False)))
    assert again == spec
    assert np.array_equal(again.transform(FRAME), spec.transform(FRAME))


def test_the_same_rows_give_the_same_spec_however_many():
    rows = pd.DataFrame({"amount": RNG.exponential(10, 20_000)})
    assert fit_features(rows, ["amount"]) == fit_features(rows, ["amount"])


def test_no_features_are_no_columns():
    spec = fit_features(FRAME, [])
    assert spec == FeatureSpec()
    assert spec.transform(FRAME).shape == (500, 0)


def test_an_absent_column_is_named(spec):
    with pytest.raises(DataError, match="visits"):
        spec.transform(FRAME.drop(columns="visits"))
