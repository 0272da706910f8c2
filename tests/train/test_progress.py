"""What whoever watches a run sees of it."""

from planogram import storage
from planogram.train.progress import PROGRESS, watch


def test_the_bar_leaves_standard_output_to_the_result(tmp_path, capfd):
    seen = []
    progress = {"total_steps": 2, "step": 1, "train": [{"step": 1, "loss": 0.5, "learning_rate": 0.1}], "valid": []}
    with watch(str(tmp_path), "finetune shop", seen.append):
        storage.write_json(str(tmp_path / PROGRESS), progress)
    assert progress in seen
    printed = capfd.readouterr()
    assert printed.out == ""
    assert "finetune shop" in printed.err
    assert "loss 0.5000" in printed.err
