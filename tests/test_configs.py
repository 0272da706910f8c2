"""Every YAML that the repository ships is read by the code that it is for."""

from pathlib import Path

import pytest

from planogram import config, section
from planogram.data.mapping import load_mapping
from planogram.pricing.settings import RepriceConfig
from planogram.serve.launch import check
from planogram.serve.settings import IndexConfig

ROOT = Path(__file__).parents[1]
STAGES = {
    "simulate": config.SimulateConfig,
    "finetune": config.FinetuneConfig,
    "pretrain": config.PretrainConfig,
    "tune": config.TuneConfig,
    "evaluate": config.EvaluateConfig,
    "score": config.ScoreConfig,
    "blend": config.BlendConfig,
    "elasticities": config.ElasticityConfig,
    "compress": config.CompressConfig,
    "benchmark": config.BenchmarkTrainingConfig,
    "index": IndexConfig,
    "reprice": RepriceConfig,
}
#: what a verb takes beside its own section, and by which option
POLICIES = {"gate": config.GatePolicy}
CONFIGS = sorted((ROOT / "jobs" / "configs").glob("*.y*ml"))
SOURCES = sorted((ROOT / "jobs" / "configs" / "sources").iterdir())
# The rest of that folder is for Prometheus and Grafana; tests/serve/test_metrics.py reads it.
SERVE = sorted(path for path in (ROOT / "serve_configs").glob("*.yaml") if path.name != "alerts.yaml")
JOBS = sorted((ROOT / "jobs").glob("*.py"))


def named(path: Path) -> str:
    return path.name


@pytest.mark.parametrize("path", CONFIGS, ids=named)
def test_a_jobs_config_fits_the_stage_it_is_named_after(path):
    stage = path.stem.split("-")[0]
    known = STAGES | POLICIES
    assert stage in known, f"{path.name} is named after no stage: {', '.join(known)}"
    if stage == "finetune":
        config.load_finetune(str(path))
    else:
        section.load(known[stage], str(path))


@pytest.mark.parametrize("path", CONFIGS, ids=named)
def test_a_jobs_config_says_what_it_is_for_and_how_to_use_it(path):
    comment = "".join(line for line in path.read_text().splitlines(keepends=True) if line.startswith("#"))
    option = path.stem if path.stem in POLICIES else "config"
    assert f"--{option} jobs/configs/{path.name}" in comment
    assert comment.startswith("# ")


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_a_mapping_is_valid(path):
    load_mapping(str(path))


@pytest.mark.parametrize("path", SERVE, ids=named)
def test_a_serve_config_is_valid(path):
    check(section.read_yaml(str(path)))


@pytest.mark.parametrize("path", JOBS, ids=named)
def test_a_job_hands_its_options_to_the_verb_of_its_name(path, monkeypatch):
    """No logic lives in a job: it puts its verb before the arguments and calls the command."""
    import runpy
    import sys

    seen = []
    monkeypatch.setattr("planogram.cli.main", lambda: seen.append(list(sys.argv)))
    monkeypatch.setattr(sys, "argv", [str(path), "--config", "X.yaml", "--set", "a.b=c"])
    runpy.run_path(str(path), run_name="__main__")
    (argv,) = seen
    assert argv[-4:] == ["--config", "X.yaml", "--set", "a.b=c"]
    assert argv[-5] == path.stem
    assert len(path.read_text().splitlines()) <= 15


def test_every_stage_that_a_cluster_runs_has_a_job():
    assert {path.stem for path in JOBS} == {*STAGES, "prepare"}
