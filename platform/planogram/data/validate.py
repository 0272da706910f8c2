"""The rules of the tables, applied to whole frames: what passes has the table's types, what does not has reasons."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from planogram.data.derive import Columns, Mask, as_arrow, as_mask, derive, selected
from planogram.data.frames import COLUMN_PREFIX, Kind
from planogram.data.mapping import SourceConfig
from planogram.data.parse import parse, rows_with
from planogram.data.schema import ARROW_TYPES, DEMAND, HISTORIES, INTERACTIONS, Column, Table
from planogram.data.tally import Tally

Problem = tuple[Mask, str]
PLACE_COLUMNS = ("_part", "_line", "_file")


@dataclass
class Validated:
    """What became of a frame.

    Attributes:
        rows: the rows that keep every rule: the table's columns and `PLACE_COLUMNS`.
        quarantine: one JSON line per other row.
        tally: how many of each.
    """

    rows: Any
    quarantine: list[str]
    tally: Tally


def validate(
    frame: pd.DataFrame, table: Table, source: SourceConfig, joins: "dict[str, Lookup] | None" = None
) -> Validated:
    """Derive, parse and check the rows of a frame.

    Args:
        frame: as the readers give them.
        table: whose rows they become.
        source: the mapping.
        joins: name of each join -> its table.
    """
    kinds = frame["_kind"].to_numpy(dtype=np.int64)
    tally = Tally()
    quarantine = _events(frame[kinds != Kind.RECORD], tally) if (kinds != Kind.RECORD).any() else []
    records = frame[kinds == Kind.RECORD]
    columns = Columns(records, source.missing)
    for lookup in (joins or {}).values():
        columns.joined |= lookup.find(columns)
    chosen = selected(columns, source.where)
    if not chosen.all():
        tally.not_selected += int((~chosen).sum())
        records = records[chosen]
        columns = Columns(records, source.missing)
        for lookup in (joins or {}).values():
            columns.joined |= lookup.find(columns)
    tally.read += len(records)
    arrays, problems = _fields(columns, table, source)
    problems += _cross_rules(table, arrays)
    reasons = _reasons(problems, len(records))
    broken = np.array([reason is not None for reason in reasons], dtype=bool)
    quarantine += _quarantined(records[broken], [reason for reason in reasons if reason], tally)
    places = {name: as_arrow(records[name]) for name in PLACE_COLUMNS}
    rows = pa.table({**arrays, **places}).filter(pa.array(~broken))
    return Validated(rows, quarantine, tally)


class Lookup:
    """A joined file in memory: its columns by key."""

    def __init__(self, name: str, key: str, table: pd.DataFrame) -> None:
        self.name = name
        self.key = key
        self.keys = as_arrow(table["key"])
        self.values = {column: as_arrow(table[column]) for column in table.columns if column != "key"}

    def find(self, columns: Columns) -> dict[str, Any]:
        """The lookup's columns for each row, named `name.column`; null where the key is unknown."""
        rows = pc.index_in(columns[self.key], self.keys)
        return {f"{self.name}.{column}": pc.take(values, rows) for column, values in self.values.items()}


def _fields(columns: Columns, table: Table, source: SourceConfig) -> tuple[dict[str, Any], list[Problem]]:
    arrays: dict[str, Any] = {}
    problems: list[Problem] = []
    for column in table.columns:
        field = source.fields.get(column.name)
        if field is None:
            arrays[column.name] = pa.nulls(len(columns), ARROW_TYPES[column.kind])
            continue
        texts, unknown = derive(field, columns)
        array, unparsed, reason = parse(texts, column, field)
        arrays[column.name] = array
        problems.append((unknown, f"{column.name}: a value that the mapping does not know"))
        problems.append((unparsed, f"{column.name}: {reason}"))
        problems += _rules(array, column, unknown | unparsed)
    return arrays, problems


def _rules(array: Any, column: Column, already: Mask) -> list[Problem]:
    problems: list[Problem] = []
    if column.required:
        problems.append((~as_mask(pc.is_valid(array)) & ~already, f"{column.name}: required, but missing"))
    if column.minimum is not None:
        problems.append((as_mask(pc.less(array, column.minimum)), f"{column.name}: below {column.minimum:g}"))
    if column.maximum is not None:
        problems.append((as_mask(pc.greater(array, column.maximum)), f"{column.name}: above {column.maximum:g}"))
    if column.above is not None:
        problems.append((as_mask(pc.less_equal(array, column.above)), f"{column.name}: not above {column.above:g}"))
    if column.choices:
        problems.append((_strange(array, column), f"{column.name}: not one of {', '.join(column.choices)}"))
    return problems


def _strange(array: Any, column: Column) -> Mask:
    """Where a value, or an element of a list, is none of the column's choices."""
    is_list = column.kind == "list"
    values = pc.list_flatten(array) if is_list else array
    strange = as_mask(pc.is_valid(values)) & ~as_mask(pc.is_in(values, pa.array(column.choices)))
    return rows_with(array, strange) if is_list else strange


def _cross_rules(table: Table, arrays: dict[str, Any]) -> list[Problem]:
    if table.name == INTERACTIONS.name:
        cancelled = as_mask(pc.equal(arrays["event_type"], "cancellation"))
        negative = as_mask(pc.less(arrays["quantity"], 0))
        positive = as_mask(pc.greater(arrays["quantity"], 0))
        given = as_mask(pc.is_valid(arrays["quantity"]))
        rated = as_mask(pc.equal(arrays["event_type"], "rating"))
        return [
            (cancelled & given & ~negative, "quantity: a cancellation's is negative"),
            (~cancelled & given & ~positive, "quantity: positive but for cancellations"),
            (rated & ~as_mask(pc.is_valid(arrays["rating"])), "rating: required for the event type rating"),
        ]
    if table.name == DEMAND.name:
        units, chosen = as_mask(pc.is_valid(arrays["units"])), as_mask(pc.is_valid(arrays["chosen"]))
        in_set = as_mask(pc.is_valid(arrays["choice_set"]))
        return [
            (~units & ~chosen, "units or chosen: one of them is required"),
            (chosen & ~in_set, "choice_set: required where chosen is given"),
        ]
    if table.name == HISTORIES.name:
        lengths = [pc.list_value_length(arrays[name]) for name in ("history", "history_labels")]
        return [(as_mask(pc.not_equal(*lengths)), "history_labels: not as long as history")]
    return []


def _reasons(problems: Sequence[Problem], count: int) -> npt.NDArray[np.object_]:
    reasons = np.full(count, None, dtype=object)
    for mask, reason in problems:
        for row in np.flatnonzero(mask):
            reasons[row] = reason if reasons[row] is None else f"{reasons[row]}; {reason}"
    return reasons


def _quarantined(rows: pd.DataFrame, reasons: Sequence[str], tally: Tally) -> list[str]:
    tally.quarantined += len(rows)
    tally.reasons += Counter(reasons)
    names = [name for name in rows.columns if name.startswith(COLUMN_PREFIX)]
    values = [as_arrow(rows[name]).to_pylist() for name in names]
    keys = [name.removeprefix(COLUMN_PREFIX) for name in names]
    records = ([*zip(keys, row, strict=True)] for row in zip(*values, strict=True))
    places = zip(rows["_file"], rows["_line"], reasons, records if names else [[]] * len(rows), strict=True)
    return [quarantine_line(f, int(line), reason, dict(record)) for f, line, reason, record in places]


def quarantine_line(file: str, line: int, reason: str, record: dict[str, Any]) -> str:
    """One row of the quarantine as JSON; values that are missing are left out."""
    given = {key: value for key, value in record.items() if value is not None}
    row = {"file": file, "line": line, "reason": reason, "record": given}
    return json.dumps(row, ensure_ascii=False, default=str)


def _events(events: pd.DataFrame, tally: Tally) -> list[str]:
    quarantine = []
    columns = (events[name] for name in ("_file", "_line", "_kind", "_reason", "_text"))
    for file, line, kind, reason, text in zip(*columns, strict=True):
        if kind == Kind.FATAL:
            tally.fatal.append(reason)
        elif kind == Kind.FILE:
            facts = json.loads(text)
            tally.add_file(file, facts["columns"], facts["records"])
        else:
            tally.read += 1
            tally.quarantined += 1
            tally.reasons[reason] += 1
            if kind == Kind.DAMAGE:
                tally.damage.append(f"{file}, line {line}: {reason}")
            quarantine.append(quarantine_line(file, int(line), reason, {"text": text}))
    return quarantine
