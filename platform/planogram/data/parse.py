"""Text into the types of the tables. What does not parse becomes null and is marked, with a reason."""

import json
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from planogram.data.derive import TEXT, Mask, as_mask, slice_lists, split_texts
from planogram.data.mapping import FieldConfig
from planogram.data.schema import ARROW_TYPES, Column

_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
# With an offset from UTC at its end, a time of day before it.
_WITH_OFFSET = r":\d\d.*(Z|z|[+-]\d\d(:?\d\d)?)$"
# Beyond this a float no longer holds every integer.
_MAX_INT = float(2**53)

Parsed = tuple[Any, Mask, str]


def parse(texts: Any, column: Column, field: FieldConfig) -> Parsed:
    """Parse the text of a field.

    Args:
        texts: Arrow array of text.
        column: gives the type.
        field: gives scale and offset, time format and zone, split and slice.

    Returns:
        Array of the column's Arrow type, mask of the values that do not parse, and what is wrong with those.
    """
    if column.kind == "string":
        return pc.cast(texts, pa.string()), np.zeros(len(texts), dtype=bool), ""
    if column.kind == "timestamp":
        return _timestamps(texts, field)
    if column.kind == "map":
        return _maps(texts)
    if column.kind == "list":
        return _lists(texts, field)
    return _numbers(texts, field, whole=column.kind == "int")


def _numbers(texts: Any, field: FieldConfig, whole: bool) -> Parsed:
    try:
        numbers = pc.cast(texts, pa.float64())
    except pa.ArrowInvalid:
        numeric = pc.match_substring_regex(texts, _NUMBER)
        numbers = pc.cast(pc.if_else(numeric, texts, pa.scalar(None, TEXT)), pa.float64())
    given = as_mask(pc.is_valid(texts))
    values = np.array(numbers.to_numpy(zero_copy_only=False))
    values = values * (1.0 if field.scale is None else field.scale) + (field.offset or 0.0)
    good = given & np.isfinite(values)
    if whole:
        good &= np.equal(values, np.trunc(values)) & (np.abs(values) <= _MAX_INT)
        array = pa.array(np.where(good, values, 0).astype(np.int64), mask=~good)
        return array, given & ~good, "not a whole number"
    return pa.array(np.where(good, values, 0.0), mask=~good), given & ~good, "not a number"


def _timestamps(texts: Any, field: FieldConfig) -> Parsed:
    given = as_mask(pc.is_valid(texts))
    style = field.format or "iso"
    if style in ("unix_s", "unix_ms"):
        numbers = _numbers(texts, FieldConfig(column="", scale=1e6 if style == "unix_s" else 1e3), whole=False)[0]
        micros = pc.cast(pc.round(numbers), pa.int64(), safe=False)
        times = pd.Series(pd.to_datetime(micros.to_pandas(), unit="us", errors="coerce", utc=True))
    else:
        times = _parse_times(texts, style, field.timezone or "UTC")
    array = pa.array(times.dt.as_unit("us"), ARROW_TYPES["timestamp"], from_pandas=True)
    return array, given & ~as_mask(pc.is_valid(array)), f"not a time in the format {style!r}"


def _parse_times(texts: Any, style: str, zone: str) -> "pd.Series[Any]":
    series = texts.to_pandas()
    form = "ISO8601" if style == "iso" else style
    times = pd.Series(pd.to_datetime(series, format=form, errors="coerce", utc=True))
    if zone == "UTC" or (style != "iso" and "%z" in style):
        return times
    local = times.dt.tz_localize(None).dt.tz_localize(zone, ambiguous="NaT", nonexistent="NaT").dt.tz_convert("UTC")
    if style != "iso":
        return local
    with_offset = as_mask(pc.match_substring_regex(texts, _WITH_OFFSET))
    return times.where(with_offset, local)


def _lists(texts: Any, field: FieldConfig) -> Parsed:
    if field.split is None:
        lists, bad = _json_lists(texts)
        reason = "not a JSON array of texts or numbers, none of them empty"
    else:
        lists = split_texts(texts, field.split)
        trimmed = pc.utf8_trim_whitespace(lists.values)
        bad = rows_with(lists, as_mask(pc.equal(trimmed, "")))
        lists = pa.ListArray.from_arrays(lists.offsets, trimmed, mask=pc.is_null(lists))
        reason = f"an empty element between two {field.split!r}"
    if field.slice is not None:
        lists = slice_lists(lists, *field.slice)
    return pc.cast(pc.if_else(pa.array(~bad), lists, pa.scalar(None, lists.type)), ARROW_TYPES["list"]), bad, reason


def rows_with(lists: Any, elements: Mask) -> Mask:
    """The rows of an Arrow list array of which at least one element is marked."""
    rows = np.zeros(len(lists), dtype=bool)
    rows[np.asarray(pc.list_parent_indices(lists))[elements]] = True
    return rows


def _json_lists(texts: Any) -> tuple[Any, Mask]:
    values = [_read_list(text) for text in texts.to_pylist()]
    bad = np.array([value is False for value in values], dtype=bool)
    return pa.array([None if value is False else value for value in values], pa.list_(TEXT)), bad


def _read_list(text: str | None) -> list[str] | Literal[False] | None:
    """The elements as they are written, the empty text being the empty list; False where it is no array of texts."""
    if text is None or not text:
        return None if text is None else []
    try:
        value = json.loads(text, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return False
    good = isinstance(value, list) and all(isinstance(element, str) and element.strip() for element in value)
    return [element.strip() for element in value] if good else False


def _maps(texts: Any) -> Parsed:
    values = [_read_map(text) for text in texts.to_pylist()]
    bad = np.array([value is False for value in values], dtype=bool)
    return pa.array([value or None for value in values], ARROW_TYPES["map"]), bad, "not a JSON object"


def _read_map(text: str | None) -> list[tuple[str, str]] | bool | None:
    """Pairs in the given order, without empty values; False where the text is no JSON object."""
    if text is None:
        return None
    try:
        value = json.loads(text, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return False
    if not isinstance(value, dict):
        return False
    pairs = (
        (k, v if isinstance(v, str) else json.dumps(v, ensure_ascii=False)) for k, v in value.items() if v is not None
    )
    return [pair for pair in pairs if pair[1]]
