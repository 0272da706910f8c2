from hypothesis import given
from hypothesis import strategies as st

from planogram.serve.index.fusion import fuse

RANKING = st.lists(st.text("abcdefgh", min_size=1, max_size=1), unique=True, max_size=8)


def test_what_two_rankings_have_comes_before_what_one_has():
    assert fuse([(1.0, ["a", "b", "c"]), (1.0, ["d", "b"])], 10) == ["b", "a", "d", "c"]


def test_scores_are_sums_of_reciprocal_ranks():
    # 1/61 + 2/62 of b is more than 1/62 + 2/61 of a only where the weights are the other way round.
    assert fuse([(1.0, ["a", "b"]), (2.0, ["b", "a"])], 2) == ["b", "a"]
    assert fuse([(2.0, ["a", "b"]), (1.0, ["b", "a"])], 2) == ["a", "b"]


@given(RANKING, RANKING, st.integers(0, 10))
def test_every_id_is_there_once_up_to_the_limit(first, second, limit):
    fused = fuse([(1.0, first), (0.5, second)], limit)
    assert len(fused) == len(set(fused)) == min(limit, len({*first, *second}))
    assert set(fused) <= {*first, *second}


@given(RANKING)
def test_one_ranking_stays_as_it_is(ranking):
    assert fuse([(1.0, ranking), (1.0, [])], len(ranking)) == ranking
