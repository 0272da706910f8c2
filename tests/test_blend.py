"""The weights of signals that `planogram blend` learns, and the file that a server reads."""

import numpy as np
import pandas as pd
import pytest

from planogram import blend, storage
from planogram.config import BlendConfig
from planogram.data.signals import popularity, review_sentiment
from planogram.errors import ConfigError, DataError
from planogram.evaluate.weights import fit_weights
from planogram.serve.blend import BlendArgs, search_blend
from planogram.serve.values import ModelInfo


def noisy_rows(weights: dict[str, float], queries: int = 80, seed: int = 0) -> pd.DataFrame:
    """Rates that rise with signals as the weights say, and with a level of its own for every query."""
    draw = np.random.default_rng(seed)
    rows = []
    for query in range(queries):
        values = draw.uniform(0, 1, (10, len(weights)))
        level = draw.normal(0, 3)
        rates = 1 / (1 + np.exp(-(4 * values @ np.asarray(list(weights.values())) + level)))
        rows.append(
            pd.DataFrame(values, columns=list(weights)).assign(
                query=f"q{query}", grade=draw.binomial(50, rates) / 50, weight=50.0
            )
        )
    return pd.concat(rows, ignore_index=True)


def test_weights_are_found_whatever_the_level_of_a_query():
    rows = noisy_rows({"relevance": 1.0, "popularity": 0.4, "margin": -0.5, "stock": 0.0})
    found = fit_weights(rows, ["relevance", "popularity", "margin", "stock"])
    assert found["relevance"] == 1.0
    assert found["popularity"] == pytest.approx(0.4, abs=0.12)
    assert found["margin"] == pytest.approx(-0.5, abs=0.12)
    assert abs(found["stock"]) < 0.12


def test_rows_that_are_seen_often_count_more():
    sure = noisy_rows({"a": 1.0, "b": 0.0}, seed=1)
    other = noisy_rows({"a": 0.0, "b": 1.0}, seed=2).assign(weight=0.1)
    other["query"] = "other-" + other["query"]
    assert fit_weights(pd.concat([sure, other]), ["a", "b"])["b"] < 0.4


def test_a_signal_that_never_differs_has_no_weight():
    rows = noisy_rows({"a": 1.0}).assign(margin=0.3)
    assert fit_weights(rows, ["a", "margin"]) == {"a": 1.0}


def test_grades_that_do_not_differ_teach_nothing():
    rows = noisy_rows({"a": 1.0}).assign(grade=1.0)
    with pytest.raises(DataError, match="different grades"):
        fit_weights(rows, ["a"])
    with pytest.raises(DataError, match="no signal differs"):
        fit_weights(noisy_rows({"a": 1.0}).assign(a=0.0), ["a"])


def test_sentiment_is_drawn_to_the_mean_of_the_shop_where_reviews_are_few():
    rows = [("many", 5.0)] * 50 + [("one", 5.0)] + [("bad", 1.0)] * 49
    reviews = pd.DataFrame(rows, columns=["product_id", "rating"]).assign(label=None)
    found = review_sentiment(reviews)
    mean = 51 / 100
    assert found["many"] == pytest.approx((50 + 5 * mean) / 55)
    assert found["one"] == pytest.approx((1 + 5 * mean) / 6)
    assert found["bad"] < found["one"] < found["many"]


def test_labels_go_before_ratings():
    reviews = pd.DataFrame({"product_id": ["a", "b"], "label": ["positive", "negative"], "rating": [1.0, 5.0]})
    found = review_sentiment(reviews)
    assert found["a"] > 0.5 > found["b"]


def test_a_purchase_makes_more_popular_than_a_click_and_an_impression_does_not():
    events = pd.DataFrame(
        {"product_id": ["a", "b", "c", "b"], "event_type": ["purchase", "click", "impression", "click"]}
    )
    found = popularity(events)
    assert found["a"] == 1.0 and 0 < found["b"] < 1 and "c" not in found


@pytest.fixture
def shop(make_shop):
    """12 queries of 8 products, judged by what earns most, which an untrained model cannot know."""
    titles = [f"{colour} {kind}" for colour in ("red", "blue", "green", "black") for kind in ("shoes", "lamp")]
    products = [
        {"product_id": f"p{n}", "title": title, "brand": "Acme", "price": 10.0, "cost": float(n), "stock": int(n < 5)}
        for n, title in enumerate(titles)
    ]
    judgments = [
        {"query": f"query {q}", "product_id": f"p{n}", "grade": float(3 - n // 2)} for q in range(12) for n in range(8)
    ]
    return make_shop(products=products, judgments=judgments)


def config_for(shop, bundle, tmp_path, **changes):
    split = {"folds": 3, "valid_share": 0.4}
    values = {"shop": shop, "bundle": str(bundle), "out": str(tmp_path / "blend.json"), "split": split, **changes}
    return BlendConfig.model_validate(values)


def test_a_blend_is_learned_measured_and_served(shop, tiny_bundle, tmp_path):
    result = blend.run(config_for(shop, tiny_bundle, tmp_path, bootstrap=50))
    assert result["weights"]["margin"] == 1.0
    assert result["constant"] == ["sentiment", "popularity"]
    assert result["ndcg@10"]["blend"] > result["ndcg@10"]["alone"]
    assert result["gain"] == pytest.approx(result["ndcg@10"]["blend"] - result["ndcg@10"]["alone"])
    low, high = result["gain_interval"]
    assert low <= result["gain"] <= high and result["queries"] == 4
    model = ModelInfo("tiny", 1, str(tiny_bundle), "d", ("relevance",), ("title", "brand"), 32)
    assert search_blend(BlendArgs(file=result["file"]), model).weights == pytest.approx(
        {name: weight for name, weight in result["weights"].items() if weight}
    )
    assert storage.read_json(result["file"])["task"] == "relevance"


def test_signals_may_be_chosen_and_must_exist(shop, tiny_bundle, tmp_path):
    result = blend.run(config_for(shop, tiny_bundle, tmp_path, signals=["relevance", "stock"]))
    assert set(result["weights"]) == {"relevance", "stock"}
    with pytest.raises(ConfigError, match=r"click(.|\n)*relevance, sentiment, margin"):
        blend.run(config_for(shop, tiny_bundle, tmp_path, signals=["click"]))


def test_what_was_fitted_is_not_measured(shop, tiny_bundle, tmp_path):
    with pytest.raises(ValueError, match="measure on what was not fitted"):
        config_for(shop, tiny_bundle, tmp_path, measure="valid")


def test_clicks_of_held_out_pages_make_nothing_popular(make_shop, tiny_bundle, tmp_path):
    products = [{"product_id": f"p{n}", "title": f"thing {n}"} for n in range(4)]
    events = []
    for page in range(40):
        query = f"query {page % 8}"
        for place in range(4):
            shared = {"ranking_id": f"r{page}", "product_id": f"p{place}", "query": query, "position": place + 1}
            kinds = ["impression", *(["click"] if place == page % 4 else [])]
            events += [
                {**shared, "event_id": f"{page}-{place}-{kind}", "event_type": kind, "timestamp": 1_000_000 * page}
                for kind in kinds
            ]
    shop = make_shop(products=products, interactions=events)
    config = config_for(shop, tiny_bundle, tmp_path, task="click")
    from planogram.registry.bundle import open_bundle

    _, manifest = open_bundle(str(tiny_bundle))
    trained = blend._events(config, manifest)
    total = sum(event["event_type"] == "click" for event in events)
    assert 0 < len(trained) < total and set(trained["event_type"]) == {"click"}
    result = blend.run(config)
    assert "popularity" in result["weights"] and result["task"] == "click"
