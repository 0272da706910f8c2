"""Words of one text in the other, counted by hand."""

import math

import pytest

from planogram.data.features import FeatureSpec, fit_features
from planogram.data.match import MATCH, PairMatcher, encode, with_matches
from planogram.data.tokenizer import PairTokenizer, train_tokenizer

WORDS = "red blue shoe lamp shade with a 12 40 for men new"


@pytest.fixture(scope="module")
def tokenizer() -> PairTokenizer:
    # Every word twice, so that each becomes one token.
    return PairTokenizer(train_tokenizer([f"{WORDS} |", f"{WORDS} |"], 400), 64)


@pytest.fixture(scope="module")
def matches(tokenizer):
    def count(query: str, text: str) -> dict[str, float]:
        found = PairMatcher(tokenizer).frame(tokenizer.encode([(query, text)]))
        assert list(found) == list(MATCH)
        return {name.removeprefix("match."): value for name, value in found.iloc[0].items()}

    return count


def test_shares_of_words_in_title_and_text(matches):
    found = matches("red shoe men", "new red shoe | for men")
    assert found["query_in_title"] == pytest.approx(2 / 3)
    assert found["query_in_text"] == 1
    assert found["title_in_query"] == pytest.approx(2 / 3)
    assert found["text_in_query"] == pytest.approx(3 / 5)
    assert (found["query_tokens"], found["title_tokens"], found["text_tokens"]) == (3, 3, 5)


def test_order_and_place(matches):
    found = matches("red lamp shade", "lamp shade red | new")
    assert found["bigrams_in_title"] == pytest.approx(1 / 2)
    assert found["longest_run"] == pytest.approx(2 / 3)
    assert (found["first_in_title"], found["last_in_title"]) == (1, 1)
    assert found["last_place"] == pytest.approx(2 / 3)
    assert matches("lamp shade", "lamp new | lamp shade")["bigrams_in_text"] == 1


def test_numbers_are_compared_by_themselves(matches):
    found = matches("lamp 12", "lamp 40")
    assert (found["numbers_in_text"], found["numbers_in_query"]) == (0, 0)
    assert matches("lamp 12", "shade 12 40")["numbers_in_query"] == pytest.approx(1 / 2)
    assert math.isnan(matches("lamp", "shade 12")["numbers_in_text"])


def test_without_a_separator_all_is_title(matches):
    found = matches("red", "new red")
    assert found["query_in_title"] == found["query_in_text"] == 1


def test_an_empty_text_has_nothing_to_compare(matches):
    found = matches("red", "")
    assert found["query_in_title"] == 0
    assert math.isnan(found["title_in_query"])


def test_a_cut_text_is_compared_as_the_model_reads_it(tokenizer):
    short = PairTokenizer(tokenizer.tokenizer, 8)
    found = PairMatcher(short).frame(short.encode([("red", "new lamp shade with a red shoe")]))
    assert found.loc[0, "match.query_in_text"] == 0


def test_matches_are_scaled_with_the_given_columns(tokenizer):
    import pandas as pd

    pairs = [("red", "red shoe"), ("red", "blue shoe"), ("lamp shade", "lamp")]
    names = ["price", "match.query_in_text"]
    given = pd.DataFrame({"price": [1.0, 2.0, 3.0]})
    spec = fit_features(with_matches(tokenizer, tokenizer.encode(pairs), names, given), names)
    tokens = encode(tokenizer, spec, pairs, given)
    assert tokens.features is not None
    assert tokens.features.shape == (3, spec.width)
    matched = tokens.features[:, spec.numeric[0].width :].sum(axis=1)
    assert matched[0] > matched[2] > matched[1]
    assert encode(tokenizer, FeatureSpec(), pairs, given).features is None
