"""A section of the configuration: typed, strict, frozen; read from YAML with `--set a.b=value` on top.

A key that does not exist or a value that is not allowed is an error which names the valid ones.
"""

import difflib
import re
import types
from collections.abc import Sequence
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from planogram import storage
from planogram.errors import ConfigError

Names = Annotated[tuple[str, ...], Field(strict=False)]
C = TypeVar("C", bound="Section")


class Section(BaseModel):
    """A part of the configuration: unknown keys are refused, values are never coerced, nothing changes later."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class _Loader(yaml.SafeLoader):
    """YAML 1.1 reads 1e-4 as text; here it is the number that everybody means."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(?:\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def load(cls: type[C], path: str | None = None, overrides: Sequence[str] = ()) -> C:
    """Read a section from YAML and apply overrides.

    Args:
        cls: the section's class.
        path: YAML file (local or URI); absent: defaults alone.
        overrides: `a.b=value`, the value in YAML; later ones win.

    Raises:
        ConfigError: the file is not a YAML mapping, a key does not exist, or a value is not allowed.
    """
    return parse(cls, values_of(path, overrides), path or "the command line")


def values_of(path: str | None, overrides: Sequence[str]) -> dict[str, Any]:
    """The values of a YAML file with overrides on top, not yet checked; see `load`."""
    values = read_yaml(path) if path else {}
    for override in overrides:
        _apply(values, override)
    return values


def read_yaml(path: str) -> dict[str, Any]:
    """Read a YAML mapping.

    Raises:
        ConfigError: it is not one.
    """
    try:
        values = yaml.load(storage.read_bytes(path), _Loader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid YAML: {error}", remedy="mend the file") from error
    if not isinstance(values, dict | None):
        raise ConfigError(f"{path} holds a {type(values).__name__}", allowed="a YAML mapping", remedy="mend the file")
    return values or {}


def parse(cls: type[C], values: dict[str, Any], source: str) -> C:
    """Check values against a section.

    Raises:
        ConfigError: names every wrong key and value, and the valid ones.
    """
    try:
        return cls.model_validate(values)
    except ValidationError as error:
        problems = [_explain(cls, problem) for problem in error.errors(include_url=False)]
        raise ConfigError(
            f"{source} does not fit {cls.__name__}:\n" + "\n".join(f"  - {problem}" for problem in problems),
            remedy="correct the keys and values named above",
        ) from None


def _apply(values: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not all(key.split(".")):
        raise ConfigError(f"--set {override!r}", allowed="a.b=value", remedy="write the key, '=' and the value")
    *path, last = key.split(".")
    node = values
    for part in path:
        child = node.setdefault(part, {})
        if not isinstance(child, dict):
            raise ConfigError(f"--set {key}: {part!r} is not a section", remedy="name a key that holds other keys")
        node = child
    try:
        node[last] = yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {override!r} is not valid YAML: {error}", remedy="quote the value") from error


def _explain(cls: type[BaseModel], problem: Any) -> str:
    location = [str(part) for part in problem["loc"]]
    name = ".".join(location)
    if problem["type"] == "extra_forbidden":
        section = _section_at(cls, location[:-1])
        valid = sorted(section.model_fields) if section else []
        close = difflib.get_close_matches(location[-1], valid, n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        return f"{name} is not a key{hint}; valid keys: {', '.join(valid)}"
    if problem["type"] == "missing":
        return f"{name} is missing"
    message = problem["msg"].removeprefix("Value error, ")
    return f"{name or cls.__name__}: {message}" + (
        "" if isinstance(problem["input"], dict) else f", not {problem['input']!r}"
    )


def _section_at(cls: type[BaseModel], location: Sequence[str]) -> type[BaseModel] | None:
    node: type[BaseModel] | None = cls
    for part in location:
        if node is None:
            return None
        field = node.model_fields.get(part)
        # A list index or a mapping's key does not name a field: the section stays the same.
        node = _section_in(field.annotation) if field else node
    return node


def _section_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (Union, types.UnionType, list, tuple, dict, Annotated):
        return next((found for arg in get_args(annotation) if (found := _section_in(arg))), None)
    return None
