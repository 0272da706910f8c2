"""The judgments leave room for a model: words alone beat chance by far and stay far from the ideal."""

import math
import re
from collections import Counter

import numpy as np
import pandas as pd
import pytest

from planogram.data.text import PRODUCT_FIELDS, product_text


@pytest.fixture(scope="module")
def documents(shop):
    return {row["product_id"]: product_text(row, PRODUCT_FIELDS) for row in shop["products"].to_dict("records")}


@pytest.fixture(scope="module")
def lexical(shop, documents):
    """NDCG@10 of BM25 per query."""
    bm25 = Bm25(documents)
    return per_query(shop["judgments"], lambda query, products: [bm25.score(query, product) for product in products])


def test_words_are_a_floor_with_room_above(shop, lexical):
    rng = np.random.default_rng(0)
    chance = per_query(shop["judgments"], lambda _, products: rng.random(len(products)))
    assert chance.mean() < 0.42
    assert lexical.mean() > chance.mean() + 0.12
    assert lexical.mean() < 0.75


def test_needs_in_own_words_are_hardest_for_words(shop, lexical):
    kinds = shop["truth/queries"].set_index("query")["kind"]
    by_kind = lexical.groupby(kinds).mean()
    assert by_kind["use"] < by_kind.drop("use").min() - 0.1


def test_the_true_facts_reach_the_ideal(shop):
    grades = shop["truth/grades"].set_index(["query", "product_id"])["grade"]
    ideal = per_query(shop["judgments"], lambda query, products: [grades.get((query, p), 0) for p in products])
    assert ideal.min() == pytest.approx(1)


def test_synonyms_stand_in_some_descriptions(shop, documents):
    """A model can learn from the shop's own text that a knapsack is a backpack."""
    assert any("rucksack" in text or "knapsack" in text for text in documents.values())


def per_query(judgments, score):
    result = {}
    for query, rows in judgments.groupby("query"):
        result[query] = ndcg(rows["grade"].to_numpy(), np.asarray(score(query, rows["product_id"])))
    return pd.Series(result)


def ndcg(grades, scores, k=10):
    """NDCG@k with gains 2^grade - 1 (Burges et al. 2005)."""
    gains = 2.0**grades - 1
    discounts = 1 / np.log2(np.arange(2, min(k, len(gains)) + 2))
    ranked = gains[np.argsort(-scores, kind="stable")][:k]
    return float(ranked @ discounts / (np.sort(gains)[::-1][:k] @ discounts))


class Bm25:
    """BM25 (Robertson and Zaragoza 2009) over a few texts, k1 = 1.2 and b = 0.75."""

    def __init__(self, texts):
        self.counts = {key: Counter(words(text)) for key, text in texts.items()}
        self.lengths = {key: sum(count.values()) for key, count in self.counts.items()}
        self.mean_length = np.mean(list(self.lengths.values()))
        self.documents = Counter(word for count in self.counts.values() for word in count)

    def score(self, query, key):
        norm = 1.2 * (0.25 + 0.75 * self.lengths[key] / self.mean_length)
        return sum(self._weight(w) * c * 2.2 / (c + norm) for w in set(words(query)) if (c := self.counts[key][w]))

    def _weight(self, word):
        found = self.documents[word]
        return math.log(1 + (len(self.counts) - found + 0.5) / (found + 0.5))


def words(text):
    return re.findall(r"[a-z0-9]+", text.lower())
