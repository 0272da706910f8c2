"""The report of a campaign: figures, tables, picture, page."""

import io
from types import SimpleNamespace

from rich.console import Console

from planogram import storage
from planogram.tune.budget import Spent
from planogram.tune.live import table
from planogram.tune.picture import picture
from planogram.tune.report import keep, render, summary

PNG = b"\x89PNG"
BASE = {"shop": "shop"}


def text_of(shown):
    console = Console(file=io.StringIO(), width=200, record=True)
    console.print(shown)
    return console.export_text()


def trials_of(trial):
    return [
        trial(0, 0.3, 0.5, state="finished", seconds=30.0),
        trial(1, 0.2, state="stopped", reason="not among the best after 1 validations"),
        trial(2, 0.4, 0.8, state="finished", seconds=40.0, bundle="/runs/2/bundle"),
        trial(3, state="failed", reason="the loss is nan"),
    ]


def test_the_summary_orders_the_finished_trials(config, trial):
    result = summary(config(), BASE, trials_of(trial), Spent(0.5, 0.75, 1.5), "all 4 trials have begun")
    assert [row["number"] for row in result["best"]] == [2, 0]
    assert result["counts"] == {"running": 0, "finished": 2, "stopped": 1, "failed": 1}
    assert result["spent"] == {"hours": 0.5, "trial_hours": 0.75, "cost": 1.5}
    assert result["trials"][3]["reason"] == "the loss is nan"


def test_the_table_says_best_values_and_what_it_took(config, trial):
    text = text_of(render(summary(config(), BASE, trials_of(trial), Spent(0.5, 0.75, 1.5), "the budget is spent")))
    assert "0.8000" in text
    assert "optimizer.learning_rate=0.001" in text
    assert "cost 1.50" in text
    assert "the budget is spent" in text


def test_stopped_trials_save_epochs_and_finished_ones_count_as_they_are(config, trial):
    # Two validations an epoch and two epochs a trial: finished ones trained 1 epoch each, the stopped one half of one.
    result = summary(config(), BASE, trials_of(trial), Spent(0, 0, 0), "")
    assert result["epochs"] == {"trained": 2.5, "whole": 6.0}
    assert "2.5 of 6.0 epochs (42%)" in text_of(render(result))
    limited = summary(config(), {**BASE, "train": {"max_steps": 5}}, trials_of(trial), Spent(0, 0, 0), "")
    assert limited["epochs"] is None
    assert "epochs (" not in text_of(render(limited))


def test_importance_has_a_table_of_its_own(config, trial):
    result = summary(config(), BASE, trials_of(trial), Spent(0, 0, 0), "")
    shown = text_of(render(result | {"importance": {"ndcg@10": {"train.epochs": 0.75, "backbone.dropout": 0.25}}}))
    assert "what ndcg@10 depends on" in shown
    assert "75.0%" in shown


def test_file_picture_and_page_are_written_and_the_page_needs_nothing_else(config, trial, tmp_path):
    trials = trials_of(trial)
    files = keep(summary(config(), BASE, trials, Spent(0, 0, 0), ""), trials, str(tmp_path))
    assert storage.read_json(files["file"])["name"] == "camp"
    assert storage.read_bytes(files["plot"]).startswith(PNG)
    page = storage.read_bytes(files["page"]).decode()
    assert "data:image/png;base64," in page
    assert page.index("data:image/png;base64,") < page.index("the loss is nan")
    head, rest = page.split("base64,")
    assert "http" not in (head + rest.split('">', 1)[1]).replace("http-equiv", "").replace("http://www.w3.org", "")


def test_two_metrics_are_drawn_as_a_front(config, trial):
    metrics = {"ndcg@10": "max", "latency_ms": "min"}
    trials = [
        trial(number, value, state="finished", metrics={"ndcg@10": value, "latency_ms": latency})
        for number, (value, latency) in enumerate(((0.5, 3.0), (0.7, 9.0), (0.4, 8.0)))
    ]
    result = summary(config(metrics=metrics), BASE, trials, Spent(0, 0, 0), "")
    assert result["front"] == [1, 0]
    assert picture(result, trials).startswith(PNG)
    assert "1*" in text_of(render(result))


def test_a_campaign_without_a_finished_trial_has_a_report_too(config, trial):
    trials = [trial(0), trial(1, state="failed", reason="no")]
    result = summary(config(), BASE, trials, Spent(0, 0, 0), "")
    assert result["best"] == []
    assert picture(result, trials).startswith(PNG)
    assert "1 running, 1 failed" in text_of(render(result))


def test_values_of_all_kinds_and_sizes_are_drawn(config, trial):
    keys = ("optimizer.learning_rate", "text.fields", "train.epochs")
    trials = [
        trial(number, 0.5, state="finished", params=dict(zip(keys, values, strict=True)))
        for number, values in enumerate(((1e-5, ["title"], 2), (1e-2, ["title", "brand"], 2)))
    ]
    assert picture(summary(config(), BASE, trials, Spent(0, 0, 0), ""), trials).startswith(PNG)


def test_the_live_table_shows_state_and_curve_of_each_trial(config, trial):
    trials = dict(enumerate(trials_of(trial)))
    running = SimpleNamespace(config=config(), trials=trials, last_spent=Spent(0.5, 0.75, 0.0))
    text = text_of(table(running))
    assert "2 finished, 1 stopped, 1 failed" in text
    assert "0.8000" in text
