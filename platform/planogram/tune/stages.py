"""What a trial runs: a stage of the command, by its own function, and the figures that come of it."""

from collections.abc import Mapping
from statistics import median
from typing import Any

from planogram import storage
from planogram.config import CompressConfig, PretrainConfig, TuneConfig, parse_finetune
from planogram.config.training import LaunchConfig
from planogram.config.tune import TunedStage
from planogram.errors import ConfigError, NotFoundError
from planogram.section import Section, parse, read_yaml
from planogram.tune.space import corners, with_params
from planogram.tune.trial import Trial

#: figures of a training beside its validation metrics, all of which a campaign may look for
COSTS = ("steps", "seconds", "peak_memory_mb", "trainable_parameters", "parameters")
LATENCY_PAIRS, LATENCY_REPEATS = 32, 9


def base_values(config: TuneConfig) -> dict[str, Any]:
    """The values that all trials share, with whole paths: trials run in folders of their own.

    Raises:
        ConfigError: `base` is no YAML mapping.
    """
    values = dict(config.base) if isinstance(config.base, Mapping) else read_yaml(config.base)
    if isinstance(values.get("shop"), str):
        values["shop"] = storage.absolute(values["shop"])
    return values


def check(config: TuneConfig) -> None:
    """Refuse a campaign whose trials cannot start, before any does.

    Raises:
        ConfigError: a key of the space does not exist or does not take its values, or the base asks for several runs.
    """
    base = base_values(config)
    for key in ("run", "out", "recovery.run", "cluster", "tracking"):
        if key in config.space:
            raise ConfigError(f"space.{key} is the campaign's own", remedy="take it out of space")
    if any((base.get("repeat") or {}).get(name) for name in ("folds", "seeds")):
        raise ConfigError(
            "base.repeat is set: its metrics are of test parts, which no choice may see",
            remedy="drop it; run the winner with `repeat` afterwards",
        )
    if base.get("refit"):
        raise ConfigError("base.refit trains every trial twice", remedy="drop it; run the winner with it afterwards")
    if config.latency and (base.get("tower") or {}).get("features"):
        raise ConfigError("latency is measured of models that read text alone", remedy="set latency to false")
    for params in corners(config.space):
        stage_config(config.stage, with_params(base, params))


def stage_config(stage: TunedStage, values: dict[str, Any]) -> Section:
    """The section of a stage.

    Raises:
        ConfigError: the values do not fit it.
    """
    source = f"a trial of {stage}"
    if stage == "finetune":
        return parse_finetune(values, source)
    return parse(PretrainConfig if stage == "pretrain" else CompressConfig, values, source)


def trial_values(config: TuneConfig, base: Mapping[str, Any], trial: Trial, parent: Trial | None) -> dict[str, Any]:
    """The whole configuration of a trial. Its run has a name of its own, by which it goes on after an interruption.

    Raises:
        NotFoundError: the weights that it begins with are gone.
    """
    values = with_params(base, trial.params)
    run = run_name(config.name, trial.number)
    if config.stage == "compress":
        values["recovery"] = {**(values.get("recovery") or {}), "run": run}
        values["out"] = storage.join(run_folder(config.name, trial.number), "bundle")
        return values
    values |= {"run": run, "tracking": config.tracking.model_dump()}
    if parent is not None:
        if parent.bundle is None:
            raise NotFoundError(f"the bundle of trial {parent.number} was removed", remedy="start another campaign")
        values["backbone"] = {**(values.get("backbone") or {}), "name": parent.bundle}
    return values


def run_name(campaign: str, number: int) -> str:
    """The run of a trial."""
    return f"{campaign}-{number:04d}"


def run_folder(campaign: str, number: int) -> str:
    """Where a trial's run lies."""
    return storage.join(storage.home(), "runs", run_name(campaign, number))


def launch_of(config: Section) -> LaunchConfig:
    """Where a stage's training runs; that of `compress` is its recovery's, and without pruning it has none."""
    if isinstance(config, CompressConfig):
        return config.recovery.launch if config.prune else LaunchConfig(workers=0)
    launch = getattr(config, "launch", None)
    assert isinstance(launch, LaunchConfig)
    return launch


def run_stage(stage: TunedStage, values: dict[str, Any]) -> dict[str, Any]:
    """Run a stage once; it goes on where it was interrupted.

    Returns:
        What its `run` returns.

    Raises:
        PlanogramError: as the stage does.
    """
    if stage == "finetune":
        from planogram import finetune

        return finetune.run(parse_finetune(values, f"a trial of {stage}"))
    config = stage_config(stage, values)
    if isinstance(config, CompressConfig):
        return _compressed(config)
    from planogram import pretrain

    assert isinstance(config, PretrainConfig)
    return pretrain.run(config)


def _compressed(config: CompressConfig) -> dict[str, Any]:
    """A bundle that an interrupted attempt has finished is not made again."""
    from planogram.compress import run as compress
    from planogram.registry.bundle import open_bundle

    assert config.out is not None
    if not storage.exists(config.out):
        return compress.run(config)
    _, manifest = open_bundle(config.out)
    engines = {name: parity.model_dump(mode="json") for name, parity in manifest.engines.items()}
    return {"bundle": config.out, "engines": engines}


def figures(made: Mapping[str, Any], *, latency: bool = False) -> dict[str, float]:
    """All numbers by which trials may be compared.

    Args:
        made: what `run_stage` returned.
        latency: also measure `latency_ms`.

    Returns:
        Validation metrics under their names, `COSTS`, `size_mb` of the bundle (MiB), and of a compressed bundle
        `ENGINE.FIGURE` for every figure of its parity, such as `openvino-int8.ndcg`.
    """
    found: dict[str, float] = {name: float(value) for name, value in made.get("metrics", {}).items()}
    found |= {name: float(made[name]) for name in COSTS if made.get(name) is not None}
    for engine, parity in made.get("engines", {}).items():
        found |= {f"{engine}.{name}": float(value) for name, value in parity.items() if _is_number(value)}
    found["size_mb"] = _size_mb(made["bundle"])
    if latency:
        found["latency_ms"] = latency_ms(made["bundle"])
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _size_mb(bundle: str) -> float:
    from planogram.registry.bundle import open_bundle

    return sum(int(entry["bytes"]) for entry in open_bundle(bundle)[1].files.values()) / 2**20


def latency_ms(bundle: str) -> float:
    """Median milliseconds in which torch scores 32 pairs of the longest input that the model takes, in this process.

    Raises:
        ConfigError: the bundle is no cross-encoder.
    """
    import time

    from planogram.engines.base import score
    from planogram.engines.torch import TorchEngine
    from planogram.registry.bundle import open_bundle

    _, manifest = open_bundle(bundle)
    if manifest.kind != "cross-encoder":
        raise ConfigError(f"{bundle} is a {manifest.kind}", allowed="a cross-encoder", remedy="set latency to false")
    engine = TorchEngine(bundle, merged=True)
    pairs = [("word " * manifest.max_tokens, "word " * manifest.max_tokens)] * LATENCY_PAIRS
    taken = []
    for _ in range(LATENCY_REPEATS + 1):
        started = time.perf_counter()
        score(engine, pairs, batch_tokens=LATENCY_PAIRS * manifest.max_tokens)
        taken.append(time.perf_counter() - started)
    return 1000 * median(taken[1:])  # the first one warms up
