"""One list of candidates per query: its metrics, and how alike two orders of it are."""

import math

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import kendalltau
from sklearn.metrics import ndcg_score

Floats = npt.NDArray[np.floating]
Groups = npt.NDArray[np.int64]
Rows = npt.NDArray[np.intp]


def lists_of(groups: Groups) -> list[Rows]:
    """Positions of each list with two examples or more, by rising number of the list."""
    order = np.argsort(groups, kind="stable")
    lists = np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)
    return [rows for rows in lists if len(rows) > 1]


def by_query(grades: Floats, scores: Floats, groups: Groups, k: int) -> pd.DataFrame:
    """Metrics of every query that has two candidates or more.

    Args:
        grades: (examples,) judged grades, 0 or more.
        scores: (examples,) higher is better.
        groups: (examples,) number of the query.
        k: cut-off.

    Returns:
        Indexed by the number of the query: `ndcg@k`, `mrr@k` and `recall@k` as `metrics.per_query` describes them, NaN
        where a query has none.
    """
    lists = lists_of(groups)
    rows = [_of_list(grades[positions], scores[positions], k) for positions in lists]
    numbers = pd.Index([int(groups[positions[0]]) for positions in lists], name="group", dtype=np.int64)
    return pd.DataFrame(rows, index=numbers, columns=[f"ndcg@{k}", f"mrr@{k}", f"recall@{k}"], dtype=np.float64)


def _of_list(grade: Floats, score: Floats, k: int) -> tuple[float, float, float]:
    ndcg = float(ndcg_score([2.0**grade - 1], [score], k=k)) if grade.max() > 0 else math.nan
    if not grade.max() > grade.min():
        return ndcg, math.nan, math.nan
    relevant = (grade == grade.max())[np.argsort(-score, kind="stable")]
    first = 1.0 / (int(relevant.argmax()) + 1) if relevant[:k].any() else 0.0
    return ndcg, first, float(relevant[:k].sum() / min(k, relevant.sum()))


def tau(reference: Floats, scores: Floats) -> float:
    """Kendall's tau-b of one list; 1 where both tie everything, 0 where one does."""
    found = float(kendalltau(reference, scores).statistic)
    return found if np.isfinite(found) else float(np.ptp(reference) == np.ptp(scores) == 0)


def ranks(scores: Floats) -> npt.NDArray[np.int64]:
    """(candidates,) 1-based places of one list; candidates of equal scores stay in their order."""
    places = np.empty(len(scores), dtype=np.int64)
    places[np.argsort(-scores, kind="stable")] = np.arange(1, len(scores) + 1)
    return places
