import pandas as pd
import pytest

from planogram.evaluate.scoring import pairs_per_s


@pytest.mark.parametrize(
    ("pairs", "workers", "at_once"),
    [(2021, 2, 2), (2021, 0, 1), (200, 2, 1), (9000, 3, 3), (600, 4, 3)],
    ids=["a list for each", "own process", "too few for two", "many", "too few for four"],
)
def test_every_worker_gets_pairs_where_there_are_enough(pairs: int, workers: int, at_once: int) -> None:
    scored = pd.DataFrame({"seconds": [0.01] * pairs})
    assert pairs_per_s(scored, workers) == pytest.approx(at_once * 100)
