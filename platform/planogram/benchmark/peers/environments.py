"""A virtual environment for each peer, since its pins are not ours."""

import hashlib
import shutil
import subprocess
import sys
from importlib import resources
from pathlib import Path

from planogram import storage
from planogram.errors import PlanogramError

FOLDER = "peers"
STAMP = "requirements.sha256"
MAX_MESSAGE_CHARS = 2000


class PeerError(PlanogramError):
    """A peer cannot be installed, or does not run here."""


def environment(name: str, folder: str | None = None) -> Path:
    """The Python of a peer's environment, which is made where it is absent or of other requirements.

    Args:
        name: of its requirements file in this package: `infinity` or `sentence-transformers`.
        folder: of all environments; absent: `PLANOGRAM_HOME/peers`.

    Raises:
        PeerError: the installation fails; the message is pip's.
        StorageError: the folder is not on this machine.
    """
    requirements = resources.files("planogram.benchmark.peers") / f"{name}.txt"
    content = requirements.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    place = storage.local_path(folder or storage.join(storage.home(), FOLDER)) / name
    stamp, python = place / STAMP, place / "bin" / "python"
    if stamp.is_file() and stamp.read_text() == digest:
        return python
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    wanted = place / "requirements.txt"
    wanted.write_bytes(content)
    _run(name, [sys.executable, "-m", "venv", str(place)])
    _run(name, [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(wanted)])
    # Last: an installation that was interrupted starts again.
    stamp.write_text(digest)
    return python


def _run(name: str, command: list[str]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - our own arguments
    except (OSError, subprocess.CalledProcessError) as error:
        said = str(getattr(error, "stderr", None) or error).strip()
        raise PeerError(
            f"{name} cannot be installed: {said[-MAX_MESSAGE_CHARS:]}",
            remedy="mend what pip says, or leave the peer out of `peers`",
        ) from error
