"""What each word does to a score: the score is computed again without it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from planogram.data.text import clean
from planogram.serve.values import Document, TokenWeight

# One pass of the model per word: what an explanation may cost has bounds.
MAX_DOCUMENTS = 10
MAX_QUERY_WORDS = 12
MAX_TITLE_WORDS = 16
# A Chinese character is a word.
WORD = re.compile(r"[\u4e00-\u9fff]|[^\s\u4e00-\u9fff]+")


@dataclass(frozen=True)
class Occlusion:
    """Inputs of a model, each with one word left out.

    Attributes:
        inputs: (query, document); the first of each document has all its words.
        words: for each document, its words, in the order of the inputs that follow its first.
    """

    inputs: list[tuple[str, Document]]
    words: list[list[tuple[str, str]]]

    def weights(self, scores: npt.NDArray[np.floating]) -> list[list[TokenWeight]]:
        """For each document, its words and by how much the score falls without each.

        Args:
            scores: (inputs,) of the deciding head.
        """
        found: list[list[TokenWeight]] = []
        start = 0
        for words in self.words:
            whole, *rest = scores[start : start + len(words) + 1].tolist()
            found.append(
                [
                    TokenWeight(word, whole - without, "query" if name == "query" else "title")
                    for (name, word), without in zip(words, rest, strict=True)
                ]
            )
            start += len(words) + 1
        return found


def occlude(query: str, documents: Sequence[Document]) -> Occlusion:
    """Leave out each word of the query and of a document's title in turn.

    Args:
        query: its first `MAX_QUERY_WORDS` words are left out.
        documents: at most `MAX_DOCUMENTS`; of each, the first `MAX_TITLE_WORDS` words of its title, or of a plain text.

    Raises:
        ValueError: there are more documents.

    Source: Zeiler & Fergus 2014, Visualizing and Understanding Convolutional Networks; Li et al. 2016, Understanding
    Neural Networks through Representation Erasure.
    """
    if len(documents) > MAX_DOCUMENTS:
        raise ValueError(f"{len(documents)} documents to explain; at most {MAX_DOCUMENTS}")
    asked = _without_each(clean(query), MAX_QUERY_WORDS)
    inputs: list[tuple[str, Document]] = []
    words: list[list[tuple[str, str]]] = []
    for document in documents:
        named = _without_each(_title(document), MAX_TITLE_WORDS)
        inputs.append((query, document))
        inputs += [(rest, document) for _, rest in asked]
        inputs += [(query, _retitled(document, rest)) for _, rest in named]
        words.append([("query", word) for word, _ in asked] + [("title", word) for word, _ in named])
    return Occlusion(inputs, words)


def _without_each(text: str, limit: int) -> list[tuple[str, str]]:
    """(word, the text without it) of the first words."""
    found = list(WORD.finditer(text))[:limit]
    return [(word.group(), clean(text[: word.start()] + text[word.end() :])) for word in found]


def _title(document: Document) -> str:
    return clean(document if isinstance(document, str) else document.get("title"))


def _retitled(document: Document, title: str) -> str | Mapping[str, Any]:
    return title if isinstance(document, str) else {**document, "title": title}
