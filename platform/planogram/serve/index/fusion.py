"""Several rankings as one."""

from collections import defaultdict
from collections.abc import Sequence

#: how little the first places stand out
RANK_CONSTANT = 60


def fuse(rankings: Sequence[tuple[float, Sequence[str]]], limit: int) -> list[str]:
    """Ids by the sum over rankings of weight / (60 + rank); ties by the first ranking that has them.

    Args:
        rankings: weight and ids, the best first.
        limit: largest number of ids.

    Source: reciprocal rank fusion (Cormack, Clarke and Büttcher 2009).
    """
    scores: dict[str, float] = defaultdict(float)
    for weight, ids in rankings:
        for rank, name in enumerate(ids, 1):
            scores[name] += weight / (RANK_CONSTANT + rank)
    return sorted(scores, key=lambda name: -scores[name])[:limit]
