"""Whoever launches a training may hear its validations."""

from planogram import storage
from planogram.config import LaunchConfig
from planogram.train.launch import Listener, heard_by, launch
from planogram.train.loop import RESULT

IN_PROCESS = LaunchConfig(workers=0)


def validating(context):
    context.report({"step": 1, "auc": 0.5})
    storage.write_json(storage.join(context.run_dir, RESULT), {"steps": 1})


def test_validations_in_this_process_are_heard(tmp_path):
    heard = []
    listener = Listener(callbacks=list, report=heard.append)
    with heard_by(listener):
        launch(validating, IN_PROCESS, str(tmp_path / "first"), "test", lambda _: None)
    assert heard == [{"step": 1, "auc": 0.5}]
    launch(validating, IN_PROCESS, str(tmp_path / "second"), "test", lambda _: None)
    assert len(heard) == 1


def test_a_run_that_has_ended_says_nothing(tmp_path):
    heard = []
    with heard_by(Listener(callbacks=list, report=heard.append)):
        for _ in range(2):
            assert launch(validating, IN_PROCESS, str(tmp_path), "test", lambda _: None) == {"steps": 1}
    assert len(heard) == 1
