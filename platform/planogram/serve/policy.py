"""How a shop orders its results and sets its prices: made from plain values, and replaced as a whole."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, model_validator

from planogram.pricing.policy import PricePolicy
from planogram.section import Section
from planogram.serve.blend import Blend, BlendArgs, recommend_blend, search_blend
from planogram.serve.rule_args import Rule
from planogram.serve.values import ModelInfo


class DiversityArgs(Section):
    """How unlike each other results are."""

    weight: float = Field(0.0, ge=0, le=1, description="0: by score alone; a request may say otherwise")


class PolicyArgs(Section):
    """What can change while the server runs: the same keys stand under `args` and in the Gateway's `user_config`."""

    blend: BlendArgs = BlendArgs()
    diversity: DiversityArgs = DiversityArgs()
    rules: Annotated[tuple[Rule, ...], Field(strict=False)] = Field((), description="all that hold are applied")
    prices: PricePolicy = Field(PricePolicy(), description="what prices are chosen for, and what they keep to")

    @model_validator(mode="after")
    def _names_are_different(self) -> "PolicyArgs":
        names = [rule.name for rule in self.rules]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"rules has {', '.join(twice)} twice: an explanation could not say which one it was")
        return self


@dataclass(frozen=True)
class Policy:
    """How results are ordered, and what prices keep to.

    Attributes:
        search, recommend: weights of the two routes.
        diversity: 0..1, where the request does not say.
    """

    search: Blend
    recommend: Blend
    diversity: float
    rules: tuple[Rule, ...]
    prices: PricePolicy

    @classmethod
    def of(cls, args: PolicyArgs, model: ModelInfo, *, sequencer: bool = False) -> "Policy":
        """The policy for a model.

        Args:
            args: as they are written.
            model: that ranks.
            sequencer: whether /recommend has one.

        Raises:
            NotFoundError: there is no file `blend.file`.
            ConfigError: a weight is of a signal that the model lacks, or the file holds something else.
        """
        return cls(
            search=search_blend(args.blend, model),
            recommend=recommend_blend(args.blend, model, sequencer=sequencer),
            diversity=args.diversity.weight,
            rules=args.rules,
            prices=args.prices,
        )


def changed_policy(args: PolicyArgs, changed: PolicyArgs, model: ModelInfo, *, sequencer: bool = False) -> Policy:
    """The policy of a Gateway's `user_config`: what it sets stands in place of what `args` says, each as a whole.

    Raises:
        NotFoundError, ConfigError: as `Policy.of`.
    """
    kept = {name: getattr(args, name) for name in PolicyArgs.model_fields if name not in changed.model_fields_set}
    return Policy.of(changed.model_copy(update=kept), model, sequencer=sequencer)
