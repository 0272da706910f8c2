import subprocess
import sys
import time

import pytest

from planogram.errors import IntegrityError
from planogram.pricing import switch as module
from planogram.pricing.audit import read, verify
from planogram.pricing.switch import KillSwitch

WATCH = """
import sys, time
from planogram.pricing.switch import KillSwitch
switch = KillSwitch(sys.argv[1])
before = None
while True:
    now = switch.is_on()
    if now != before:
        print(now, time.time(), flush=True)
        before = now
    time.sleep(0.01)
"""


@pytest.fixture
def path(tmp_path) -> str:
    return str(tmp_path / "stop")


def test_it_is_off_until_somebody_turns_it_on_and_survives_a_restart(path):
    assert not KillSwitch(path).is_on()
    KillSwitch(path).turn_on("ann", "prices look wrong")
    again = KillSwitch(path)
    assert again.is_on()
    reason = again.reason()
    assert (reason["switch"], reason["who"], reason["why"]) == ("on", "ann", "prices look wrong") and reason["time"]
    again.turn_off("bob", "mended")
    assert not again.is_on() and again.reason() is None
    assert not KillSwitch(path).is_on()


def test_who_turned_it_is_kept_for_good(path):
    switch = KillSwitch(path)
    switch.turn_on("ann", "wrong")
    switch.turn_off("bob", "mended")
    assert [(line["switch"], line["who"], line["why"]) for line in read(f"{path}.history")] == [
        ("on", "ann", "wrong"),
        ("off", "bob", "mended"),
    ]
    assert verify(f"{path}.history") == 2


def test_another_process_sees_it_within_a_second(path):
    watcher = subprocess.Popen([sys.executable, "-c", WATCH, path], stdout=subprocess.PIPE, text=True)
    try:
        assert watcher.stdout.readline().startswith("False")
        for turn, shown in ((KillSwitch(path).turn_on, "True"), (KillSwitch(path).turn_off, "False")):
            turned = time.time()
            turn("ann", "test")
            seen, at = watcher.stdout.readline().split()
            assert seen == shown
            # From the moment of the call, its two writes to disk included.
            assert float(at) - turned < 1
    finally:
        watcher.kill()
        watcher.wait()


def test_the_disk_is_looked_at_four_times_a_second(path, monkeypatch):
    looks = []
    monkeypatch.setattr(module, "_is_there", lambda path: bool(looks.append(path)))
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    switch = KillSwitch(path)
    for _ in range(100):
        now[0] += 0.01
        switch.is_on()
    assert 4 <= len(looks) <= 5


def test_what_cannot_be_seen_is_on(tmp_path, monkeypatch):
    assert KillSwitch(str(tmp_path / "missing" / "stop")).is_on()
    (tmp_path / "file").write_text("")
    assert KillSwitch(str(tmp_path / "file" / "stop")).is_on()
    (tmp_path / "stop").symlink_to(tmp_path / "nowhere")
    assert KillSwitch(str(tmp_path / "stop")).is_on()

    def refused(self):
        raise PermissionError(13, "not for you")

    monkeypatch.setattr(module.Path, "lstat", refused)
    assert KillSwitch(str(tmp_path / "other")).is_on()


def test_a_file_that_somebody_else_made_is_on_and_has_no_reason(path, tmp_path):
    (tmp_path / "stop").touch()
    switch = KillSwitch(path)
    assert switch.is_on()
    with pytest.raises(IntegrityError):
        switch.reason()


def test_turning_it_off_makes_its_folder(tmp_path):
    switch = KillSwitch(str(tmp_path / "new" / "stop"))
    assert switch.is_on()
    switch.turn_off("ann", "first start")
    assert not switch.is_on()
