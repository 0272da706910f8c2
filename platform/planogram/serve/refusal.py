"""Why a version does not serve: kept for operators, in words that may also be shown to clients."""

import logging
import math
import re
import time
from dataclasses import dataclass

from planogram.errors import PlanogramError
from planogram.registry.store import ModelVersion
from planogram.serve.ledger import CrashedError

logger = logging.getLogger(__name__)

# A version that failed is tried again after so long, then after twice as long, and so on.
FIRST_RETRY_S = 60.0
LAST_RETRY_S = 3600.0

FOLDERS = re.compile(r"(?:[a-z0-9]+:/)?(?:/[^\s/:]+)+/")


@dataclass(frozen=True)
class Refusal:
    """A version that does not serve.

    Attributes:
        again_s: when it is tried again, by `time.monotonic`.
        tries: how often it was tried.
    """

    version: ModelVersion
    problem: str
    again_s: float
    tries: int = 1

    @classmethod
    def of(cls, version: ModelVersion, error: Exception, before: "Refusal | None" = None) -> "Refusal":
        """What speaks against a version, after it was refused `before`; what killed a replica is not tried again."""
        tries = before.tries + 1 if before else 1
        wait_s = math.inf if isinstance(error, CrashedError) else min(FIRST_RETRY_S * 2 ** (tries - 1), LAST_RETRY_S)
        return cls(version, essence(error), time.monotonic() + wait_s, tries)


def log_refusal(reference: str, error: Exception) -> None:
    """Say in the log that a model does not serve, with all that is known."""
    expected = isinstance(error, PlanogramError | TimeoutError)
    logger.error("%s is refused: %s", reference, str(error) or essence(error), exc_info=None if expected else error)


def essence(error: Exception) -> str:
    """An error in one line that clients may see: without folders, and without what libraries say."""
    if isinstance(error, TimeoutError):
        return "it did not load in time"
    if not isinstance(error, PlanogramError):
        return f"{type(error).__name__}; the log of the ranker has more"
    return FOLDERS.sub("", error.given.splitlines()[0])
