"""A campaign while it runs: a table on a terminal, and a line for whatever happens in a log."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from planogram.tune.trial import Trial

if TYPE_CHECKING:
    from planogram.tune.campaign import Campaign

# Of a long campaign the newest are shown.
MOST_ROWS = 20
STYLES = {"running": "cyan", "finished": "green", "stopped": "yellow", "failed": "red"}


def console() -> Console:
    """Standard error: standard output is the result's."""
    return Console(stderr=True, log_path=False)


def teller(screen: Console) -> Callable[[str], None]:
    """Prints a line of the campaign, with the time in a log."""

    def tell(line: str) -> None:
        screen.log(f"[bold]tune[/bold] {escape(line)}", highlight=False)

    return tell


@contextmanager
def watched(campaign: "Campaign", screen: Console) -> Iterator[None]:
    """Show the table below the lines while the block runs, where there is a terminal."""
    if not screen.is_terminal:
        yield
        return
    from rich.live import Live

    with Live(get_renderable=lambda: table(campaign), console=screen, refresh_per_second=2):
        yield


def table(campaign: "Campaign") -> Table:
    """The newest trials: state, validations, the last and the best value of the first metric, seconds, values."""
    config, spent = campaign.config, campaign.last_spent
    trials = list(campaign.trials.values())
    counts = ", ".join(f"{sum(t.state == state for t in trials)} {state}" for state in STYLES)
    cost = f", cost {spent.cost:.2f}" if config.budget.price_per_hour else ""
    made = Table(
        title=f"{config.name}: {counts}", caption=f"{spent.hours:.2f} h, trials {spent.trial_hours:.2f} h{cost}"
    )
    for name in ("trial", "state", "validations", config.main_metric, "best", "seconds", "values"):
        made.add_column(name, justify="left" if name in ("state", "values") else "right")
    for trial in trials[-MOST_ROWS:]:
        made.add_row(*_row(trial, config.main_metric, config.metrics[config.main_metric] == "max"))
    return made


def _row(trial: Trial, metric: str, rising: bool) -> list[str]:
    values = [value for _, value in trial.curve(metric)]
    best = (max if rising else min)(values) if values else None
    return [
        str(trial.number),
        f"[{STYLES[trial.state]}]{trial.state}[/]",
        str(len(values)),
        f"{values[-1]:.4f}" if values else "",
        "" if best is None else f"{best:.4f}",
        f"{trial.seconds:.0f}",
        escape(trial.described),
    ]
