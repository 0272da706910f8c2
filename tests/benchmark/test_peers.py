"""Peers: their pins, their environments, and the model that they are given."""

import re
import subprocess
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from planogram.benchmark.peers import environments
from planogram.benchmark.peers.environments import PeerError, environment
from planogram.benchmark.peers.export import ONNX_INT8, export_plain
from planogram.benchmark.peers.server import peer_command
from planogram.engines.torch import read_weights
from planogram.models.heads import BACKBONE

ROOT = Path(__file__).parents[2]
REQUIREMENTS = sorted(resources.files("planogram.benchmark.peers").glob("*.txt"))


@pytest.mark.parametrize("path", REQUIREMENTS, ids=lambda path: path.name)
def test_every_requirement_is_one_version(path):
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    assert len(lines) > 30
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][A-Za-z0-9.]*", line)] == []
    torch = next(line for line in (ROOT / "constraints.txt").read_text().splitlines() if line.startswith("torch=="))
    assert torch in lines
    assert any(line.startswith(("infinity_emb==", "sentence-transformers==")) for line in lines)


def test_requirements_are_installed_with_the_package():
    assert {path.stem for path in REQUIREMENTS} == {"infinity", "sentence-transformers"}
    assert '"planogram.benchmark.peers" = ["*.txt"]' in (ROOT / "pyproject.toml").read_text()


def test_an_environment_is_made_once_and_again_for_other_requirements(tmp_path, monkeypatch):
    commands = []
    monkeypatch.setattr(subprocess, "run", lambda command, **_: commands.append(command))
    python = environment("infinity", str(tmp_path))
    assert python == tmp_path / "infinity" / "bin" / "python"
    assert [command[2] for command in commands] == ["venv", "pip"]
    assert environment("infinity", str(tmp_path)) == python and len(commands) == 2
    (tmp_path / "infinity" / environments.STAMP).write_text("other")
    environment("infinity", str(tmp_path))
    assert len(commands) == 4


def test_an_installation_that_fails_is_no_environment(tmp_path, monkeypatch):
    def fail(command, **_):
        raise subprocess.CalledProcessError(1, command, stderr="no matching distribution")

    monkeypatch.setattr(subprocess, "run", fail)
    for _ in range(2):
        with pytest.raises(PeerError, match="no matching distribution"):
            environment("sentence-transformers", str(tmp_path))


@pytest.fixture(scope="module")
def plain(tiny_bundle, tmp_path_factory):
    target = tmp_path_factory.mktemp("peers") / "plain"
    export_plain(str(tiny_bundle), target, ONNX_INT8)
    return target


def test_peers_load_the_bundles_backbone(tiny_bundle, plain):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(plain)
    tokenizer = AutoTokenizer.from_pretrained(plain)
    batch = tokenizer([("red", "a shoe"), ("red", "a lamp of wood")], padding=True, return_tensors="pt")
    assert model(**batch).logits.shape == (2, 1)
    own = {name: tensor for name, tensor in read_weights(tiny_bundle).items() if name.startswith(BACKBONE)}
    theirs = model.bert.state_dict()
    assert own and all((theirs[name.removeprefix(BACKBONE)] == tensor).all() for name, tensor in own.items())


def test_the_graph_takes_texts_of_any_number_and_length(plain):
    import onnxruntime

    session = onnxruntime.InferenceSession(plain / "onnx" / ONNX_INT8)
    for shape in ((1, 5), (3, 17)):
        ones = np.ones(shape, dtype=np.int64)
        given = {"input_ids": ones, "attention_mask": ones, "token_type_ids": 0 * ones}
        assert session.run(None, given)[0].shape == (shape[0], 1)
    assert [path.name for path in (plain / "onnx").iterdir()] == [ONNX_INT8]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("infinity-torch", ["/e/bin/infinity_emb", "v2", "--engine", "torch"]),
        ("infinity-onnx", ["--engine", "optimum"]),
        ("infinity-onnx-int8", ["--engine", "optimum"]),
        ("sentence-transformers", ["/e/bin/python", "-P", "--threads", "2"]),
    ],
)
def test_a_peer_listens_on_loopback_and_runs_no_foreign_code(name, words):
    command = peer_command(name, Path("/e/bin/python"), Path("/m"), 8123, 2)
    assert set(words) <= set(command) and "8123" in command and "/m" in command
    if name != "sentence-transformers":
        assert "127.0.0.1" in command and "--no-trust-remote-code" in command
