"""What a replica serves first: the version that its alias points to, or else the last that is known to serve."""

import logging
import time
from collections.abc import Callable

from planogram.registry.store import ModelVersion
from planogram.serve.lane import Lane
from planogram.serve.ledger import BusyError, Ledger
from planogram.serve.refusal import Refusal, log_refusal

logger = logging.getLogger(__name__)

WAIT_S = 0.1

Open = Callable[[ModelVersion], Lane]


def begin(
    built: ModelVersion, find: Callable[[], ModelVersion], open_lane: Open, ledger: Ledger
) -> tuple[Lane, Refusal | None]:
    """Load the first model of a replica.

    Args:
        built: what the reference pointed to when the application was built; the last choice.
        find: what it points to now.
        open_lane: verifies and loads a version.
        ledger: what all replicas remember.

    Returns:
        The model, and why it is another one than the reference points to, where it is.

    Raises:
        Exception: what speaks against the version that is wanted, where no other one loads either.
    """
    wanted = _wanted(built, find)
    refused: Exception | None = None
    for version in _choices(wanted, built, ledger):
        try:
            lane = _opened(version, open_lane, ledger)
        except Exception as error:
            log_refusal(version.reference, error)
            refused = refused or error
            continue
        if refused is None:
            return lane, None
        logger.error("%s serves, since %s does not load", lane.model.reference, wanted.reference)
        return lane, Refusal.of(wanted, refused)
    assert refused is not None
    raise refused


def _wanted(built: ModelVersion, find: Callable[[], ModelVersion]) -> ModelVersion:
    try:
        return find()
    except Exception:
        logger.exception("the registry cannot be asked; %s is loaded as the application was built", built.reference)
        return built


def _choices(wanted: ModelVersion, built: ModelVersion, ledger: Ledger) -> list[ModelVersion]:
    found: dict[str, ModelVersion] = {}
    for version in (wanted, ledger.good(), built):
        if version:
            found.setdefault(version.digest, version)
    if len(found) == 1:
        # There is nothing to lose: without this version the replica cannot start at all.
        ledger.forgive()
    return list(found.values())


def _opened(version: ModelVersion, open_lane: Open, ledger: Ledger) -> Lane:
    """Load a version, after the replica that tries it now, if one does."""
    while True:
        try:
            return ledger.load(version, lambda: open_lane(version))
        except BusyError:
            time.sleep(WAIT_S)
