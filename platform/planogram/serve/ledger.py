"""What replicas remember about the versions behind a reference: the last that served, and one that killed a replica.

One folder per reference and engine, `PLANOGRAM_HOME/serving/REFERENCE.ENGINE/`, which all replicas of a machine share:

good.json       the version that served last
lock            held by the replica that tries a version which none has served; the kernel frees it if the replica dies
trying.json     that version; left behind by a replica that died meanwhile
crashed.json    a version that was left behind so
"""

import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock, Timeout

from planogram import storage
from planogram.errors import IntegrityError, NotFoundError, StorageError
from planogram.registry.store import CHAMPION, ModelVersion

logger = logging.getLogger(__name__)

FOLDER = "serving"
T = TypeVar("T")


class BusyError(StorageError):
    """Another replica tries a version at this moment."""


class CrashedError(StorageError):
    """A replica died of this version."""


class Ledger:
    """The memory of one reference on one engine.

    Where PLANOGRAM_HOME is an object store, the last good version stands there and the rest on the machine's disk.

    Args:
        reference: name or name@alias.
        engine: its name.
        home: by default PLANOGRAM_HOME.
    """

    def __init__(self, reference: str, engine: str, home: str | None = None) -> None:
        key = f"{reference if '@' in reference else f'{reference}@{CHAMPION}'}.{engine}"
        home = home or storage.home()
        self._good = storage.join(home, FOLDER, key, "good.json")
        local = storage.local_path(home) if storage.is_local(home) else _local_home()
        self._folder = local / FOLDER / key
        self._trying: Path | None = None

    def load(self, version: ModelVersion, load: Callable[[], T]) -> T:
        """Load a version; one that never served, alone among all replicas, so that it can kill only one of them.

        Raises:
            BusyError: another replica tries one.
            CrashedError: a replica died of this one, and the alias has not moved since.
            Exception: whatever `load` raises.
        """
        good, crashed = self.good(), self.crashed()
        if good and good.digest == version.digest:
            return load()
        if crashed and crashed.digest == version.digest:
            raise CrashedError(
                f"a replica died while it loaded {version.reference}",
                remedy="move the alias away and back to try again",
            )
        with self._attempt(version):
            loaded = load()
            # Before the lock is free: the other replicas need not be careful any more.
            self.record_good(version)
        return loaded

    def good(self) -> ModelVersion | None:
        """The version that served last."""
        return _version(self._good)

    def record_good(self, version: ModelVersion) -> None:
        """Remember a version that serves."""
        kept = replace(version, aliases=())
        if self.good() != kept:
            storage.write_json(self._good, asdict(kept))

    def crashed(self) -> ModelVersion | None:
        """The version that a replica died of while it tried it; the alias has not moved since."""
        self._notice_death()
        return _version(str(self._folder / "crashed.json"))

    def forgive(self, wanted: ModelVersion | None = None) -> None:
        """Forget the version that killed a replica, unless it is the one that the alias points to."""
        crashed = self.crashed()
        if crashed and (wanted is None or crashed.digest != wanted.digest):
            (self._folder / "crashed.json").unlink(missing_ok=True)

    def give_up(self) -> None:
        """Say that the version which this process tries did not kill it, whatever comes now."""
        trying, self._trying = self._trying, None
        if trying:
            trying.unlink(missing_ok=True)

    @contextmanager
    def _attempt(self, version: ModelVersion) -> Iterator[None]:
        with self._locked():
            self._trying = self._folder / "trying.json"
            storage.write_json(str(self._trying), asdict(version))
            try:
                yield
            finally:
                self.give_up()

    def _notice_death(self) -> None:
        """Where nobody tries the version that is being tried, who tried it is dead."""
        trying = self._folder / "trying.json"
        if not trying.is_file():
            return
        try:
            with self._locked():
                if trying.is_file():
                    trying.replace(self._folder / "crashed.json")
                    logger.error("a replica died while it loaded the model in %s", self._folder / "crashed.json")
        except BusyError:
            return

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self._folder / "lock", timeout=0):
                yield
        except Timeout as error:
            raise BusyError(f"another replica tries a model of {self._folder.name}", remedy="wait for it") from error


def _version(uri: str) -> ModelVersion | None:
    try:
        values: dict[str, Any] = storage.read_json(uri)
        return ModelVersion(**{**values, "aliases": tuple(values.get("aliases", ()))})
    except NotFoundError:
        return None
    except (IntegrityError, TypeError, AttributeError) as error:
        logger.warning("%s is not read: %s", uri, error)
        return None


def _local_home() -> Path:
    return Path(tempfile.gettempdir()) / f"planogram-{os.getuid()}"
