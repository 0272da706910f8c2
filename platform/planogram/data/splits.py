"""Which rows train, validate and test: by group or by time, never random over rows."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.model_selection import GroupKFold, GroupShuffleSplit

from planogram.config import SplitConfig
from planogram.errors import DataError

GROUP_COLUMNS = {
    "query": "query",
    "user": "user_id",
    "product": "product_id",
    "session": "session_id",
    "text": "text",
}
Parts = npt.NDArray[np.str_]


def assign(frame: pd.DataFrame, config: SplitConfig) -> Parts:
    """The part of every row.

    Args:
        frame: has the column that the split goes by.
        config: the rule.

    Returns:
        (rows,) of 'train', 'valid' and 'test'.

    Raises:
        DataError: the column is absent or empty, or there are fewer groups than folds.
    """
    column = {**GROUP_COLUMNS, "time": "timestamp", "given": "split"}[config.by]
    if column not in frame or frame[column].isna().any():
        raise DataError(
            f"split.by={config.by} needs the column {column} in every row",
            allowed=", ".join(key for key, name in GROUP_COLUMNS.items() if name in frame),
            remedy="choose another split.by",
        )
    if config.by == "given":
        return frame[column].to_numpy(dtype=str)
    if config.by == "time":
        return _by_time(frame[column], config)
    # Numbers in the order of the texts split as the texts would, and need not be sorted as long strings.
    return _by_group(pd.factorize(frame[column].astype(str), sort=True)[0], config)


def take(frame: pd.DataFrame, config: SplitConfig, part: str, what: str) -> pd.DataFrame:
    """The rows of one part, or all of them.

    Args:
        frame: has the column that the split goes by.
        config: the rule.
        part: train, valid, test, or all.
        what: one row, in the words of the error.

    Raises:
        DataError: no row is left.
    """
    chosen = frame if part == "all" or frame.empty else frame[assign(frame, config) == part]
    if chosen.empty:
        raise DataError(f"no {what} in part {part!r}", remedy=f"check the shop's {what}s and the split")
    return chosen.reset_index(drop=True)


def _by_time(timestamps: "pd.Series[Any]", config: SplitConfig) -> Parts:
    """The newest 1 / folds test, the newest of the rest validate; rows of one instant stay together."""
    test_from = timestamps.quantile(1 - 1 / config.folds)
    earlier = timestamps[timestamps < test_from]
    valid_from = earlier.quantile(1 - config.valid_share)
    return np.select([timestamps >= test_from, timestamps >= valid_from], ["test", "valid"], "train")


def _by_group(groups: npt.NDArray[np.intp], config: SplitConfig) -> Parts:
    if (count := len(np.unique(groups))) < config.folds + 1:
        raise DataError(
            f"{count} different values of {config.by} for {config.folds} folds",
            allowed=f"at least {config.folds + 1}",
            remedy="lower split.folds or bring more data",
        )
    parts = np.full(len(groups), "train", dtype="<U5")
    # Not shuffled: the folds are the same for everybody, and balanced in rows.
    rest, test = list(GroupKFold(config.folds).split(groups, groups=groups))[config.fold]
    parts[test] = "test"
    splitter = GroupShuffleSplit(1, test_size=config.valid_share, random_state=config.seed)
    _, valid = next(splitter.split(rest, groups=groups[rest]))
    parts[rest[valid]] = "valid"
    return parts
