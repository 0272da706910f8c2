import pandas as pd
import pytest

from planogram.serve.index.behaviour import neighbours, read_behaviour
from planogram.serve.settings import RetrieverArgs
from planogram.serve.values import Filters

ALL = Filters()
PRODUCTS = [{"product_id": name, "title": f"thing {name}", "stock": int(name != "c")} for name in "abcdef"]
# u-1 takes a, b, c; u-2 takes a, b; u-3 takes a, d; a session without a user e, f.
EVENTS = [
    ("u-1", "purchase", "a"),
    ("u-1", "click", "b"),
    ("u-1", "purchase", "c"),
    ("u-2", "click", "a"),
    ("u-2", "click", "b"),
    ("u-3", "click", "d"),
    ("u-3", "purchase", "a"),
    (None, "click", "e"),
    (None, "click", "f"),
    ("u-1", "impression", "f"),
]
REVIEWS = [("a", 5.0), ("a", 5.0), ("b", 1.0), ("b", 1.0), ("c", 4.0)]


def events():
    return [
        {
            "event_id": str(number),
            "timestamp": pd.Timestamp(2026, 1, 1, tz="UTC") + pd.Timedelta(minutes=number),
            "event_type": kind,
            "product_id": product,
            "user_id": user,
            "session_id": "s",
        }
        for number, (user, kind, product) in enumerate(EVENTS)
    ]


@pytest.fixture(scope="module")
def shop(tmp_path_factory, write_shop):
    reviews = [
        {"review_id": str(number), "text": "x", "product_id": product, "rating": rating}
        for number, (product, rating) in enumerate(REVIEWS)
    ]
    place = tmp_path_factory.mktemp("behaviour") / "shop"
    return write_shop(place, PRODUCTS, interactions=events(), reviews=reviews)


@pytest.fixture(scope="module")
def index(shop, tmp_path_factory, open_index):
    return open_index(shop, RetrieverArgs(folder=str(tmp_path_factory.mktemp("indexes"))))


def ids(found):
    return [product["product_id"] for product in found.products]


def test_what_most_shoppers_take_is_popular(index):
    assert ids(index.popular(ALL, 2)) == ["a", "c"]
    assert ids(index.popular(Filters(in_stock=True), 3))[:2] == ["a", "b"]
    assert len(ids(index.popular(ALL, 100))) == len(PRODUCTS)


def test_products_say_how_popular_and_how_well_spoken_of_they_are(index):
    a, b, f = index.lookup(["a", "b", "f"], ALL)
    assert a["popularity"] == pytest.approx(1.0) and 0 < b["popularity"] < 1
    assert a["sentiment"] > 0.5 > b["sentiment"] and f["sentiment"] is None
    assert f["popularity"] > 0


def test_what_the_same_shoppers_take_is_recommended_nearest_first(index):
    # a and b share two of the baskets of 3 and 2, a and d one of 3 and 1.
    assert ids(index.recommend(["a"], [], ALL, 10)) == ["b", "c", "d"]
    assert ids(index.recommend(["a"], ["b"], ALL, 10)) == ["c", "d"]
    assert ids(index.recommend(["a"], [], Filters(in_stock=True), 10)) == ["b", "d"]
    assert ids(index.recommend(["nobody"], [], ALL, 10)) == []


def test_the_newest_of_a_history_counts_most(index):
    assert ids(index.recommend(["a", "e"], [], ALL, 10))[0] == "f"
    assert ids(index.recommend(["e", "d"], [], ALL, 1)) == ["f"]


def test_a_shopper_owns_what_was_bought(index):
    assert index.history("u-1") == ["a", "c"]
    assert index.history("u-2") == []
    assert index.history("x' OR '1'='1") == []


def test_popular_products_are_found_where_most_are_gone(tmp_path, write_shop, open_index):
    rows = [{"product_id": str(number), "title": f"thing {number}"} for number in range(100)]
    index = open_index(write_shop(tmp_path / "shop", rows), RetrieverArgs(folder=str(tmp_path / "indexes")))
    index.change([], [str(number) for number in range(99)])
    assert ids(index.popular(ALL, 1)) == ["99"]


def test_narrow_filters_reach_the_last_of_those_taken_together(tmp_path, write_shop, open_index):
    rows = [{"product_id": str(number), "title": "thing", "price": float(number)} for number in range(40)]
    taken = [
        {**events()[0], "event_id": str(number), "product_id": str(number), "user_id": "u"} for number in range(40)
    ]
    shop = write_shop(tmp_path / "shop", rows, interactions=taken)
    index = open_index(shop, RetrieverArgs(folder=str(tmp_path / "indexes")))
    for number in (1, 39):
        only = Filters(price_min=float(number), price_max=float(number))
        assert ids(index.recommend(["0"], [], only, 1)) == [str(number)]


def test_neighbours_have_the_cosine_of_their_baskets():
    frame = pd.DataFrame({"basket": [1, 1, 2, 2, 3], "product_id": ["a", "b", "a", "b", "a"]})
    found = neighbours(frame).set_index("product_id")
    assert found.loc["a", "neighbours"] == ["b"]
    assert found.loc["a", "weights"] == pytest.approx([2 / (3 * 2) ** 0.5])


def test_a_shop_of_histories_is_read_from_them(tmp_path, write_shop):
    rows = [
        {"history_id": "1", "user_id": "u", "product_id": "c", "history": ["a", "b"]},
        {"history_id": "2", "user_id": "u", "product_id": "d", "history": ["a", "b", "c"]},
    ]
    behaviour = read_behaviour(write_shop(tmp_path / "shop", PRODUCTS, histories=rows))
    assert behaviour.shoppers.to_dict("records") == [{"user_id": "u", "owned": list("abc")}]
    assert set(behaviour.neighbours["product_id"]) == set("abc")
    assert behaviour.popularity["a"] == 1.0
