"""The ledger of a campaign: SQLite, written by the driver alone, and all that a campaign is continued from.

Every line is committed with a flush to disk before the campaign acts on it. Ray Tune's own state is not read.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from planogram.errors import ConfigError, IntegrityError, StorageError
from planogram.tune.trial import State, Trial

LEDGER = "ledger.db"
LOCK = "ledger.lock"
TABLES = """
CREATE TABLE IF NOT EXISTS campaign (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS starts (id INTEGER PRIMARY KEY, began REAL NOT NULL, seen REAL NOT NULL);
CREATE TABLE IF NOT EXISTS trials (
    number INTEGER PRIMARY KEY, params TEXT NOT NULL, parent INTEGER, state TEXT NOT NULL, attempts INTEGER NOT NULL,
    seconds REAL NOT NULL, metrics TEXT, bundle TEXT, reason TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS reports (
    number INTEGER NOT NULL REFERENCES trials, step REAL NOT NULL, metrics TEXT NOT NULL, PRIMARY KEY (number, step));
"""
#: what may change between two starts of a campaign
FREE = ("trials", "budget", "concurrent", "retries", "retry_failed", "keep", "free_gb", "publish", "out")
PLACES = ("cluster", "tracking")


class Ledger:
    """Trials, their validations, and the hours of all starts.

    Args:
        connection: to the database of the campaign.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection
        self._start = 0

    def claim(self, asked: dict[str, Any]) -> None:
        """Keep the configuration of a new campaign, or check that this one is continued with its own.

        Raises:
            ConfigError: the campaign has another configuration.
        """
        kept = {key: value for key, value in asked.items() if key not in (*FREE, *PLACES)}
        row = self._db.execute("SELECT value FROM campaign WHERE key = 'config'").fetchone()
        if row is None:
            self._write("INSERT INTO campaign VALUES ('config', ?)", json.dumps(kept))
            return
        known = json.loads(row[0])
        # As JSON has them: a tuple comes back as a list.
        asked_again = json.loads(json.dumps(kept))
        if differing := [key for key in asked_again if asked_again[key] != known.get(key)]:
            raise ConfigError(
                f"campaign {asked['name']!r} exists with another {', '.join(differing)}",
                allowed=f"changes of {', '.join(FREE)}, cluster and tracking",
                remedy="choose another name, or give the same configuration to continue it",
            )

    def begin(self, now: float) -> None:
        """A start of the campaign: its hours count from here."""
        self._start = int(self._write("INSERT INTO starts (began, seen) VALUES (?, ?)", now, now) or 0)

    def touch(self, now: float, running: dict[int, float]) -> None:
        """The campaign is alive, and each of these trials has run so many seconds more."""
        with self._db:
            self._db.execute("UPDATE starts SET seen = ? WHERE id = ?", (now, self._start))
            self._db.executemany(
                "UPDATE trials SET seconds = seconds + ? WHERE number = ?",
                [(seconds, number) for number, seconds in running.items()],
            )

    def elapsed_s(self) -> float:
        """Seconds of all starts, each up to its last sign of life."""
        return float(self._db.execute("SELECT COALESCE(SUM(seen - began), 0) FROM starts").fetchone()[0])

    def add(self, trial: Trial) -> None:
        """A new trial; it has not begun."""
        self._write(
            "INSERT INTO trials VALUES (?, ?, ?, ?, 0, 0, NULL, NULL, '')",
            trial.number,
            json.dumps(trial.params),
            trial.parent,
            trial.state,
        )

    def attempt(self, number: int) -> None:
        """A trial is started, again or for the first time."""
        self._write(
            "UPDATE trials SET attempts = attempts + 1, state = 'running', reason = '' WHERE number = ?", number
        )

    def report(self, number: int, metrics: dict[str, float]) -> None:
        """A validation; one that a resumed run repeats takes the place of the first."""
        self._write("INSERT OR REPLACE INTO reports VALUES (?, ?, ?)", number, metrics["step"], json.dumps(metrics))

    def settle(
        self,
        number: int,
        state: State,
        *,
        metrics: dict[str, float] | None = None,
        bundle: str | None = None,
        reason: str = "",
    ) -> None:
        """What came of a trial."""
        self._write(
            "UPDATE trials SET state = ?, metrics = ?, bundle = ?, reason = ? WHERE number = ?",
            state,
            None if metrics is None else json.dumps(metrics),
            bundle,
            reason,
            number,
        )

    def forget_bundle(self, number: int) -> None:
        """The bundle of a trial was removed."""
        self._write("UPDATE trials SET bundle = NULL WHERE number = ?", number)

    def trials(self) -> list[Trial]:
        """All trials in the order of their beginning."""
        reports: dict[int, list[dict[str, float]]] = {}
        for number, metrics in self._db.execute("SELECT number, metrics FROM reports ORDER BY number, step"):
            reports.setdefault(number, []).append(json.loads(metrics))
        rows = self._db.execute(
            "SELECT number, params, state, parent, attempts, seconds, metrics, bundle, reason FROM trials "
            "ORDER BY number"
        )
        return [_trial(row, tuple(reports.get(row[0], ()))) for row in rows]

    def _write(self, statement: str, *values: Any) -> int | None:
        with self._db:
            return self._db.execute(statement, values).lastrowid


def _trial(row: tuple[Any, ...], history: tuple[dict[str, float], ...]) -> Trial:
    number, params, state, parent, attempts, seconds, metrics, bundle, reason = row
    return Trial(
        number=number,
        params=json.loads(params),
        state=state,
        parent=parent,
        attempts=attempts,
        seconds=seconds,
        history=history,
        metrics=None if metrics is None else json.loads(metrics),
        bundle=bundle,
        reason=reason,
    )


@contextmanager
def open_ledger(folder: Path) -> Iterator[Ledger]:
    """The ledger below a campaign's folder, for one driver at a time; a driver that dies leaves it free.

    Raises:
        StorageError: another driver runs the campaign.
        IntegrityError: the database is damaged.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with FileLock(folder / LOCK, timeout=0):
            # The table of a campaign that runs is drawn by a thread, but only the driver's main thread comes here.
            connection = sqlite3.connect(folder / LEDGER)
            try:
                yield Ledger(_prepared(connection, folder))
            finally:
                connection.close()
    except Timeout as error:
        raise StorageError(
            f"the campaign in {folder} is run by another process", remedy="wait for it, or end it first"
        ) from error


def _prepared(connection: sqlite3.Connection, folder: Path) -> sqlite3.Connection:
    try:
        connection.execute("PRAGMA synchronous = FULL")
        (found,) = connection.execute("PRAGMA quick_check").fetchone()
        connection.executescript(TABLES)
    except sqlite3.DatabaseError as error:
        found = str(error)
    if found != "ok":
        raise IntegrityError(
            f"{folder / LEDGER} is damaged: {found}", remedy="restore it from a backup, or choose another name"
        )
    return connection
