"""What a campaign found: the best trials, what mattered, and how trials went; as JSON, tables, a picture, a page."""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, Group
from rich.markup import escape
from rich.table import Table

from planogram import storage
from planogram.config import TuneConfig
from planogram.tune.budget import Spent
from planogram.tune.epochs import epochs
from planogram.tune.objective import front, ranked
from planogram.tune.picture import picture
from planogram.tune.tpe import importance
from planogram.tune.trial import Trial

BEST = 5
ENDS = {"file": "json", "plot": "png", "page": "html"}


def summary(
    config: TuneConfig, base: Mapping[str, Any], trials: Sequence[Trial], taken: Spent, ended: str
) -> dict[str, Any]:
    """The result of a campaign.

    Args:
        config: of the campaign.
        base: values that all trials share.
        trials: of its ledger.
        taken: over all starts.
        ended: why no further trial began.

    Returns:
        `name`, `stage`, `metrics` (name -> max or min), `counts` (state -> trials), `spent` (`hours`, `trial_hours`,
        `cost`), `epochs` (`trained`, and `whole` had none been stopped; None where steps are limited), `ended`, `best`
        (at most 5 trials, each with number, params, metrics, seconds, bundle), `front` (numbers of the trials that none
        beats), `importance` (metric -> key -> share), and `trials` (all).
    """
    states = ("running", "finished", "stopped", "failed")
    return {
        "name": config.name,
        "stage": config.stage,
        "metrics": dict(config.metrics),
        "search": config.search,
        "scheduler": config.scheduler.kind,
        "counts": {state: sum(trial.state == state for trial in trials) for state in states},
        "spent": {"hours": taken.hours, "trial_hours": taken.trial_hours, "cost": taken.cost},
        "epochs": epochs(config, base, trials),
        "ended": ended,
        "best": [_best(trial) for trial in ranked(trials, config.metrics)[:BEST]],
        "front": [trial.number for trial in front(trials, config.metrics)],
        "importance": importance(config, trials),
        "trials": [_row(trial) for trial in trials],
    }


def _best(trial: Trial) -> dict[str, Any]:
    return {
        "number": trial.number,
        "params": trial.params,
        "metrics": trial.metrics,
        "seconds": trial.seconds,
        "bundle": trial.bundle,
    }


def _row(trial: Trial) -> dict[str, Any]:
    return _best(trial) | {
        "state": trial.state,
        "parent": trial.parent,
        "attempts": trial.attempts,
        "reason": trial.reason,
        "history": list(trial.history),
    }


def keep(result: dict[str, Any], trials: Sequence[Trial], folder: str) -> dict[str, str]:
    """Write the result, the picture and the page into a folder, over those of an earlier start.

    Returns:
        `file`, `plot` and `page`: where they stand.
    """
    image = picture(result, trials)
    places = {name: storage.join(folder, f"report.{end}") for name, end in ENDS.items()}
    storage.write_json(places["file"], result)
    storage.write_bytes(places["plot"], image)
    storage.write_bytes(places["page"], page(result, image))
    return places


def render(result: dict[str, Any]) -> Group:
    """The best trials and what mattered.

    Args:
        result: what `summary` returns.
    """
    tables = [_best_table(result)]
    tables += [_importance_table(name, shares) for name, shares in result["importance"].items() if shares]
    return Group(*tables)


def page(result: dict[str, Any], image: bytes) -> bytes:
    """The picture, and the tables of the best and of all trials, as one HTML file that needs nothing else."""
    console = Console(record=True, file=io.StringIO(), width=200)
    console.print(render(result))
    console.print(_all_table(result))
    encoded = base64.b64encode(image).decode()
    shown = f'<img alt="trials" style="max-width: 100%" src="data:image/png;base64,{encoded}">'
    return console.export_html().replace("<body>", f"<body>{shown}", 1).encode()


def _best_table(result: dict[str, Any]) -> Table:
    counts = ", ".join(f"{count} {state}" for state, count in result["counts"].items() if count)
    spent = result["spent"]
    cost = f", cost {spent['cost']:.2f}" if spent["cost"] else ""
    took = f"{spent['hours']:.2f} h, trials {spent['trial_hours']:.2f} h{cost}{_saved(result['epochs'])}"
    table = Table(title=f"{result['name']}: {counts}", caption=escape(f"{took}; {result['ended']}"))
    for name in ("trial", *result["metrics"], "seconds", "values"):
        table.add_column(name, justify="left" if name == "values" else "right")
    for row in result["best"]:
        mark = "*" if row["number"] in result["front"] and len(result["metrics"]) > 1 else ""
        figures = (f"{row['metrics'][name]:.4f}" for name in result["metrics"])
        table.add_row(f"{row['number']}{mark}", *figures, f"{row['seconds']:.0f}", _values(row["params"]))
    return table


def _saved(counted: dict[str, float] | None) -> str:
    if not counted or not counted["whole"]:
        return ""
    share = counted["trained"] / counted["whole"]
    return f", {counted['trained']:.1f} of {counted['whole']:.1f} epochs ({share:.0%})"


def _all_table(result: dict[str, Any]) -> Table:
    table = Table(
        "trial", "state", *result["metrics"], "validations", "seconds", "values", "reason", title="all trials"
    )
    for row in result["trials"]:
        found = row["metrics"] or {}
        figures = (f"{found[name]:.4f}" if name in found else "" for name in result["metrics"])
        shown = (str(row["number"]), row["state"], *figures, str(len(row["history"])), f"{row['seconds']:.0f}")
        table.add_row(*shown, _values(row["params"]), escape(row["reason"]))
    return table


def _importance_table(metric: str, shares: dict[str, float]) -> Table:
    table = Table("key", "share", title=f"what {metric} depends on")
    for key, share in shares.items():
        table.add_row(escape(key), f"{share:.1%}")
    return table


def _values(params: dict[str, Any]) -> str:
    texts = (f"{key}={value:.3g}" if isinstance(value, float) else f"{key}={value}" for key, value in params.items())
    return escape("\n".join(texts))
