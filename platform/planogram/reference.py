"""The reference of all configuration keys, made from the sections themselves."""

import types
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from planogram import config
from planogram.pricing.settings import BenchmarkPricingConfig, RepriceConfig
from planogram.section import Section
from planogram.serve.settings import IndexConfig

#: stage -> its section
STAGES: dict[str, type[Section]] = {
    "planogram data simulate": config.SimulateConfig,
    "planogram pretrain": config.PretrainConfig,
    "planogram finetune": config.FinetuneConfig,
    "planogram finetune (next_item)": config.NextItemConfig,
    "planogram finetune (demand)": config.DemandConfig,
    "planogram tune": config.TuneConfig,
    "planogram evaluate": config.EvaluateConfig,
    "planogram score": config.ScoreConfig,
    "planogram models promote --gate": config.GatePolicy,
    "planogram blend": config.BlendConfig,
    "planogram elasticities": config.ElasticityConfig,
    "planogram compress": config.CompressConfig,
    "planogram index": IndexConfig,
    "planogram reprice": RepriceConfig,
    "planogram benchmark training": config.BenchmarkTrainingConfig,
    "planogram benchmark engines": config.BenchmarkEnginesConfig,
    "planogram benchmark serving": config.BenchmarkServingConfig,
    "planogram benchmark reliability": config.BenchmarkReliabilityConfig,
    "planogram benchmark promotions": config.BenchmarkPromotionsConfig,
    "planogram benchmark pricing": BenchmarkPricingConfig,
    "planogram demo": config.DemoConfig,
}
HEAD = """# Configuration

Every stage has one section, read from YAML (`--config`) and changed with `--set a.b=value` (YAML values; repeatable).
Unknown keys and values that are not allowed are errors which name the valid ones. The serving arguments stand in
[serving.md](serving.md), the source mappings in [data.md](data.md).

This page is made by `planogram config > docs/configuration.md`.
"""


def markdown() -> str:
    """Tables of all stages and then of the sections that they share."""
    parts = [HEAD]
    parts += [_table(f"`{verb}`", section) for verb, section in STAGES.items()]
    parts += [_table(f"`{name}`", section) for name, section in _shared().items()]
    return "\n".join(parts)


def _shared() -> dict[str, type[Section]]:
    """Key -> section, in the order in which they are first used."""
    found: dict[str, type[Section]] = {}
    for stage in STAGES.values():
        for name, field in stage.model_fields.items():
            section = _section(field)
            if section and section not in STAGES.values():
                found.setdefault(name, section)
            found |= {f"{name} of kind {kind}": member for kind, member in _kinds(field).items()}
    return found


def _kinds(field: FieldInfo) -> dict[str, type[Section]]:
    """Of a mapping to sections that differ by their `kind`: kind -> section."""
    if get_origin(field.annotation) is not dict or get_origin(get_args(field.annotation)[1]) is not Annotated:
        return {}
    members = get_args(get_args(get_args(field.annotation)[1])[0])
    sections = [member for member in members if isinstance(member, type) and issubclass(member, Section)]
    return {get_args(section.model_fields["kind"].annotation)[0]: section for section in sections}


def _table(title: str, section: type[Section]) -> str:
    rows = [
        f"| `{name}` | {_type(field)} | {_default(field)} | {_meaning(field)} |" for name, field in _fields(section)
    ]
    # The first paragraph alone: what it is for.
    about = (section.__doc__ or "").split("\n\n")[0].removeprefix(f"{title}: ").strip()
    return "\n".join(
        [f"## {title}\n", f"{about}\n", "| key | type | default | meaning |", "|---|---|---|---|", *rows, ""]
    )


def _fields(section: type[Section]) -> list[tuple[str, FieldInfo]]:
    return list(section.model_fields.items())


def _meaning(field: FieldInfo) -> str:
    return (field.description or "").replace("|", "\\|")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, Section):
        return "see below"
    if value is None or value in ({}, ()):
        return "none"
    return f"`{', '.join(map(str, value)) if isinstance(value, tuple) else value}`"


def _type(field: FieldInfo) -> str:
    return "section" if _section(field) else _name(field.annotation)


def _section(field: FieldInfo) -> type[Section] | None:
    for candidate in (field.annotation, *get_args(field.annotation)):
        if isinstance(candidate, type) and issubclass(candidate, Section):
            return candidate
    return None


def _name(annotation: Any) -> str:
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in args)
    if origin in (Union, types.UnionType):
        return " or ".join(_name(arg) for arg in args if arg is not type(None))
    if origin is tuple:
        return "list"
    if origin is dict and get_origin(args[1]) is Annotated:
        return "mapping to sections"
    if origin is dict:
        return "mapping" if args[1] is Any else f"mapping to {_name(args[1])}"
    return str(getattr(annotation, "__name__", annotation))
