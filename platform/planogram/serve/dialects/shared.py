"""What the dialects share: names of models, and the order of scores."""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import Field

from planogram.engines.base import Floats
from planogram.serve.call import Call
from planogram.serve.problems import ModelNotServedError
from planogram.serve.values import ModelInfo, Scored, UnavailableError

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
    versioned = [f"{model.name}:{version}" for version in (model.version, *model.others) if version]
    # A folder is no name: it would tell clients about the server's disk.
    given = [reference] if "/" not in reference else []
    return list(dict.fromkeys([model.name, *versioned, *given]))


def answered_by(name: str | None, scored: Scored) -> str:
    """The name of the model that answered: as the request names it, unless it is another one's answer.

    Raises:
        UnavailableError: the request names a version, and one that took its place answered.
    """
    if scored.canary:
        return scored.model.reference
    if name and ":" in name and name != scored.model.reference:
        raise UnavailableError(f"{scored.model.reference} takes the place of {name}", remedy="send the request again")
    return name or scored.model.name


def check_model(name: str | None, model: ModelInfo, reference: str, call: Call) -> None:
    """Refuse a model that is not served, and let the call know which one is asked for.

    Raises:
        ModelNotServedError: names those that are.
    """
    call.model = name
    names = model_names(model, reference)
    if name is not None and name not in names:
        raise ModelNotServedError(f"model {name!r} is not served", allowed=", ".join(names), remedy="name one of these")
