"""The kill switch of pricing: while it is on, no price changes."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from planogram import storage
from planogram.errors import NotFoundError
from planogram.pricing.audit import AuditLog

# Every process looks again after this time, so that all follow within a second.
LOOK_AGAIN_S = 0.25


class KillSwitch:
    """A file on this machine, or on a disk that all machines share: while it is there, the switch is on.

    What cannot be seen counts as on: a folder that is missing or may not be read, or a link in its place. Who turned
    it, when and why stands in the file and, for good, in the audit log `PATH.history`.

    Args:
        path: of the file; its folder must be there for the switch to be off (`turn_off` makes it).
    """

    def __init__(self, path: str) -> None:
        self._path = storage.local_path(storage.absolute(path))
        self._history = AuditLog(f"{self._path}.history")
        self._looked_s = -LOOK_AGAIN_S
        self._on = True

    def is_on(self) -> bool:
        """Whether prices must stay, as of at most 0.25 s ago."""
        now_s = time.monotonic()
        if now_s - self._looked_s >= LOOK_AGAIN_S:
            self._on, self._looked_s = _is_there(self._path), now_s
        return self._on

    def turn_on(self, who: str, why: str) -> None:
        """Stop all changes of prices; every process follows within a second.

        Raises:
            OSError: the file cannot be written.
        """
        entry = _entry("on", who, why)
        storage.write_json(str(self._path), entry)
        self._on, self._looked_s = True, time.monotonic()
        self._history.append([entry])

    def turn_off(self, who: str, why: str) -> None:
        """Allow changes again.

        Raises:
            OSError: the file cannot be removed.
        """
        # Written first: no change of a price without the entry that allowed it.
        self._history.append([_entry("off", who, why)])
        self._path.unlink(missing_ok=True)
        self._on, self._looked_s = _is_there(self._path), time.monotonic()

    def reason(self) -> dict[str, Any] | None:
        """Who turned it on, when and why: `switch`, `who`, `why`, `time`; None where there is no file.

        Raises:
            IntegrityError: the file is not what `turn_on` writes; the switch is on all the same.
        """
        try:
            found: dict[str, Any] = storage.read_json(str(self._path))
        except NotFoundError:
            return None
        return found


def _is_there(path: Path) -> bool:
    try:
        path.lstat()
    except FileNotFoundError:
        return not path.parent.is_dir()
    except OSError:
        return True  # not to be seen is not to be off
    return True


def _entry(switch: str, who: str, why: str) -> dict[str, Any]:
    return {"switch": switch, "who": who, "why": why, "time": datetime.now(UTC).isoformat(timespec="seconds")}
