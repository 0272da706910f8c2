"""`planogram tune`: a campaign from its configuration to its report, again and again until it is done."""

from pathlib import Path
from typing import Any

from planogram import cluster, storage
from planogram.config import TuneConfig
from planogram.errors import ConfigError
from planogram.tune import live
from planogram.tune.campaign import Campaign
from planogram.tune.ledger import Ledger, open_ledger
from planogram.tune.objective import winner
from planogram.tune.publish import publish
from planogram.tune.report import keep, summary
from planogram.tune.sizing import fitting
from planogram.tune.space import corners
from planogram.tune.stages import base_values, check, launch_of, stage_config, trial_values
from planogram.tune.trial import Trial

FOLDER = "tuning"
MOST_CHARS = 48


def run(config: TuneConfig) -> dict[str, Any]:
    """Run trials until there are enough or the budget is spent, and report; the same campaign again goes on.

    Returns:
        As `report.summary`; `published` (reference, or None); and `file`, `plot` and `page`, where they stand.

    Raises:
        ConfigError: the space does not fit the stage, or the campaign exists with another configuration.
        StorageError: another process runs the campaign, or the disk is too full; what was done stays done.
        IntegrityError: the ledger is damaged.
    """
    storage.check_name(config.name, "campaign")
    _check_length(config.name)
    check(config)
    folder = storage.local_path(storage.join(storage.home(), FOLDER, config.name))
    with open_ledger(folder) as ledger:
        base = base_values(config)
        ledger.claim(config.model_dump(mode="json") | {"base": base})
        campaign = _run_trials(config, ledger, base)
        return _report(config, base, ledger, campaign, folder)


def _check_length(name: str) -> None:
    """Names of runs are made of it, and have a limit of their own."""
    if len(name) > MOST_CHARS:
        raise ConfigError(
            f"the campaign's name has {len(name)} characters", allowed=f"{MOST_CHARS}", remedy="choose a shorter one"
        )


def _run_trials(config: TuneConfig, ledger: Ledger, base: dict[str, Any]) -> Campaign:
    """Connect, and let Ray Tune run what the campaign hands out; nothing is started where nothing is left to do."""
    from planogram.tune.executor import fit

    screen = live.console()
    launch = launch_of(stage_config(config.stage, trial_values(config, base, Trial(0, corners(config.space)[0]), None)))
    campaign = Campaign(config, ledger, config.concurrent or 1, live.teller(screen))
    if not campaign.has_more():
        return campaign
    with cluster.connect(config.cluster):
        _open_tracking(config)
        campaign.concurrent = config.concurrent or fitting(launch)
        with live.watched(campaign, screen):
            fit(campaign, base, launch, campaign.concurrent)
    campaign.ended = campaign.ended or "interrupted: the same command goes on"
    campaign.tick(now=True)
    campaign.tidy()
    return campaign


def _open_tracking(config: TuneConfig) -> None:
    """Make the database and the experiment, which trials that begin at once would all try to make."""
    from planogram.train.tracking import track

    with track(config.tracking, f"campaign-{config.name}", config.model_dump(mode="json")):
        pass


def _report(
    config: TuneConfig, base: dict[str, Any], ledger: Ledger, campaign: Campaign, folder: Path
) -> dict[str, Any]:
    """Publish if asked, and write the report; a problem of the disk is raised after it."""
    trials = ledger.trials()
    best = winner(trials, config.metrics)
    published = None
    if config.publish and best is not None and campaign.problem is None:
        published = publish(config, best, len(trials), str(folder)).reference
    result = summary(config, base, trials, campaign.spent, campaign.ended) | {"published": published}
    files = keep(result, trials, config.out or str(folder))
    if campaign.problem is not None:
        raise campaign.problem
    return result | files
