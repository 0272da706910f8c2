"""A score over HTTP is the score that `planogram evaluate` sees."""

import pytest
from tests.serve.served_scores import evaluated, served
from tests.serve.whole import whole


def test_scores_over_http_are_those_of_evaluation(tiny_bundle, tiny_shop, tmp_path, monkeypatch):
    monkeypatch.setenv("PLANOGRAM_HOME", str(tmp_path / "home"))
    bundle = str(tiny_bundle)
    wanted = evaluated(bundle, tiny_shop, "torch-fp32")
    assert len(wanted) == 96 and max(wanted.values()) - min(wanted.values()) > 0.01
    found = served(whole(monkeypatch), bundle, tiny_shop, "torch-fp32", str(tmp_path / "indexes"))
    for route, scores in found.items():
        assert scores == pytest.approx(wanted, abs=1e-4), route
