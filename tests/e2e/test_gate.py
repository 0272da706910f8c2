"""From two bundles to a report, by the command alone: evaluate, score, publish, promote through the gate, report."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from tests import ranked

PLANOGRAM = str(Path(sys.executable).with_name("planogram"))
GATE = Path(__file__).parents[2] / "jobs" / "configs" / "gate.yaml"
TIMEOUT_S = 300


@pytest.fixture
def planogram(tmp_path, empty_home):
    """The command with a home of its own; returns what it printed."""
    import shutil

    home = shutil.copytree(empty_home, tmp_path / "home")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "MLFLOW_"))}

    def call(*arguments: str, status: int = 0) -> str:
        done = subprocess.run(
            [PLANOGRAM, *arguments],
            cwd=tmp_path,
            env={**kept, "PLANOGRAM_HOME": str(home)},
            check=False,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )
        assert done.returncode == status, f"{arguments}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    return call


def test_the_better_of_two_bundles_is_promoted(planogram, ranked_bundle, ranked_shop, tmp_path):
    fair, worse = (
        ranked.edited(ranked_bundle, tmp_path / f"noise-{share}", weights=ranked.noisy(share)) for share in (0.08, 0.3)
    )
    shop = [f"--set=shop={ranked_shop}", "--set=part=all"]
    for bundle in (fair, ranked_bundle, worse):
        planogram("models", "publish", bundle, "--name", "ranker", "--reason", "made by hand")

    # The default policy on another shop; what a busy machine measures of speed decides nothing here.
    gate = ["--gate", str(GATE), *shop, "--set=bootstrap=200", "--set=latency={of_champion: 0.01}"]
    gate += ["--set=robustness.typo_drop=0.5"]
    planogram("models", "promote", "ranker:1", "--reason", "the first one")
    planogram("models", "promote", "ranker:2", *gate, "--reason", "better")
    refused = " ".join(planogram("models", "promote", "ranker:3", *gate, "--reason", "newer", status=1).split())
    assert "refused; ranker@champion stays where it was" in refused
    assert "- quality: NDCG@10 changes by -" in refused

    history = json.loads(planogram("models", "history", "ranker", "--json"))
    assert [(move["action"], move["version"]) for move in history[3:]] == [
        ("promote", 1),
        ("promote", 2),
        ("refuse", 3),
    ]
    assert "FAIL" in {finding["verdict"] for finding in history[-1]["gate"]}

    found = json.loads(
        planogram("evaluate", "--set=bundle=ranker:3", "--set=compare=ranker:2", *shop, "--set=workers=0", "--json")
    )
    assert found["compare"]["difference"]["mean"] < 0

    out = str(tmp_path / "scores")
    made = ["--set=bundle=ranker:2", f"--set=shop={ranked_shop}", f"--set=out={out}", "--set=workers=0"]
    assert json.loads(planogram("score", *made, "--json"))["pairs"] == len(pd.read_parquet(out)) == 48 * 96

    page = tmp_path / "report.html"
    planogram("models", "report", "ranker:3", "--out", str(page), *shop, "--set=workers=0", "--set=robustness=5")
    assert "against ranker:2" in page.read_text()
