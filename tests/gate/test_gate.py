"""The gate in front of real bundles: what is worse is refused with its reason, what is better passes."""

import json
import shutil
from pathlib import Path

import pytest
from tests import ranked
from typer.testing import CliRunner

from planogram import cli, storage
from planogram.config import GatePolicy
from planogram.errors import NotFoundError
from planogram.gate.promote import promote
from planogram.gate.report import sentence
from planogram.registry.store import Registry
from planogram.section import parse

NAME = "ranker"
# Each test asks one rule, so that it is this rule that refuses.
QUIET = dict.fromkeys(("quality", "parity", "latency", "calibration", "robustness", "slices"))
WORDS = "black blue brown chair green jacket lamp purple red shirt"


@pytest.fixture(scope="module")
def module_home(empty_home, ranked_bundle, tmp_path_factory) -> Path:
    """A registry with a champion: the good bundle with a little noise."""
    home = Path(shutil.copytree(empty_home, tmp_path_factory.mktemp("gate") / "home"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLANOGRAM_HOME", str(home))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        champion = ranked.edited(ranked_bundle, home / "drafts" / "champion", weights=ranked.noisy(0.08))
        Registry().publish(champion, NAME, "first")
        Registry().promote(f"{NAME}:1", "champion", "the first")
    return home


@pytest.fixture
def registry(module_home, tmp_path, monkeypatch) -> Registry:
    """A copy of it for each test."""
    monkeypatch.setenv("PLANOGRAM_HOME", str(shutil.copytree(module_home, tmp_path / "home")))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return Registry()


@pytest.fixture
def policy(ranked_shop):
    def made(**rules) -> GatePolicy:
        values = {"shop": ranked_shop, "part": "all", "bootstrap": 300, **QUIET, **rules}
        return parse(GatePolicy, values, "policy")

    return made


def tried(registry: Registry, bundle: str, policy: GatePolicy):
    version = registry.publish(bundle, NAME, "another")
    return promote(version.reference, "champion", "try it", policy)


def test_a_better_bundle_passes_every_rule(registry, ranked_bundle, policy):
    rules = {
        "quality": {},
        "parity": {},
        "latency": {"of_champion": 0.2, "pairs_per_s": 1, "rounds": 3},
        "calibration": {"limit": 0.1},
        "robustness": {"queries": 24, "typo_drop": 0.5, "stuffing_share": 0.5},
        "slices": {"by": ["category", "price", "traffic", "locale"]},
    }
    outcome = tried(registry, ranked_bundle, policy(**rules))
    assert [finding.verdict for finding in outcome.findings] == ["PASS"] * 8, outcome.findings
    assert outcome.promoted
    assert (outcome.champion, registry.resolve(NAME).version) == (f"{NAME}:1", 2)
    [*_, move] = registry.history(NAME)
    assert (move.action, move.before, move.version, move.forced) == ("promote", 1, 2, "")
    assert {finding["rule"] for finding in move.gate} >= {"quality", "parity", "latency", "calibration", "slices"}


def test_a_worse_bundle_is_refused_and_the_champion_stays(registry, ranked_bundle, policy, tmp_path):
    worse = ranked.edited(ranked_bundle, tmp_path / "worse", weights=ranked.noisy(0.3, seed=1))
    outcome = tried(registry, worse, policy(quality={"tolerance": 0.01}))
    assert not outcome.promoted
    assert registry.resolve(NAME).version == 1
    assert "refused" in sentence(outcome, "champion")
    assert "NDCG@10 changes by -" in sentence(outcome, "champion")
    [*_, move] = registry.history(NAME)
    assert (move.action, move.before, move.version, move.reason) == ("refuse", 1, 2, "try it")
    assert move.gate[0]["verdict"] == "FAIL"


def test_a_refusal_does_not_stand_in_the_way_of_a_rollback(registry, ranked_bundle, policy, tmp_path):
    registry.promote(registry.publish(ranked_bundle, NAME, "good").reference, "champion", "good")
    worse = ranked.edited(ranked_bundle, tmp_path / "worse", weights=ranked.noisy(0.3, seed=1))
    assert not tried(registry, worse, policy(quality={})).promoted
    assert registry.rollback(NAME, "champion", "complaints").version == 1


def test_a_miscalibrated_bundle_is_refused(registry, ranked_bundle, policy, tmp_path):
    rule = {"calibration": {"limit": 0.08}}
    loud = ranked.overconfident(ranked_bundle, tmp_path / "loud")
    refused = tried(registry, loud, policy(**rule, quality={}))
    # It ranks as the good one does: calibration alone is wrong.
    assert [(finding.rule, finding.verdict) for finding in refused.findings] == [
        ("quality", "PASS"),
        ("calibration", "FAIL"),
    ]
    assert "expected calibration error" in sentence(refused, "champion")
    assert tried(registry, ranked_bundle, policy(**rule)).promoted


def test_a_slow_bundle_is_refused(registry, ranked_bundle, policy):
    slow = tried(registry, ranked_bundle, policy(latency={"pairs_per_s": 1e9, "of_champion": None, "rounds": 2}))
    assert not slow.promoted
    assert "pairs/s, needed 1,000,000,000" in sentence(slow, "champion")
    quick = tried(registry, ranked_bundle, policy(latency={"pairs_per_s": 1, "of_champion": None, "rounds": 2}))
    assert quick.promoted


def test_a_bundle_that_stuffed_titles_fool_is_refused(registry, ranked_bundle, policy, tmp_path):
    rule = {"robustness": {"queries": 48, "typo_drop": None, "stuffing_share": 0.4}}
    fooled = ranked.fooled_by(ranked_bundle, tmp_path / "fooled", WORDS, 12.0)
    refused = tried(registry, fooled, policy(**rule))
    assert not refused.promoted
    assert "a stuffed irrelevant product gains 3 ranks" in sentence(refused, "champion")
    assert tried(registry, ranked_bundle, policy(**rule)).promoted


def test_a_bundle_that_typos_break_is_refused(registry, ranked_bundle, policy):
    refused = tried(registry, ranked_bundle, policy(robustness={"queries": 48, "typo_drop": 0.01}))
    assert not refused.promoted
    assert "a typing error costs" in sentence(refused, "champion")


def test_without_a_champion_bm25_has_to_be_beaten(registry, ranked_bundle, policy, tmp_path):
    worse = ranked.edited(ranked_bundle, tmp_path / "worse", weights=ranked.noisy(3.0))
    version = registry.publish(worse, "newcomer", "first")
    outcome = promote(version.reference, "champion", "try it", policy(quality={}))
    assert (outcome.promoted, outcome.champion) == (False, None)
    assert "against BM25" in outcome.findings[0].sentence


def test_a_champion_without_the_export_needs_an_engine_of_its_own(registry, ranked_bundle, policy):
    with pytest.raises(NotFoundError, match="openvino-int8"):
        tried(registry, ranked_bundle, policy(quality={}, champion_engine="openvino-int8"))
    assert registry.resolve(NAME).version == 1
    rules = {"quality": {}, "latency": {"of_champion": 0.01, "rounds": 2}}
    assert tried(registry, ranked_bundle, policy(**rules, champion_engine="torch-bf16")).promoted


def test_what_is_not_published_is_not_measured(registry, ranked_bundle, policy):
    with pytest.raises(NotFoundError, match="not published"):
        promote(ranked_bundle, "champion", "try it", policy(quality={}))


def command(*arguments: str):
    return CliRunner().invoke(cli.app, ["models", *arguments])


@pytest.fixture
def gate_file(tmp_path, policy) -> str:
    path = str(tmp_path / "gate.yaml")
    storage.write_json(path, policy(quality={}, calibration={"limit": 0.08}).model_dump(mode="json"))
    return path


@pytest.fixture
def bad(registry, ranked_bundle, tmp_path) -> str:
    noisy = ranked.edited(ranked_bundle, tmp_path / "noisy", weights=ranked.noisy(0.3, seed=1))
    loud = ranked.overconfident(noisy, tmp_path / "loud")
    return registry.publish(loud, NAME, "worse and loud").reference


def test_a_refusal_prints_all_reasons_and_the_status_is_1(registry, bad, gate_file):
    found = command("promote", bad, "--gate", gate_file, "--reason", "try it")
    assert found.exit_code == 1
    words = " ".join(found.output.split())
    for said in ("refused; ranker@champion stays where it was", "- quality: NDCG@10 changes by", "- calibration: exp"):
        assert said in words
    assert registry.resolve(NAME).version == 1


def test_json_has_every_finding(bad, gate_file):
    found = command("promote", bad, "--gate", gate_file, "--reason", "try it", "--json")
    assert found.exit_code == 1
    said = json.loads(found.stdout)
    assert (said["promoted"], said["failed"]) == (False, ["quality", "calibration"])
    assert said["findings"][0]["figure"] < said["findings"][0]["limit"]


def test_force_needs_a_reason_and_stands_in_the_history(registry, bad, gate_file):
    why = "accepted by the head of search"
    forced = command("promote", bad, "--gate", gate_file, "--reason", "sale", "--force", why)
    assert forced.exit_code == 0
    assert "although quality, calibration failed" in " ".join(forced.output.split())
    assert registry.resolve(NAME).version == 2
    history = json.loads(command("history", NAME, "--json").stdout)
    assert history[-1]["forced"] == why
    assert [finding["verdict"] for finding in history[-1]["gate"]] == ["FAIL", "FAIL"]


def test_what_passes_is_not_forced(registry, ranked_bundle, gate_file):
    version = registry.publish(ranked_bundle, NAME, "good").reference
    assert command("promote", version, "--gate", gate_file, "--reason", "better", "--force", "whatever").exit_code == 0
    assert registry.history(NAME)[-1].forced == ""


@pytest.mark.parametrize("options", [("--force", "because"), ("--set", "part=all"), ("--gate", "GATE", "--force", " ")])
def test_options_that_make_no_sense_are_refused(registry, gate_file, options):
    given = [gate_file if option == "GATE" else option for option in options]
    found = command("promote", f"{NAME}:1", "--reason", "again", *given)
    assert found.exit_code != 0
    assert "--force" in str(found.exception)


def test_without_a_gate_nothing_is_measured(registry, bad):
    assert command("promote", bad, "--reason", "as before").exit_code == 0
    assert registry.history(NAME)[-1].gate == ()
