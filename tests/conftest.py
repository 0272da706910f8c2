"""Fixtures for all tests."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of public data sets: PLANOGRAM_DATA, or ../shared/data; tests that need it skip without it."""
    folder = Path(os.environ.get("PLANOGRAM_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no public data sets at {folder}: set PLANOGRAM_DATA to their folder")
    return folder
