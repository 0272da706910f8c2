"""The same query written otherwise: typing errors, and other words for the same wish. No model is needed."""

import re
from collections.abc import Callable

import numpy as np
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

Generator = np.random.Generator
#: the rows of a keyboard; neighbours stand beside each other in a row, or above and below
KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
# Shorter words are rarely mistyped, and what is left of them may be another word.
LEAST_LETTERS = 4
_WORD = re.compile(r"[A-Za-z]+")
_SIBILANT = ("s", "x", "z", "ch", "sh")


def neighbours(letter: str) -> str:
    """Letters beside one on a keyboard, those of the rows above and below included; empty for other signs."""
    for row, keys in enumerate(KEYS):
        if (place := keys.find(letter.lower())) >= 0:
            around = [keys[place - 1 : place] if place else "", keys[place + 1 : place + 2]]
            around += [KEYS[other][place : place + 1] for other in (row - 1, row + 1) if 0 <= other < len(KEYS)]
            return "".join(around)
    return ""


def swap(query: str, generator: Generator) -> str:
    """Two inner letters of one word change places."""
    return _mistyped(query, generator, lambda word, at: word[:at] + word[at + 1] + word[at] + word[at + 2 :])


def drop(query: str, generator: Generator) -> str:
    """One inner letter of one word is missing."""
    return _mistyped(query, generator, lambda word, at: word[:at] + word[at + 1 :])


def neighbour(query: str, generator: Generator) -> str:
    """One inner letter of one word is the one beside it on the keyboard."""

    def wrong(word: str, at: int) -> str:
        return word[:at] + str(generator.choice(list(neighbours(word[at])))) + word[at + 1 :]

    return _mistyped(query, generator, wrong)


def _mistyped(query: str, generator: Generator, change: Callable[[str, int], str]) -> str:
    """Change one word at one of its inner letters: readers, and typists, are surest of the first and the last one.

    Source: Pruthi, Dhingra & Lipton 2019, Combating Adversarial Misspellings with Robust Word Recognition.
    """
    words = query.split()
    long = [place for place, word in enumerate(words) if _WORD.fullmatch(word) and len(word) >= LEAST_LETTERS]
    if not long:
        return query
    place = int(generator.choice(long))
    word = words[place]
    # The last inner letter that can change places with the next one is the third from the end.
    words[place] = change(word, int(generator.integers(1, len(word) - 2)))
    return " ".join(words)


def order(query: str, generator: Generator) -> str:
    """The words in another order."""
    words = query.split()
    if len(set(words)) < 2:
        return query
    turned = words
    while turned == words:
        turned = [words[place] for place in generator.permutation(len(words))]
    return " ".join(turned)


def number(query: str, _generator: Generator) -> str:
    """The last word in the plural where it is in the singular, and the other way round; by English rules."""
    head, _, last = query.rpartition(" ")
    if not _WORD.fullmatch(last) or len(last) < LEAST_LETTERS - 1:
        return query
    return f"{head} {_counted(last)}".strip()


def _counted(word: str) -> str:
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith("es") and word[:-2].endswith(_SIBILANT):
        return word[:-2]
    if word.endswith("s") and not word.endswith("ss"):
        return word[:-1]
    if word.endswith("y") and word[-2] not in "aeiou":
        return word[:-1] + "ies"
    return word + ("es" if word.endswith(_SIBILANT) else "s")


def stop_words(query: str, _generator: Generator) -> str:
    """Without stop words, or with `the` before a query of English letters that has none."""
    if not _WORD.search(query):
        return query
    words = query.split()
    kept = [word for word in words if word.lower() not in ENGLISH_STOP_WORDS]
    return " ".join(kept) if 0 < len(kept) < len(words) else f"the {query}"


#: Source of the kinds: Penha, Câmara & Hauff 2022, Evaluating the Robustness of Retrieval Pipelines with Query
#: Variation Generators.
TYPOS: dict[str, Callable[[str, Generator], str]] = {"swap": swap, "drop": drop, "neighbour": neighbour}
PARAPHRASES: dict[str, Callable[[str, Generator], str]] = {"order": order, "number": number, "stop_words": stop_words}


def popular_words(queries: list[str], count: int) -> list[str]:
    """The words that most of the queries have, stop words aside; the most frequent first, equals by name."""
    counts: dict[str, int] = {}
    for query in queries:
        for word in set(query.lower().split()) - ENGLISH_STOP_WORDS:
            counts[word] = counts.get(word, 0) + 1
    return sorted(counts, key=lambda word: (-counts[word], word))[:count]
