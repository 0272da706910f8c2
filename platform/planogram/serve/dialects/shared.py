"""What the dialects share: names of models, and the order of scores."""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import Field

from planogram.engines.base import Floats
from planogram.serve.backend import ModelInfo, Scored
from planogram.serve.problems import ModelNotServedError

ModelName = Annotated[
    str,
    Field(
        pattern=r"^[a-z0-9][a-z0-9._-]{0,63}([@:][a-z0-9][a-z0-9._-]{0,63})?$",
        description="name, name:version or the reference that is served; absent: the one model that is served",
    ),
]


def ranked(scores: Floats, top_n: int | None = None) -> Sequence[tuple[int, float]]:
    """(index, score), best first; ties in the order of the request; `top_n` 0 or None is all.

    Args:
        scores: (documents,) float32.
        top_n: how many.
    """
    order = np.argsort(-scores, kind="stable")
    return [(int(index), float(scores[index])) for index in (order[:top_n] if top_n else order)]


def deciding(scored: Scored, *, raw: bool = False) -> Floats:
    """Scores (documents,) float32 of the head that decides the order; raw: its logits."""
    return (scored.logits if raw else scored.values)[:, scored.model.primary]


def model_names(model: ModelInfo, reference: str) -> list[str]:
    """The names by which a request may ask for the served model."""
    versioned = [f"{model.name}:{model.version}"] if model.version else []
    # A folder is no name: it would tell clients about the server's disk.
    given = [reference] if "/" not in reference else []
    return list(dict.fromkeys([model.name, *versioned, *given]))


def check_model(name: str | None, model: ModelInfo, reference: str) -> None:
    """Refuse a model that is not served.

    Raises:
        ModelNotServedError: names those that are.
    """
    names = model_names(model, reference)
    if name is not None and name not in names:
        raise ModelNotServedError(f"model {name!r} is not served", allowed=", ".join(names), remedy="name one of these")
