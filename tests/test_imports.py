"""Importing does no work, and the source root does not shadow Python's own `platform`."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

IMPORT_EVERYTHING = """
import importlib, pkgutil, threading, sys
import planogram
before = threading.active_count()
for module in pkgutil.walk_packages(planogram.__path__, "planogram."):
    importlib.import_module(module.name)
assert threading.active_count() == before, threading.enumerate()
assert "ray" not in sys.modules or not sys.modules["ray"].is_initialized()
print(sum(name.startswith("planogram") for name in sys.modules))
"""


def test_importing_every_module_leaves_no_thread_no_file_and_no_ray(tmp_path):
    environment = {**os.environ, "PLANOGRAM_HOME": str(tmp_path / "home")}
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_EVERYTHING],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,  # its message is in what is asserted
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) > 60
    assert list(tmp_path.iterdir()) == []


def test_the_standard_library_s_platform_is_intact_at_the_root():
    assert not (ROOT / "platform" / "__init__.py").exists()
    code = "import platform; print(platform.system())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == os.uname().sysname
