"""What stands behind a mean, of tiny bundles that rank a tiny shop."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from tests import ranked

from planogram import storage
from planogram.config import EvaluateConfig
from planogram.errors import ConfigError
from planogram.evaluate.exposure import exposure
from planogram.evaluate.lists import ranks
from planogram.evaluate.offline import judge, run
from planogram.evaluate.report import render
from planogram.evaluate.robustness import robustness
from planogram.evaluate.slices import LEAST_QUERIES, slice_columns, slice_rows


@pytest.fixture(autouse=True)
def _at_home(home):
    """Bundles are folders here, and nothing is published."""


def config(bundle: str, shop: str, **more) -> EvaluateConfig:
    return EvaluateConfig(bundle=bundle, shop=shop, part="all", workers=0, **({"bootstrap": 200} | more))


@pytest.fixture(scope="module")
def worse(ranked_bundle, tmp_path_factory) -> str:
    return ranked.edited(ranked_bundle, tmp_path_factory.mktemp("worse") / "noisy", weights=ranked.noisy(0.2))


def test_every_slice_that_the_shop_tells_has_its_mean(ranked_bundle, ranked_shop):
    judged = judge(config(ranked_bundle, ranked_shop, slices=("category", "price", "traffic", "locale", "length")))
    columns, untold = slice_columns(judged)
    assert untold == {}
    rows = slice_rows(judged, columns)
    by_name = {(row["slice"], row["value"]): row for row in rows}
    wear = [group for group, text in judged.texts.items() if text.split()[1] in ("shoes", "shirt", "jacket")]
    assert by_name["category", "wear"]["queries"] == by_name["category", "home"]["queries"] == 24
    assert by_name["category", "wear"]["mean"] == pytest.approx(judged.queries.loc[wear, "ndcg@10"].mean())
    low, high = by_name["category", "wear"]["interval"]
    assert low < by_name["category", "wear"]["mean"] < high
    assert by_name["length", "2 words"]["queries"] == 48
    assert sum(row["queries"] for row in rows if row["slice"] == "price") == 48


def test_head_queries_make_up_half_of_the_searches(ranked_bundle, ranked_shop):
    judged = judge(config(ranked_bundle, ranked_shop, slices=("traffic",)))
    columns, _ = slice_columns(judged)
    asked = columns["traffic"].rename(judged.texts)
    # 8 kinds of shoes 20 times each, 39 others once, and one never: 100 of 199 searches are the head.
    assert set(asked[asked == "head"].index) < {f"{colour} shoes" for colour in ranked.COLOURS}
    assert (asked == "head").sum() == 5
    assert asked[asked == "never asked"].index.tolist() == ["yellow table"]


def test_a_slice_of_few_queries_is_named_and_not_judged(ranked_bundle, ranked_shop):
    judged = judge(config(ranked_bundle, ranked_shop, slices=("traffic",)))
    rows = {row["value"]: row for row in slice_rows(judged, slice_columns(judged)[0])}
    assert rows["head"]["queries"] < LEAST_QUERIES <= rows["tail"]["queries"]
    assert (rows["head"]["judged"], rows["tail"]["judged"]) == (False, True)


def test_what_the_shop_does_not_tell_is_said(ranked_bundle, make_shop):
    products = [{"product_id": row["product_id"], "title": row["title"]} for row in ranked.products()]
    shop = make_shop(products=products, judgments=ranked.judgments())
    judged = judge(config(ranked_bundle, shop, slices=("category", "price", "traffic", "new", "locale")))
    columns, untold = slice_columns(judged)
    assert list(columns) == []
    assert untold["category"] == "no product has a category"
    assert "no table of interactions" in untold["traffic"]
    assert untold.keys() == {"category", "price", "traffic", "new", "locale"}


def test_new_products_are_those_that_no_training_row_has(ranked_bundle, make_shop):
    parts = ["train" if row["query"].startswith(("red", "blue", "green")) else "test" for row in ranked.judgments()]
    judgments = [{**row, "split": part} for row, part in zip(ranked.judgments(), parts, strict=True)]
    shop = make_shop(products=ranked.products(), judgments=judgments)
    asked = config(ranked_bundle, shop, slices=("new",), split={"by": "given"}).model_copy(update={"part": "test"})
    judged = judge(asked)
    columns, _ = slice_columns(judged)
    trained = {row["product_id"] for row in judgments if row["split"] == "train"}
    for group, value in columns["new"].items():
        best = [judged.examples.products[row] in trained for row in judged.best(group)]
        assert value == ("known" if sum(best) >= len(best) / 2 else "new")
    assert set(columns["new"]) == {"new", "known"}


def test_a_worse_bundle_loses_with_its_reasons(ranked_bundle, ranked_shop, worse):
    found = run(config(worse, ranked_shop, compare=ranked_bundle, slices=("category",)))
    change = found["compare"]["difference"]
    assert change["mean"] == pytest.approx(found["metrics"]["ndcg@10"] - found["compare"]["mean"])
    assert change["high"] < 0 and change["p_value"] < 0.01
    assert change["wins"] + change["losses"] + change["ties"] == 48
    losses = found["compare"]["losses"]
    assert [row["difference"] for row in losses] == sorted(row["difference"] for row in losses)
    assert len(losses) == 10
    assert losses[0]["other_top"][0]["grade"] >= losses[0]["top"][0]["grade"]
    assert all(row["difference"]["mean"] < 0 for row in found["slices"])


def test_a_bundle_is_not_different_from_itself(ranked_bundle, ranked_shop):
    found = run(config(ranked_bundle, ranked_shop, compare=ranked_bundle))["compare"]
    assert found["difference"]["mean"] == 0
    assert found["difference"]["p_value"] == 1
    assert found["wins"] == found["losses"] == []


def test_a_bundle_that_trained_on_another_split_may_know_the_answers(ranked_bundle, ranked_shop, tmp_path):
    lineage = {"config": {"split": {"fold": 3}}}
    other = ranked.edited(ranked_bundle, tmp_path / "other", lineage=lineage)
    found = run(config(ranked_bundle, ranked_shop, compare=other))
    assert found["compare"]["same_split"] is False


def test_typos_and_other_words_cost_what_they_cost(ranked_bundle, ranked_shop):
    judged = judge(config(ranked_bundle, ranked_shop, robustness=48))
    found = robustness(judged)
    assert found["queries"] == 48
    assert found["typos"].keys() == {"swap", "drop", "neighbour"}
    # Another order of the words, and a word more, are nearer to the query than one with a letter changed.
    assert found["typo_drop"] > 0.02 > found["paraphrases"]["order"]["drop"]
    assert found["typo_drop"] == pytest.approx(np.mean([row["drop"] for row in found["typos"].values()]))
    assert all(-1 <= row["tau"] < 1 for row in found["typos"].values())
    assert found == robustness(judged)


def test_a_head_that_counts_words_is_fooled_by_stuffed_titles(ranked_bundle, ranked_shop, tmp_path):
    sound = robustness(judge(config(ranked_bundle, ranked_shop, robustness=48)))["stuffing"]
    fooled = ranked.fooled_by(ranked_bundle, tmp_path / "fooled", " ".join(sound["words"]), 12.0)
    found = robustness(judge(config(fooled, ranked_shop, robustness=48)))["stuffing"]
    assert found["share"] > 0.8 > 0.4 > sound["share"]
    assert found["mean_gain"] > sound["mean_gain"]


def test_exposure_is_by_rank_and_merit_by_grade(ranked_bundle, ranked_shop):
    judged = judge(config(ranked_bundle, ranked_shop))
    found = exposure(judged)
    seen, merit = {"Acme": 0.0, "Bolt": 0.0}, {"Acme": 0.0, "Bolt": 0.0}
    for rows in judged.lists.values():
        attention = 1 / np.log2(1 + ranks(judged.scores[rows]))
        for row, share in zip(rows, attention / attention.sum(), strict=True):
            brand = "Acme" if judged.examples.products[row].endswith("leather") else "Bolt"
            seen[brand] += share / 48
            merit[brand] += judged.examples.grades[row] / judged.examples.grades[rows].sum() / 48
    rows = {row["brand"]: row for row in found["brands"]}
    for brand, share in seen.items():
        assert rows[brand]["exposure"] == pytest.approx(share)
        assert rows[brand]["merit"] == pytest.approx(merit[brand])
    assert found["largest_ratio"] == pytest.approx(max(seen[b] / merit[b] for b in seen))
    assert found["disparity"] >= 0


def test_a_ranking_that_favours_a_brand_diverges(ranked_bundle, ranked_shop, tmp_path):
    plain = exposure(judge(config(ranked_bundle, ranked_shop)))
    fond = ranked.fooled_by(ranked_bundle, tmp_path / "fond", "leather Acme", 60.0)
    found = exposure(judge(config(fond, ranked_shop)))
    assert found["disparity"] > 3 * plain["disparity"]
    assert found["most_favoured"] == "Acme"


def test_a_folder_holds_plots_and_a_row_for_each_query(ranked_bundle, ranked_shop, worse, tmp_path):
    asked = config(worse, ranked_shop, compare=ranked_bundle, slices=("category",), out=str(tmp_path / "out"))
    found = run(asked)
    for name in ("calibration", "slices", "differences"):
        assert (tmp_path / "out" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert found["files"][name] == str(tmp_path / "out" / f"{name}.png")
    assert storage.read_json(found["files"]["result"]) == found
    table = pd.read_parquet(found["files"]["queries"])
    assert len(table) == 48
    assert (table["candidates"] == 8).all()
    assert table["difference"].mean() == pytest.approx(found["compare"]["difference"]["mean"])
    assert set(table["category"]) == {"wear", "home"}


def test_everything_is_shown(ranked_bundle, ranked_shop, worse, capsys):
    from rich.console import Console

    found = run(config(worse, ranked_shop, compare=ranked_bundle, slices=("category", "new"), robustness=10))
    Console(width=200).print(render(found))
    shown = capsys.readouterr().out
    for said in ("pairs / s", "by slice", "part=all", "losses", "Kendall's tau", "stuffed with", "Acme"):
        assert said in shown


def test_a_bi_encoder_cannot_be_asked_for_slices(ranked_bundle, ranked_shop, tmp_path):
    other = ranked.edited(ranked_bundle, tmp_path / "bi", kind="bi-encoder", lineage={"config": {"task": "relevance"}})
    with pytest.raises(ConfigError, match="bi-encoder"):
        run(config(other, ranked_shop, slices=("category",)))


def test_texts_that_are_not_ranked_have_no_slices(ranked_bundle, make_shop, tmp_path):
    reviews = [{"review_id": str(n), "text": f"fine {n}", "label": "positive"} for n in range(4)]
    head = {"name": "sentiment", "low": 0.0, "high": 1.0, "grades": (), "cutoffs": ()}
    other = ranked.edited(ranked_bundle, tmp_path / "reviews", head=head)
    with pytest.raises(ConfigError, match="ranks no products"):
        judge_slices = judge(config(other, make_shop(reviews=reviews), slices=("category",)))
        slice_columns(judge_slices)


def test_examples_carry_their_product_ids_wherever_they_go(ranked_bundle, ranked_shop):
    examples = judge(config(ranked_bundle, ranked_shop)).examples
    titles = {row["product_id"]: row["title"] for row in ranked.products()}
    assert all(
        text.startswith(titles[product]) for product, (_, text) in zip(examples.products, examples.pairs, strict=True)
    )
    few = examples.take(np.array([5, 2]))
    assert few.products == [examples.products[5], examples.products[2]]
    assert few.extended(few).products == few.products * 2
    assert replace(few, products=[]).extended(few).products == []
