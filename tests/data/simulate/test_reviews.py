"""Reviews say what their authors feel."""

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from planogram.data.simulate.reviews import Opinion, review_text
from planogram.data.simulate.vocabulary import load_review_words


@pytest.fixture(scope="module")
def reviews(shop):
    return shop["reviews"].merge(shop["truth/reviews"], on="review_id").merge(shop["truth/products"], on="product_id")


def test_ratings_and_labels_agree(reviews):
    assert set(reviews["rating"]) == {1.0, 2.0, 3.0, 4.0, 5.0}
    expected = np.select([reviews["rating"] <= 2, reviews["rating"] == 3], ["negative", "neutral"], "positive")
    assert (reviews["label"] == expected).all()
    assert reviews.groupby("rating")["sentiment"].mean().is_monotonic_increasing


def test_good_products_get_good_reviews(reviews):
    assert np.corrcoef(reviews["quality"], reviews["rating"])[0, 1] > 0.4
    assert abs(reviews["sentiment"].std() - 1) < 0.2


def test_words_reveal_the_sentiment_but_not_wholly(reviews):
    decided = reviews[reviews["label"] != "neutral"]
    words = CountVectorizer(min_df=3).fit_transform(decided["text"])
    half = len(decided) // 2
    model = LogisticRegression().fit(words[:half], decided["label"][:half])
    accuracy = model.score(words[half:], decided["label"][half:])
    assert max(decided["label"].value_counts(normalize=True)) + 0.03 < accuracy < 0.995


def test_some_reviews_say_both(reviews):
    assert 0.1 < reviews["mixed"].mean() < 0.6
    assert reviews.groupby("label")["mixed"].mean().idxmax() == "neutral"


def test_texts_vary_and_are_whole_sentences(reviews):
    assert reviews["text"].nunique() > 0.95 * len(reviews)
    assert not reviews["text"].str.contains(r"[{}]|  |,\.|\.\.").any()
    assert reviews["text"].str.contains(r"[.!]$").all()


def test_a_turn_is_told_where_aspects_disagree():
    words = load_review_words()
    for seed in range(20):
        text = review_text(words, Opinion(3, [("build", 3), ("looks", 0)]), "sofa", np.random.default_rng(seed))
        assert any(joint in text for joint in words.joints["turn"])
