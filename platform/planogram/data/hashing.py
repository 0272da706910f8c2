"""Hashes of rows: the same in every process, on every machine and in every order of the rows."""

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pandas.util import hash_array

Hashes = npt.NDArray[np.uint64]

_KEYS = ("planogram-key-hi", "planogram-key-lo")
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_SEEDS = (_MULTIPLIER, np.uint64(0xD1B54A32D192ED03))
_MISSING = "\x00"


def hash_rows(columns: list[Any], seed: int = 0) -> Hashes:
    """A 64-bit hash of each row over Arrow columns; two seeds give independent hashes.

    Args:
        columns: arrays of equal length, none chunked.
        seed: 0 or 1.
    """
    total = np.zeros(len(columns[0]), dtype=np.uint64)
    for column in columns:
        total = mix(total * _MULTIPLIER + _hash_column(column, seed))
    return total


def mix(values: Hashes) -> Hashes:
    """Spread every bit over all others (the finalizer of splitmix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _hash_column(column: Any, seed: int) -> Hashes:
    if pa.types.is_map(column.type):
        column = pa.array([None if v is None else json.dumps(sorted(v)) for v in column.to_pylist()], pa.string())
    if pa.types.is_list(column.type):
        column = pa.array([None if v is None else json.dumps(v) for v in column.to_pylist()], pa.string())
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return _hash_texts(pc.fill_null(column, _MISSING), seed)
    valid = np.asarray(pc.is_valid(column).to_numpy(zero_copy_only=False), dtype=bool)
    if pa.types.is_timestamp(column.type):
        column = pc.cast(column, pa.int64())
    values = pc.fill_null(column, 0).to_numpy(zero_copy_only=False)
    bits = np.ascontiguousarray(values + 0).view(np.uint64)  # adding 0 makes one zero of -0.0 and 0.0
    return mix(bits + _SEEDS[seed]) * valid


def _hash_texts(texts: Any, seed: int) -> Hashes:
    # Each different text is hashed once.
    encoded = texts.dictionary_encode()
    different = np.array(encoded.dictionary.to_pylist(), dtype=object)
    if not len(different):
        return np.zeros(0, dtype=np.uint64)
    hashes = hash_array(different, hash_key=_KEYS[seed], categorize=False)
    return hashes[encoded.indices.to_numpy()]
