"""`POST /price`: prices within the rules, none without an audit, and none at all while the kill switch is on."""

import math
from dataclasses import replace

import pytest

from planogram import storage
from planogram.pricing.audit import verify
from planogram.pricing.replay import replay
from planogram.pricing.switch import KillSwitch
from planogram.registry.bundle import BASELINE, BundleManifest, DemandRef, Head, write_bundle
from planogram.serve.values import FailedError, LateError

HEADS = tuple(Head(name=f"{name}-{m}", activation="identity") for m in (0, 1) for name in ("level", "log_elasticity"))


@pytest.fixture
def bundle(tmp_path, backend):
    """A demand bundle whose baseline knows p-2: ten units a period at 20."""
    manifest = BundleManifest(
        name="fake-demand",
        heads=HEADS,
        backbone="none",
        pooling="mean",
        text_fields=("title",),
        max_tokens=8,
        demand=DemandRef(kind="units", members=2),
    )
    with write_bundle(str(tmp_path / "demand"), manifest) as folder:
        storage.write_json(str(folder / BASELINE), {"products": {"p-2": [20.0, math.log(10.0), 1.0]}})
    backend.demand_model = replace(backend.demand_model, path=str(tmp_path / "demand"))
    return tmp_path / "demand"


PRICES = {"min_margin": 0.05, "max_change": 0.2}


@pytest.fixture
def desk_args(tmp_path):
    (tmp_path / "prices").mkdir()
    return {
        "demand": "fake-demand",
        "audit": str(tmp_path / "prices" / "audit.jsonl"),
        "kill_switch": str(tmp_path / "prices" / "STOP"),
    }


@pytest.fixture
def client(make_client, bundle, desk_args):
    return make_client(routes=["price"], pricing=desk_args, prices=PRICES, follow={"period_s": 0})


def ask(client, *items, **more):
    given = [{"product_id": item} if isinstance(item, str) else item for item in items]
    response = client.post("/price", json={"items": given, **more})
    assert response.status_code == 200, response.text
    return response.json()


def test_the_price_is_the_best_within_the_rules(client):
    answer = ask(client, "p-2")
    (found,) = answer["prices"]
    # Cost 15 and an elasticity of 3: the optimum is 15 * 3 / 2 = 22.50, within 20 % of 20.
    assert found["price"] == pytest.approx(22.5, abs=0.2)
    assert (found["current_price"], found["rule"], found["known"]) == (20.0, "optimum", True)
    assert found["expected_units"] == pytest.approx(10 * (20 / found["price"]) ** 3, rel=1e-6)
    assert found["expected_profit"] == pytest.approx((found["price"] - 15) * found["expected_units"], rel=1e-6)
    assert found["bounds"] == [16.0, 24.0]
    assert (answer["model"]["name"], answer["objective"], answer["degraded"]) == ("fake-demand", "profit", False)


def test_a_rule_that_binds_is_named(client):
    assert ask(client, {"product_id": "p-2", "ceiling": 21.0})["prices"][0]["rule"] == "ceiling"


def test_without_a_lowest_price_nothing_changes(client):
    # p-3 has no cost in the catalogue, and the request says no floor.
    (found,) = ask(client, "p-3", objective="revenue")["prices"]
    assert found["price"] == found["current_price"] == 30.0
    assert found["rule"].startswith("no change: no floor")


def test_what_the_catalogue_knows_cannot_be_moved_by_a_request(client):
    (found,) = ask(client, {"product_id": "p-2", "cost": 0.01, "current_price": 1.0})["prices"]
    assert found["current_price"] == 20.0
    assert found["price"] == ask(client, "p-2")["prices"][0]["price"]


def test_a_product_that_the_catalogue_lacks_keeps_its_price(client, backend):
    (found,) = ask(client, {"product_id": "p-99", "current_price": 5.0, "floor": 1.0})["prices"]
    assert (found["price"], found["rule"], found["expected_units"]) == (5.0, "no change: the catalogue lacks it", None)
    assert not backend.seen


def test_a_product_without_a_price_says_that_it_has_none(client, backend):
    backend.products = [{"product_id": "p-0", "title": "lamp", "price": None, "cost": 2.0, "stock": None}]
    (found,) = ask(client, {"product_id": "p-0"})["prices"]
    assert (found["price"], found["rule"]) == (None, "no change: current_price is missing")


def test_a_product_without_sales_is_priced_by_its_text(client):
    (found,) = ask(client, "p-1")["prices"]
    assert not found["known"]
    assert found["elasticity"] == pytest.approx(3.0)
    # Cost 2: the optimum of 3 is beyond the largest change from 10.
    assert (found["price"], found["rule"]) == (8.0, "max_change")


def test_no_field_says_who_asks(client):
    """Schema: what is not of products is refused, so that it cannot move a price."""
    for extra in ({"user_id": "u-1"}, {"segment": "rich"}, {"context": {"age": 70}}):
        response = client.post("/price", json={"items": [{"product_id": "p-2"}], **extra})
        assert response.status_code == 422
        response = client.post("/price", json={"items": [{"product_id": "p-2", **extra}]})
        assert response.status_code == 422


def test_who_asks_changes_no_price(client):
    plain = ask(client, "p-2")["prices"]
    for headers in (
        {"X-User-ID": "u-1"},
        {"User-Agent": "iPhone"},
        {"Cookie": "user=7"},
        {"X-Forwarded-For": "8.8.8.8"},
    ):
        response = client.post("/price", json={"items": [{"product_id": "p-2"}]}, headers=headers)
        assert response.json()["prices"] == plain


def test_the_kill_switch_holds_and_is_turned_by_a_call(client, desk_args):
    on = client.post("/admin/prices", json={"stop": True, "why": "wrong costs"}).json()
    assert (on["stopped"], on["why"]) == (True, "wrong costs")
    (found,) = ask(client, "p-2")["prices"]
    assert (found["price"], found["rule"]) == (20.0, "kill switch")
    assert KillSwitch(desk_args["kill_switch"]).is_on()
    assert client.get("/admin/prices").json()["stopped"]
    assert not client.post("/admin/prices", json={"stop": False, "why": "costs are right"}).json()["stopped"]
    assert ask(client, "p-2")["prices"][0]["rule"] == "optimum"


def test_every_price_is_in_the_audit_and_made_again_from_it(client, desk_args):
    for ceiling in (21.0, 22.0, 50.0):
        ask(client, {"product_id": "p-2", "ceiling": ceiling}, "p-1")
    # One line of the policy, one for each product of each request.
    assert verify(desk_args["audit"]) == 1 + 3 * 2
    assert replay(desk_args["audit"]) == []


def test_a_price_that_cannot_be_recorded_does_not_change(make_client, bundle, desk_args, tmp_path):
    (tmp_path / "full").write_text("no folder")
    client = make_client(
        routes=["price"],
        pricing={**desk_args, "audit": str(tmp_path / "full" / "audit.jsonl")},
        prices=PRICES,
        follow={"period_s": 0},
    )
    answer = ask(client, "p-2")
    assert (answer["degraded"], answer["reason"]) == (True, "pricing_failed")
    assert answer["prices"][0]["rule"] == "no change: pricing failed"


@pytest.mark.parametrize(
    ("error", "reason"), [(LateError("late"), "pricing_late"), (FailedError("broken"), "pricing_failed")]
)
def test_without_the_model_prices_stay(client, backend, error, reason):
    backend.demand_error = error
    answer = ask(client, {"product_id": "p-2"})
    assert (answer["degraded"], answer["reason"]) == (True, reason)
    assert (answer["prices"][0]["price"], answer["prices"][0]["rule"]) == (20.0, "no change: no demand model")


def test_logits_that_are_not_finite_change_no_price(client, backend):
    backend.demand_logits = (float("nan"), 0.0, 0.0, 0.0)
    assert ask(client, "p-2")["prices"][0]["rule"] == "no change: pricing failed"


def test_an_explanation_draws_the_curve(client):
    (found,) = ask(client, "p-2", explain=True)["prices"]
    units = [point["units"] for point in found["curve"]]
    assert units == sorted(units, reverse=True)
    assert found["curve"][0]["price"] == found["bounds"][0]
    assert all(point["units_low"] <= point["units"] <= point["units_high"] for point in found["curve"])
    assert ask(client, "p-2")["prices"][0]["curve"] is None


def test_rules_of_prices_change_without_a_restart(client, backend):
    before = ask(client, "p-2")["prices"][0]
    backend.set_policy(prices={**PRICES, "max_change": 0.01})
    after = ask(client, "p-2")["prices"][0]
    assert after["bounds"] == pytest.approx([19.8, 20.2])
    assert before["bounds"][1] > after["bounds"][1]


def test_a_product_twice_is_refused(client):
    response = client.post("/price", json={"items": [{"product_id": "p-2"}, {"product_id": "p-2"}]})
    assert response.status_code == 422


def test_the_route_and_its_arguments_belong_together(make_client, desk_args):
    from planogram.errors import ConfigError

    with pytest.raises(ConfigError, match="belong together"):
        make_client(routes=["price"])
    with pytest.raises(ConfigError, match="belong together"):
        make_client(routes=["rerank"], pricing=desk_args)
