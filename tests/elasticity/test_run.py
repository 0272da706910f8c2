"""The verb: every estimator with its explanation, figures in a file, a picture and a page."""

import numpy as np
import pytest
from typer.testing import CliRunner

from planogram import cli, storage
from planogram.config import ElasticityConfig
from planogram.elasticity.explain import EXPLAINED
from planogram.elasticity.run import run
from planogram.errors import ConfigError


@pytest.fixture(scope="module")
def units_shop(make_shop):
    """6 products over 12 weeks, half of them advertised when cheap; nobody bought in two of the rows."""
    draw = np.random.default_rng(0)
    rows = []
    for product in range(6):
        for week in range(12):
            price = float(np.exp(draw.normal(0, 0.2)))
            feat = int(price < 0.9 and product < 3)
            units = float(round(50 * price ** -(1 + product / 5) * (1 + feat)))
            rows.append(
                {
                    "product_id": f"p{product}",
                    "price": price,
                    "units": 0.0 if (product, week) in ((0, 0), (5, 11)) else units,
                    "period": str(week),
                    "features": [("feat", str(feat))],
                }
            )
    products = [{"product_id": f"p{n}", "title": f"thing {n}", "category": "things"} for n in range(6)]
    return make_shop(products=products, demand=rows)


def config_for(shop, tmp_path, **changes):
    values = {"shop": shop, "out": str(tmp_path / "e.json"), "learner": "ridge", "block_periods": 2, **changes}
    return ElasticityConfig.model_validate(values)


def test_units_are_estimated_in_every_way(units_shop, tmp_path):
    result = run(config_for(units_shop, tmp_path, split_by="feat"))
    assert [row["name"] for row in result["estimators"]] == [
        "pooled",
        "products",
        "products and features",
        "products and periods",
        "poisson",
        "cross-fitted",
        "cross-fitted poisson",
    ]
    assert (result["rows"], result["products"], result["periods"], result["zeros"]) == (70, 6, 12, 2)
    assert result["standard_errors"] == "HC1" and result["not_estimated"] == {}
    by_name = {row["name"]: row for row in result["estimators"]}
    assert by_name["poisson"]["rows"] == 72 and by_name["pooled"]["rows"] == 70
    low, high = by_name["products and features"]["interval"]
    assert low < by_name["products and features"]["elasticity"] < high
    assert all(row["confounded_by"] == EXPLAINED[row["name"]][1] for row in result["estimators"])
    assert [row["category"] for row in result["by_product"]] == ["things"] * 6
    assert all(row["sensitivity"] >= 0.1 for row in result["by_product"])
    assert {row["feat"] for row in result["by_feature"]} == {0.0, 1.0}
    assert storage.read_json(result["file"])["estimators"] == result["estimators"]
    assert storage.read_bytes(result["plot"]).startswith(b"\x89PNG")
    page = storage.read_bytes(result["page"]).decode()
    assert "cross-fitted" in page and "data:image/png;base64" in page


def test_what_the_rows_do_not_tell_is_named(make_shop, tmp_path):
    draw = np.random.default_rng(0)
    rows = [
        {"product_id": f"p{n % 2}", "price": float(draw.uniform(1, 2)), "units": float(draw.uniform(1, 9))}
        for n in range(40)
    ]
    result = run(config_for(make_shop(demand=rows), tmp_path))
    assert result["not_estimated"].keys() == {"products and features", "products and periods"}


def test_errors_are_those_of_clusters_where_asked(units_shop, tmp_path):
    result = run(config_for(units_shop, tmp_path, cluster="period"))
    assert result["standard_errors"] == "of 12 clusters, by period"


def test_names_that_do_not_exist_are_errors(units_shop, tmp_path):
    with pytest.raises(ConfigError, match=r"features: colour(.|\n)*feat"):
        run(config_for(units_shop, tmp_path, features=["colour"]))
    with pytest.raises(ConfigError, match=r"split_by: colour(.|\n)*feat"):
        run(config_for(units_shop, tmp_path, split_by="colour"))
    with pytest.raises(ConfigError, match="ends in"):
        run(config_for(units_shop, tmp_path, out="e.txt"))


def test_purchases_after_clicks_are_a_rate(make_shop, tmp_path):
    draw = np.random.default_rng(0)
    events = []
    for number in range(400):
        price = float(draw.uniform(1, 3))
        shared = {"product_id": f"p{number % 4}", "ranking_id": f"r{number}", "price": price}
        kinds = ["click", *(["purchase"] if draw.random() < 0.5 / price else [])]
        events += [
            {**shared, "event_id": f"{number}-{kind}", "event_type": kind, "timestamp": number * 3_600_000_000}
            for kind in kinds
        ]
    result = run(config_for(make_shop(interactions=events), tmp_path, kind="purchase"))
    by_name = {row["name"]: row for row in result["estimators"]}
    assert set(by_name) == {"pooled", "products", "products and periods", "cross-fitted"}
    assert by_name["cross-fitted"]["elasticity"] == pytest.approx(-1, abs=3 * by_name["cross-fitted"]["standard_error"])


@pytest.fixture(scope="module")
def choice_shop(make_shop):
    draw = np.random.default_rng(0)
    rows = []
    for number in range(300):
        prices = draw.uniform(1, 3, 2)
        first = (draw.random() < 1 / (1 + np.exp(prices[0] - prices[1]))).item()
        rows += [
            {
                "product_id": f"tea/{name}",
                "price": float(price),
                "chosen": int(taken),
                "choice_set": f"tea/{number // 10}/{number}",
            }
            for name, price, taken in zip("ab", prices, (first, not first), strict=True)
        ]
    return make_shop(demand=rows)


def test_choices_are_measured_on_other_households(choice_shop, tmp_path):
    (market,) = run(config_for(choice_shop, tmp_path))["markets"]
    assert (market["name"], market["choices"], market["groups"]) == ("tea", 300, 30)
    nll = {row["name"]: row["nll"] for row in market["estimators"]}
    assert nll["conditional logit"] < nll["shares"] == pytest.approx(np.log(2), abs=0.02)
    assert market["coefficients"][0]["name"] == "price"
    assert market["coefficients"][0]["coefficient"] == pytest.approx(-1, abs=0.5)
    assert market["elasticities"]["tea/a"]["tea/a"] < 0 < market["elasticities"]["tea/a"]["tea/b"]


@pytest.mark.parametrize("shop", ["units_shop", "choice_shop"])
def test_the_command_prints_tables(shop, tmp_path, request):
    out = str(tmp_path / "e.json")
    settings = [f"shop={request.getfixturevalue(shop)}", f"out={out}", "learner=ridge", "block_periods=2"]
    words = [word for setting in settings for word in ("--set", setting)]
    printed = CliRunner().invoke(cli.app, ["elasticities", *words]).output
    assert "confounded by" in printed and out in printed
