import json

import numpy as np
import pytest

from planogram.data.signals import PRODUCT_SIGNALS, margin, popularity_of, sentiment_of
from planogram.errors import ConfigError, NotFoundError
from planogram.section import parse
from planogram.serve.blend import NEXT_ITEM, Blend, BlendArgs, recommend_blend, search_blend, signal_names, signals_of
from planogram.serve.policy import Policy, PolicyArgs, changed_policy
from planogram.serve.values import Scored


@pytest.fixture
def model(backend):
    return backend.model


def test_a_score_is_the_weighted_sum():
    signals = {"relevance": np.asarray([1.0, 0.5]), "stock": np.asarray([0.0, 1.0]), "margin": np.asarray([9.0, 9.0])}
    assert Blend({"relevance": 2.0, "stock": -1.0}).scores(signals).tolist() == [2.0, 0.0]


def test_signals_are_those_of_the_ranker_the_product_and_the_retriever(model):
    products = [
        {"price": 10.0, "cost": 4.0, "stock": 0, "sentiment": 0.75, "popularity": 0.2},
        {"price": None, "cost": None, "stock": None},
    ]
    values = np.asarray([[0.9, 0.1], [0.5, 0.3]], dtype=np.float32)
    scored = Scored(values, [False] * 2, 1, model, values)
    signals = signals_of(products, scored)
    assert set(signals) == {*signal_names(model), NEXT_ITEM}
    assert {name: values.tolist() for name, values in signals.items() if name in PRODUCT_SIGNALS} == {
        "sentiment": [0.75, 0.5],
        "margin": pytest.approx([0.6, 0.0]),
        "stock": [0.0, 1.0],
        "popularity": [0.2, 0.0],
    }
    assert signals["retrieval"].tolist() == [1.0, 0.5]
    assert signals["click"].tolist() == pytest.approx([0.1, 0.3])
    assert signals_of(products, None).keys().isdisjoint(model.heads)


@pytest.mark.parametrize(
    ("price", "cost", "value"),
    [
        (10, 2, 0.8),
        (10, 12, 0),
        (10, -5, 1),
        (0, 0, 0),
        (None, 1, 0),
        (10, None, 0),
        (10, float("nan"), 0),
        (9, 6, 0.3),
    ],
)
def test_a_margin_is_told_in_steps_between_0_and_1(price, cost, value):
    assert margin({"price": price, "cost": cost}) == pytest.approx(value)


def test_what_nobody_reviewed_or_took_has_neutral_signals():
    assert sentiment_of({"sentiment": float("nan")}) == 0.5
    assert popularity_of({"popularity": None}) == 0.0


def test_the_deciding_head_alone_is_the_default(model):
    assert search_blend(BlendArgs(), model).weights == {"relevance": 1.0}
    assert recommend_blend(BlendArgs(), model).weights == {"retrieval": 1.0}


def test_a_head_that_knows_histories_recommends(model):
    from dataclasses import replace

    assert recommend_blend(BlendArgs(), replace(model, heads=("click", "preference"))).weights == {"preference": 1.0}


@pytest.mark.parametrize("key", ["weights", "recommend"])
def test_a_weight_for_what_the_model_lacks_names_what_there_is(model, key):
    args = PolicyArgs.model_validate({"blend": {key: {"purchase": 1.0}}})
    with pytest.raises(ConfigError, match=r"purchase(.|\n)*relevance, click, sentiment, margin"):
        Policy.of(args, model)


@pytest.mark.parametrize(
    ("blend", "message"),
    [
        ({"weights": {"relevance": "1"}}, "blend.weights.relevance"),
        ({"weights": {"relevance": float("nan")}}, "finite"),
        ({"weights": {"relevance": 0.0}}, "no signal a weight"),
        ({"weights": {}}, "no signal a weight"),
        ({"weights": {"relevance": 1.0}, "file": "x.json"}, "give one of them"),
        ({"weight": {"relevance": 1.0}}, "did you mean 'weights'"),
    ],
)
def test_wrong_weights_are_named(model, blend, message):
    with pytest.raises(ConfigError, match=message):
        changed_policy(PolicyArgs(), parse(PolicyArgs, {"blend": blend}, "user_config"), model)


def test_a_file_gives_the_weights(model, tmp_path):
    path = tmp_path / "blend.json"
    weights = {"relevance": 1.0, "popularity": 0.25, "stock": 0.0}
    path.write_text(
        json.dumps({"weights": weights, "task": "click", "bundle": "b", "data_digest": "d", "report": {"x": 1}})
    )
    found = search_blend(BlendArgs(file=str(path)), model)
    assert found.weights == {"relevance": 1.0, "popularity": 0.25}
    path.write_text(json.dumps({"weights": {"relevance": 1.0}}))
    with pytest.raises(ConfigError, match="task is missing"):
        search_blend(BlendArgs(file=str(path)), model)
    path.write_text("[]")
    with pytest.raises(ConfigError, match="planogram blend"):
        search_blend(BlendArgs(file=str(path)), model)
    with pytest.raises(NotFoundError):
        search_blend(BlendArgs(file=str(tmp_path / "nothing.json")), model)


def test_user_config_stands_in_place_of_what_it_names(model):
    rule = {"name": "r", "hide_out_of_stock": True}
    args = PolicyArgs.model_validate({"rules": [rule], "diversity": {"weight": 0.3}})
    changed = changed_policy(args, parse(PolicyArgs, {"blend": {"weights": {"click": 1.0}}}, "user_config"), model)
    assert changed.search.weights == {"click": 1.0}
    assert changed.diversity == 0.3 and [rule.name for rule in changed.rules] == ["r"]
    assert changed_policy(args, parse(PolicyArgs, {"rules": []}, "user_config"), model).rules == ()


WRONG = ({"diversity": {"weight": 2.0}}, {"blend": {"weights": {"price": 1.0}}}, {"routes": ["search"]})


@pytest.fixture
def gateway(model):
    from planogram.serve.gateway import Gateway
    from planogram.serve.settings import AppArgs, FollowArgs

    return Gateway(AppArgs(ranker="r", routes=("rerank",), follow=FollowArgs(period_s=0)), (model, None), None)


@pytest.mark.parametrize("wrong", WRONG)
def test_a_gateway_that_serves_keeps_its_policy_where_the_next_one_is_wrong(gateway, wrong, caplog):
    gateway.reconfigure({"diversity": {"weight": 0.5}, "blend": {"weights": {"click": 2.0}}})
    gateway.check_health()
    held = gateway.policy
    assert held.diversity == 0.5 and held.search.weights == {"click": 2.0}
    gateway.reconfigure(wrong)
    assert gateway.policy is held
    assert "what held before goes on" in caplog.text and next(iter(wrong)) in caplog.text
    gateway.reconfigure({})
    assert gateway.policy.diversity == 0.0


@pytest.mark.parametrize("wrong", WRONG)
def test_a_gateway_does_not_start_with_a_wrong_policy(gateway, wrong):
    with pytest.raises(ConfigError):
        gateway.reconfigure(wrong)
