import numpy as np
import pytest

from planogram.engines.base import score
from planogram.serve.attribution import MAX_DOCUMENTS, MAX_QUERY_WORDS, MAX_TITLE_WORDS, occlude

SHOES = {"product_id": "p-2", "title": "red shoes", "brand": "Acme"}


def weights_of(engine, query, documents):
    occlusion = occlude(query, documents)
    pairs = [(text, d if isinstance(d, str) else f"{d['title']} {d['brand']}") for text, d in occlusion.inputs]
    return occlusion.weights(score(engine, pairs, 64).values[:, 0])


def test_a_word_weighs_what_the_score_loses_without_it(engine):
    (found,) = weights_of(engine, "red hat", [SHOES])
    named = {(token.field, token.token): token.weight for token in found}
    one, none = 1 / (1 + np.exp(-1)), 0.5
    assert named[("query", "red")] == named[("title", "red")] == pytest.approx(one - none)
    assert named[("query", "hat")] == named[("title", "shoes")] == pytest.approx(0)


def test_documents_are_told_apart(engine):
    first, second = weights_of(engine, "red", ["red shoes and more", "lamp"])
    assert [token.token for token in first] == ["red", "red", "shoes", "and", "more"]
    assert [(token.field, token.token, token.weight) for token in second] == [("query", "red", 0), ("title", "lamp", 0)]
    assert first[0].weight > 0


def test_only_the_title_loses_words():
    occlusion = occlude("a", [SHOES])
    assert [text for text, _ in occlusion.inputs] == ["a", "", "a", "a"]
    assert [document["title"] for _, document in occlusion.inputs] == ["red shoes", "red shoes", "shoes", "red"]
    assert {document["brand"] for _, document in occlusion.inputs} == {"Acme"}
    assert SHOES["title"] == "red shoes"


def test_a_word_that_occurs_twice_is_left_out_once():
    assert [text for text, _ in occlude("red red hat", ["x"]).inputs[1:4]] == ["red hat", "red hat", "red red"]


def test_a_chinese_character_is_a_word():
    assert [name for _, name in occlude("红鞋 a1", [""]).words[0]] == ["红", "鞋", "a1"]


def test_what_an_explanation_costs_is_bounded():
    long = " ".join(f"w{number}" for number in range(100))
    occlusion = occlude(long, [{"title": long}] * MAX_DOCUMENTS)
    assert len(occlusion.inputs) == MAX_DOCUMENTS * (1 + MAX_QUERY_WORDS + MAX_TITLE_WORDS)
    with pytest.raises(ValueError, match="at most"):
        occlude("a", ["x"] * (MAX_DOCUMENTS + 1))


def test_no_documents_have_no_words():
    assert occlude("a", []).weights(np.zeros(0)) == []
