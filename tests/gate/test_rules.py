"""Each rule at its limit."""

import math

import numpy as np
import pytest

from planogram import config
from planogram.config import GatePolicy
from planogram.errors import ConfigError
from planogram.gate import rules
from planogram.gate.finding import at_least, at_most, failed
from planogram.registry.bundle import BundleManifest, Head, Parity
from planogram.section import parse

POLICY = GatePolicy(shop="shop", bootstrap=500)


def test_quality_passes_where_the_difference_is_surely_small():
    draw = np.random.default_rng(0)
    rule = config.QualityRule(tolerance=0.01)
    same = rules.quality(rule, draw.normal(0, 0.02, 400), "r:1", POLICY)
    assert (same.verdict, same.rule) == ("PASS", "quality")
    worse = rules.quality(rule, draw.normal(-0.03, 0.02, 400), "r:1", POLICY)
    assert worse.verdict == "FAIL"
    assert "against r:1 on 400 queries" in worse.sentence


def test_quality_that_is_unsure_does_not_pass():
    few = np.random.default_rng(0).normal(0.01, 0.3, 20)
    assert rules.quality(config.QualityRule(tolerance=0.01), few, "r:1", POLICY).verdict == "FAIL"


def test_a_slice_fails_only_where_it_is_surely_worse():
    draw = np.random.default_rng(0)
    differences = {
        ("category", "shoes"): draw.normal(0, 0.1, 60),
        ("category", "lamps"): draw.normal(-0.2, 0.1, 60),
        ("price", "low"): draw.normal(-0.03, 0.4, 25),
    }
    found = rules.slices(config.SlicesRule(tolerance=0.02), differences, "r:1", POLICY)
    assert [(finding.rule, finding.verdict) for finding in found] == [("slice category: lamps", "FAIL")]
    del differences["category", "lamps"]
    [passed] = rules.slices(config.SlicesRule(tolerance=0.02), differences, "r:1", POLICY)
    assert passed.verdict == "PASS"
    assert "none of 2 slices" in passed.sentence


def test_the_confidence_of_slices_is_of_all_together():
    change = np.random.default_rng(0).normal(0, 1, 30)
    # Its 95 % bound is below the limit, its bound for one of forty is not.
    change = -0.065 + 0.12 * (change - change.mean()) / change.std()
    alone = rules.slices(config.SlicesRule(tolerance=0.02), {("a", "b"): change}, "r:1", POLICY)
    among = {("a", str(n)): change + (0.5 if n else 0) for n in range(40)}
    assert alone[0].verdict == "FAIL"
    assert rules.slices(config.SlicesRule(tolerance=0.02), among, "r:1", POLICY)[0].verdict == "PASS"


def test_latency_has_a_limit_of_its_own_and_one_of_the_champion():
    rule = config.LatencyRule(pairs_per_s=100, of_champion=0.8)
    assert [each.verdict for each in rules.latency(rule, 90, 120)] == ["FAIL", "FAIL"]
    assert [each.verdict for each in rules.latency(rule, 100, 120)] == ["PASS", "PASS"]
    alone = rules.latency(rule, 100, None)
    assert [each.verdict for each in alone] == ["PASS", "PASS"]
    assert "no champion" in alone[1].sentence


def test_a_latency_rule_without_a_limit_is_refused():
    with pytest.raises(ConfigError, match="no limit"):
        parse(GatePolicy, {"shop": "s", "latency": {"of_champion": None}}, "policy.yaml")


def test_calibration_is_at_most_its_limit():
    rule = config.CalibrationRule(limit=0.05)
    assert rules.calibration(rule, {"error": 0.05}).verdict == "PASS"
    assert rules.calibration(rule, {"error": 0.051}).verdict == "FAIL"
    assert "no probability" in rules.calibration(rule, None).sentence


def test_robustness_has_two_limits_each_of_which_may_be_null():
    found = {"typo_drop": 0.2, "stuffing": {"share": 0.5, "queries": 10}}
    rule = config.RobustnessRule(typo_drop=0.1, stuffing_share=0.6)
    assert [each.verdict for each in rules.robustness(rule, found)] == ["FAIL", "PASS"]
    only = config.RobustnessRule(typo_drop=None, stuffing_share=0.4)
    assert [(each.rule, each.verdict) for each in rules.robustness(only, found)] == [("robustness to stuffing", "FAIL")]
    nothing = rules.robustness(rule, {"typo_drop": None, "stuffing": None})
    assert [each.verdict for each in nothing] == ["PASS", "PASS"]


def manifest(**parity) -> BundleManifest:
    made = BundleManifest(
        name="m", heads=(Head(name="relevance"),), backbone="none", text_fields=("title",), max_tokens=8
    )
    if not parity:
        return made
    measured = {"pairs": 9, "max_difference": 0.1, "mean_difference": 0.01, "kendall_tau": 0.99, "top_overlap": 1.0}
    each = Parity(**{**measured, "subject": made.subject("openvino-int8"), **parity})
    return made.model_copy(update={"engines": {"openvino-int8": each}})


def test_parity_is_what_compress_found():
    rule = config.ParityRule()
    assert rules.parity(rule, manifest(max_difference=0.1), "openvino-int8").verdict == "PASS"
    beyond = rules.parity(rule, manifest(faults=("Kendall's tau is 0.9",)), "torch-fp32")
    assert beyond.verdict == "FAIL"
    assert "tau is 0.9" in beyond.sentence
    changed = rules.parity(rule, manifest(subject="other"), "torch-fp32")
    assert "not what was compared" in changed.sentence


def test_a_bundle_without_exports_passes_unless_one_is_required():
    assert rules.parity(config.ParityRule(), manifest(), "torch-fp32").verdict == "PASS"
    assert rules.parity(config.ParityRule(required=True), manifest(), "torch-fp32").verdict == "FAIL"


def test_an_engine_that_was_never_compared_does_not_serve():
    assert rules.parity(config.ParityRule(), manifest(pairs=9), "openvino-bf16").verdict == "FAIL"


def test_what_is_no_number_passes_nothing():
    found = [at_least("a", math.nan, 0.0, ""), at_most("b", math.nan, 1.0, "")]
    assert failed(found) == found
