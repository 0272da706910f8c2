"""Methods of fine-tuning side by side, from ordinary runs on the tiny shop."""

import json

import pytest
from typer.testing import CliRunner

from planogram import cli, storage
from planogram.benchmark import training
from planogram.benchmark.report import plot, render, shown_metrics
from planogram.config import TRAINING_METHODS, BenchmarkTrainingConfig
from planogram.errors import ConfigError, NotFoundError
from planogram.section import load

FULL_AND_LORA = ("methods=[full,lora]", "overrides.lora.adapter.rank=2")


@pytest.fixture(scope="module")
def shared(configure, whole):
    """The bundle of another run is the backbone: an adapter needs one that knows something."""
    config = configure("never", f"backbone.name={whole['bundle']}", "train.max_steps=2")
    return f"finetune={config.model_dump_json(exclude={'run'})}"


@pytest.fixture(scope="module")
def configured(shared):
    def make(*overrides: str) -> BenchmarkTrainingConfig:
        return load(BenchmarkTrainingConfig, None, [shared, *overrides])

    return make


@pytest.fixture(scope="module")
def measured(configured):
    return training.run(configured(*FULL_AND_LORA))


@pytest.fixture
def no_training(monkeypatch):
    monkeypatch.setattr("planogram.train.launch.local_context", lambda run_dir: pytest.fail("trained again"))


def row(result: dict, method: str) -> dict:
    return next(row for row in result["methods"] if row["method"] == method)


def test_every_method_trains_what_it_says(measured):
    full, lora = row(measured, "full"), row(measured, "lora")
    assert full["trainable_share"] == 1.0
    assert 0 < lora["trainable_share"] < 0.2
    assert lora["parameters"] - lora["trainable_parameters"] < full["parameters"] < lora["parameters"]
    for each in (full, lora):
        (single,) = each["runs"]
        assert (single["seed"], single["steps"]) == (0, 2)
        assert each["metrics"]["ndcg@10"] == single["ndcg@10"]
        assert each["seconds"] == single["seconds"] > 0
        assert each["seconds_per_step"] == pytest.approx(each["seconds"] / 2)


def test_a_row_has_the_means_of_its_runs_and_their_largest_memory():
    costs = {"steps": 4, "trainable_parameters": 1, "parameters": 10}
    runs = [{**costs, "seconds": 2.0, "peak_memory_mb": 9.0}, {**costs, "seconds": 4.0, "peak_memory_mb": 8.0}]
    made = training._row("head", {"history": runs, "metrics": {"kappa": 0.5}}, own_process=True)
    assert (made["seconds"], made["seconds_per_step"], made["peak_memory_mb"]) == (3.0, 0.75, 9.0)
    assert made["trainable_share"] == 0.1


def test_runs_of_one_process_do_not_tell_their_memory_apart(measured):
    assert [each["peak_memory_mb"] for each in measured["methods"]] == [None, None]


def test_the_result_is_written_with_its_configuration(measured, configured):
    assert measured["file"] == f"{storage.home()}/benchmarks/training.json"
    written = storage.read_json(measured["file"])
    assert written == {key: value for key, value in measured.items() if key not in ("file", "plot")}
    assert BenchmarkTrainingConfig.model_validate_json(json.dumps(written["config"])) == configured(*FULL_AND_LORA)
    assert storage.read_bytes(measured["plot"]).startswith(b"\x89PNG")


def test_what_was_measured_is_not_measured_again(measured, configured, no_training, monkeypatch):
    monkeypatch.setattr("planogram.evaluate.offline.run", lambda config: pytest.fail("tested again"))
    assert training.run(configured(*FULL_AND_LORA)) == measured


def test_runs_that_have_ended_are_not_trained_again(measured, configured, no_training):
    """Without the rows of the methods, as where it was interrupted before they were written."""
    place = storage.join(storage.home(), "benchmarks", "training")
    for name in storage.list_names(place):
        storage.local_path(storage.join(place, name)).unlink()
    assert training.run(configured(*FULL_AND_LORA)) == measured


def test_the_command_prints_a_table_or_json(measured, shared, no_training):
    command = ["benchmark", "training", *(part for text in (shared, *FULL_AND_LORA) for part in ("--set", text))]
    table = CliRunner().invoke(cli.app, command)
    assert table.exit_code == 0
    assert "lora" in table.stdout
    assert "benchmark 2 of 2: lora" in table.stderr
    assert json.loads(CliRunner().invoke(cli.app, [*command, "--json"]).stdout) == measured


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("methods=[full,lorra]", "methods.1: Input should be 'full', .* 'qlora-nf4' or 'qlora-int8', not 'lorra'"),
        ("methods=[full,full]", "names one twice"),
        ("methods=[]", "at least 1 item"),
        ("overrides.lorra.adapter.rank=2", "overrides.lorra"),
        ("overrides.lora.adapter.rnk=2", r"overrides.lora .*\n.*did you mean 'rank'"),
        ("overrides.lora.train.seed=2", "'adapter' or 'optimizer'"),
        ("overrides.lora.adapter.base=nf4", "overrides.lora.adapter has base"),
        ("finetune.trian.seed=2", "did you mean 'train'"),
    ],
)
def test_a_wrong_configuration_is_named(configured, override, message):
    with pytest.raises(ConfigError, match=message):
        configured(override)


def test_a_shop_that_does_not_exist_is_named(configured, in_home):
    with pytest.raises(NotFoundError, match="/nowhere"):
        training.run(configured("finetune.shop=/nowhere"))


def test_a_method_is_its_adapter_with_what_is_shared_and_its_own(configured):
    config = configured(
        "finetune.adapter.rank=4", "overrides.qlora-nf4.optimizer.learning_rate=0.5", "finetune.train.seed=7"
    )
    made = {method: config.method_config(method) for method in TRAINING_METHODS}
    assert made["full"].adapter.method == "none"
    assert (made["qlora-nf4"].adapter.method, made["qlora-nf4"].adapter.base) == ("lora", "nf4")
    assert {each.adapter.rank for each in made.values()} == {4}
    assert [method for method, each in made.items() if each.optimizer.learning_rate == 0.5] == ["qlora-nf4"]
    assert {each.repeat.seeds for each in made.values()} == {(7,)}
    shared = [each.model_dump(exclude={"name", "adapter", "optimizer"}) for each in made.values()]
    assert all(each == shared[0] for each in shared)


def test_a_task_that_ranks_nothing_is_shown_by_what_it_has():
    one = {"macro_f1": 0.5, "accuracy": 0.6, "auc": 0.7}
    costs = {"trainable_parameters": 1, "trainable_share": 0.1, "peak_memory_mb": 9.0, "seconds": 1.0}
    each = {"method": "head", **costs, "seconds_per_step": 0.1, "metrics": one, "runs": [one]}
    assert shown_metrics([each]) == ["macro_f1", "accuracy"]
    assert [column.header for column in render({"shop": "s", "methods": [each]}).columns][-3:] == [
        "macro_f1",
        "each run",
        "accuracy",
    ]
    assert plot({"methods": [each]})
