"""Where the audit and the kill switch are kept unless a configuration says otherwise."""

from planogram import storage
from planogram.pricing.switch import KillSwitch


def default_audit() -> str:
    """PLANOGRAM_HOME/prices/audit.jsonl."""
    return storage.join(storage.home(), "prices", "audit.jsonl")


def default_switch() -> str:
    """PLANOGRAM_HOME/prices/STOP."""
    return storage.join(storage.home(), "prices", "STOP")


def open_switch(path: str | None = None) -> KillSwitch:
    """The kill switch, with its folder: a switch whose folder is missing counts as on."""
    found = path or default_switch()
    storage.local_path(storage.absolute(found)).parent.mkdir(parents=True, exist_ok=True)
    return KillSwitch(found)
