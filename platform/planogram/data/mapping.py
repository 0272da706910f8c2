"""The source mapping: which files, columns and derivations feed the tables of a shop. One YAML file per data source."""

import string
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BeforeValidator, Field, field_validator, model_validator

from planogram import section
from planogram.data.schema import TABLES, Column, Table
from planogram.section import Names, Section

# A column's name that stands for the place of a row, for data without an identifier of its own.
FILE_COLUMN = "_file"
LINE_COLUMN = "_line"
# The columns of a row in a JSON document: its key, and its value where that is no object.
KEY_COLUMN = "_key"
VALUE_COLUMN = "_value"

_NUMBER_OPTIONS = ("scale", "offset")
_TIME_OPTIONS = ("format", "timezone")
_LIST_OPTIONS = ("split", "slice")


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


OneOrMore = Annotated[Names, BeforeValidator(_listed)]


def check_pattern(pattern: str, replacement: str | None = None) -> None:
    """Check a regular expression (RE2 syntax: linear time, no look-around) and the replacement that refers to it.

    Raises:
        ValueError: either is not valid.
    """
    sample = pa.array(["x"])
    try:
        if replacement is None:
            pc.match_substring_regex(sample, pattern)
        else:
            pc.replace_substring_regex(sample, pattern, replacement)
    except pa.ArrowInvalid as error:
        raise ValueError(f"{pattern!r} is not a valid regular expression in RE2 syntax: {error}") from None


def check_separator(pattern: str) -> None:
    """Check a regular expression that stands between the elements of a list.

    Raises:
        ValueError: it is not valid, or it matches the empty text and so stands everywhere.
    """
    check_pattern(pattern)
    if pc.match_substring_regex(pa.array([""]), pattern)[0].as_py():
        raise ValueError(
            f"split {pattern!r} matches the empty text: give what stands between two elements, such as ' '"
        )


def template_parts(template: str) -> list[tuple[str, str | None]]:
    """Split a template into (text before, column or None) pairs. A column's name may hold colons.

    Raises:
        ValueError: braces do not match, or a placeholder is empty or carries a conversion.
    """
    parts = []
    for text, name, spec, conversion in string.Formatter().parse(template):
        if name == "" or conversion:
            raise ValueError(f"template {template!r}: a placeholder is one column's name in braces")
        parts.append((text, f"{name}:{spec}" if spec else name))
    return parts


class CsvOptions(Section):
    """How delimited text is written."""

    delimiter: str | None = Field(None, min_length=1, max_length=1, description="absent: ',' for csv, tab for tsv")
    quote: str | None = Field('"', min_length=1, max_length=1, description="null: quotes are ordinary characters")
    escape: str | None = Field(None, min_length=1, max_length=1, description="takes the next character as it is")
    skip_initial_space: bool = Field(False, description="ignore spaces after a delimiter")
    header: Names | None = Field(None, min_length=1, description="names of the columns of files without a header line")


class Condition(Section):
    """What a column must hold for a row to be read. Values are compared without surrounding white space."""

    one_of: OneOrMore | None = Field(None, min_length=1)
    matches: str | None = Field(None, description="regular expression, searched anywhere in the value")

    @model_validator(mode="before")
    @classmethod
    def _shorthand(cls, value: Any) -> Any:
        return {"one_of": value} if isinstance(value, str | list | tuple) else value

    @model_validator(mode="after")
    def _complete(self) -> "Condition":
        if (self.one_of is None) == (self.matches is None):
            raise ValueError("give either one_of or matches")
        if self.matches is not None:
            check_pattern(self.matches)
        return self


class FieldConfig(Section):
    """Where a field's value comes from; a bare text is short for `column`.

    In this order: the base, `replace`, `split` with `item`, `match` or `map`, `default`, then the number, time or list
    is parsed.
    """

    column: str | None = None
    constant: str | None = None
    template: str | None = Field(None, description="text with {column}s; missing where one of them is missing")
    hash: Names | None = Field(None, min_length=1, description="32 hex digits from the columns' values")
    entries: dict[str, str] | None = Field(None, description="for maps: name -> column")
    replace: dict[str, str] = Field(
        {}, description="regular expression -> replacement, \\1 is a group; one after another"
    )
    split: str | None = Field(None, description="lists, `item`: regular expression that stands between the elements")
    item: int | None = Field(None, description="one element of what `split` gives: 0 is the first, -1 the last")
    slice: tuple[int | None, int | None] | None = Field(
        None, strict=False, description="lists: [first, end] as in Python: [1, -1] leaves out the first and the last"
    )
    match: dict[str, str] = Field({}, description="regular expression -> value; the first that matches wins")
    map: dict[str, str] = Field({}, description="value -> value")
    default: str | None = Field(
        None, description="instead of a missing value, or one that `match` or `map` do not know"
    )
    scale: float | None = Field(None, description="numbers: multiply by")
    offset: float | None = Field(None, description="numbers: then add")
    format: str | None = Field(None, description="timestamps: iso (default), unix_s, unix_ms or a strptime format")
    timezone: str | None = Field(None, description="timestamps without an offset are in this zone; default UTC")

    @model_validator(mode="before")
    @classmethod
    def _shorthand(cls, value: Any) -> Any:
        return {"column": value} if isinstance(value, str) else value

    @field_validator("timezone")
    @classmethod
    def _zone_exists(cls, value: str | None) -> str | None:
        try:
            if value is not None:
                ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"{value!r} is not a time zone: give an IANA name such as Europe/London") from None
        return value

    @model_validator(mode="after")
    def _consistent(self) -> "FieldConfig":
        bases = [n for n in ("column", "constant", "template", "hash", "entries") if getattr(self, n) is not None]
        if len(bases) != 1:
            raise ValueError(f"give exactly one of column, constant, template, hash, entries, not {bases or 'none'}")
        if self.match and self.map:
            raise ValueError("give match or map, not both")
        for pattern, replacement in self.replace.items():
            check_pattern(pattern, replacement)
        for pattern in self.match:
            check_pattern(pattern)
        if self.template is not None:
            template_parts(self.template)
        if self.split is not None:
            check_separator(self.split)
        if self.item is not None and self.split is None:
            raise ValueError("item takes one element of what split gives: give split, too")
        if self.item is not None and self.slice is not None:
            raise ValueError("give item or slice, not both")
        return self

    def columns(self) -> list[str]:
        """The source columns that the field needs."""
        if self.template is not None:
            return [name for _, name in template_parts(self.template) if name is not None]
        single = [self.column] if self.column is not None else []
        return [*single, *(self.hash or ()), *(self.entries or {}).values()]


class FilesConfig(Section):
    """Files of one kind."""

    files: OneOrMore = Field(..., min_length=1, description="globs below the folder that is imported")
    format: Literal["csv", "tsv", "json", "jsonl", "parquet"] = "csv"
    member: str = Field("*", description="glob: which members of zip and tar archives")
    encoding: str = Field("utf-8", description="any that Python knows")
    csv: CsvOptions = CsvOptions()
    missing: Names = Field((), description="texts that mean 'no value', beside the empty one")

    @field_validator("encoding")
    @classmethod
    def _encoding_exists(cls, value: str) -> str:
        try:
            "\n".encode(value)
        except (LookupError, UnicodeError):
            raise ValueError(f"{value!r} is not a text encoding: give one such as utf-8, cp1252 or gb18030") from None
        return value


class JoinConfig(FilesConfig):
    """A lookup file, held in memory by every task: its columns are known as `name.column`."""

    key: dict[str, str] = Field(
        ..., min_length=1, max_length=1, description="column of the source -> column of the lookup"
    )


class SourceConfig(FilesConfig):
    """Files that feed one table."""

    where: dict[str, Condition] = Field({}, description="column -> condition; rows are read where all hold")
    joins: dict[str, JoinConfig] = Field({}, description="name -> lookup file")
    fields: dict[str, FieldConfig] = Field(..., min_length=1, description="field of the table -> where it comes from")

    def columns(self) -> set[str]:
        """Every column that the source's own files must have."""
        wanted = {name for field in self.fields.values() for name in field.columns()}
        joined = {name for name in wanted if name.partition(".")[0] in self.joins and "." in name}
        keys = {next(iter(join.key)) for join in self.joins.values()}
        return (wanted - joined - {FILE_COLUMN, LINE_COLUMN}) | set(self.where) | keys


class TableConfig(Section):
    """One table of the shop."""

    keep: Literal["quarantine", "first", "last"] = Field(
        "quarantine",
        description="rows of equal key and different content: which one stays, or quarantine the later ones",
    )
    sources: tuple[SourceConfig, ...] = Field(..., min_length=1, strict=False)


class MappingConfig(Section):
    """How a shop is made from files."""

    name: str = Field(..., min_length=1, description="of the shop")
    description: str = ""
    currency: str | None = Field(None, description="ISO 4217, of every price")
    locale: str | None = Field(None, description="BCP 47, of the shop's texts")
    tables: dict[str, TableConfig] = Field(..., min_length=1)

    @model_validator(mode="after")
    def _fits_schema(self) -> "MappingConfig":
        problems = [problem for name, table in self.tables.items() for problem in _table_problems(name, table)]
        if problems:
            raise ValueError("; ".join(problems))
        return self


def load_mapping(path: str) -> MappingConfig:
    """Read a source mapping (YAML, local path or URI).

    Raises:
        ConfigError: names every key and value that is wrong, and the valid ones.
    """
    return section.load(MappingConfig, path)


def _table_problems(name: str, table: TableConfig) -> list[str]:
    if name not in TABLES:
        return [f"{name!r} is not a table; tables: {', '.join(TABLES)}"]
    schema = TABLES[name]
    return [
        f"{name} source {i}: {p}" for i, source in enumerate(table.sources, 1) for p in _source_problems(schema, source)
    ]


def _source_problems(schema: Table, source: SourceConfig) -> list[str]:
    known = {column.name: column for column in schema.columns}
    problems = [f"{name!r} is not a field; fields: {', '.join(known)}" for name in source.fields if name not in known]
    problems += [
        f"the required field {name!r} is not mapped"
        for name, column in known.items()
        if column.required and name not in source.fields
    ]
    for name, field in source.fields.items():
        if name in known:
            problems += _field_problems(known[name], field)
    return problems


def _field_problems(column: Column, field: FieldConfig) -> list[str]:
    allowed = {
        "float": _NUMBER_OPTIONS,
        "int": _NUMBER_OPTIONS,
        "timestamp": _TIME_OPTIONS,
        "list": _LIST_OPTIONS,
        "map": ("entries",),
    }.get(column.kind, ())
    options = ("entries", *_NUMBER_OPTIONS, *_TIME_OPTIONS, "slice")
    wrong = [option for option in options if getattr(field, option) is not None and option not in allowed]
    if column.kind == "list":
        wrong += [o for o in ("item", "hash") if getattr(field, o) is not None]
        wrong += [o for o in ("match", "map") if getattr(field, o)]
    problems = [f"{column.name}: {option} does not fit a {column.kind}" for option in wrong]
    if column.kind != "list" and field.split is not None and field.item is None:
        problems.append(f"{column.name}: split makes a list, which does not fit a {column.kind}: give item, too")
    return problems
