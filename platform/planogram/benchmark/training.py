"""What each way of fine-tuning costs and brings: one table from ordinary runs of `finetune` on the same samples.

Peak memory is that of a process, and memory that one training has taken may stay with its process for the next. So
every run has Ray workers of its own, on one cluster that is started once; the loop in them measures itself, and neither
the start of a cluster nor that of workers counts. With `launch.workers=0` all runs share this process: their memory
is then not reported.
"""

import hashlib
import json
from contextlib import nullcontext
from statistics import mean
from typing import Any

from rich.console import Console

from planogram import cluster, finetune, storage
from planogram.benchmark.report import plot
from planogram.config import BenchmarkTrainingConfig, FinetuneConfig, TrainingMethod
from planogram.data.shop import open_shop

FOLDER = "benchmarks"


def run(config: BenchmarkTrainingConfig) -> dict[str, Any]:
    """Fine-tune and test with every method, and write the result below `PLANOGRAM_HOME/benchmarks/`.

    Runs that have ended are not run again, methods that were tested are not tested again.

    Returns:
        `name`, `shop`, `data_digest`, `config`, `methods` (see `_row`), and `file` and `plot`, where they stand.

    Raises:
        NotFoundError: there is no shop.
        TrainingError: a run failed; the same configuration again goes on with it.
    """
    storage.check_name(config.name, "name of a benchmark")
    place = storage.join(storage.home(), FOLDER, config.name)
    shop = storage.absolute(config.finetune.shop)
    data_digest = open_shop(shop)["data_digest"]
    rows = []
    with cluster.connect(config.finetune.cluster) if config.finetune.launch.workers else nullcontext():
        for number, method in enumerate(config.methods, start=1):
            _say(f"{number} of {len(config.methods)}: {method}")
            single = config.method_config(method).model_copy(update={"shop": shop})
            rows.append(_measured(config.name, method, single, data_digest, place))
    result = {
        "name": config.name,
        "shop": shop,
        "data_digest": data_digest,
        "methods": rows,
        "config": config.model_dump(mode="json"),
    }
    storage.write_bytes(f"{place}.png", plot(result))
    storage.write_json(f"{place}.json", result)
    return result | {"file": f"{place}.json", "plot": f"{place}.png"}


def _say(line: str) -> None:
    Console(stderr=True).print(f"[bold]benchmark[/bold] {line}", highlight=False)


def _measured(
    name: str, method: TrainingMethod, config: FinetuneConfig, data_digest: str, place: str
) -> dict[str, Any]:
    """A method's row; read where it was measured before with the same settings and data."""
    # More seeds or folds are further runs beside those that there are.
    settings = config.model_dump(mode="json", exclude={"cluster", "tracking", "run", "repeat"})
    digest = _digest([settings, data_digest])
    repeat = _digest(config.repeat.model_dump(mode="json"))
    uri = storage.join(place, f"{method}-{digest}-{repeat}.json")
    if not storage.exists(uri):
        made = finetune.run(config.model_copy(update={"run": f"{name}-{method}-{digest}"}))
        storage.write_json(uri, _row(method, made, config.launch.workers > 0))
    return dict(storage.read_json(uri))


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:10]


def _row(method: TrainingMethod, made: dict[str, Any], own_process: bool) -> dict[str, Any]:
    """One line of the table.

    Args:
        method: its name.
        made: what `finetune.run` returned.
        own_process: whether every run had processes of its own.

    Returns:
        `method`, `trainable_parameters`, `parameters`, `trainable_share` (0..1), `peak_memory_mb` (MiB, the largest of
        all runs; None: unknown), `seconds` of training and `seconds_per_step` (means), `metrics` (means over the runs'
        test parts) and `runs`, each with fold, seed, metrics, costs and bundle.
    """
    runs = made["history"]
    trainable, total = runs[0]["trainable_parameters"], runs[0]["parameters"]
    return {
        "method": method,
        "trainable_parameters": trainable,
        "parameters": total,
        "trainable_share": trainable / total,
        "peak_memory_mb": max(single["peak_memory_mb"] for single in runs) if own_process else None,
        "seconds": mean(single["seconds"] for single in runs),
        "seconds_per_step": mean(single["seconds"] / single["steps"] for single in runs),
        "metrics": made["metrics"],
        "runs": runs,
    }
