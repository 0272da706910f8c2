"""The winner of a campaign in the registry, with the campaign in its lineage."""

import hashlib
import json
import shutil
from typing import Any

from planogram import storage
from planogram.config import TuneConfig
from planogram.errors import NotFoundError
from planogram.registry.bundle import MANIFEST, open_bundle, write_bundle
from planogram.registry.store import ModelVersion, Registry
from planogram.tune.trial import Trial

CANDIDATE = "candidate"


def publish(config: TuneConfig, winner: Trial, trials: int, folder: str) -> ModelVersion:
    """Publish a trial's bundle under its own name, and let `candidate` point to it. Done again it changes nothing.

    Args:
        config: of the campaign.
        winner: a finished trial.
        trials: how many the campaign has had.
        folder: of the campaign; a copy of the bundle with the new lineage is made below.

    Raises:
        NotFoundError: the bundle was removed.
        IntegrityError: the bundle does not verify.
    """
    if winner.bundle is None:
        raise NotFoundError(
            f"the bundle of trial {winner.number} was removed", remedy="set keep to 1 or more in the next campaign"
        )
    registry = Registry()
    place = with_campaign(winner.bundle, lineage(config, winner, trials), folder)
    version = registry.publish(place, open_bundle(place)[1].name, reason=f"campaign {config.name}")
    if CANDIDATE in version.aliases:
        return version
    score = ", ".join(f"{name} {(winner.metrics or {})[name]:.4f}" for name in config.metrics)
    reason = f"campaign {config.name}: trial {winner.number} of {trials}, {score}"
    return registry.promote(version.reference, CANDIDATE, reason)


def lineage(config: TuneConfig, winner: Trial, trials: int) -> dict[str, Any]:
    """What the bundle says of the campaign that found it."""
    return {
        "name": config.name,
        "trial": winner.number,
        "trials": trials,
        "params": winner.params,
        "metrics": {name: (winner.metrics or {})[name] for name in config.metrics},
        "search": config.search,
        "scheduler": config.scheduler.kind,
        "seed": config.seed,
    }


def with_campaign(bundle: str, campaign: dict[str, Any], folder: str) -> str:
    """A copy of a bundle that says which campaign it is from; where it was made before, that one."""
    source, manifest = open_bundle(bundle)
    digest = hashlib.sha256(json.dumps([manifest.digest, campaign], sort_keys=True).encode()).hexdigest()[:10]
    target = storage.join(folder, "winners", f"{campaign['trial']:04d}-{digest}")
    if not storage.exists(target):
        known = manifest.model_copy(update={"lineage": manifest.lineage | {"campaign": campaign}})
        with write_bundle(target, known) as made:
            shutil.copytree(source, made, dirs_exist_ok=True, ignore=shutil.ignore_patterns(MANIFEST))
    return target
