"""The score of a product: a weighted sum of signals, each between 0 and 1."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from planogram import storage
from planogram.data.signals import PRODUCT_SIGNALS
from planogram.errors import ConfigError
from planogram.section import Section, parse
from planogram.serve.values import ModelInfo, Scored

Floats = npt.NDArray[np.float64]
Weight = Annotated[float, Field(allow_inf_nan=False)]
# The place that the retriever gave: 1 for the first, falling evenly.
RETRIEVAL = "retrieval"
# Of /recommend alone: how likely the sequencer says that a product comes next, of the likeliest one's chance.
NEXT_ITEM = "next_item"


class BlendArgs(Section):
    """Which signals make the score, and how much each counts."""

    weights: dict[str, Weight] | None = Field(
        None, description="/search: signal -> weight; absent: the deciding head alone"
    )
    file: str | None = Field(None, description="/search: what `planogram blend` wrote, in place of `weights`")
    recommend: dict[str, Weight] | None = Field(
        None, description="/recommend: signal -> weight; absent: the head `preference`, else the retriever's order"
    )

    @model_validator(mode="after")
    def _one_source(self) -> "BlendArgs":
        if self.weights is not None and self.file is not None:
            raise ValueError("weights and file both say how much signals count: give one of them")
        for name, weights in (("weights", self.weights), ("recommend", self.recommend)):
            if weights is not None and not any(weights.values()):
                raise ValueError(f"{name} gives no signal a weight: give one, or leave it out")
        return self


class BlendFile(Section):
    """What `planogram blend` writes: the weights, and how they were found."""

    weights: dict[str, Weight]
    task: str
    bundle: str
    data_digest: str
    report: dict[str, Any]


@dataclass(frozen=True)
class Blend:
    """Weights of signals.

    Attributes:
        weights: signal -> weight, without zeros.
    """

    weights: Mapping[str, float]

    def scores(self, signals: Mapping[str, Floats]) -> Floats:
        """(products,) the weighted sum; each signal is (products,)."""
        return np.sum([weight * signals[name] for name, weight in self.weights.items()], axis=0)

    def needs(self, names: Iterable[str]) -> bool:
        """Whether one of these signals has a weight."""
        return not self.weights.keys().isdisjoint(names)


#: the order without a ranker
RETRIEVED = Blend({RETRIEVAL: 1.0})


def signals_of(products: Sequence[Mapping[str, Any]], scored: Scored | None) -> dict[str, Floats]:
    """Every signal of every product: signal -> (products,).

    A head with the name of a product's signal is not among them: it reads other texts than these.

    Args:
        products: in the retriever's order.
        scored: by the ranker; None where it did not answer.
    """
    signals = {RETRIEVAL: 1 - np.arange(len(products)) / max(len(products), 1)}
    if scored is not None:
        signals |= {head: scored.values[:, column].astype(float) for column, head in enumerate(scored.model.heads)}
    for name, value in PRODUCT_SIGNALS.items():
        signals[name] = np.asarray([value(product) for product in products], dtype=float)
    signals[NEXT_ITEM] = np.asarray([product.get(NEXT_ITEM, 0.0) for product in products], dtype=float)
    return signals


def signal_names(model: ModelInfo) -> list[str]:
    """The signals that a weight may be given to, beside `NEXT_ITEM` where there is a sequencer."""
    return list(dict.fromkeys([*model.heads, *PRODUCT_SIGNALS, RETRIEVAL]))


def search_blend(args: BlendArgs, model: ModelInfo) -> Blend:
    """The weights of /search.

    Raises:
        NotFoundError: there is no such file.
        ConfigError: the file does not fit, or the model lacks a signal.
    """
    weights = args.weights
    if args.file is not None:
        weights = read_blend(args.file).weights
    if weights is None:
        weights = {model.heads[model.primary]: 1.0}
    return _checked(weights, model.name, signal_names(model), args.file or "blend.weights")


def recommend_blend(args: BlendArgs, model: ModelInfo, *, sequencer: bool = False) -> Blend:
    """The weights of /recommend.

    Args:
        args: as they are written.
        model: that ranks.
        sequencer: whether there is one.

    Raises:
        ConfigError: the model lacks a signal, or there is no sequencer to give it.
    """
    default = "preference" if "preference" in model.heads else RETRIEVAL
    names = [*signal_names(model), *([NEXT_ITEM] if sequencer else [])]
    return _checked(args.recommend or {default: 1.0}, model.name, names, "blend.recommend")


def read_blend(path: str) -> BlendFile:
    """Read what `planogram blend` wrote.

    Raises:
        NotFoundError: there is no such file.
        ConfigError: it holds something else.
    """
    values = storage.read_json(path)
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds no weights", allowed="a file that `planogram blend` wrote")
    return parse(BlendFile, values, path)


def _checked(weights: Mapping[str, float], model: str, names: Sequence[str], source: str) -> Blend:
    if unknown := sorted(weights.keys() - set(names)):
        raise ConfigError(
            f"{source} gives a weight to {', '.join(unknown)}, which {model} does not have",
            allowed=", ".join(names),
            remedy="name these signals, serve a model with the head, or for next_item in /recommend a `sequencer`",
        )
    return Blend({name: float(weight) for name, weight in weights.items() if weight})
