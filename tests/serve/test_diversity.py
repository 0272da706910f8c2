import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planogram.serve.diversity import diversify, similarities

SHIRT = {"title": "red shirt", "brand": "Acme", "category": "Shirts"}
SAME = {"title": "red shirt large", "brand": "Acme", "category": "Shirts"}
LAMP = {"title": "blue lamp", "brand": "Zeta", "category": "Lamps"}


def test_similarity_is_what_is_shared_over_what_either_has():
    table = similarities([SHIRT, SAME, LAMP])
    # red, shirt, brand (2) and category of 1 word more
    assert table[0, 1] == pytest.approx(5 / 6)
    assert table[0, 2] == 0
    assert np.allclose(np.diag(table), 1) and np.allclose(table, table.T)


def test_products_without_any_word_are_not_alike():
    assert similarities([{"title": ""}, {"title": ""}]).tolist() == [[0, 0], [0, 0]]


def test_a_chinese_character_is_a_word():
    assert similarities([{"title": "红鞋"}, {"title": "蓝鞋"}])[0, 1] == pytest.approx(1 / 3)


def test_an_unlike_product_passes_one_that_is_like_the_best():
    order, penalties = diversify([SHIRT, SAME, LAMP], np.asarray([0.9, 0.8, 0.7]), 0.5, 3)
    assert order.tolist() == [0, 2, 1]
    assert penalties == pytest.approx([0, 5 / 12, 0])


def test_without_weight_the_order_is_the_same():
    order, penalties = diversify([SHIRT, SAME, LAMP], np.asarray([0.9, 0.8, 0.7]), 0.0, 3)
    assert order.tolist() == [0, 1, 2] and not penalties.any()


def test_a_scale_of_scores_does_not_matter():
    scores = np.asarray([0.9, 0.8, 0.1])
    orders = {tuple(diversify([SHIRT, SAME, LAMP], scores * scale - 7, 0.3, 3)[0]) for scale in (1e-3, 1.0, 1e3)}
    assert len(orders) == 1


TITLES = st.lists(st.sampled_from(["red", "blue", "shoe", "hat", "lamp"]), max_size=4).map(" ".join)


@given(st.lists(TITLES, max_size=25), st.floats(0, 1), st.integers(1, 30))
def test_every_product_keeps_one_place_and_the_best_stays_the_best(titles, weight, top_k):
    products = [{"title": title} for title in titles]
    scores = np.linspace(1, 0, len(products))
    order, penalties = diversify(products, scores, weight, top_k)
    assert sorted(order.tolist()) == list(range(len(products)))
    assert (penalties >= 0).all() and (penalties <= weight + 1e-9).all()
    if products:
        assert order[0] == 0
    rest = order[min(top_k, len(order)) :]
    assert (np.diff(rest) > 0).all() or weight == 0


def test_a_hundred_candidates_take_milliseconds():
    words = [f"w{number}" for number in range(400)]
    draw = np.random.default_rng(0)
    products = [{"title": " ".join(draw.choice(words, 8)), "brand": str(n % 9)} for n in range(100)]
    took = []
    for _ in range(20):
        started = time.perf_counter()
        diversify(products, np.linspace(1, 0, 100), 0.3, 10)
        took.append(time.perf_counter() - started)
    # About one on a quiet core.
    assert min(took) < 0.05
