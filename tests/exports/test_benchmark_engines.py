"""Every variant in a process of its own, on a tiny bundle."""

import pytest

from planogram import storage
from planogram.benchmark import engines
from planogram.benchmark.variants import shaped
from planogram.compress import run as compress
from planogram.config import BenchmarkEnginesConfig, CompressConfig, SplitConfig
from planogram.data.tokenizer import Tokens

SPLIT = SplitConfig(by="query")


@pytest.fixture(scope="module")
def measured(tiny_bundle, tiny_shop, empty_home, tmp_path_factory):
    home = tmp_path_factory.mktemp("bench")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLANOGRAM_HOME", str(home))
        out = str(home / "bundle")
        compress.run(
            CompressConfig(bundle=str(tiny_bundle), shop=tiny_shop, out=out, split=SPLIT, engines=("openvino-fp32",))
        )
        config = BenchmarkEnginesConfig(
            bundle=out, shop=tiny_shop, split=SPLIT, shapes=("2x8", "1x16"), rounds=2, repeats=2, pairs=16, threads=1
        )
        yield engines.run(config)


def test_every_engine_is_measured_at_every_shape(measured):
    found = [(row["variant"], row["shape"]) for row in measured["variants"]]
    names = ["torch-fp32", "openvino-fp32", "onnxruntime-int8"]
    # The second precision of the same export runs where the CPU has bfloat16.
    names[2:2] = ["openvino-bf16"] if "openvino-bf16" not in measured["left_out"] else []
    assert found == [(name, shape) for name in names for shape in ("2x8", "1x16")]
    assert all(
        row["pairs_per_s"] > 0 and row["rss_mb"] > 50 and row["mixed_pairs_per_s"] > 0 for row in measured["variants"]
    )


def test_a_share_of_the_machines_rate_is_used(measured):
    assert measured["machine"]["int8_macs_per_s"] > 1e9
    assert all(0 < row["int8_share"] < 1 for row in measured["variants"])


def test_quality_is_that_of_the_shops_pairs(measured):
    by_name = {row["variant"]: row for row in measured["variants"]}
    assert by_name["openvino-fp32"]["kendall_tau"] == pytest.approx(1)
    assert by_name["openvino-fp32"]["ndcg_at_10"] == pytest.approx(by_name["torch-fp32"]["ndcg_at_10"])
    assert by_name["onnxruntime-int8"]["kendall_tau"] > 0.5


def test_what_cannot_run_is_named_and_the_rest_goes_on(measured):
    assert set(measured["left_out"]) <= {"openvino-bf16"}
    assert all("bfloat16" in reason for reason in measured["left_out"].values())


def test_the_result_is_kept_with_a_picture_and_a_page(measured):
    assert storage.read_json(measured["file"])["variants"] == measured["variants"]
    assert all(storage.exists(measured[name]) for name in ("plot", "page"))


def test_a_pruned_bundle_is_measured_beside_the_whole_one():
    asked = CompressConfig(bundle="whole@champion", shop="s", prune={"flops": 0.5})
    config = engines.beside(asked, "/home/compressed/whole-1234")
    assert (config.name, config.bundle, config.smaller) == (
        "whole-1234",
        "whole@champion",
        ("/home/compressed/whole-1234",),
    )
    alone = engines.beside(asked.model_copy(update={"prune": None}), "/home/compressed/whole-5678/")
    assert (alone.name, alone.bundle, alone.smaller) == ("whole-5678", "/home/compressed/whole-5678/", ())


def test_shapes_are_exact():
    tokens = Tokens([[1, 5, 2], [1, 6, 7, 8, 2]], [[0, 0, 0], [0, 0, 1, 1, 1]], [False, False])
    made = shaped(tokens, 3, 4)
    assert made.input_ids == [[1, 5, 2, 5], [1, 6, 7, 8], [1, 5, 2, 5]]
    assert made.token_type_ids == [[0, 0, 0, 0], [0, 0, 1, 1], [0, 0, 0, 0]]
