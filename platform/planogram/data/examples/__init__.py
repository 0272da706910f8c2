"""Rows of a shop's tables as a model's examples."""

from planogram.data.examples.base import Examples, examples, text_columns
from planogram.data.examples.judged import relevance_examples
from planogram.data.examples.load import TASKS, Source, TaskSpec, corpus, load
from planogram.data.examples.retrieval import Texts, texts_of

__all__ = [
    "TASKS",
    "Examples",
    "Source",
    "TaskSpec",
    "Texts",
    "corpus",
    "examples",
    "load",
    "relevance_examples",
    "text_columns",
    "texts_of",
]
