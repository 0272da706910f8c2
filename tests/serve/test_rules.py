import pytest
from hypothesis import given
from hypothesis import strategies as st

from planogram.errors import ConfigError
from planogram.section import parse
from planogram.serve.blend import Blend
from planogram.serve.order import arrange
from planogram.serve.policy import PolicyArgs, changed_policy
from planogram.serve.rule_args import ProductConditions, QueryConditions, Rule, When
from planogram.serve.rules import ActiveRules, place_pins

SHOES = {"product_id": "p-2", "title": "red shoes", "brand": "Acme", "category": "Shoes", "price": 20.0, "stock": 5}


def shown(answer):
    return [result["product_id"] for result in answer.json()["results"]]


@pytest.mark.parametrize(
    ("conditions", "met"),
    [
        ({"product_ids": ["p-2"]}, True),
        ({"product_ids": ["p-1"]}, False),
        ({"brand": ["Acme", "Zeta"], "price_min": 20.0, "price_max": 20.0}, True),
        ({"brand": ["acme"]}, False),
        ({"brand": ["Acme"], "price_max": 19.9}, False),
        ({"category": ["Shoes"], "in_stock": True}, True),
        ({"in_stock": False}, False),
    ],
)
def test_a_product_meets_all_conditions_or_is_not_meant(conditions, met):
    assert ProductConditions.model_validate(conditions).meet(SHOES) is met


def test_what_is_not_known_meets_no_condition():
    unknown = {"product_id": "p", "title": "t", "price": None, "stock": None}
    for conditions in ({"price_max": 9.0}, {"price_min": 0.0}, {"in_stock": True}, {"in_stock": False}):
        assert not ProductConditions.model_validate(conditions).meet(unknown)


@pytest.mark.parametrize(
    ("conditions", "query", "met"),
    [
        ({"exact": ["Red  Shoes"]}, "red shoes", True),
        ({"exact": ["red"]}, "red shoes", False),
        ({"contains": ["ed sh", "lamp"]}, "RED shoes", True),
        ({"tokens": ["shoes", "red"]}, "red, running shoes", True),
        ({"tokens": ["t-shirt"]}, "a T-Shirt", True),
        ({"tokens": ["shoe"]}, "red shoes", False),
        ({"tokens": ["red"], "contains": ["hat"]}, "red shoes", False),
        ({"contains": ["红色"]}, "红色的鞋", True),
        ({"exact": [".*"]}, "anything", False),
    ],
)
def test_queries_meet_all_conditions_without_case_and_spaces(conditions, query, met):
    assert QueryConditions.model_validate(conditions).meet(query) is met


def test_a_rule_is_for_the_requests_that_it_names():
    when = When.model_validate({"routes": ["search"], "query": {"tokens": ["red"]}, "category": ["Shoes"]})
    assert when.meet("search", "red", ["Shoes", "Hats"])
    assert not when.meet("search", "red", [])
    assert not when.meet("recommend", "red", ["Shoes"])
    assert not when.meet("search", "blue", ["Shoes"])
    assert not When.model_validate({"query": {"tokens": ["red"]}}).meet("recommend", None, [])


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"name": "r"}, "it does nothing"),
        ({"name": "r", "hide": {}}, "means every product"),
        ({"name": "r", "when": {"query": {}}, "hide_out_of_stock": True}, "means every query"),
        ({"name": "r", "hide": {"price_min": 2.0, "price_max": 1.0}}, "above price_max"),
        ({"name": "r", "hide": {"colour": ["red"]}}, "valid keys: brand"),
        ({"name": "r", "boost": {"where": {"brand": ["A"]}, "factor": 0.0}}, "greater than 0"),
        ({"name": "Not A Name", "hide_out_of_stock": True}, "rules.0.name"),
        ({"name": "r", "pin": [{"product_id": "a", "position": 0}]}, "position"),
        ({"name": "r", "pin": [{"product_id": "a", "position": 1}, {"product_id": "b", "position": 1}]}, "twice"),
        ({"name": "r", "pin": [{"product_id": "a", "position": 1}, {"product_id": "a", "position": 2}]}, "twice"),
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused(rule, message, backend):
    with pytest.raises(ConfigError, match=message):
        changed_policy(PolicyArgs(), parse(PolicyArgs, {"rules": [rule]}, "user_config"), backend.model)


def test_two_rules_of_one_name_are_refused(backend):
    rule = {"name": "r", "hide_out_of_stock": True}
    with pytest.raises(ConfigError, match="r twice"):
        changed_policy(PolicyArgs(), parse(PolicyArgs, {"rules": [rule, rule]}, "user_config"), backend.model)


def test_hidden_products_are_not_shown(client, backend):
    backend.set_policy(rules=[{"name": "no-lamps", "hide": {"product_ids": ["p-1"]}}])
    assert shown(client.post("/search", json={"query": "red shoes"})) == ["p-2", "p-3"]


def test_hiding_what_is_out_of_stock_keeps_what_is_not_known(client, backend):
    backend.set_policy(rules=[{"name": "stock", "hide_out_of_stock": True}])
    assert shown(client.post("/search", json={"query": "red shoes"})) == ["p-2", "p-3"]


def test_buried_products_stand_last_and_say_so(client, backend):
    backend.set_policy(rules=[{"name": "no-shoes-first", "bury": {"product_ids": ["p-2"]}}], diversity={"weight": 0.5})
    answer = client.post("/search", json={"query": "red shoes", "explain": True})
    assert shown(answer)[-1] == "p-2"
    assert answer.json()["results"][-1]["explanation"]["rules"] == [
        {"name": "no-shoes-first", "effect": "bury", "contribution": 0.0}
    ]


def test_a_boost_multiplies_and_a_score_below_0_rises_too():
    rules = ActiveRules((Rule.model_validate({"name": "b", "boost": {"where": {"brand": ["Acme"]}, "factor": 3.0}}),))
    assert [note.contribution for note in rules.boost(SHOES, 0.5)] == [1.0]
    assert [note.contribution for note in rules.boost(SHOES, -0.5)] == [1.0]
    assert rules.boost({**SHOES, "brand": None}, 0.5) == []


def test_rules_hold_without_the_ranker(client, backend):
    from planogram.errors import OverloadedError

    backend.ranker_error = OverloadedError("full")
    backend.set_policy(
        rules=[
            {"name": "shirt", "boost": {"where": {"product_ids": ["p-3"]}, "factor": 10.0}},
            {"name": "no-shoes", "hide": {"product_ids": ["p-2"]}},
        ]
    )
    assert shown(client.post("/search", json={"query": "red shoes"})) == ["p-3", "p-1"]


def test_a_pin_that_was_not_found_is_looked_up(client, backend):
    backend.set_policy(rules=[{"name": "r", "pin": [{"product_id": "p-3", "position": 1}]}])
    answer = client.post("/search", json={"query": "red shoes", "num_candidates": 2, "explain": True})
    assert shown(answer) == ["p-3", "p-2", "p-1"]
    first = answer.json()["results"][0]
    assert first["score"] is not None and first["explanation"]["rules"][0]["effect"] == "pin"


@pytest.mark.parametrize(
    ("request_part", "more"),
    [
        ({"filters": {"price_min": 15}}, []),
        ({}, [{"name": "stock", "hide_out_of_stock": True}]),
        ({}, [{"name": "lamps", "hide": {"product_ids": ["p-1"]}}]),
        ({"candidates": ["p-2", "p-3"]}, []),
    ],
)
def test_a_pin_does_not_show_what_filters_rules_or_candidates_exclude(client, backend, request_part, more):
    backend.set_policy(rules=[{"name": "r", "pin": [{"product_id": "p-1", "position": 1}]}, *more])
    body = {"query": "red shoes", "num_candidates": None, **request_part}
    assert shown(client.post("/search", json=body)) == ["p-2", "p-3"]


@given(st.data())
def test_pins_stand_at_their_places_and_the_others_keep_their_order(data):
    order = data.draw(st.permutations(range(data.draw(st.integers(0, 12)))))
    pinned = {
        entry: data.draw(st.integers(1, 15))
        for entry in data.draw(st.lists(st.sampled_from(order), unique=True) if order else st.just([]))
    }
    placed = place_pins(order, pinned)
    assert sorted(placed) == sorted(order)
    assert [entry for entry in placed if entry not in pinned] == [entry for entry in order if entry not in pinned]
    taken = set()
    for entry, position in pinned.items():
        if position not in taken and len(order) - len(pinned) >= position - 1:
            assert placed[position - 1] == entry
        taken.add(position)


CONDITIONS = st.fixed_dictionaries({}, optional={"brand": st.just(["A"]), "in_stock": st.booleans()}).filter(bool)
RULES = st.lists(
    st.fixed_dictionaries(
        {"hide_out_of_stock": st.booleans()},
        optional={
            "hide": CONDITIONS,
            "bury": CONDITIONS,
            "boost": st.fixed_dictionaries({"where": CONDITIONS, "factor": st.floats(0.1, 10)}),
            "pin": st.lists(st.integers(0, 9), max_size=3, unique=True).map(
                lambda ids: [{"product_id": str(number), "position": place + 1} for place, number in enumerate(ids)]
            ),
        },
    ).filter(lambda rule: any(rule.values())),
    max_size=4,
)
PRODUCTS = st.lists(
    st.fixed_dictionaries({"brand": st.sampled_from(["A", "B", None]), "stock": st.sampled_from([None, 0, 3])}),
    max_size=10,
)


@given(PRODUCTS, RULES, st.floats(0, 1), st.integers(1, 12))
def test_nothing_hidden_is_shown_and_all_else_is_shown_once(products, rules, diversity, top_k):
    products = [{**product, "product_id": str(n), "title": f"t {n}"} for n, product in enumerate(products)]
    parsed = [Rule.model_validate({"name": f"r{n}", **rule}) for n, rule in enumerate(rules)]
    active = ActiveRules.select(parsed, "search", "q", [])
    visible = active.visible(products)
    ids = [
        placed.product["product_id"]
        for placed in arrange(visible, None, Blend({"retrieval": 1.0}), active, diversity, top_k).placed
    ]
    hidden = {product["product_id"] for product in products if any(rule.hides(product) for rule in parsed)}
    assert hidden.isdisjoint(ids)
    assert len(ids) == len(set(ids)) == min(top_k, len(products) - len(hidden))
    if top_k >= len(products):
        assert {*ids} | hidden == {product["product_id"] for product in products}
