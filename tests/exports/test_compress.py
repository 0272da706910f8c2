"""Exports of a whole bundle: they score as it does, and cannot be published when they do not."""

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import openvino
import pytest
from tests.serve.served_scores import evaluated, served
from tests.serve.whole import whole

from planogram import storage
from planogram.compress import run as compress
from planogram.config import EXPORTS, CompressConfig, EvaluateConfig, SplitConfig
from planogram.engines.base import score
from planogram.engines.load import check_engine, load_engine
from planogram.engines.openvino import can_run
from planogram.errors import ConfigError, NotFoundError, ParityError
from planogram.evaluate import offline
from planogram.registry.bundle import MANIFEST, check_engines, open_bundle, write_bundle
from planogram.registry.store import Registry

PAIRS = [
    ("red shoes", "a pair of shoes, red leather"),
    ("lamp", "blue kettle"),
    ("x", ""),
    ("red " * 40, "shoes " * 40),
]
SPLIT = SplitConfig(by="query")


@pytest.fixture(scope="module")
def compressed(tiny_bundle, tiny_shop, tmp_path_factory):
    out = str(tmp_path_factory.mktemp("compressed") / "bundle")
    config = CompressConfig(
        bundle=str(tiny_bundle), shop=tiny_shop, out=out, split=SPLIT, engines=("openvino-fp32", "openvino-int8")
    )
    return compress.run(config)


def test_the_float_export_scores_as_the_model_does(compressed, tiny_bundle):
    wanted = score(load_engine(str(tiny_bundle)), PAIRS, 64)
    found = score(load_engine(compressed["bundle"], "openvino-fp32"), PAIRS, 64)
    np.testing.assert_allclose(found.values, wanted.values, atol=1e-5)
    assert (found.truncated, found.num_tokens) == (wanted.truncated, wanted.num_tokens)


def test_every_export_says_how_far_it_is_off(compressed):
    parities = open_bundle(compressed["bundle"])[1].engines
    assert list(parities) == [name for name in EXPORTS if can_run(name)]
    assert parities["openvino-fp32"].max_difference < 1e-4
    assert 0 < parities["openvino-int8"].mean_difference < 0.1
    assert parities["openvino-int8"].pairs == compressed["pairs"] == 24
    assert all(compressed["engines"][name]["kendall_tau"] == parities[name].kendall_tau for name in parities)


@pytest.mark.parametrize(
    ("half", "whole"), [("openvino-bf16", "openvino-fp32"), ("openvino-int8-bf16", "openvino-int8")]
)
def test_an_export_runs_in_bfloat16_where_the_cpu_has_it_and_is_refused_elsewhere(compressed, half, whole):
    if not can_run(half):
        with pytest.raises(ConfigError, match="bfloat16"):
            load_engine(compressed["bundle"], half)
        return
    found, wanted = (score(load_engine(compressed["bundle"], name), PAIRS, 64).values for name in (half, whole))
    assert 0 < np.abs(found - wanted).max() < 0.05


def test_batches_of_any_shape_score_the_same(compressed):
    engine = load_engine(compressed["bundle"], "openvino-fp32")
    together = score(engine, PAIRS, 4096).values
    alone = np.concatenate([score(engine, [pair], 64).values for pair in PAIRS])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_the_shop_is_evaluated_by_an_engine(compressed, tiny_shop):
    config = EvaluateConfig(bundle=compressed["bundle"], shop=tiny_shop, split=SPLIT, workers=0)
    by_torch, by_openvino = (
        offline.run(config.model_copy(update={"engine": name}))["metrics"] for name in ("torch-fp32", "openvino-fp32")
    )
    assert by_openvino == pytest.approx(by_torch, abs=1e-4)


def test_an_export_that_is_not_there_is_named(tiny_bundle):
    with pytest.raises(NotFoundError, match="openvino-int8"):
        load_engine(str(tiny_bundle), "openvino-int8")


def remade(bundle: str, target: Path, **changes: object) -> str:
    """The bundle with another manifest, sealed anew."""
    folder, manifest = open_bundle(bundle)
    with write_bundle(str(target), manifest.model_copy(update=changes)) as aside:
        shutil.copytree(folder, aside, dirs_exist_ok=True, ignore=shutil.ignore_patterns(MANIFEST))
    return str(target)


def test_scores_over_http_are_those_of_the_export_and_as_far_off_as_its_parity_says(
    compressed, tiny_bundle, tiny_shop, tmp_path, monkeypatch
):
    monkeypatch.setenv("PLANOGRAM_HOME", str(tmp_path / "home"))
    parities = open_bundle(compressed["bundle"])[1].engines
    sound = {name: parity.model_copy(update={"faults": ()}) for name, parity in parities.items()}
    bundle = remade(compressed["bundle"], tmp_path / "sound", engines=sound)
    by_torch = evaluated(str(tiny_bundle), tiny_shop, "torch-fp32", "test")
    by_export = evaluated(bundle, tiny_shop, "openvino-int8", "test")
    assert len(by_torch) == parities["openvino-int8"].pairs
    found = served(whole(monkeypatch), bundle, tiny_shop, "openvino-int8", str(tmp_path / "indexes"))
    for route, scores in found.items():
        compared = {pair: scores[pair] for pair in by_torch}
        assert compared == pytest.approx(by_export, abs=1e-4), route
        furthest = max(abs(score - by_torch[pair]) for pair, score in compared.items())
        assert furthest == pytest.approx(parities["openvino-int8"].max_difference, abs=1e-4), route


def test_a_good_export_is_published_and_promoted(compressed, empty_home, monkeypatch, tmp_path):
    monkeypatch.setenv("PLANOGRAM_HOME", str(shutil.copytree(empty_home, tmp_path / "home")))
    parities = {
        name: parity.model_copy(update={"faults": ()})
        for name, parity in open_bundle(compressed["bundle"])[1].engines.items()
    }
    version = Registry().publish(remade(compressed["bundle"], tmp_path / "good", engines=parities), "tiny", "good")
    assert Registry().promote(version.reference, "champion", "good").aliases == ("champion",)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"engines": {}}, "never compared"),
        ({"max_tokens": 8}, "not what was compared"),
        ({"pad_id": 1}, "not what was compared"),
    ],
)
def test_what_was_changed_after_its_comparison_is_refused(changes, reason, compressed, tmp_path):
    with pytest.raises(ParityError, match=reason):
        Registry().publish(remade(compressed["bundle"], tmp_path / "bad", **changes), "tiny", "bad")


def test_what_is_beyond_its_tolerance_is_refused(compressed, tmp_path):
    parities = open_bundle(compressed["bundle"])[1].engines
    worse = {name: parity.model_copy(update={"faults": ("it ranks badly",)}) for name, parity in parities.items()}
    with pytest.raises(ParityError, match="it ranks badly"):
        Registry().publish(remade(compressed["bundle"], tmp_path / "bad", engines=worse), "tiny", "bad")


def test_another_precision_of_a_sound_export_is_published_but_not_served_where_it_ranks_badly(compressed, tmp_path):
    half, whole = "openvino-int8-bf16", "openvino-int8"
    measured = open_bundle(compressed["bundle"])[1]
    assert measured.subject(half) == measured.engines[whole].subject
    good = {name: measured.engines[name].model_copy(update={"faults": ()}) for name in ("openvino-fp32", whole)}
    bad = good[whole].model_copy(update={"faults": ("it ranks badly",)})
    path = remade(compressed["bundle"], tmp_path / "half", engines={**good, half: bad})
    folder, manifest = open_bundle(path)
    check_engines(manifest)
    check_engine(folder, manifest, whole)
    with pytest.raises(ParityError, match="it ranks badly"):
        check_engine(folder, manifest, half)
    with pytest.raises(ParityError, match="never compared"):
        check_engine(folder, manifest, "openvino-bf16")


def test_texts_of_any_length_share_the_kernels_of_a_few(compressed, monkeypatch):
    seen = []
    monkeypatch.setattr(openvino.InferRequest, "start_async", record(openvino.InferRequest.start_async, seen))
    engine = load_engine(compressed["bundle"], "openvino-fp32", 2)
    longest = engine.manifest.max_tokens
    pairs = [("red", " ".join(["chair"] * count)) for count in range(1, longest + 4)]
    alone = np.concatenate([score(engine, [pair], 4096).values for pair in pairs])
    assert set(seen) == {*range(8, longest, 8), longest}
    by_torch = score(load_engine(compressed["bundle"]), pairs, 4096).values
    np.testing.assert_allclose(alone, by_torch, atol=1e-5)


def record(start, seen):
    def recording(request, arrays, **options):
        seen.append(arrays[0].shape[1])
        return start(request, arrays, **options)

    return recording


@pytest.mark.parametrize("threads", [1, 3])
def test_a_batch_is_shared_out_among_streams_and_its_rows_keep_their_order(compressed, threads):
    engine = load_engine(compressed["bundle"], "openvino-fp32", threads)
    pairs = [("red", " ".join(["chair"] * count)) for count in range(1, 8)]
    expected = score(load_engine(compressed["bundle"]), pairs, 4096).values

    def scored(count):
        return engine.finish(engine.infer(engine.tokenize(pairs[:count])))

    for count in (1, 2, 3, 7):
        np.testing.assert_allclose(scored(count), expected[:count], atol=1e-5)
    with ThreadPoolExecutor(2) as pool:
        for found in pool.map(scored, [7] * 8):
            np.testing.assert_allclose(found, expected, atol=1e-5)


def _threads() -> set[str]:
    return {thread.name for thread in Path("/proc/self/task").iterdir()}


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_may_run_on_any_core(compressed, threads):
    """Else those of all replicas of a machine would share its first cores."""
    whole, others = os.sched_getaffinity(0), _threads()
    looked = 0
    engine = load_engine(compressed["bundle"], "openvino-fp32", threads)
    tokens = engine.tokenize([("red", "chair " * 40)] * 64)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(lambda: [engine.infer(tokens) for _ in range(20)])
        while not running.done():
            for thread in _threads() - others:
                with suppress(ProcessLookupError):  # it ended
                    assert os.sched_getaffinity(int(thread)) == whole
                    looked += 1
    assert looked and len(running.result()) == 20


def test_a_stream_that_fails_leaves_the_engine_usable(compressed, monkeypatch):
    engine = load_engine(compressed["bundle"], "openvino-fp32", 2)
    tokens = engine.tokenize([("red", "chair"), ("blue", "lamp")])
    before, waited, wait = engine.infer(tokens), [], openvino.InferRequest.wait

    def first_fails(request):
        wait(request)
        waited.append(request)
        if len(waited) == 1:
            raise RuntimeError("no memory")

    monkeypatch.setattr(openvino.InferRequest, "wait", first_fails)
    with pytest.raises(RuntimeError, match="no memory"):
        engine.infer(tokens)
    assert len(waited) == 2, "the other stream is still at work"
    np.testing.assert_array_equal(engine.infer(tokens), before)


def test_a_vocabulary_of_the_shops_tokens_scores_the_same(tiny_bundle, tiny_shop, tmp_path):
    asked = CompressConfig(
        bundle=str(tiny_bundle),
        shop=tiny_shop,
        out=str(tmp_path / "b"),
        split=SPLIT,
        engines=("openvino-fp32",),
        vocabulary="shop",
    )
    made = compress.run(asked)
    small, whole = (load_engine(bundle) for bundle in (made["bundle"], str(tiny_bundle)))
    sizes = [engine.model.backbone.config.vocab_size for engine in (small, whole)]
    assert sizes[0] == small.tokenizer.tokenizer.get_vocab_size() < sizes[1]
    assert made["engines"]["openvino-fp32"]["faults"] == []
    known = [("red chair", "red leather chair"), ("blue lamp", "blue wooden lamp")]
    np.testing.assert_allclose(score(small, known, 512).values, score(whole, known, 512).values, atol=1e-6)


def test_a_bundle_with_exports_is_exported_anew(compressed, tiny_shop, tmp_path):
    again = CompressConfig(
        bundle=compressed["bundle"], shop=tiny_shop, out=str(tmp_path / "b"), split=SPLIT, engines=("openvino-fp32",)
    )
    _, manifest = open_bundle(compress.run(again)["bundle"])
    assert list(manifest.engines) == [name for name in ("openvino-fp32", "openvino-bf16") if can_run(name)]
    assert not any("int8" in name for name in manifest.files)


def test_where_a_bundle_comes_from_stands_in_it(compressed, tiny_bundle):
    manifest = json.loads(Path(compressed["bundle"], MANIFEST).read_text())
    assert manifest["lineage"]["compressed"]["from"] == Registry().resolve(str(tiny_bundle)).digest
    assert storage.exists(storage.join(compressed["bundle"], "engines", "openvino-int8", "model.bin"))
