"""One training over several folds and seeds."""

from datetime import UTC, datetime
from statistics import mean

import pytest

from planogram import finetune, storage
from planogram.config import ClickConfig, EvaluateConfig
from planogram.data.shop import read_table
from planogram.errors import ConfigError
from planogram.evaluate import offline


@pytest.fixture(scope="module")
def repeated(in_home, configure):
    return finetune.run(configure("repeated", "repeat.folds=[0,2]", "repeat.seeds=[0,1]", "train.max_steps=2"))


def test_every_fold_and_seed_has_a_run_that_is_tested(repeated):
    rows = repeated["history"]
    assert [(row["fold"], row["seed"]) for row in rows] == [(0, 0), (0, 1), (2, 0), (2, 1)]
    assert len({row["bundle"] for row in rows}) == 4
    assert repeated["metrics"]["ndcg@10"] == pytest.approx(mean(row["ndcg@10"] for row in rows))
    assert {"fold", "seed", "bundle", *finetune.COSTS}.isdisjoint(repeated["metrics"])
    assert all(row["steps"] == 2 and row["seconds"] > 0 and row["peak_memory_mb"] > 0 for row in rows)


def test_a_row_is_what_evaluate_says_of_its_bundle(repeated, tiny_shop):
    row = repeated["history"][2]
    found = offline.run(EvaluateConfig(bundle=row["bundle"], shop=tiny_shop, workers=0))
    assert found["fold"] == 2
    assert found["metrics"] == {name: row[name] for name in found["metrics"]}


def test_runs_that_have_ended_are_not_trained_again(repeated, configure, monkeypatch):
    monkeypatch.setattr("planogram.train.launch.local_context", lambda run_dir: pytest.fail("trained again"))
    again = finetune.run(configure("repeated", "repeat.folds=[0,2]", "repeat.seeds=[0,1]", "train.max_steps=2"))
    assert again == repeated


def test_a_fold_that_does_not_exist_is_refused_before_any_training(in_home, configure):
    with pytest.raises(ConfigError, match="folds are 0 to 4"):
        finetune.run(configure("never", "repeat.folds=[0,7]"))
    assert not storage.exists(storage.join(storage.home(), "runs", "never-fold-0-seed-0"))


def pages(shop: str) -> list[dict[str, object]]:
    """Every query on eight pages, each with its products turned by one place; good ones near the top are clicked."""
    rows = []
    for query, judged in read_table(shop, "judgments").groupby("query", sort=False):
        products = judged.to_dict("records")
        for turn in range(len(products)):
            page = f"{query} {turn}"
            for position, row in enumerate(products[turn:] + products[:turn], 1):
                event = {"query": query, "product_id": row["product_id"], "ranking_id": page, "position": position}
                events = ["impression", "click"] if row["grade"] >= 2 and position <= 3 else ["impression"]
                rows += [event | {"event_type": kind, "event_id": f"{page} {position} {kind}"} for kind in events]
    return [row | {"timestamp": datetime(2026, 1, 1, tzinfo=UTC)} for row in rows]


def test_clicks_are_tested_as_asked(in_home, configure, make_shop, tiny_shop):
    products = read_table(tiny_shop, "products")[["product_id", "title"]].to_dict("records")
    shop = make_shop(products=products, interactions=pages(tiny_shop))
    asked = (f"shop={shop}", "task=click", "repeat.seeds=[0]", "repeat.clicks.debias=ips", "train.max_steps=1")
    row = finetune.run(configure("clicked", *asked))["history"][0]
    config = EvaluateConfig(bundle=row["bundle"], shop=shop, workers=0)
    debiased = offline.run(config.model_copy(update={"clicks": ClickConfig(debias="ips")}))["metrics"]
    assert debiased == {name: row[name] for name in debiased}
    assert debiased != offline.run(config)["metrics"]
