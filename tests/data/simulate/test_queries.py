"""Queries and their grades."""

import numpy as np
import pytest

from planogram.data.simulate.catalogue import make_catalogue
from planogram.data.simulate.grading import Query, grade, positives
from planogram.data.simulate.judgments import judge, judgment_table
from planogram.data.simulate.lexical import TitleIndex
from planogram.data.simulate.queries import KINDS, make_queries
from planogram.data.simulate.vocabulary import load_vocabulary
from planogram.errors import ConfigError


@pytest.fixture(scope="module")
def catalogue():
    return make_catalogue(load_vocabulary(), 2000, np.random.default_rng(0))


@pytest.fixture(scope="module")
def queries(catalogue):
    return make_queries(catalogue, 300, np.random.default_rng(1))


@pytest.fixture(scope="module")
def everything(catalogue):
    return np.arange(len(catalogue))


def _moka(catalogue, needs, brand=-1):
    vocabulary = catalogue.vocabulary
    index = {name: number for number, name in enumerate(vocabulary.attribute_names)}
    numbers = {index[name]: vocabulary.value_names[index[name]].index(value) for name, value in needs.items()}
    return Query("", "attribute", vocabulary.type_names.index("moka pot"), brand, numbers)


def test_grades_follow_the_rules(catalogue, everything):
    query = _moka(catalogue, {"colour": "red", "cups": "3 cups"})
    grades = grade(query, catalogue, everything)
    right = catalogue.type == query.type
    met = sum((catalogue.values[:, number] == value).astype(int) for number, value in query.needs.items())
    premium = catalogue.tier == 2
    assert set(grades[right & (met == 2) & premium]) <= {4}
    assert set(grades[right & (met == 2) & ~premium]) <= {3}
    assert set(grades[right & (met == 1)]) == {2}
    assert set(grades[right & (met == 0)]) == {1}
    assert set(grades[~right]) == {0}, "no other type comes in cups"


def test_the_brand_is_a_need(catalogue, everything):
    pots = np.flatnonzero(catalogue.type == catalogue.vocabulary.type_names.index("moka pot"))
    brand = int(catalogue.brand[pots[0]])
    grades = grade(_moka(catalogue, {}, brand), catalogue, pots)
    assert ((grades >= 3) == (catalogue.brand[pots] == brand)).all()
    assert set(grades[catalogue.brand[pots] != brand]) == {2}


def test_the_family_is_a_poor_substitute(catalogue, everything):
    grades = grade(_moka(catalogue, {}), catalogue, everything)
    machines = catalogue.type == catalogue.vocabulary.type_names.index("espresso machine")
    grinders = catalogue.type == catalogue.vocabulary.type_names.index("coffee grinder")
    assert set(grades[machines]) == {1}
    assert set(grades[grinders]) == {0}


def test_positives_are_all_above_zero(catalogue, queries, everything):
    for query in queries.items[:50]:
        grades = grade(query, catalogue, everything)
        products, positive = positives(query, catalogue)
        assert set(products) == set(np.flatnonzero(grades))
        np.testing.assert_array_equal(positive, grades[products])


def test_queries_are_distinct_and_can_be_met(catalogue, queries, everything):
    assert len({query.text for query in queries.items}) == 300
    assert {query.kind for query in queries.items} == set(KINDS)
    assert all(grade(query, catalogue, everything).max() >= 3 for query in queries.items)


def test_too_many_queries_are_refused(catalogue):
    with pytest.raises(ConfigError, match="1,000,000 distinct queries") as caught:
        make_queries(catalogue, 10**6, np.random.default_rng(0))
    assert "200,000" in caught.value.allowed
    assert "fewer" in caught.value.remedy


def test_a_catalogue_that_runs_out_of_queries_is_told(catalogue, monkeypatch):
    monkeypatch.setattr("planogram.data.simulate.queries.MAX_MISSES", 1)
    with pytest.raises(ConfigError, match="distinct queries"):
        make_queries(catalogue, 10**5, np.random.default_rng(0))


def test_a_few_queries_are_mistyped(catalogue, queries):
    clean = {ask for kind in catalogue.vocabulary.types for ask in kind.asks}
    types = [query.text for query in queries.items if query.kind == "type"]
    assert 0.8 < sum(text in clean for text in types) / len(types) <= 1


@pytest.fixture(scope="module")
def index(catalogue):
    index = TitleIndex()
    nouns = [kind.nouns[0] for kind in catalogue.vocabulary.types]
    index.add([nouns[number] for number in catalogue.type])
    index.freeze()
    return index


def test_the_index_finds_words_and_weighs_rare_ones_more(index):
    scores = index.scores("moka pot that nobody has")
    assert scores.max() > index.scores("pot").max() > 0
    assert not index.scores("zzz").any()


def test_judged_products_are_a_mix(catalogue, queries, index):
    rng = np.random.default_rng(0)
    for query in queries.items[:40]:
        products, grades = judge(catalogue, query, index, 24, rng)
        assert len(set(products)) == 24
        assert 1 <= (grades >= 2).sum() <= 24 * 0.75
        assert (grades == 0).any()


def test_noise_moves_grades_by_one(catalogue, queries, index):
    def graded(noise):
        table = judgment_table(catalogue, queries, index, 12, noise, np.random.default_rng(0))
        return table["grade"].to_numpy()

    difference = np.abs(graded(0.3) - graded(0.0))
    assert set(difference) == {0.0, 1.0}
    assert difference.mean() == pytest.approx(0.3, abs=0.03)
    assert graded(1.0).min() >= 0
    assert graded(1.0).max() <= 4
