"""The catalogue and its words: facts, titles, prices."""

import numpy as np
import pytest

from planogram.data.simulate.catalogue import charm, make_catalogue, product_table
from planogram.data.simulate.prices import SEASON_AMPLITUDE, current, make_prices
from planogram.data.simulate.vocabulary import LEVELS, TIERS, load_review_words, load_vocabulary


@pytest.fixture(scope="module")
def vocabulary():
    return load_vocabulary()


@pytest.fixture(scope="module")
def catalogue(vocabulary):
    return make_catalogue(vocabulary, 3000, np.random.default_rng(0))


def test_types_refer_to_attributes_and_values_that_exist(vocabulary):
    for kind in vocabulary.types:
        names = [vocabulary.attributes[name].name or name for name in kind.attributes]
        assert len(set(names)) == len(names), "the attributes of a type have different names in the products table"
        for use in kind.uses:
            assert set(use.needs) <= set(kind.attributes)
            assert all(value in vocabulary.attributes[name].values for name, value in use.needs.items())


def test_every_aspect_of_reviews_has_every_level(vocabulary):
    words = load_review_words()
    assert {category.aspect for category in vocabulary.categories.values()} == set(words.category_aspects)
    for levels in (*words.aspects.values(), *words.category_aspects.values()):
        assert tuple(levels) == LEVELS
    assert set(vocabulary.tiers) == set(TIERS)


def test_people_also_use_words_that_no_title_has(vocabulary):
    titles = {word for kind in vocabulary.types for noun in kind.nouns for word in noun.lower().split()}
    foreign = [kind for kind in vocabulary.types if any(not set(ask.split()) & titles for ask in kind.asks)]
    assert len(foreign) > len(vocabulary.types) / 2


def test_products_have_the_attributes_of_their_type_only(catalogue, vocabulary):
    for number, attributes in enumerate(vocabulary.attributes_of_type):
        values = catalogue.values[catalogue.type == number]
        others = np.setdiff1d(np.arange(len(vocabulary.attributes)), attributes)
        assert (values[:, others] == -1).all()
        assert (values[:, attributes] >= 0).any(axis=0).all()


def test_all_types_are_equally_frequent(catalogue):
    counts = np.bincount(catalogue.type)
    assert counts.max() - counts.min() <= 1


def test_titles_are_distinct_and_name_brand_and_noun(catalogue, vocabulary):
    table = product_table(catalogue, catalogue.reference_price, 0, 3000, np.random.default_rng(1)).to_pylist()
    assert len({row["title"] for row in table}) == 3000
    for row, kind in zip(table, catalogue.type, strict=True):
        assert row["title"].startswith(row["brand"] + " ")
        assert any(noun in row["title"] for noun in vocabulary.types[kind].nouns)


def test_descriptions_tell_the_tier(catalogue, vocabulary):
    table = product_table(catalogue, catalogue.reference_price, 0, 200, np.random.default_rng(1))
    for description, tier in zip(table["description"].to_pylist(), catalogue.tier, strict=False):
        assert any(description.endswith(sentence) for sentence in vocabulary.tiers[TIERS[tier]])


def test_models_stay_distinct_within_a_brand(catalogue):
    assert len(set(zip(catalogue.brand.tolist(), catalogue.model.tolist(), strict=True))) == len(catalogue)


def test_better_products_cost_more(catalogue, vocabulary):
    ordinary = np.asarray([kind.price for kind in vocabulary.types])[catalogue.type]
    assert np.corrcoef(catalogue.quality, np.log(catalogue.reference_price / ordinary))[0, 1] > 0.5
    assert (catalogue.cost < catalogue.reference_price).all()


def test_charm_prices():
    np.testing.assert_allclose(charm(np.array([3.27, 12.0, 19.96, 20.0, 149.2])), [3.29, 12.09, 19.99, 20.99, 149.99])


def test_prices_move_around_the_usual_price(catalogue):
    prices = make_prices(catalogue, np.random.default_rng(2))
    ratio = np.log(prices.weekly / catalogue.reference_price)
    assert abs(np.median(ratio)) < 0.03
    assert (ratio < -0.15).mean() > 0.05, "promotions"
    assert (prices.elasticity > 0).all()
    np.testing.assert_array_equal(current(prices), np.round(prices.weekly[-1].astype(float), 2))


def test_prices_follow_the_season_where_they_should(catalogue):
    plain = make_prices(catalogue, np.random.default_rng(2))
    following = make_prices(catalogue, np.random.default_rng(2), response=1.0)
    assert not plain.season.any()
    # A quarter's wave has its highest week in every category, and another one in each.
    assert following.season.max(axis=0) == pytest.approx(SEASON_AMPLITUDE, abs=0.05)
    rise = np.log(following.weekly / plain.weekly)
    assert np.corrcoef(rise.ravel(), following.season.ravel())[0, 1] > 0.95
    assert rise[following.season > 0.95 * SEASON_AMPLITUDE].mean() == pytest.approx(0.2, abs=0.02)
    np.testing.assert_array_equal(following.elasticity, plain.elasticity)
