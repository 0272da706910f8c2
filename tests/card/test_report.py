"""The page about a bundle: it needs nothing else, and says what was measured."""

import re
from pathlib import Path

import pytest
from tests import ranked
from typer.testing import CliRunner

from planogram import cli, storage
from planogram.card import html, quality
from planogram.registry.bundle import Parity, open_bundle
from planogram.registry.store import Registry


@pytest.fixture
def published(home, ranked_bundle, tmp_path) -> Registry:
    """A champion, and a version with an export's parity, a lineage, and a benchmark of its engines."""
    registry = Registry()
    champion = ranked.edited(ranked_bundle, tmp_path / "champion", weights=ranked.noisy(0.1))
    registry.publish(champion, "ranker", "first")
    registry.promote("ranker:1", "champion", "the first one")
    _, manifest = open_bundle(ranked_bundle)
    parity = Parity(
        pairs=384,
        max_difference=0.0123,
        mean_difference=0.001,
        kendall_tau=0.99,
        top_overlap=1.0,
        subject=manifest.subject("openvino-bf16"),
    )
    lineage = {"run": "<script>alert(1)</script>", "config": {"task": "relevance"}}
    good = ranked.edited(ranked_bundle, tmp_path / "good", engines={"openvino-bf16": parity}, lineage=lineage)
    version = registry.publish(good, "ranker", 'better, "really" <b>')
    storage.write_json(f"{home}/benchmarks/engines.json", {"bundles": [version.digest]})
    storage.write_bytes(f"{home}/benchmarks/engines.png", b"\x89PNG pareto")
    return registry


@pytest.fixture
def report(published, ranked_shop, tmp_path) -> str:
    out = str(tmp_path / "report.html")
    settings = [
        f"--set={key}" for key in (f"shop={ranked_shop}", "part=all", "workers=0", "bootstrap=100", "robustness=12")
    ]
    found = CliRunner().invoke(cli.app, ["models", "report", "ranker:2", "--out", out, *settings])
    assert found.exit_code == 0, found.output
    assert out in found.output.replace("\n", "")
    return Path(out).read_text()


def test_the_page_says_everything_and_needs_nothing_else(report):
    for said in (
        "NDCG@10 0.",
        "where words alone (BM25) reach",
        "against ranker:1",
        "category: wear",
        "part=all is what was trained on, too",
        "Largest wins",
        "Can scores be trusted?",
        "typos: swap",
        "climbs 3 ranks or more",
        "Which brands are seen?",
        "openvino-bf16",
        "Speed and quality",
        "trained with task",
        "better, &quot;really&quot; &lt;b&gt;",
    ):
        assert said in report, said
    # Pictures are in the page: calibration, slices, differences, and that of the benchmark.
    assert report.count('src="data:image/png;base64,') == 4
    assert not re.findall(r"<script|<link|(?:src|href)=\"(?!data:)", report)


def test_what_was_not_measured_is_not_shown():
    result = {"metrics": {"auc": 0.7}, "intervals": {}, "lexical": {}, "queries": 3, "examples": 9, "part": "test"}
    assert "AUC 0.700" in quality.headline(result)
    shown = [quality.slices(result, {}), quality.examples(result, {}), quality.calibration(result, {})]
    assert [*shown, quality.robustness(result), quality.exposure(result)] == [""] * 5


def test_every_text_is_escaped():
    bad = "<img onerror=x>"
    page = html.page(bad, [html.section(bad, html.note(bad), html.table((bad, "b"), [[bad, "1"]]))]).decode()
    assert "<img" not in page
    assert page.count("&lt;img") == 6
