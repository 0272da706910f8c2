"""What a gateway knows of the models that answer, from their answers and by asking now and then."""

import time
from collections.abc import Callable
from dataclasses import replace

from planogram.serve.values import Following, ModelInfo

# Replicas that change look for a new version at different moments; then their probes may take a while.
REMEMBERED_PERIODS = 3


class Served:
    """The models of a group of replicas, which may differ for a moment.

    Args:
        model: as the application was built.
        period_s: how often replicas look for a new version; a version counts as served a few times as long.
        clock: seconds.
    """

    def __init__(self, model: ModelInfo, period_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._following = Following(model, model.version)
        self._remember_s = period_s * REMEMBERED_PERIODS
        self._clock = clock
        self._seen_s: dict[int, float] = {}

    @property
    def model(self) -> ModelInfo:
        """The model of the last answer; its `others` are the versions that answered a moment before."""
        model = self._following.model
        since = self._clock() - self._remember_s
        others = sorted(version for version, seen in self._seen_s.items() if seen >= since and version != model.version)
        return replace(model, others=tuple(others))

    @property
    def following(self) -> Following:
        """What serves, and what should."""
        return replace(self._following, model=self.model)

    def answered(self, model: ModelInfo) -> None:
        """A replica answered with a model."""
        self._seen_s[model.version] = self._clock()
        if model.version == self._following.wanted:
            self._following = Following(model, model.version)
        else:
            self._following = replace(self._following, model=model)

    def told(self, following: Following) -> None:
        """A replica said what it serves and should."""
        self._seen_s[following.model.version] = self._clock()
        self._following = following
