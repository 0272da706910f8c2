import pandas as pd
import pytest

from planogram.config import SimulateConfig
from planogram.data.simulate import simulate

SMALL = {"products": 120, "shoppers": 50, "queries": 20, "sessions": 300, "reviews": 60, "judged_per_query": 12}


class Export:
    """A written simulation: its tables as frames, each read once."""

    def __init__(self, folder, config):
        self.folder, self.config = folder, config
        self.summary = simulate(config, str(folder))
        self._frames = {}

    def __getitem__(self, name):
        if name not in self._frames:
            self._frames[name] = pd.read_parquet(self.folder / name)
        return self._frames[name]


@pytest.fixture(scope="session")
def small_config():
    return SimulateConfig(**SMALL)


@pytest.fixture(scope="session")
def small(tmp_path_factory, small_config):
    return Export(tmp_path_factory.mktemp("small") / "shop", small_config)


@pytest.fixture(scope="session")
def shop(tmp_path_factory):
    """The default catalogue with more traffic, half of it on random pages: enough to estimate from."""
    config = SimulateConfig(sessions=50_000, randomised_share=0.5, seed=3)
    return Export(tmp_path_factory.mktemp("large") / "shop", config)
