"""The source mapping: what is wrong in it is named, with the remedy."""

from pathlib import Path

import pytest
import yaml

from planogram import section
from planogram.data.mapping import FieldConfig, MappingConfig, load_mapping, template_parts
from planogram.errors import ConfigError

MAPPINGS = sorted((Path(__file__).parents[2] / "jobs" / "configs" / "sources").glob("*.yaml"))
FIELDS = {"product_id": "id", "title": "name"}


def mapping(**source: object) -> MappingConfig:
    tables = {"products": {"sources": [{"files": "*.csv", "fields": FIELDS, **source}]}}
    return section.parse(MappingConfig, {"name": "m", "tables": tables}, "m.yaml")


@pytest.mark.parametrize("path", MAPPINGS, ids=lambda path: path.stem)
def test_every_mapping_of_the_project_is_valid(path):
    assert load_mapping(str(path)).name == path.stem.replace("_", "-")


def test_shorthands():
    source = mapping(where={"kind": "sale", "x": ["1", "2"], "y": {"matches": "^a"}}).tables["products"].sources[0]
    assert source.files == ("*.csv",)
    assert source.fields["title"] == FieldConfig(column="name")
    assert source.where["x"].one_of == ("1", "2")
    assert source.columns() == {"id", "name", "kind", "x", "y"}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"filez": "x"}, "did you mean 'files'.*valid keys: csv, encoding"),
        ({"fields": {"product_id": "id"}}, "required field 'title' is not mapped"),
        ({"fields": {**FIELDS, "colour": "c"}}, "'colour' is not a field; fields: product_id, title"),
        ({"fields": {**FIELDS, "brand": {"column": "a", "constant": "b"}}}, "exactly one of column, constant"),
        ({"fields": {**FIELDS, "brand": {"colum": "a"}}}, "did you mean 'column'"),
        ({"fields": {**FIELDS, "brand": {"column": "a", "match": {"(": "x"}}}}, "not a valid regular expression"),
        ({"fields": {**FIELDS, "brand": {"column": "a", "replace": {"a": r"\9"}}}}, "not a valid regular expression"),
        ({"fields": {**FIELDS, "brand": {"template": "{a!r}"}}}, "a placeholder is one column's name"),
        ({"fields": {**FIELDS, "brand": {"template": "{a"}}}, "expected '}'"),
        ({"fields": {**FIELDS, "brand": {"column": "a", "scale": 2.0}}}, "brand: scale does not fit a string"),
        ({"fields": {**FIELDS, "updated_at": {"column": "a", "timezone": "Mars"}}}, "'Mars' is not a time zone"),
        ({"encoding": "utf-9"}, "'utf-9' is not a text encoding"),
        ({"format": "xlsx"}, "'csv', 'tsv', 'json', 'jsonl' or 'parquet'"),
        ({"where": {"a": {"one_of": ["x"], "matches": "y"}}}, "give either one_of or matches"),
        ({"fields": {**FIELDS, "stock": {"constant": 5}}}, "valid string"),
    ],
)
def test_what_is_wrong_is_named(source, message):
    with pytest.raises(ConfigError, match=message):
        mapping(**source)


def test_unknown_table():
    with pytest.raises(ConfigError, match=r"'product' is not a table; tables: products, judgments"):
        section.parse(
            MappingConfig, {"name": "m", "tables": {"product": {"sources": [{"files": "x", "fields": FIELDS}]}}}, "m"
        )


HISTORY = {"history_id": "id", "product_id": "next", "history": {"column": "items", "split": " "}}


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ({"history": {"column": "items", "split": "("}}, "not a valid regular expression"),
        ({"history": {"column": "items", "split": " *"}}, r"' \*' matches the empty text: give what stands between"),
        ({"history": {"column": "items", "split": " ", "item": 0}}, "history: item does not fit a list"),
        ({"history": {"column": "items", "match": {"a": "b"}}}, "history: match does not fit a list"),
        ({"history": {"column": "items", "map": {"a": "b"}}}, "history: map does not fit a list"),
        ({"history": {"hash": ["items"]}}, "history: hash does not fit a list"),
        ({"history": {"entries": {"a": "b"}}}, "history: entries does not fit a list"),
        ({"history": {"column": "items", "slice": [1]}}, "history.*slice.*"),
        ({"product_id": {"column": "items", "split": " "}}, "product_id: split makes a list.*give item, too"),
        ({"product_id": {"column": "items", "slice": [0, 1]}}, "product_id: slice does not fit a string"),
        ({"product_id": {"column": "items", "item": 0}}, "item takes one element of what split gives"),
        ({"product_id": {"column": "items", "split": " ", "item": 0, "slice": [0, 1]}}, "give item or slice, not both"),
    ],
)
def test_what_is_wrong_with_a_list_is_named(field, message):
    tables = {"histories": {"sources": [{"files": "*.csv", "fields": {**HISTORY, **field}}]}}
    with pytest.raises(ConfigError, match=message):
        section.parse(MappingConfig, {"name": "m", "tables": tables}, "m.yaml")


def test_template_parts():
    assert template_parts("{{x}}-{a b}.{c.d}") == [("{", None), ("x}", None), ("-", "a b"), (".", "c.d")]
    assert template_parts("{user_id:token}/{n}") == [("", "user_id:token"), ("/", "n")]


def test_a_mapping_is_read_from_yaml(tmp_path):
    path = tmp_path / "m.yaml"
    path.write_text(
        yaml.safe_dump({"name": "m", "tables": {"products": {"sources": [{"files": "a", "fields": FIELDS}]}}})
    )
    assert load_mapping(str(path)).tables["products"].keep == "quarantine"
