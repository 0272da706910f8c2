"""The next item of a history, from the run to the ranks of the bundle, on a shop whose shoppers walk in a circle."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from planogram import finetune, storage
from planogram.config import EvaluateConfig, NextItemConfig
from planogram.data.examples.sequences import Sequences, load_sequences
from planogram.engines.sequence import ARCHITECTURE, ITEMS, TABLES, SequenceEngine
from planogram.errors import ConfigError, DataError, IntegrityError
from planogram.evaluate import offline
from planogram.models.sequence import NO_TARGET, UNSEEN
from planogram.registry.bundle import WEIGHTS, open_bundle
from planogram.section import load
from planogram.tasks.item_tables import text_neighbours
from planogram.tasks.next_item import WEIGHTS_OF_COUNTS, NextItemTask, _steps
from planogram.tasks.next_item import refitted as refit_of
from planogram.train.checkpoint import BEST_LOGITS

CIRCLE = 30
RUN = [
    "sequence.hidden_size=16",
    "sequence.use_text=false",
    "sequence.dropout=0.1",
    "sequence.max_items=5",
    "optimizer.learning_rate=2e-2",
    "train.epochs=4",
    "train.micro_batch=8",
    "train.validations_per_epoch=1",
    "train.patience=100",
    "train.precision=fp32",
    "train.zero_stage=0",
    "launch.workers=0",
]
MODEL_ALONE = "transitions.window=0"


def names(places) -> list[str]:
    return [f"item-{place % CIRCLE:02d}" for place in places]


def walks(step: int = 1) -> list[dict[str, object]]:
    """Two shoppers start at each item; the last step tests and the one before it validates, `step` places on."""
    rows = []
    for user in range(2 * CIRCLE):
        start, length = user % CIRCLE, 4 + user % 5
        taken = names(range(start, start + length))
        for split in ("train", "valid", "test"):
            target = taken.pop() if split == "train" else names([start + len(taken) - 1 + step])[0]
            rows.append(
                {
                    "history_id": f"{split}/{user}",
                    "history": list(taken),
                    "product_id": target,
                    "user_id": str(user),
                    "split": split,
                }
            )
            taken.append(target)
    return rows


@pytest.fixture(scope="module")
def circle(make_shop):
    """circle(histories): a shop of the items of the circle."""
    products = [{"product_id": name, "title": f"thing number {place}"} for place, name in enumerate(names(range(30)))]
    return lambda histories: make_shop(products=products, histories=histories)


@pytest.fixture(scope="module")
def shop(circle) -> str:
    return circle(walks())


@pytest.fixture(scope="module")
def learn(in_home, shop):
    """learn(run, *overrides): what `finetune.run` does, and the loop's `result.json`."""

    def start(run: str, *overrides: str, shop: str = shop):
        made = finetune.run(load(NextItemConfig, None, [*RUN, f"shop={shop}", f"run={run}", *overrides]))
        return made | {"result": storage.read_json(storage.join(made["run_dir"], "result.json"))}

    return start


@pytest.fixture(scope="module")
def trained(learn):
    """With its last weights: on a circle counts alone are right, so that the untrained ones would be the best."""
    return learn("circle", "train.select_by=step")


@pytest.fixture(scope="module")
def alone(learn):
    """The model without counts."""
    return learn("alone", MODEL_ALONE, "train.epochs=10")


def asked(shop: str, engine: SequenceEngine, part: str = "valid"):
    return load_sequences(shop, NextItemConfig(shop=shop).split, [part], engine.numbers)


def test_the_model_alone_learns_the_circle(alone):
    assert alone["history"][0]["mrr"] < 0.4
    assert alone["metrics"]["mrr"] > 0.95
    assert alone["metrics"]["weight_of_counts"] == 0


def test_a_sample_of_the_catalogue_teaches_it_too(learn):
    made = learn("sampled", MODEL_ALONE, "sequence.negatives=8", "train.epochs=10")
    assert made["metrics"]["mrr"] > 0.9


def test_it_goes_on_where_no_shopper_had_been(alone):
    ids, scores = SequenceEngine(alone["bundle"]).recommend([names([28, 29, 0])], 3)
    assert ids[0][0] == "item-01"
    assert scores[0].tolist() == sorted(scores[0].tolist(), reverse=True)


def assert_bundle_ranks_as_trained(made, shop: str) -> None:
    engine = SequenceEngine(made["bundle"])
    outputs = load_file(f"{made['run_dir']}/best/step-{made['best_step']:08d}/{BEST_LOGITS}")["logits"].numpy()
    found = engine.ranks(asked(shop, engine))
    assert np.array_equal(found, outputs[:, WEIGHTS_OF_COUNTS.index(engine.weight)])
    assert (1 / (found + 1)).mean() == pytest.approx(made["metrics"]["mrr"], abs=1e-6)


def test_the_bundle_ranks_as_the_trained_model_did(trained, shop):
    assert_bundle_ranks_as_trained(trained, shop)


def test_a_recommendation_is_the_softmax_of_logits_and_logs_of_counts(trained):
    engine = SequenceEngine(trained["bundle"])
    history = [3, 4, 5, 6, 7, 8]  # one more than the model reads
    read = torch.tensor([history[-5:]])
    with torch.no_grad():
        logits, counts = engine.model(read)[0], engine.model.transition_counts(read)[0]
    assert engine.weight == trained["metrics"]["weight_of_counts"]
    chances = (logits + engine.weight * torch.log(counts + UNSEEN)).softmax(dim=0)
    ids, scores = engine.recommend([names(history)], CIRCLE)
    assert sorted(ids[0]) == names(range(CIRCLE))
    assert np.exp(scores[0]) == pytest.approx(chances[[engine.numbers[item] for item in ids[0]]].numpy(), abs=1e-6)
    assert np.exp(scores[0]).sum() == pytest.approx(1, abs=1e-5)


def test_evaluation_gives_the_metrics_of_training(trained, shop):
    result = offline.run(EvaluateConfig(bundle=trained["bundle"], shop=shop, part="valid", workers=0))
    assert {name: result["metrics"][name] for name in ("hr@10", "ndcg@10", "mrr")} == pytest.approx(
        {name: trained["metrics"][name] for name in ("hr@10", "ndcg@10", "mrr")}, abs=1e-6
    )
    assert result["metrics"]["popularity.mrr"] < result["metrics"]["last_item.mrr"]
    assert (result["examples"], result["unknown"]) == (2 * CIRCLE, 0)


def test_evaluation_tells_of_targets_that_the_bundle_does_not_know(trained, circle):
    strange = walks()
    for place, row in enumerate(row for row in strange if row["split"] == "test"):
        row["product_id"] = "new" if place < 7 else row["product_id"]
    result = offline.run(EvaluateConfig(bundle=trained["bundle"], shop=circle(strange), workers=0))
    assert (result["examples"], result["unknown"]) == (2 * CIRCLE - 7, 7)


def test_a_step_that_an_earlier_row_taught_is_not_taught_again():
    rows = [np.array([0, 1, 2, 3]), np.array([4, 5]), np.array([6, 7, 8, 9, 1])]
    sequences = Sequences(rows, first=np.array([0, 1, 3]), num_unknown=0)
    items, targets = _steps(sequences, np.array([2, 0, 1]), max_items=3, pad=10)
    assert items.tolist() == [[7, 8, 9], [0, 1, 2], [10, 10, 4]]
    assert targets.tolist() == [[NO_TARGET, 9, 1], [1, 2, 3], [NO_TARGET, NO_TARGET, 5]]
    _, alone = _steps(sequences, np.array([0]), max_items=2, pad=10)
    assert alone.tolist() == [[2, 3]]


def test_an_interrupted_run_ends_as_if_nothing_had_happened(learn, trained, monkeypatch, die_at, assert_same):
    with monkeypatch.context() as patch:
        die_at(patch, trained["steps"] // 2 + 1)
        with pytest.raises(InterruptedError):
            learn("cut", "train.select_by=step")
    assert_same(learn("cut", "train.select_by=step"), trained)


def test_what_validates_and_tests_teaches_nothing(learn, circle):
    """Other answers, the same model: neither weights nor counts see them, and only the choice of the weights may."""
    runs = [
        learn(f"leak-{step}", "train.max_steps=10", "train.select_by=step", shop=circle(walks(step))) for step in (1, 7)
    ]
    bundles = [Path(made["bundle"]) for made in runs]
    for name in (WEIGHTS, TABLES):
        one, other = (load_file(bundle / name) for bundle in bundles)
        assert all(torch.equal(tensor, other[key]) for key, tensor in one.items())
    assert runs[0]["metrics"]["mrr"] != runs[1]["metrics"]["mrr"]


@pytest.fixture(scope="module")
def refitted(learn):
    return learn("refit", "refit=true", "train.epochs=3")


def test_a_refit_learns_validation_rows_too(refitted, shop):
    assert refitted["run"] == "refit-refit"
    engine = SequenceEngine(refitted["bundle"])
    assert engine.parts == ["train", "valid"]
    first = SequenceEngine(refitted["run_dir"].removesuffix("-refit") + "/bundle")
    assert first.parts == ["train"]
    assert engine.model.table_counts.sum() > first.model.table_counts.sum()
    assert engine.weight == first.weight == refitted["metrics"]["weight_of_counts"]


def test_a_refit_reports_what_was_validated_and_takes_the_last_weights(refitted):
    assert refitted["metrics"] == open_bundle(refitted["run_dir"].removesuffix("-refit") + "/bundle")[1].metrics
    assert refitted["best_step"] == refitted["steps"]
    own = open_bundle(refitted["bundle"])[1].metrics
    assert {name.partition(".")[0] for name in own if name != "weight_of_counts"} == {"seen"}


def test_a_refit_changes_what_the_first_training_chose_and_nothing_else():
    config = load(
        NextItemConfig,
        None,
        ["shop=shop", "run=a", "refit=true", "train.validations_per_epoch=2", "train.select_by=mrr"],
    )
    history = [{"step": step} for step in (0, 5, 10, 15, 20)]
    chosen = {"run": "a", "history": history, "best_step": 15, "metrics": {"weight_of_counts": 3.0}}
    again = refit_of(config, chosen)
    assert (again.run, again.with_valid, again.refit) == ("a-refit", True, False)
    assert again.train.epochs == 2  # step 15 is within the second
    assert again.train.select_by is None
    assert again.transitions.weight == 3.0
    assert (again.sequence, again.optimizer) == (config.sequence, config.optimizer)
    assert refit_of(config, {**chosen, "best_step": 0}).train.epochs == 1


def test_validation_rows_that_train_choose_nothing(learn, monkeypatch):
    """Also where the first weights look better on them than the last."""
    found = iter([0.9, 0.8, 0.1])
    monkeypatch.setattr(NextItemTask, "validate", lambda task, outputs: {"seen.ndcg@10": next(found)})
    made = learn("seen", "with_valid=true", "transitions.weight=1.0", "train.epochs=2")
    assert made["best_step"] == made["steps"]


def test_a_refit_trains_for_the_epochs_that_validation_chose(refitted):
    first = storage.read_json(refitted["run_dir"].removesuffix("-refit") + "/result.json")
    epochs = [entry["step"] for entry in first["history"]].index(first["best_step"])
    assert len(refitted["history"]) == 1 + max(1, epochs)


def test_text_and_its_neighbours_enter(learn):
    made = learn(
        "text",
        "sequence.use_text=true",
        "transitions.text_neighbours=3",
        "backbone.name=scratch",
        "backbone.hidden_size=32",
        "backbone.layers=1",
        "backbone.vocab_size=300",
        "text.max_tokens=16",
        "train.max_steps=2",
    )
    engine = SequenceEngine(made["bundle"])
    assert engine.model.table_text.shape == (CIRCLE, 32)
    assert (torch.diff(engine.model.table_starts) >= 3).all()
    assert engine.manifest.backbone == "scratch"


def test_neighbours_are_the_cubes_of_the_nearest_cosines():
    vectors = torch.nn.functional.normalize(torch.randn(9, 4, generator=torch.Generator().manual_seed(1)), dim=1)
    cosines = (vectors @ vectors.T).numpy()
    expected = np.zeros((9, 9))
    for row in range(9):
        nearest = sorted((other for other in range(9) if other != row), key=lambda other: -cosines[row, other])[:3]
        expected[row, nearest] = np.maximum(cosines[row, nearest], 0) ** 3
    assert text_neighbours(vectors, 3).toarray() == pytest.approx(expected, abs=1e-6)
    assert text_neighbours(vectors[:1], 3).toarray().tolist() == [[0.0]]


def test_what_is_unknown_or_excluded_or_asked_for_in_excess(trained):
    engine = SequenceEngine(trained["bundle"])
    plain, scores = engine.recommend([names([1, 2])], 4)
    unknown, _ = engine.recommend([["no such", *names([1]), "thing", *names([2])]], 4)
    assert unknown == plain
    without, other = engine.recommend([names([1, 2]), []], 4, exclude=[[plain[0][0], "thing"], []])
    assert without[0][:3] == plain[0][1:]
    assert other[0][:3] == pytest.approx(scores[0][1:], abs=1e-5)
    everything, hidden = engine.recommend([names([1])], 99, exclude=[names(range(1, CIRCLE))])
    assert (len(everything[0]), everything[0][0]) == (CIRCLE, "item-00")
    assert hidden[0].tolist()[1:] == [float("-inf")] * (CIRCLE - 1)
    nobody, none = engine.recommend([], 4)
    assert (nobody, none.shape) == ([], (0, 4))


@pytest.fixture(scope="module")
def masked(learn):
    return learn("hidden-history", "mask_history=true", MODEL_ALONE, "sequence.max_items=2", "train.max_steps=2")


def test_training_and_bundle_mask_alike(masked, shop):
    assert_bundle_ranks_as_trained(masked, shop)


def test_what_was_had_long_ago_is_masked_too(masked):
    """Also beyond the items that the model reads."""
    engine = SequenceEngine(masked["bundle"])
    history = names(range(12))
    ids, scores = engine.recommend([history], CIRCLE)
    assert set(ids[0][: CIRCLE - 12]) == set(names(range(12, CIRCLE)))
    assert np.isneginf(scores[0][CIRCLE - 12 :]).all()
    assert not np.isnan(engine.recommend([names(range(CIRCLE))], 3)[1]).any()


def _flip(bundle: Path, name: str) -> None:
    content = bytearray((bundle / name).read_bytes())
    content[-2] ^= 1
    (bundle / name).write_bytes(content)


@pytest.mark.parametrize("name", [TABLES, WEIGHTS, ITEMS, ARCHITECTURE])
def test_a_damaged_bundle_is_refused(trained, tmp_path, name):
    bundle = Path(shutil.copytree(trained["bundle"], tmp_path / "bundle"))
    _flip(bundle, name)
    with pytest.raises(IntegrityError, match=name):
        SequenceEngine(str(bundle))


def _fewer_items(bundle: Path) -> None:
    items = json.loads((bundle / ITEMS).read_text())
    (bundle / ITEMS).write_text(json.dumps(items[:-1]))


def _other_width(bundle: Path) -> None:
    weights = load_file(bundle / WEIGHTS)
    weights["ids.weight"] = torch.zeros(CIRCLE, 8)
    save_file(weights, bundle / WEIGHTS)


def _another_table(bundle: Path) -> None:
    save_file({**load_file(bundle / TABLES), "more": torch.zeros(1)}, bundle / TABLES)


@pytest.mark.parametrize("change", [_fewer_items, _other_width, _another_table])
def test_files_that_do_not_fit_each_other_are_refused(trained, tmp_path, change):
    with storage.sealed_folder(str(tmp_path / "bundle"), "bundle.json") as (folder, payload):
        shutil.copytree(trained["bundle"], folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("bundle.json"))
        change(folder)
        manifest = json.loads(Path(trained["bundle"], "bundle.json").read_text())
        payload.update({key: value for key, value in manifest.items() if key != "files"})
    with pytest.raises(IntegrityError, match="bundle"):
        SequenceEngine(str(tmp_path / "bundle"))


def test_a_scorer_is_no_sequence_model(tiny_bundle):
    with pytest.raises(ConfigError, match="cross-encoder"):
        SequenceEngine(str(tiny_bundle))


def test_a_shop_without_any_step_to_learn_is_refused(learn, circle):
    rows = [{**row, "history": []} if row["split"] == "train" else row for row in walks()]
    with pytest.raises(DataError, match="no history that trains has two items"):
        learn("no-steps", shop=circle(rows))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["with_valid=true"], "give it, or set refit"),
        (["with_valid=true", "refit=true", "transitions.weight=1.0"], "set one of them"),
        (["sequence.use_ids=false", "sequence.use_text=false"], "a product needs a vector"),
        (["sequence.hidden_size=15", "sequence.heads=2"], "not a multiple"),
        (["sequence.negatives=9", "sequence.label_smoothing=0.1"], "set it or negatives"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(overrides, message):
    with pytest.raises(ConfigError, match=message):
        load(NextItemConfig, None, ["shop=shop", *overrides])


def test_one_learning_rate_is_enough():
    config = load(NextItemConfig, None, ["shop=shop", "optimizer.learning_rate=3e-3"])
    assert (config.optimizer.learning_rate, config.optimizer.weight_decay) == (3e-3, 0.0)
