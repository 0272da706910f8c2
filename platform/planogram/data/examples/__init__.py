"""Rows of a shop's tables as a model's examples."""

from planogram.data.examples.base import Examples, examples, text_columns
from planogram.data.examples.judged import relevance_examples
from planogram.data.examples.load import TASKS, Source, TaskSpec, corpus, load

__all__ = [
    "TASKS",
    "Examples",
    "Source",
    "TaskSpec",
    "corpus",
    "examples",
    "load",
    "relevance_examples",
    "text_columns",
]
