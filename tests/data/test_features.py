"""Numbers and categories beside the text."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import QuantileTransformer

from planogram.data.features import TAIL, FeatureSpec, fit_features
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
    assert spec.width == spec.transform(FRAME).shape[1] == 2 + 2 + 3 + 1


def test_numbers_follow_scikit_learn_s_quantiles(spec):
    expected = QuantileTransformer(n_quantiles=100, output_distribution="normal").fit(FRAME[["amount"]])
    values = FRAME["amount"].sort_values().to_numpy()[5:-5]
    mine = spec.transform(FRAME.iloc[: len(values)].assign(amount=values))[:, 0]
    theirs = expected.transform(pd.DataFrame({"amount": values}))[:, 0]
    assert np.abs(mine - theirs).max() < 0.1
    assert (np.diff(mine) >= 0).all()
    assert np.abs(spec.transform(FRAME)[:, 0]).max() <= TAIL


def test_what_is_missing_or_new_is_known_as_such(spec):
    row = pd.DataFrame(
        {"amount": [np.nan, 1e9], "visits": [0, 1], "month": ["May", "Never"], "rare": ["often", "seldom"]}
    )
    values = spec.transform(row)
    assert values.dtype == np.float32
    assert values[0, :2].tolist() == [0.0, 1.0]
    assert values[1, 0] == np.float32(TAIL)
    assert values[1, 4:].tolist() == [0, 0, 0, 0]


def test_texts_of_numbers_are_numbers():
    spec = fit_features(pd.DataFrame({"pages": ["3", "40", "7"] * 20}), ["pages"])
    assert [column.name for column in spec.numeric] == ["pages"]


def test_a_spec_survives_json(spec):
    again = FeatureSpec.model_validate(json.loads(json.dumps(spec.model_dump(mode="json"))))
    assert again == spec
    assert np.array_equal(again.transform(FRAME), spec.transform(FRAME))


def test_an_absent_column_is_named(spec):
    with pytest.raises(DataError, match="visits"):
        spec.transform(FRAME.drop(columns="visits"))
