"""Fine-tuning: the tasks of a shop, from a backbone to a bundle, once or over folds and seeds."""

from contextlib import nullcontext
from itertools import product
from statistics import mean
from typing import Any

from planogram import cluster
from planogram.config import DemandConfig, EvaluateConfig, FinetuneConfig, NextItemConfig, RepeatConfig, SplitConfig
from planogram.evaluate import offline
from planogram.section import parse
from planogram.tasks.contrastive import ContrastiveStage
from planogram.tasks.demand import DemandStage
from planogram.tasks.next_item import NextItemStage, refitted
from planogram.tasks.scoring import ScoringStage
from planogram.train.run import execute, named

Config = FinetuneConfig | NextItemConfig | DemandConfig
# What a run says of its training beside the quality of its model.
COSTS = ("steps", "seconds", "peak_memory_mb", "trainable_parameters", "parameters")


def run(config: Config) -> dict[str, Any]:
    """Fine-tune and write a bundle; see `train.run.execute` for the result and the errors.

    With `repeat` there is a run and a bundle for every fold and seed; `metrics` are then means over their test parts,
    and `history` has one entry per run, which also says what its training took.
    """
    if config.repeat.folds or config.repeat.seeds:
        return _repeated(named(config))
    return _once(config)


def _once(config: Config) -> dict[str, Any]:
    if isinstance(config, NextItemConfig):
        return _next_item(config)
    if isinstance(config, DemandConfig):
        return execute(DemandStage(), config)
    stage = ContrastiveStage() if config.model == "bi-encoder" else ScoringStage()
    return execute(stage, config)


def _next_item(config: NextItemConfig) -> dict[str, Any]:
    """One training, or with `refit` a second one, whose result is returned with the metrics of the first."""
    chosen = execute(NextItemStage(), config)
    if not config.refit:
        return chosen
    return execute(NextItemStage(), refitted(config, chosen)) | {"metrics": chosen["metrics"]}


def _repeated(config: Config) -> dict[str, Any]:
    """Train and test for every fold and seed, on one cluster. Runs that have ended are not trained again."""
    folds = config.repeat.folds or (config.split.fold,)
    seeds = config.repeat.seeds or (config.train.seed,)
    configs = {(fold, seed): _one_of(config, fold, seed) for fold, seed in product(folds, seeds)}
    rows: list[dict[str, Any]] = []
    with cluster.connect(config.cluster) if config.launch.workers else nullcontext():
        for (fold, seed), single in configs.items():
            made = _once(single)
            tested = EvaluateConfig(
                bundle=made["bundle"],
                shop=config.shop,
                task=config.repeat.task,
                clicks=config.repeat.clicks,
                workers=config.launch.workers,
            )
            metrics = offline.run(tested)["metrics"]
            costs = {name: made[name] for name in COSTS}
            rows.append({"fold": fold, "seed": seed, **metrics, **costs, "bundle": made["bundle"]})
    return {
        "run": config.run,
        "metrics": {name: mean(row[name] for row in rows) for name in metrics},
        "history": rows,
    }


def _one_of(config: Config, fold: int, seed: int) -> Config:
    split = parse(SplitConfig, {**config.split.model_dump(), "fold": fold}, "repeat.folds")
    train = config.train.model_copy(update={"seed": seed})
    name = f"{config.run}-fold-{fold}-seed-{seed}"
    return config.model_copy(update={"run": name, "split": split, "train": train, "repeat": RepeatConfig()})
