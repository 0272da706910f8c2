"""Which requests a second model answers: a share of the callers, and always the same ones."""

import hashlib

from planogram.serve.call import Call


class Split:
    """Decides who is asked, and counts what came of it.

    Args:
        name: of the canary; another one picks other callers.
        percent: of callers, 0 to 100; it may change at any moment.
        timeout_s: for the canary's answer.

    Attributes:
        answered: requests that the canary answered, in this process.
        missed: requests that the main model answered in its place.
    """

    def __init__(self, name: str, percent: float, timeout_s: float) -> None:
        self._name = name
        self.percent = percent
        self.timeout_s = timeout_s
        self.answered = 0
        self.missed = 0

    def takes(self, call: Call) -> bool:
        """Whether the canary is asked. Never for a request that names a version."""
        if call.names_version:
            return False
        return share(f"{self._name}\n{call.caller}") * 100 < self.percent

    @property
    def state(self) -> dict[str, float]:
        """For people."""
        return {"percent": self.percent, "answered": self.answered, "missed": self.missed}


def share(key: str) -> float:
    """A number in [0, 1) that is the same for a key in every process; over many keys it is uniform."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8]) / 2**64
