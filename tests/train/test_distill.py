"""A student beside its teacher: it starts with the teacher's heads, and learns what the teacher says."""

import numpy as np
import pytest

from planogram import storage
from planogram.config import EvaluateConfig
from planogram.data.examples import load
from planogram.engines.base import score
from planogram.engines.load import load_engine
from planogram.errors import ConfigError
from planogram.evaluate.sources import source_of
from planogram.registry.bundle import open_bundle
from planogram.tasks.teaching import similar_pairs

PAIRS = [("red shoes", "red leather shoes"), ("blue lamp", "green wool lamp"), ("green kettle", "blue steel kettle")]


@pytest.fixture(scope="module")
def student(finetune, whole):
    return finetune(
        "student",
        f"backbone.name={whole['bundle']}",
        f"distill.teacher={whole['bundle']}",
        "distill.unlabelled=3",
        "distill.hidden=1.0",
        "train.epochs=1",
    )


def test_a_student_starts_where_its_teacher_is(student, whole):
    """Same backbone, same heads: before any step it scores as the teacher does."""
    first, best = student["result"]["history"][0], whole["metrics"]
    assert first["ndcg@10"] == pytest.approx(best["ndcg@10"], abs=1e-6)


def test_a_student_stays_near_its_teacher(student, whole):
    wanted, found = (score(load_engine(made["bundle"]), PAIRS, 512).values for made in (whole, student))
    assert np.abs(found - wanted).max() < 0.1


def test_a_new_model_learns_to_score_as_its_teacher(finetune, whole, tiny_shop):
    """Without any label, from the teacher's logits alone."""
    asked = ["distill.labels=0", "distill.relations=0", "train.epochs=12", "train.select_by=step", "backbone.dropout=0"]
    made = finetune("taught", f"distill.teacher={whole['bundle']}", *asked)
    config = EvaluateConfig(bundle=whole["bundle"], shop=tiny_shop, part="valid")
    pairs = load("relevance", source_of(open_bundle(whole["bundle"])[1], config)).pairs
    engines = [load_engine(run["bundle"]) for run in (made, whole)]
    found, wanted = (engine.infer(engine.tokenize(pairs))[:, 0] for engine in engines)
    assert np.square(found - wanted).mean() < 0.2 * wanted.var()


def test_the_teacher_grades_more_products(student):
    written = storage.read_json(storage.join(student["run_dir"], "initial", "unlabelled.json"))
    assert len(written["pairs"]) == len(written["scores"]) > 0
    assert all(0 < value < 1 for value in written["scores"])


def test_the_likeliest_products_are_new_and_share_words():
    products = ["red shoe", "red lamp", "blue shoe", "green kettle"]
    found = similar_pairs([("red shoe", "red shoe"), ("kettle", "red lamp")], products, 2)
    assert set(found[:2]) == {("red shoe", "red lamp"), ("red shoe", "blue shoe")}
    assert found[2:] == [("kettle", "green kettle")]


def test_a_teacher_that_reads_other_tokens_is_refused(finetune, whole):
    with pytest.raises(ConfigError, match="reads other tokens"):
        finetune("stranger", f"distill.teacher={whole['bundle']}", "backbone.tokenizer=bpe")
