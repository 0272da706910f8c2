"""Splits keep groups together and are the same for everybody."""

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import GroupKFold

from planogram.config import SplitConfig
from planogram.data.splits import assign
from planogram.errors import DataError


def frame(queries=30, rows=5):
    names = np.repeat([f"query {index}" for index in range(queries)], rows)
    times = pd.date_range("2024-01-01", periods=len(names), freq="h", tz="UTC")
    return pd.DataFrame({"query": names, "timestamp": times})


def test_no_query_is_in_two_parts():
    table = frame()
    parts = assign(table, SplitConfig())
    assert set(parts) == {"train", "valid", "test"}
    assert table.assign(part=parts).groupby("query")["part"].nunique().max() == 1


def test_the_folds_test_every_row_once():
    table = frame()
    tested = sum((assign(table, SplitConfig(fold=fold)) == "test").astype(int) for fold in range(5))
    assert (tested == 1).all()


def test_the_same_rule_gives_the_same_parts():
    assert np.array_equal(assign(frame(), SplitConfig(seed=3)), assign(frame(), SplitConfig(seed=3)))


def test_time_tests_the_newest():
    table = frame()
    parts = assign(table, SplitConfig(by="time"))
    assert table["timestamp"][parts == "train"].max() < table["timestamp"][parts == "valid"].min()
    assert table["timestamp"][parts == "valid"].max() < table["timestamp"][parts == "test"].min()
    assert (parts == "test").mean() == pytest.approx(0.2, abs=0.02)


def test_a_given_split_is_taken():
    table = frame(2, 3).assign(split=["train", "valid", "test"] * 2)
    assert list(assign(table, SplitConfig(by="given"))) == ["train", "valid", "test"] * 2


def test_an_absent_column_is_named():
    with pytest.raises(DataError, match="user_id"):
        assign(frame(), SplitConfig(by="user"))


def test_too_few_groups_are_refused():
    with pytest.raises(DataError, match="3 different values"):
        assign(frame(queries=3), SplitConfig())


def test_long_texts_split_as_scikit_learn_splits_them():
    generator = np.random.default_rng(0)
    texts = np.asarray([f"很好{number} text" for number in generator.integers(0, 90, 400)])
    _, test = list(GroupKFold(5).split(texts, groups=texts))[2]
    parts = assign(pd.DataFrame({"text": texts}), SplitConfig(by="text", fold=2))
    assert np.flatnonzero(parts == "test").tolist() == test.tolist()
