import pytest

from planogram.serve.index.spelling import Speller

SPELLER = Speller(["Red running shoes", "Shoes for runners", "A kettle", "Größe 42", "kettles", "kettledrum", "42000"])


def nothing(word):
    return False


@pytest.mark.parametrize(
    ("query", "corrected"),
    [
        ("red shose", "red shoes"),
        ("runing Shoes", "running Shoes"),
        ("ketle", "kettle"),
        ("ketledum", "kettledrum"),
        ("größ", "größe"),
    ],
)
def test_a_word_that_finds_nothing_becomes_the_nearest_of_the_shop(query, corrected):
    assert SPELLER.corrected(query, nothing) == corrected


@pytest.mark.parametrize("query", ["red shoes", "SHOES", "rde", "xylophone", "42001", "", "?!", "a kettle for 42"])
def test_known_short_far_and_numeric_words_stay(query):
    assert SPELLER.corrected(query, nothing) is None


def test_a_word_that_finds_products_in_another_form_stays():
    asked = []

    def found(word):
        asked.append(word)
        return True

    assert SPELLER.corrected("red shoe runing", found) is None
    assert asked == ["shoe", "runing"]


def test_of_words_as_near_the_one_that_most_products_have_is_taken():
    assert Speller(["lamps", "lamb lamb", "lamb", "lampe"]).corrected("lampx", nothing) == "lampe"
    assert Speller(["lamps", "lamps", "lampe"]).corrected("lampx", nothing) == "lamps"
