"""Fields from source columns, a whole frame at once, in Arrow arrays of text."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from planogram.data.frames import COLUMN_PREFIX
from planogram.data.mapping import FILE_COLUMN, LINE_COLUMN, Condition, FieldConfig, template_parts

TEXT = pa.large_string()
# Stands for a missing value under `hash`; the unit separator, which text does not hold, stands between values.
_MISSING, _SEPARATOR = "\x00", "\x1f"
Mask = npt.NDArray[np.bool_]
# More than any list holds.
_LONGEST = 2**31


class Columns:
    """The columns of a frame as Arrow text: trimmed, and null where there is no value."""

    def __init__(self, frame: pd.DataFrame, missing: Sequence[str] = ()) -> None:
        self.frame = frame
        self.missing = pa.array(["", *missing], TEXT)
        self.joined: dict[str, Any] = {}
        self._cache: dict[str, Any] = {}

    def __len__(self) -> int:
        return len(self.frame)

    def __getitem__(self, name: str) -> Any:
        """The column; all null where the files have none of this name."""
        if name not in self._cache:
            self._cache[name] = self._load(name)
        return self._cache[name]

    def _load(self, name: str) -> Any:
        if name in self.joined:
            return self.joined[name]
        if name in (FILE_COLUMN, LINE_COLUMN):
            return pc.cast(as_arrow(self.frame[name]), TEXT)
        if COLUMN_PREFIX + name not in self.frame:
            return pa.nulls(len(self), TEXT)
        trimmed = pc.utf8_trim_whitespace(as_arrow(self.frame[COLUMN_PREFIX + name]))
        return pc.if_else(pc.is_in(trimmed, self.missing), pa.scalar(None, TEXT), trimmed)


def as_arrow(series: "pd.Series[Any]") -> Any:
    """One Arrow array of a column; text is large_string whatever the frame made of it."""
    array = pa.array(series, from_pandas=True)
    array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    is_text = pa.types.is_string(array.type) or pa.types.is_null(array.type)
    return pc.cast(array, TEXT) if is_text else array


def as_mask(array: Any) -> Mask:
    """A NumPy mask; null is False."""
    return np.asarray(pc.fill_null(array, False).to_numpy(zero_copy_only=False), dtype=bool)


def selected(columns: Columns, where: Mapping[str, Condition]) -> Mask:
    """Rows where every condition holds."""
    mask = np.ones(len(columns), dtype=bool)
    for name, condition in where.items():
        values = columns[name]
        if condition.one_of is not None:
            mask &= as_mask(pc.is_in(pc.fill_null(values, ""), pa.array(condition.one_of, TEXT)))
        elif condition.matches is not None:
            mask &= as_mask(pc.match_substring_regex(pc.fill_null(values, ""), condition.matches))
    return mask


def derive(field: FieldConfig, columns: Columns) -> tuple[Any, Mask]:
    """The text of a field.

    Returns:
        The array (nulls where there is no value), and where a value is not known to `match` or `map`.
    """
    values = _base(field, columns)
    for pattern, replacement in field.replace.items():
        values = pc.replace_substring_regex(values, pattern, replacement)
    if field.replace:
        values = pc.utf8_trim_whitespace(values)
        values = pc.if_else(pc.equal(values, ""), pa.scalar(None, TEXT), values)
    if field.item is not None:
        values = _item(split_texts(values, field.split or ""), field.item)
    unknown = np.zeros(len(columns), dtype=bool)
    if field.match or field.map:
        given = as_mask(pc.is_valid(values))
        values = _match(values, field.match) if field.match else _map(values, field.map)
        unknown = given & ~as_mask(pc.is_valid(values))
    if field.default is not None:
        return pc.fill_null(values, field.default), np.zeros_like(unknown)
    return values, unknown


def split_texts(texts: Any, separator: str) -> Any:
    """Lists of what stands between the matches of a regular expression; the empty text is the empty list.

    Args:
        texts: Arrow array of large_string.
        separator: does not match the empty text.

    Returns:
        Arrow array of list<large_string>, null where the text is.
    """
    lists = pc.split_pattern_regex(texts, separator)
    return pc.if_else(pc.equal(texts, ""), pa.scalar([], lists.type), lists)


def slice_lists(lists: Any, first: int | None, end: int | None) -> Any:
    """The elements [first:end] of each list, as Python slices; Arrow's own kernel does not count from the end."""
    lengths = _lengths(lists)
    starts = _clipped(0 if first is None else first, lengths)
    counts = np.maximum(0, _clipped(_LONGEST if end is None else end, lengths) - starts)
    offsets = np.append(0, np.cumsum(counts))
    taken = np.repeat(_offsets(lists) + starts - offsets[:-1], counts) + np.arange(offsets[-1])
    values = pc.take(lists.values, pa.array(taken))
    nulls = pa.array(~as_mask(pc.is_valid(lists)))
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values, mask=nulls)


def _item(lists: Any, index: int) -> Any:
    lengths = _lengths(lists)
    place = index if index >= 0 else lengths + index
    there = (place >= 0) & (place < lengths)
    items = pc.take(lists.values, pa.array(_offsets(lists) + place, mask=~there))
    items = pc.utf8_trim_whitespace(items)
    return pc.if_else(pc.equal(items, ""), pa.scalar(None, TEXT), items)


def _lengths(lists: Any) -> npt.NDArray[np.int64]:
    return np.asarray(pc.fill_null(pc.list_value_length(lists), 0), dtype=np.int64)


def _offsets(lists: Any) -> npt.NDArray[np.int64]:
    return np.asarray(lists.offsets, dtype=np.int64)[:-1]


def _clipped(place: int, lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.clip(place if place >= 0 else lengths + place, 0, lengths)


def _base(field: FieldConfig, columns: Columns) -> Any:
    if field.column is not None:
        return columns[field.column]
    if field.constant is not None:
        return pa.repeat(pa.scalar(field.constant, TEXT), len(columns))
    if field.template is not None:
        return _template(field.template, columns)
    if field.hash is not None:
        return _hash(field.hash, columns)
    return _entries(field.entries or {}, columns)


def _template(template: str, columns: Columns) -> Any:
    pieces = []
    for text, name in template_parts(template):
        pieces.append(pa.repeat(pa.scalar(text, TEXT), len(columns)))
        if name is not None:
            pieces.append(columns[name])
    return pc.binary_join_element_wise(*pieces, pa.scalar("", TEXT))


def _hash(names: Sequence[str], columns: Columns) -> Any:
    parts = [pc.fill_null(columns[name], _MISSING) for name in names]
    joined = pc.binary_join_element_wise(*parts, pa.scalar(_SEPARATOR, TEXT)).to_pylist()
    digests = [hashlib.blake2b(text.encode(), digest_size=16).hexdigest() for text in joined]
    nothing = _SEPARATOR.join([_MISSING] * len(names))
    return pa.array([None if text == nothing else d for text, d in zip(joined, digests, strict=True)], TEXT)


def _entries(entries: Mapping[str, str], columns: Columns) -> Any:
    lists = [columns[column].to_pylist() for column in entries.values()]
    rows = zip(*lists, strict=True)
    maps = ({name: v for name, v in zip(entries, row, strict=True) if v is not None} for row in rows)
    return pa.array([json.dumps(m, ensure_ascii=False) if m else None for m in maps], TEXT)


def _match(values: Any, labels: Mapping[str, str]) -> Any:
    result = pa.nulls(len(values), TEXT)
    for pattern, label in reversed([*labels.items()]):
        found = pc.fill_null(pc.match_substring_regex(values, pattern), False)
        result = pc.if_else(found, pa.scalar(label, TEXT), result)
    return result


def _map(values: Any, labels: Mapping[str, str]) -> Any:
    found = pc.index_in(values, pa.array(list(labels), TEXT))
    return pc.take(pa.array(list(labels.values()), TEXT), found)
