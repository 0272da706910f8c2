"""Rows of a shop as examples, task by task."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from planogram import storage
from planogram.config import ClickConfig, SplitConfig, TextConfig, TowerConfig
from planogram.data.examples import Source, load
from planogram.data.examples.clicks import examination, impressions, rates_by_position
from planogram.data.schema import SHOP_MANIFEST, TABLES
from planogram.data.shop import SHOP_FORMAT
from planogram.errors import DataError

PRODUCTS = [
    {"product_id": "a", "title": "red shoe", "price": 12.0, "stock": 0},
    {"product_id": "b", "title": "blue lamp", "price": 70.0, "stock": 9},
    {"product_id": "c", "title": "green chair"},
]


def event(kind: str, page: str, product: str, position: int, propensity: float | None = None) -> dict:
    return {
        "event_id": f"{kind}-{page}-{product}",
        "timestamp": pd.Timestamp("2026-01-01", tz="UTC"),
        "event_type": kind,
        "product_id": product,
        "ranking_id": page,
        "query": "shoe" if page < "p4" else "lamp",
        "position": position,
        "propensity": propensity,
    }


def page(name: str, products: str, clicked: str = "", bought: str = "", propensity: float | None = None) -> list[dict]:
    shown = [event("impression", name, product, place, propensity) for place, product in enumerate(products, 1)]
    clicks = [event("click", name, product, products.index(product) + 1) for product in clicked]
    return [*shown, *clicks, *(event("purchase", name, product, products.index(product) + 1) for product in bought)]


INTERACTIONS = [
    *page("p1", "abc", "ab", "a"),
    *page("p2", "abc", "a"),
    *page("p3", "bac", "a", propensity=0.5),
    *page("p4", "cba", "c", propensity=0.5),
    *page("p5", "cba", "b", "b", propensity=0.5),
]
REVIEWS = [
    {"review_id": "1", "text": "<b>good</b> shoe", "label": "positive", "rating": 5.0},
    {"review_id": "2", "text": "bad lamp", "label": "negative", "rating": 1.0},
]
PAIRS = [{"text_a": "red  shoe", "text_b": "shoe, red", "label": 1}, {"text_a": "x", "text_b": "y", "label": 0}]
HISTORIES = [
    {
        "history_id": "h1",
        "product_id": "c",
        "history": ["a", "b"],
        "history_labels": ["1", "0"],
        "label": 1.0,
        "user_id": "u",
    },
    {"history_id": "h2", "product_id": "a", "history": [], "history_labels": [], "label": 0.0, "user_id": "v"},
]
SESSIONS = [
    {"session_id": "s1", "purchased": 1, "features": [("month", "May"), ("pages", "3")]},
    {"session_id": "s2", "purchased": 0, "features": [("month", "June"), ("pages", "40")]},
]
ROWS = {
    "products": PRODUCTS,
    "interactions": INTERACTIONS,
    "reviews": REVIEWS,
    "pairs": PAIRS,
    "histories": HISTORIES,
}


def write_shop(shop: str, tables: dict[str, list[dict]]) -> str:
    with storage.sealed_folder(shop, SHOP_MANIFEST) as (folder, payload):
        for name, rows in tables.items():
            (folder / name).mkdir()
            content = pa.Table.from_pylist(rows, schema=TABLES[name].arrow_schema)
            pq.write_table(content, folder / name / "part-00000.parquet")
        payload.update(format=SHOP_FORMAT, name="small", data_digest="0" * 64, tables={})
    return shop


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return write_shop(str(tmp_path_factory.mktemp("examples") / "shop"), ROWS)


def source(shop: str, **changes) -> Source:
    settings = {
        "shop": shop,
        "text": TextConfig(fields=("title", "price", "stock")),
        "split": SplitConfig(),
        "clicks": ClickConfig(),
        "tower": TowerConfig(),
        "part": "all",
    }
    return Source(**(settings | changes))


def test_clicks_are_counted_per_query_and_product(shop):
    examples = load("click", source(shop))
    found = dict(zip(examples.pairs, zip(examples.grades, examples.weights, strict=True), strict=True))
    assert found["shoe", "red shoe | price 10 to 20 | out of stock"] == (1.0, 3.0)
    assert found["shoe", "green chair"] == (0.0, 3.0)
    assert found["lamp", "blue lamp | price 50 to 100 | in stock"] == (0.5, 2.0)
    assert len(set(examples.groups)) == 2


def test_a_query_in_another_season_is_another_query(tmp_path):
    later = [row | {"timestamp": pd.Timestamp("2026-07-01", tz="UTC")} for row in page("p9", "abc", "b")]
    both = ROWS | {"interactions": [*INTERACTIONS, *later]}
    text = TextConfig(fields=("title",), season=True)
    examples = load("click", source(write_shop(str(tmp_path / "shop"), both), text=text))
    found = dict(zip(examples.pairs, zip(examples.grades, examples.weights, strict=True), strict=True))
    assert found["lamp | winter", "blue lamp"] == (0.5, 2.0)
    assert found["lamp | summer", "blue lamp"] == (1.0, 1.0)
    assert len(set(examples.groups)) == 3


def test_debiased_clicks_count_examinations_instead_of_impressions(shop):
    plain = load("click", source(shop))
    debiased = load("click", source(shop, clicks=ClickConfig(debias="ips", propensities="randomised")))
    assert plain.pairs == debiased.pairs
    assert (debiased.weights <= plain.weights).all()
    assert (debiased.grades >= plain.grades).all()
    assert debiased.weights.sum() < plain.weights.sum()


def test_examination_is_one_at_the_top_and_never_below_the_clip(shop):
    shown = impressions(pd.DataFrame(INTERACTIONS))
    for propensities in ("em", "randomised"):
        examined = examination(shown, ClickConfig(debias="ips", propensities=propensities, clip=0.3))
        assert examined.shape == (3,)
        assert examined[0] == 1
        assert examined.min() >= 0.3
    assert (examination(shown, ClickConfig()) == 1).all()


def test_without_shuffled_pages_their_propensities_are_refused():
    shown = impressions(pd.DataFrame(INTERACTIONS)).assign(propensity=np.nan)
    with pytest.raises(DataError, match="no page was shuffled"):
        examination(shown, ClickConfig(debias="ips", propensities="randomised"))


def test_positions_stay_where_the_model_learns_their_bias(shop):
    training = rates_by_position(impressions(pd.DataFrame(INTERACTIONS)))
    row = training[(training["product_id"] == "a") & (training["query"] == "shoe")]
    assert dict(zip(row["position"], row["weight"], strict=True)) == {1: 2, 2: 1}


def test_purchases_are_shares_of_clicks(shop):
    examples = load("purchase", source(shop))
    found = dict(zip(examples.pairs, examples.grades, strict=True))
    assert found["shoe", "red shoe | price 10 to 20 | out of stock"] == pytest.approx(1 / 3)
    assert len(examples) == 4  # what nobody clicked tells nothing


def test_a_shop_without_pages_says_so(tmp_path):
    empty = write_shop(str(tmp_path / "shop"), {"products": PRODUCTS, "interactions": [event("click", "p1", "a", 1)]})
    with pytest.raises(DataError, match="no impressions"):
        load("click", source(empty))


def test_reviews_are_single_texts_with_a_label(shop):
    examples = load("sentiment", source(shop))
    assert examples.pairs == [("good shoe", ""), ("bad lamp", "")]
    assert examples.grades.tolist() == [1.0, 0.0]


def test_ratings_stand_in_for_labels(tmp_path):
    rows = [{key: value for key, value in row.items() if key != "label"} for row in REVIEWS]
    examples = load("sentiment", source(write_shop(str(tmp_path / "shop"), {"reviews": rows})))
    assert examples.grades.tolist() == [5.0, 1.0]


def test_an_unknown_label_names_the_known_ones(tmp_path):
    rows = [REVIEWS[0] | {"label": "meh"}]
    with pytest.raises(DataError, match="meh") as error:
        load("sentiment", source(write_shop(str(tmp_path / "shop"), {"reviews": rows})))
    assert "positive" in error.value.allowed


def test_pairs_are_cleaned_texts(shop):
    examples = load("similarity", source(shop))
    assert examples.pairs[0] == ("red shoe", "shoe, red")
    assert examples.grades.tolist() == [1.0, 0.0]


def test_histories_are_written_newest_first_liked_and_disliked_apart(shop):
    examples = load("preference", source(shop, text=TextConfig(fields=("title",))))
    assert examples.pairs == [("liked: red shoe | disliked: blue lamp", "green chair"), ("", "red shoe")]
    chinese = load("preference", source(shop, text=TextConfig(fields=("title",), language="zh")))
    assert chinese.pairs[0][0] == "喜欢：red shoe | 不喜欢：blue lamp"


def test_numbers_of_a_history_may_enter_beside_the_text(shop):
    tower = TowerConfig(features=("liked_share", "history_length"))
    features = load("preference", source(shop, tower=tower)).features
    assert features["liked_share"].tolist()[0] == 0.5
    assert np.isnan(features["liked_share"].tolist()[1])
    assert features["history_length"].tolist() == [2, 0]


def test_what_others_liked_is_counted_without_the_row_itself(tmp_path):
    """Twenty viewers of each film: the first is liked by all but one, the second by that one alone."""
    rows = [
        {
            "history_id": f"{film}{viewer}",
            "product_id": film,
            "history": [],
            "history_labels": [],
            "label": float((film == "a") != (viewer == 7)),
            "split": "test" if viewer >= 18 else "train",
        }
        for film in "ab"
        for viewer in range(20)
    ]
    films = write_shop(str(tmp_path / "shop"), {"products": PRODUCTS, "histories": rows})
    tower = TowerConfig(features=("product_liked_share",))
    given = SplitConfig(by="given")
    tested = load("preference", source(films, tower=tower, part="test", split=given))
    # Five further rows at the mean: 17 of 18 liked the first film, 1 of 18 the second, half of all rows.
    assert tested.features["product_liked_share"].tolist() == pytest.approx(
        [(17 + 2.5) / 23] * 2 + [(1 + 2.5) / 23] * 2
    )
    trained = load("preference", source(films, tower=tower, part="train", split=given))
    shares = trained.features["product_liked_share"]
    assert (shares[:18] > 0.6).all() and (shares[18:] < 0.4).all()
    # The one that differs is not counted among its own neighbours.
    assert shares[7] > shares[:18].mean() and shares[25] < shares[18:].mean()


def test_features_of_a_session_are_words_or_numbers(tmp_path):
    visits = write_shop(str(tmp_path / "shop"), {"sessions": SESSIONS})
    words = load("purchase", source(visits))
    assert words.pairs == [("month: May, pages: 3", ""), ("month: June, pages: 40", "")]
    both = load("purchase", source(visits, tower=TowerConfig(features=("pages",))))
    assert both.pairs == [("month: May", ""), ("month: June", "")]
    assert both.features["pages"].tolist() == ["3", "40"]
    with pytest.raises(DataError, match="colour") as error:
        load("purchase", source(visits, tower=TowerConfig(features=("colour",))))
    assert "month" in error.value.allowed


def test_judgments_count_less_the_more_their_judges_differed(tmp_path):
    judged = [
        {"query": "shoe", "product_id": product, "grade": 3.0, "grade_variance": variance}
        for product, variance in (("a", 0.0), ("b", 1.0), ("c", 0.5))
    ]
    both = {"products": PRODUCTS, "judgments": judged}
    weights = load("relevance", source(write_shop(str(tmp_path / "shop"), both))).weights
    assert weights == pytest.approx([1.0, 1 / 3, 1 / 2])


@pytest.mark.parametrize("variances", [[None, None], [0.0, 0.0]])
def test_judgments_count_alike_where_nothing_is_known_of_their_judges(tmp_path, variances):
    judged = [
        {"query": "shoe", "product_id": product, "grade": 3.0, "grade_variance": variance}
        for product, variance in zip("ab", variances, strict=True)
    ]
    both = {"products": PRODUCTS, "judgments": judged}
    assert load("relevance", source(write_shop(str(tmp_path / "shop"), both))).weights.tolist() == [1.0, 1.0]
