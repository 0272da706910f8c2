"""What tests of prices share."""

import pytest


class Switch:
    """A kill switch that stands as it is told."""

    def __init__(self, on: bool) -> None:
        self._on = on

    def is_on(self) -> bool:
        return self._on


@pytest.fixture
def off() -> Switch:
    return Switch(False)


@pytest.fixture
def on() -> Switch:
    return Switch(True)
