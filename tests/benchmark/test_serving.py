"""The benchmark of serving over targets that are stubs: rounds, rows, what is left out, and the report."""

import json
import shutil
from contextlib import contextmanager

import pytest
from tests.benchmark.conftest import answering, ranking, response

from planogram import storage
from planogram.benchmark import serving
from planogram.benchmark.bodies import Texts, Workload
from planogram.benchmark.columns import Column, columns, serve_config
from planogram.benchmark.load.plan import Load, Sample
from planogram.benchmark.load.summary import summarize
from planogram.benchmark.measure import check as answered_rightly
from planogram.benchmark.measure import load_name, measure_server
from planogram.benchmark.serving_report import page, render
from planogram.benchmark.spawn import TargetError
from planogram.benchmark.targets import FLAGS, Running
from planogram.config import BenchmarkServingConfig
from planogram.errors import ConfigError
from planogram.section import parse
from planogram.serve.launch import check

from ..conftest import tiny_products

REQUESTS = {"documents": 2, "tokens": 12, "distinct": 3}
SHORT = {"seconds": 0.3, "warmup_s": 0.05, "recovery_s": 0.3, "rounds": 2, "clients": [1, 2], "threads": 1}


def config(bundle, **given):
    return parse(BenchmarkServingConfig, {"bundle": str(bundle), "requests": REQUESTS, **SHORT, **given}, "a test")


class Target:
    def __init__(self, name, url="", fails=""):
        self.name, self.url, self.fails, self.starts = name, url, fails, 0

    @contextmanager
    def started(self):
        import os

        self.starts += 1
        if self.fails:
            raise TargetError(self.fails)
        yield Running(self.url, os.getpid())


class Here:
    """The generator without its process."""

    def run(self, plan):
        from planogram.benchmark.load.clients import generate

        return generate(plan)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def figures(**given):
    return {**summarize(Load([Sample(0, 0.02, 200)], 1.0, 0.0), 10), **given}


async def rank_all(body):
    asked = json.loads(body)
    return response(200, ranking([0.5] * len(asked["documents"])), Server_Timing="rank;dur=0.1")


@pytest.fixture(scope="module")
def measured(empty_home, tmp_path_factory, tiny_bundle):
    home = shutil.copytree(empty_home, tmp_path_factory.mktemp("serving") / "home")
    with answering() as stub, pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("PLANOGRAM_HOME", str(home))
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        stub.reply = rank_all
        return measure(tiny_bundle, stub, monkeypatch)


def measure(tiny_bundle, stub, monkeypatch):
    from planogram.benchmark.bodies import rerank

    asked = config(tiny_bundle, loads=[0.5, 3.0])
    made = {"rerank": rerank(Texts(str(tiny_bundle), None, asked.requests))}
    targets = [Target("ours", stub.url), Target("peer", stub.url), Target("broken", fails="no port")]
    monkeypatch.setattr(serving, "columns", lambda *_: [Column(one, "openvino-int8", made) for one in targets])
    loop = {("rerank", load_name(1)): figures(server_cpu=1.0, cpu_ms=20.0, offered_per_s=None, normal_after_s=None)}
    monkeypatch.setattr(serving, "measure_engine", lambda *_: loop)
    monkeypatch.setattr(serving, "Generator", Here)
    monkeypatch.setattr(serving, "machine", lambda threads: {"cpu": "a CPU", "threads": threads})
    return serving.run(asked), targets


def test_every_target_is_measured_under_every_load(measured):
    result, targets = measured
    loads = ["1 clients", "2 clients", "0.5x", "3x"]
    found = [(row["target"], row["load"]) for row in result["rows"]]
    assert found == [
        ("engine/openvino-int8", "1 clients"),
        *((name, load) for name in ("ours", "peer") for load in loads),
    ]
    assert [target.starts for target in targets] == [2, 2, 1]
    assert all(row["success"] == 1 and row["requests"] > 1 for row in result["rows"] if row["target"] != "engine")


def test_rows_stand_beside_their_engine(measured):
    rows = {(row["target"], row["load"]): row for row in measured[0]["rows"]}
    row = rows["ours", "1 clients"]
    assert row["overhead_ms"] == pytest.approx(row["p50_ms"] - 20)
    assert row["of_engine"] == pytest.approx(row["pairs_per_s"] / 10)
    assert rows["ours", "2 clients"]["overhead_ms"] is None and rows["ours", "2 clients"]["of_engine"] > 0
    assert row["stages"].keys() == {"rank", "rest"} and row["server_cpu"] >= 0


def test_arrivals_are_shares_of_the_capacity_and_recovery_is_watched(measured):
    rows = {(row["target"], row["load"]): row for row in measured[0]["rows"]}
    half, triple = rows["ours", "0.5x"]["offered_per_s"], rows["ours", "3x"]["offered_per_s"]
    assert triple == pytest.approx(6 * half) and half > 0
    assert rows["ours", "0.5x"]["normal_after_s"] is None and rows["ours", "1 clients"]["offered_per_s"] is None


def test_what_does_not_run_is_left_out_with_its_reason(measured):
    assert measured[0]["left_out"] == {"broken": "no port"}


def test_the_result_is_kept_with_a_picture_and_a_page(measured):
    result, _ = measured
    assert storage.read_json(result["file"])["rows"] == result["rows"]
    assert storage.read_bytes(result["plot"]).startswith(b"\x89PNG")
    html = storage.read_bytes(result["page"]).decode()
    assert all(word in html for word in ("ours", "peer", "no port", "overhead", "data:image/png;base64,"))


def test_a_report_names_what_its_figures_do_not_say(measured):
    result, _ = measured
    tower = result | {"model": result["model"] | {"tower": True}}
    assert "scores do not" in page(result, b"").decode() and "tower" not in page(result, b"").decode()
    assert "tower beside its text" in page(tower, b"").decode()
    assert render(result).renderables[0].columns[0].header == "target"


def test_an_answer_without_all_scores_is_no_measurement(stub, tiny_bundle):
    from planogram.benchmark.bodies import rerank

    async def one(_):
        return response(200, ranking([0.5]))

    stub.reply = one
    asked = config(tiny_bundle)
    column = Column(
        Target("x", stub.url), "torch-fp32", {"rerank": rerank(Texts(str(tiny_bundle), None, asked.requests))}
    )
    with pytest.raises(TargetError, match="every document"):
        measure_server(asked, column, Here())


def test_columns_are_ours_with_every_engine_flags_and_cache_and_the_peers(tiny_bundle, tiny_shop):
    asked = config(
        tiny_bundle,
        shop=tiny_shop,
        workloads=["rerank", "search", "cached"],
        flags=["none", "both"],
        peers=["sentence-transformers"],
        cache_on={"limits": {"request_timeout_s": 9.0}},
    )
    made = columns(asked, str(tiny_bundle), Texts(str(tiny_bundle), tiny_shop, asked.requests))
    names = [f"planogram/openvino-int8/{flags}{cache}" for flags in ("none", "both") for cache in ("", "/cache")]
    assert [column.target.name for column in made] == [*names, "sentence-transformers"]
    assert [list(column.workloads) for column in made[:2]] == [["rerank", "search", "cached"], ["cached"]]
    assert made[-1].workloads["rerank"].path == "/rerank"
    plain, cached = (column.target.config["applications"][0]["args"] for column in made[:2])
    assert "limits" not in plain and cached["limits"] == {"request_timeout_s": 9.0}
    for column in made[:-1]:
        check(column.target.config)


def test_prices_are_served_by_the_demand_model(tiny_bundle, make_shop):
    shop = make_shop(products=[row | {"price": 9.0} for row in tiny_products()])
    asked = config(tiny_bundle, shop=shop, workloads=["price"], demand="shop-demand@champion", peers=[])
    (column,) = columns(asked, str(tiny_bundle), Texts(str(tiny_bundle), shop, asked.requests))
    (application,) = column.target.config["applications"]
    assert application["args"]["pricing"]["demand"] == "shop-demand@champion"
    assert "Pricer" in [one["name"] for one in application["deployments"]]
    check(column.target.config)


def test_a_fallback_s_answer_is_no_measurement(stub, tiny_bundle):
    async def degraded(_):
        return response(200, b'{"degraded": true, "reason": "the ranker is late"}')

    stub.reply = degraded
    with pytest.raises(TargetError, match="the ranker is late"):
        answered_rightly(Running(stub.url, 0), Workload("/search", [b"{}"], [0], 1, []))


def test_flags_are_those_of_ray():
    assert len({tuple(values.items()) for values in FLAGS.values()}) == 4
    assert set(FLAGS["both"].values()) == {"1"} and set(FLAGS["none"].values()) == {"0"}


def test_a_config_names_the_deployments_that_there_are():
    for routes, names in ((["rerank"], {"Gateway", "Ranker"}), (["search"], {"Gateway", "Retriever", "Ranker"})):
        made = serve_config({"routes": routes}, {"max_ongoing_requests": 7})["applications"][0]["deployments"]
        assert {one["name"] for one in made} == names and made[-1]["max_ongoing_requests"] == 7


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"workloads": ["search"]}, "needs `shop`"),
        ({"workloads": ["price"], "shop": "x"}, "needs `demand`"),
        ({"requests": {"tokens": None}}, "name `shop`"),
        ({"flag": 1}, "flags"),
    ],
)
def test_a_config_that_cannot_be_is_refused(tiny_bundle, given, said):
    with pytest.raises(ConfigError, match=said):
        config(tiny_bundle, **given)
