"""A demand model finds the elasticities that made the data, falls in price, and prices a catalogue by them."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from planogram import storage
from planogram.config import load_finetune
from planogram.data.shop import read_table
from planogram.engines.load import load_engine
from planogram.pricing.audit import verify
from planogram.pricing.replay import replay
from planogram.pricing.settings import RepriceConfig
from planogram.registry.bundle import BASELINE, open_bundle

from ..conftest import tiny_products
from ..serve.whole import whole

ELASTICITY = {"shoes": 3.5, "lamp": 2.0, "chair": 1.0}
WEEKS = 40
SETTINGS = [
    "task=demand",
    "backbone.name=scratch",
    "backbone.hidden_size=32",
    "backbone.layers=1",
    "backbone.attention_heads=2",
    "backbone.vocab_size=300",
    "text.fields=[title]",
    "text.max_tokens=16",
    "backbone.dropout=0.0",
    "optimizer.learning_rate=1e-3",
    "optimizer.head_learning_rate=3e-2",
    "train.epochs=20",
    "train.micro_batch=64",
    "train.patience=100",
    "train.precision=fp32",
    "launch.workers=0",
    "members=4",
    "prior=0.001",
]


@pytest.fixture(scope="module")
def demand_shop(make_shop):
    """Weekly units of the tiny products; prices follow a season of demand, which a naive estimate would believe."""
    rng = np.random.default_rng(5)
    season = np.sin(np.arange(WEEKS) * 2 * np.pi / 13)
    products, rows = tiny_products(), []
    for product in products:
        level, usual = rng.normal(4.0, 0.3), rng.uniform(8, 30)
        product |= {"price": round(usual, 2), "cost": round(usual / 2, 2)}
        for week in range(WEEKS):
            log_price = 0.15 * season[week] + 0.12 * rng.standard_normal()
            log_units = level + 0.4 * season[week] - ELASTICITY[product["category"]] * log_price
            rows.append(
                {
                    "product_id": product["product_id"],
                    "price": float(usual * np.exp(log_price)),
                    "units": float(rng.poisson(np.exp(log_units))),
                    "period": f"{week:03d}",
                }
            )
    return make_shop(products=products, demand=rows)


@pytest.fixture(scope="module")
def trained(in_home, demand_shop):
    """A model of which the last fifth of the weeks was held back."""
    from planogram import finetune

    return finetune.run(load_finetune(None, [*SETTINGS, f"shop={demand_shop}", "run=demand"]))


def elasticities(bundle: str) -> pd.Series:
    """Mean elasticity by kind, from the engine, as the server asks it."""
    engine = load_engine(bundle)
    products = tiny_products()
    logits = engine.infer(engine.tokenize([("", product["title"]) for product in products]))
    frame = pd.DataFrame(
        {"kind": [p["category"] for p in products], "elasticity": np.exp(logits[:, 1::2]).mean(axis=1)}
    )
    return frame.groupby("kind")["elasticity"].mean()


def test_elasticities_are_those_that_made_the_data(trained):
    found = elasticities(trained["bundle"])
    for kind, truth in ELASTICITY.items():
        assert found[kind] == pytest.approx(truth, rel=0.3), found.to_dict()
    assert found["shoes"] > 1.3 * found["lamp"] > 1.3 * found["chair"]


def test_training_lowers_the_loss_of_validation_weeks(trained):
    losses = [entry["log_loss"] for entry in trained["history"]]
    assert min(losses) < 0.7 * losses[0]


def test_the_bundle_says_what_its_heads_are(trained):
    folder, manifest = open_bundle(trained["bundle"])
    assert (manifest.demand.kind, manifest.demand.members) == ("units", 4)
    assert [head.activation for head in manifest.heads] == ["identity"] * 8
    baseline = storage.read_json(str(folder / BASELINE))["products"]
    assert baseline.keys() == {product["product_id"] for product in tiny_products()}


def test_a_product_that_was_never_seen_has_the_elasticity_of_its_words(in_home, demand_shop):
    from planogram import finetune
    from planogram.config import EvaluateConfig
    from planogram.evaluate.offline import run

    settings = [*SETTINGS, f"shop={demand_shop}", "run=cold", "split.by=product", "split.folds=4"]
    made = finetune.run(load_finetune(None, settings))
    found = elasticities(made["bundle"])
    assert found["shoes"] > found["lamp"] > found["chair"]
    measured = run(EvaluateConfig(bundle=made["bundle"], shop=demand_shop, workers=0))
    assert measured["queries"] == 6
    assert measured["metrics"]["own_elasticity.correlation"] > 0.5


def test_a_whole_catalogue_is_priced_within_the_rules(trained, demand_shop, tmp_path):
    """A proposal binds nobody, and what is applied is in the audit."""
    from planogram.reprice.run import run

    common = {
        "demand": trained["bundle"],
        "shop": demand_shop,
        "audit": str(tmp_path / "audit.jsonl"),
        "kill_switch": str(tmp_path / "STOP"),
        "policy": {"min_margin": 0.05, "max_change": 0.1, "endings": [0.99, 0.49]},
        "workers": 0,
    }
    proposal = run(RepriceConfig.model_validate({**common, "out": str(tmp_path / "proposal")}))
    assert not Path(common["audit"]).exists()
    table = pd.read_parquet(proposal["table"])
    assert len(table) == proposal["products"] == 24
    moved = table[table["price"] != table["current_price"]]
    assert len(moved) == proposal["changed"] > 0
    assert (moved["price"] >= moved["lowest"]).all()
    assert (moved["price"] <= moved["highest"]).all()
    assert proposal["expected"]["profit"]["change"] > 0
    assert json.loads((tmp_path / "proposal" / "report.json").read_text())["applied"] is False
    applied = run(RepriceConfig.model_validate({**common, "out": str(tmp_path / "applied"), "apply": True}))
    pd.testing.assert_frame_equal(pd.read_parquet(applied["table"]), table)
    assert verify(common["audit"]) == len(table) + 1
    assert replay(common["audit"]) == []


def test_elastic_products_become_cheaper_than_inelastic_ones(trained, demand_shop, tmp_path):
    from planogram.reprice.run import run

    made = run(
        RepriceConfig.model_validate(
            {
                "demand": trained["bundle"],
                "shop": demand_shop,
                "out": str(tmp_path / "prices"),
                "policy": {"min_margin": 0.05, "max_change": 0.3},
                "kill_switch": str(tmp_path / "STOP"),
                "workers": 0,
            }
        )
    )
    table = pd.read_parquet(made["table"])
    change = table["price"] / table["current_price"]
    kind = table["product_id"].str.split("-").str[1]
    # Cost is half of the price: the optimum is 0.7 of it for an elasticity of 3.5, and beyond all bounds for 1.
    means = change.groupby(kind).mean()
    assert means["shoes"] < 0.85
    assert means["chair"] > 1.2


def test_a_demand_model_has_floors_of_its_own(trained, demand_shop):
    from planogram.config import EvaluateConfig
    from planogram.errors import ConfigError
    from planogram.evaluate.offline import run

    with pytest.raises(ConfigError, match="demand model"):
        run(EvaluateConfig(bundle=trained["bundle"], shop=demand_shop, workers=0, floor="last"))


def test_a_ranker_cannot_be_priced_by(trained, demand_shop, tiny_bundle, tmp_path):
    from planogram.errors import ConfigError
    from planogram.reprice.run import run

    with pytest.raises(ConfigError, match="no demand model"):
        run(RepriceConfig(demand=str(tiny_bundle), shop=demand_shop, out=str(tmp_path / "x")))


def test_an_evaluation_stands_beside_what_needs_no_model(trained, demand_shop):
    from planogram.config import EvaluateConfig
    from planogram.evaluate.offline import run

    result = run(EvaluateConfig(bundle=trained["bundle"], shop=demand_shop, workers=0))
    metrics = result["metrics"]
    assert (result["examples"], result["queries"]) == (24 * 8, 24)
    weekly = read_table(demand_shop, "demand").pivot_table(index="period", columns="product_id", values="units")
    newest = weekly.iloc[-8:].to_numpy()
    for name, size in (("last", 1), ("mean_4", 4)):
        told = weekly.shift(1).rolling(size).mean().iloc[-8:].to_numpy()
        assert metrics[f"{name}.wape"] == pytest.approx(np.abs(newest - told).sum() / newest.sum(), rel=1e-6)
    assert {"lightgbm.wape", "log_loss", "elasticity"} <= metrics.keys()
    # Prices of these weeks rise with their demand, of which nothing but the price could tell.
    assert metrics["wape"] < 0.6


def test_the_server_prices_as_a_repricing_does(monkeypatch, trained, demand_shop, tiny_bundle, tmp_path):
    from planogram.reprice.run import run
    from planogram.serve.settings import AppArgs

    policy = {"min_margin": 0.05, "max_change": 0.1}
    switch = str(tmp_path / "STOP")
    common = {"demand": trained["bundle"], "kill_switch": switch}
    asked = {**common, "policy": policy, "shop": demand_shop, "out": str(tmp_path / "prices"), "workers": 0}
    made = run(RepriceConfig.model_validate(asked))
    table = pd.read_parquet(made["table"]).set_index("product_id")
    args = AppArgs.model_validate(
        {
            "routes": ["price"],
            "ranker": str(tiny_bundle),
            "shop": demand_shop,
            "engine": {"threads": 1},
            "retriever": {"folder": str(tmp_path / "indexes"), "threads": 1},
            "pricing": {**common, "engine": {"threads": 1}, "audit": str(tmp_path / "audit.jsonl")},
            "prices": policy,
            "follow": {"period_s": 0},
        }
    )
    ids = list(table.index)
    ask = whole(monkeypatch)
    (answer,) = ask(args, [("/price", {"items": [{"product_id": name} for name in ids], "explain": True})])
    assert not answer["degraded"], answer["reason"]
    for found in answer["prices"]:
        row = table.loc[found["product_id"]]
        assert (found["price"], found["rule"]) == (row["price"], row["rule"])
        assert found["expected_profit"] == pytest.approx(row["expected_profit"], rel=1e-3)
    assert replay(str(tmp_path / "audit.jsonl")) == []


def test_heads_alone_learn_from_texts_that_are_read_once(trained, in_home, demand_shop):
    """What the trainer made of them is what an engine makes of the bundle."""
    from planogram import finetune
    from planogram.config import EvaluateConfig
    from planogram.evaluate.offline import run

    base = ["backbone.name=" + trained["bundle"], "adapter.method=head", "train.epochs=3"]
    settings = [setting for setting in SETTINGS if not setting.startswith("backbone.")]
    made = finetune.run(load_finetune(None, [*settings, *base, f"shop={demand_shop}", "run=heads"]))
    losses = [entry["log_loss"] for entry in made["history"]]
    assert min(losses) < losses[0]
    measured = run(EvaluateConfig(bundle=made["bundle"], shop=demand_shop, workers=0, part="valid"))
    assert measured["metrics"]["log_loss"] == pytest.approx(min(losses), rel=1e-5)


def test_a_demand_model_becomes_smaller_and_says_the_same(trained, demand_shop, tmp_path):
    from planogram.compress.run import run
    from planogram.config import CompressConfig

    engines = ["openvino-fp32", "openvino-int8"]
    quantize = {"calibration_pairs": 12, "smooth_quant": [0.5]}
    asked = {"bundle": trained["bundle"], "shop": demand_shop, "engines": engines, "out": str(tmp_path / "small")}
    made = run(CompressConfig.model_validate({**asked, "quantize": quantize}))
    assert made["kind"] == "demand model"
    parity = made["engines"]
    assert parity["openvino-fp32"]["max_difference"] < 1e-4 and not parity["openvino-fp32"]["faults"]
    assert parity["openvino-int8"]["mean_difference"] < 0.05
    texts = [("", product["title"]) for product in tiny_products()]
    logits = [load_engine(made["bundle"], name) for name in ("torch-fp32", "openvino-int8")]
    exact, small = (engine.infer(engine.tokenize(texts)) for engine in logits)
    assert np.abs(exact - small).mean() < 0.05
    assert (Path(made["bundle"]) / BASELINE).is_file()


def test_a_demand_model_is_not_measured_as_a_ranker(trained, demand_shop):
    from planogram.benchmark.engines import run
    from planogram.config import BenchmarkEnginesConfig
    from planogram.errors import ConfigError

    with pytest.raises(ConfigError, match="is a demand model"):
        run(BenchmarkEnginesConfig(bundle=trained["bundle"], shop=demand_shop))


def test_a_demand_model_is_not_pruned(trained, demand_shop, tmp_path):
    from planogram.compress.run import run
    from planogram.config import CompressConfig
    from planogram.errors import ConfigError

    asked = {"bundle": trained["bundle"], "shop": demand_shop, "prune": {"layers": 1}, "out": str(tmp_path / "small")}
    with pytest.raises(ConfigError, match="demand model"):
        run(CompressConfig.model_validate(asked))
