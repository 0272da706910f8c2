"""What the audit says of a product: its prices in order, what set them, and a picture of them."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from planogram.cli import app
from planogram.errors import DataError
from planogram.pricing.choose import decide_all
from planogram.pricing.curve import DemandCurve
from planogram.pricing.guardrails import check_all
from planogram.pricing.history import history
from planogram.pricing.item import PriceItem
from planogram.pricing.policy import PricePolicy
from planogram.pricing.replay import DecisionLog

POLICY = PricePolicy(max_change=0.1)
DRAWS = np.column_stack([np.linspace(2.5, 3.5, 8), np.linspace(2.0, 4.0, 8)])


@pytest.fixture
def log(tmp_path, off):
    """Three weeks of two products; one of them has no floor."""
    path = str(tmp_path / "audit.jsonl")
    price = 10.0
    for _ in range(3):
        items = [PriceItem("free", 5.0), PriceItem("a", price, cost=4.0, floor=4.5)]
        curves = [DemandCurve(9.0, 3.0, 3.0, draws=DRAWS)] * 2
        decided = decide_all(curves, items, POLICY, np.random.default_rng(0))
        final = check_all(decided, items, POLICY, off)
        DecisionLog(path).append(curves, items, POLICY, decided, final)
        price = final[1].price
    return path


def test_prices_of_a_product_stand_in_their_order(log):
    found = history(log, "a")
    assert [entry.item.current_price for entry in found] == [10.0, *(entry.price for entry in found[:2])]
    assert [entry.price for entry in found] == sorted((entry.price for entry in found), reverse=True)
    assert found[0].rule == "max_change"
    assert found[0].bounds == pytest.approx((9.0, 11.0))
    np.testing.assert_array_equal(found[0].curve.draws, DRAWS)
    assert all("floor" in entry.rule for entry in history(log, "free"))


def test_a_product_without_a_decision_is_named(log):
    with pytest.raises(DataError, match="'lamp'"):
        history(log, "lamp")


@pytest.mark.parametrize("product", ["a", "free"])
def test_the_command_prints_and_draws_them(log, tmp_path, product):
    out = tmp_path / "product.png"
    result = CliRunner().invoke(app, ["prices", "show", product, "--audit", log, "--out", str(out), "--json"])
    assert result.exit_code == 0, result.output
    assert [row["price"] for row in json.loads(result.stdout)] == [entry.price for entry in history(log, product)]
    assert out.read_bytes().startswith(b"\x89PNG")
