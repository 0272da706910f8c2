"""The price of a product: what its demand, the shop's rules and the stock make the best one."""

from collections.abc import Iterator, Sequence

import numpy as np

from planogram.errors import ConfigError, DataError
from planogram.pricing.bounds import bounds
from planogram.pricing.curve import DemandCurve
from planogram.pricing.decision import Decision
from planogram.pricing.explore import choose
from planogram.pricing.family import Substitutes, groups
from planogram.pricing.item import PriceItem
from planogram.pricing.joint import pose
from planogram.pricing.money import Floats
from planogram.pricing.outcome import Batch, outcomes
from planogram.pricing.policy import PricePolicy
from planogram.pricing.table import build

# Numbers in the largest table of a part of a batch: 2 MiB, which stays in a processor's cache.
PART_NUMBERS = 1 << 18


def decide(
    curve: DemandCurve, item: PriceItem, policy: PricePolicy, rng: np.random.Generator | None = None
) -> Decision:
    """The price of one product; see `decide_all`."""
    return decide_all([curve], [item], policy, rng)[0]


def decide_all(
    curves: Sequence[DemandCurve],
    items: Sequence[PriceItem],
    policy: PricePolicy,
    rng: np.random.Generator | None = None,
    substitutes: Substitutes | None = None,
) -> list[Decision]:
    """The prices that maximise the expected objective within the rules.

    The expectation is over a curve's draws, if it has some. Prices are compared on a grid of at most `grid_size`
    between the lowest and the highest allowed one, and the current price if it is allowed. Of equal prices the
    nearest to the current one is taken. Families on a ladder are solved exactly; with substitutes a local optimum.

    Args:
        curves: of the items, all with equally many draws.
        items: different products.
        policy: the shop's rules.
        rng: needed to explore.
        substitutes: product -> other product -> d log units / d log price of the other. A product that is not among
            the items keeps its price. Demand at current prices is what the curves say.

    Returns:
        A decision per item, in their order.

    Raises:
        DataError: the curves do not fit, a product is named twice, or a cross elasticity is none.
        ConfigError: exploration without a random generator.
    """
    uniforms = None
    if policy.exploration != "none":
        if rng is None:
            raise ConfigError(
                f"exploration {policy.exploration} without random numbers", remedy="give a numpy random generator"
            )
        uniforms = rng.random((len(groups(items, policy, substitutes)), 2))
    return decide_by(curves, items, policy, uniforms, substitutes)


def decide_by(
    curves: Sequence[DemandCurve],
    items: Sequence[PriceItem],
    policy: PricePolicy,
    uniforms: Floats | None = None,
    substitutes: Substitutes | None = None,
) -> list[Decision]:
    """As `decide_all`, by given random numbers: the same ones give the same decisions.

    Args:
        curves: of the items, all with equally many draws.
        items: different products.
        policy: the shop's rules.
        uniforms: (groups, 2) from 0 to below 1, in the order of `family.groups`; None without exploration.
        substitutes: as in `decide_all`.
    """
    if len({item.product_id for item in items}) < len(items):
        raise DataError("a product is named twice", remedy="price every product once in a batch")
    return decide_groups(curves, items, policy, groups(items, policy, substitutes), uniforms, substitutes)


def decide_groups(
    curves: Sequence[DemandCurve],
    items: Sequence[PriceItem],
    policy: PricePolicy,
    grouped: Sequence[Sequence[int]],
    uniforms: Floats | None,
    substitutes: Substitutes | None,
) -> list[Decision]:
    """As `decide_by`, of given groups, which do not know each other: places of all items, each once."""
    decisions: dict[int, Decision] = {}
    for part in _parts(grouped, _draws(curves, items), policy):
        places = [place for group in grouped[part] for place in group]
        own = [items[place] for place in places]
        limits = [bounds(item, policy) for item in own]
        batch = Batch([curves[place] for place in places], own, policy, substitutes, limits)
        chosen = _decide(batch, _renumbered(grouped[part]), None if uniforms is None else uniforms[part])
        decisions |= dict(zip(places, chosen, strict=True))
    return [decisions[place] for place in range(len(items))]


def _decide(batch: Batch, grouped: Sequence[Sequence[int]], uniforms: Floats | None) -> list[Decision]:
    table = build(batch.curves, batch.items, batch.policy, batch.limits)
    posed = pose(table, batch.items, batch.policy, grouped, batch.substitutes)
    return outcomes(batch, posed, choose(posed, batch.policy, uniforms), uniforms)


def _draws(curves: Sequence[DemandCurve], items: Sequence[PriceItem]) -> int:
    """The number of draws of every curve."""
    if len(curves) != len(items):
        raise DataError(f"{len(curves)} curves of {len(items)} items", remedy="give one curve per item")
    counts = {len(curve.draws) for curve in curves}
    if len(counts) > 1:
        raise DataError(f"curves with {sorted(counts)} draws", remedy="give all curves equally many")
    return max(counts, default=0)


def _parts(grouped: Sequence[Sequence[int]], draws: int, policy: PricePolicy) -> Iterator[slice]:
    """Slices of the groups whose tables are small; a group is never split."""
    room = max(PART_NUMBERS // (max(draws, 1) * (policy.grid_size + 1)), 1)
    start, size = 0, 0
    for number, group in enumerate(grouped):
        if size and size + len(group) > room:
            yield slice(start, number)
            start, size = number, 0
        size += len(group)
    if size:
        yield slice(start, len(grouped))


def _renumbered(grouped: Sequence[Sequence[int]]) -> list[list[int]]:
    """The same groups over rows that count from 0."""
    rows = iter(range(sum(map(len, grouped))))
    return [[next(rows) for _ in group] for group in grouped]
