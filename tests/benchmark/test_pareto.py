"""Which variants none beats, and which of them is advised."""

import pytest

from planogram.benchmark.pareto import advise, front, page, pareto_plot, render


def row(variant, pairs_per_s, ndcg, shape="1x8"):
    return {
        "variant": variant, "shape": shape, "pairs_per_s": pairs_per_s, "p50_ms": 1000 / pairs_per_s, "size_mb": 10.0,
        "rss_mb": 100.0, "ndcg_at_10": ndcg, "auc": 0.9, "kendall_tau": 1.0, "mixed_pairs_per_s": 5.0,
        "naive_pairs_per_s": 4.0, "stall_ms": 0.1,
    }  # fmt: skip


ROWS = [row("whole", 50, 0.8), row("int8", 300, 0.799), row("slow", 40, 0.79), row("pruned", 700, 0.78)]


def test_the_front_is_what_no_other_beats():
    assert [r["variant"] for r in front(ROWS)] == ["pruned", "int8", "whole"]


@pytest.mark.parametrize(
    ("latency_ms", "ndcg_floor", "advised"),
    [(None, None, "int8"), (2.0, None, "pruned"), (5.0, None, "int8"), (None, 0.7995, "whole"), (None, 0.5, "pruned")],
)
def test_advice_keeps_the_bounds(latency_ms, ndcg_floor, advised):
    assert advise(ROWS, latency_ms, ndcg_floor).startswith(f"take {advised}:")


def test_where_nothing_fits_it_is_said():
    assert "no variant" in advise(ROWS, 0.1, None)
    assert "no variant" in advise(ROWS, 2.0, 0.79)


@pytest.mark.parametrize(("missing", "counts"), [(("ndcg_at_10",), "auc"), (("ndcg_at_10", "auc"), "kendall_tau")])
def test_where_nothing_is_ranked_something_else_counts(missing, counts):
    values = (1, 0.9, 1, 0.5)
    rows = [r | dict.fromkeys(missing) | {counts: value} for r, value in zip(ROWS, values, strict=True)]
    assert advise(rows, None, None).startswith("take whole")


def test_table_picture_and_page_show_every_variant():
    machine = {"cpu": "a CPU", "threads": 2}
    result = {"variants": ROWS, "machine": machine, "advice": advise(ROWS, None, None)}
    table = render(result)
    assert list(table.columns[0].cells) == ["whole", "int8", "slow", "pruned"]
    picture = pareto_plot(ROWS, "1x8")
    assert picture.startswith(b"\x89PNG")
    html = page(result, picture).decode()
    assert all(r["variant"] in html for r in ROWS) and "data:image/png;base64," in html and "take int8" in html
