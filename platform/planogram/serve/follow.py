"""Following an alias: when it moves, the new version is loaded beside the old one, probed, and then takes its place.

Nothing here knows Ray. What goes wrong leaves the old version serving and is kept as the reason why the new one does
not; nothing of it reaches a client.
"""

import logging
import random
import threading
import time
from collections.abc import Callable

from planogram.registry.store import ModelVersion
from planogram.serve.lane import Lane, outcome
from planogram.serve.ledger import BusyError, Ledger
from planogram.serve.refusal import Refusal, essence, log_refusal
from planogram.serve.settings import FollowArgs
from planogram.serve.values import Following

logger = logging.getLogger(__name__)


class Fixed:
    """A model that never changes.

    Args:
        lane: what serves.
    """

    def __init__(self, lane: Lane) -> None:
        self.lane = lane

    @property
    def state(self) -> Following:
        """What serves is what should."""
        return Following(self.lane.model, self.lane.model.version)

    def close(self) -> None:
        """There is nothing to end."""


class Follower:
    """Keeps the model of a replica what its reference points to.

    Args:
        lane: what serves now.
        find: the version that the reference points to.
        open_lane: verifies, loads and probes a version beside the one that serves.
        ledger: what all replicas remember.
        args: how often, and what is kept.
        refusal: of the version that the reference points to, where the replica started with another one.

    Attributes:
        lane: what serves now; replaced in one step, while requests go on with the lane they began with.
        previous: what served before, still loaded.
    """

    def __init__(
        self,
        lane: Lane,
        find: Callable[[], ModelVersion],
        open_lane: Callable[[ModelVersion, Lane], Lane],
        ledger: Ledger,
        args: FollowArgs,
        refusal: Refusal | None = None,
    ) -> None:
        self.lane = lane
        self.previous: Lane | None = None
        self._find = find
        self._open = open_lane
        self._ledger = ledger
        self._args = args
        self._refusal = refusal
        self._blind = ""
        self._stopped = threading.Event()

    @property
    def state(self) -> Following:
        """What serves, and what should."""
        refusal = self._refusal
        if refusal:
            return Following(self.lane.model, refusal.version.version, refusal.problem)
        return Following(self.lane.model, self.lane.model.version, self._blind)

    def start(self) -> None:
        """Follow in a thread, until `close`."""
        threading.Thread(target=self._run, name="follow", daemon=True).start()

    def close(self) -> None:
        """Follow no more; returns at once. A version that is being tried is not held to have killed the replica."""
        self._stopped.set()
        self._ledger.give_up()

    def _run(self) -> None:
        # Replicas that started together must not ask together.
        while not self._stopped.wait(self._args.period_s * random.uniform(0.7, 1.0)):  # noqa: S311 - no secret
            try:
                self.step()
            except Exception:
                logger.exception("following failed; it goes on")

    def step(self) -> None:
        """Look where the reference points, and go there if it is another version than before."""
        try:
            wanted = self._find()
        except Exception as error:
            self._lose_sight(error)
            return
        self._blind = ""
        self._ledger.forgive(wanted)
        if is_version(self.lane, wanted):
            self._refusal = None
            return
        refusal = self._refusal if self._refusal and self._refusal.version.digest == wanted.digest else None
        if refusal and time.monotonic() < refusal.again_s:
            return
        try:
            self._go_to(wanted)
        except BusyError:
            return
        except Exception as error:
            self._refuse(wanted, error, refusal)

    def _go_to(self, wanted: ModelVersion) -> None:
        """Serve a version.

        Raises:
            BusyError: another replica tries it: its fate decides.
            Exception: whatever speaks against it.
        """
        began = time.monotonic()
        if self.previous and is_version(self.previous, wanted):
            lane = self.previous
            outcome(lane.device.submit(lane.infer_health), self._args.timeout_s)
        else:
            lane = self._ledger.load(wanted, lambda: self._open(wanted, self.lane))
            if not is_version(lane, self._find()):
                return  # the alias moved meanwhile; the next look goes where it points now
        before, self.lane, self._refusal = self.lane, lane, None
        self.previous = before if self._args.keep_previous else None
        self._ledger.record_good(wanted)
        logger.info(
            "%s serves in place of %s, after %.2f s",
            lane.model.reference,
            before.model.reference,
            time.monotonic() - began,
        )

    def _refuse(self, wanted: ModelVersion, error: Exception, before: Refusal | None) -> None:
        refusal = Refusal.of(wanted, error, before)
        if before is None or before.problem != refusal.problem:
            log_refusal(wanted.reference, error)
        self._refusal = refusal

    def _lose_sight(self, error: Exception) -> None:
        problem = f"the registry does not say which version to serve: {essence(error)}"
        if problem != self._blind:
            logger.warning("%s goes on: %s", self.lane.model.reference, problem)
        self._blind = problem


def is_version(lane: Lane, version: ModelVersion) -> bool:
    """Whether a lane holds a version."""
    return (lane.model.version, lane.model.digest) == (version.version, version.digest)
