"""Misspelt words of a query: those that find nothing become the nearest word of the shop."""

import re
from collections import Counter
from collections.abc import Callable, Iterable

WORD = re.compile(r"\w+")
MIN_CHARS = 4
#: from so many characters on, two slips are forgiven
LONG_CHARS = 8


class Speller:
    """The words of a shop.

    Args:
        texts: of its products.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self._counts = Counter(word for text in texts for word in WORD.findall(text.lower()))
        self._words = [word for word in self._counts if len(word) >= MIN_CHARS and not word.isdecimal()]

    def corrected(self, query: str, is_known: Callable[[str], bool]) -> str | None:
        """The query with its unknown words replaced; None where nothing is.

        Args:
            query: of a shopper.
            is_known: whether a word finds anything; asked for words that are in no product as they are written.
        """
        replaced = WORD.sub(lambda found: self._nearest(found[0], is_known), query)
        return replaced if replaced != query else None

    def _nearest(self, word: str, is_known: Callable[[str], bool]) -> str:
        lower = word.lower()
        if lower in self._counts or len(word) < MIN_CHARS or word.isdecimal() or is_known(word):
            return word
        near = self._near(lower)
        # The fewest slips, then the word that most products have.
        return min(near, key=lambda found: (found[1], -self._counts[found[0]], found[0]))[0] if near else word

    def _near(self, word: str) -> list[tuple[str, int]]:
        """Words and how many slips they are away (restricted Damerau-Levenshtein distance: Damerau 1964)."""
        from rapidfuzz import process
        from rapidfuzz.distance import OSA

        slips = 2 if len(word) >= LONG_CHARS else 1
        found = process.extract(word, self._words, scorer=OSA.distance, score_cutoff=slips, limit=None)
        return [(name, int(distance)) for name, distance, _ in found]
