"""The whole server on a real Ray Serve, with a tiny model made on the spot."""

import concurrent.futures
import os
import signal
import socket
import time

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.torch import save_file

from planogram import storage
from planogram.config import BackboneConfig
from planogram.data.schema import PRODUCTS, SHOP_MANIFEST
from planogram.engines.base import score
from planogram.engines.torch import TorchEngine
from planogram.errors import ClusterError
from planogram.models.backbone import load_backbone
from planogram.models.heads import CrossEncoder, seed_everything
from planogram.registry.bundle import WEIGHTS, BundleManifest, Head, write_bundle
from planogram.serve.haproxy import free_ports
from planogram.serve.launch import IMPORT_PATH, serving
from planogram.serve.texts import pair_texts

pytestmark = pytest.mark.ray

WORDS = ("red", "blue", "running", "trail", "shoes", "lamp", "desk", "chair", "leather", "wool", "shirt", "small")
FIELDS = ("title", "brand", "description")


def text(seed, length):
    return " ".join(WORDS[(seed * 7 + i * (seed % 5 + 1)) % len(WORDS)] for i in range(length))


ROWS = [
    {
        "product_id": f"p-{number}",
        "title": text(number, 4),
        "description": text(number + 1, 30),
        "brand": ("Acme", "O'Neill", None)[number % 3],
        "price": float(number),
        "stock": number % 2,
        "currency": "EUR",
    }
    for number in range(60)
]


def write_model(folder):
    seed_everything(0)
    scratch = BackboneConfig(name="scratch", hidden_size=32, layers=1, attention_heads=2)
    backbone, tokenizer = load_backbone(scratch, [f"{row['title']} {row['description']}" for row in ROWS], 64)
    model = CrossEncoder(backbone, ["relevance"], "mean", 0.0)
    manifest = BundleManifest(
        name="tiny",
        heads=(Head(name="relevance"),),
        backbone="scratch",
        pooling="mean",
        text_fields=FIELDS,
        max_tokens=64,
        pad_id=tokenizer.token_to_id("[PAD]"),
    )
    with write_bundle(str(folder), manifest) as aside:
        save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, aside / WEIGHTS)
        backbone.config.save_pretrained(aside)
        tokenizer.save(str(aside / "tokenizer.json"))
    return str(folder)


def write_shop(folder):
    with storage.sealed_folder(str(folder), SHOP_MANIFEST) as (aside, _):
        (aside / "products").mkdir()
        pq.write_table(pa.Table.from_pylist(ROWS, schema=PRODUCTS.arrow_schema), aside / "products" / "0.parquet")
    return str(folder)


def config(bundle, shop, indexes, ranker=None):
    ranker = {"name": "Ranker", "autoscaling_config": {"min_replicas": 1, "max_replicas": 1}, **(ranker or {})}
    return {
        "http_options": {"port": free_ports(1)[0], "request_timeout_s": 15},
        "applications": [
            {
                "name": "planogram",
                "import_path": IMPORT_PATH,
                "args": {"ranker": bundle, "shop": shop, "retriever": {"folder": indexes}, "engine": {"threads": 1}},
                "deployments": [ranker],
            }
        ],
    }


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("serve")


@pytest.fixture(scope="module")
def bundle(place):
    return write_model(place / "tiny")


@pytest.fixture(scope="module")
def shop(place):
    return write_shop(place / "shop")


@pytest.fixture(scope="module")
def server(ray_cluster, bundle, shop, place):
    few = {"max_ongoing_requests": 4, "max_queued_requests": 4}
    with serving(config(bundle, shop, str(place / "indexes"), few)) as running:
        yield running


@pytest.fixture
def client(server):
    with httpx.Client(base_url=server.url, timeout=30) as opened:
        yield opened


@pytest.fixture(scope="module")
def engine(bundle):
    return TorchEngine(bundle)


def expected(engine, query, documents):
    return score(engine, pair_texts(query, documents, FIELDS), 4096).values[:, 0]


# Before the tests with `server`: a cluster has one Ray Serve, and this one ends with the test.
def test_a_flipped_bit_does_not_start(ray_cluster, shop, place):
    folder = place / "damaged"
    write_model(folder)
    weights = folder / WEIGHTS
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    values = config(str(folder), shop, str(place / "indexes"))
    with pytest.raises(ClusterError, match=rf"damaged/{WEIGHTS} is damaged"), serving(values):
        pass


def test_rerank_gives_the_engines_scores(client, engine):
    documents = [text(number, 3 + number * 4) for number in range(20)]
    answer = client.post("/v1/rerank", json={"query": "red shoes", "documents": documents}).json()
    results = sorted(answer["results"], key=lambda result: result["index"])
    scores = [result["relevance_score"] for result in results]
    np.testing.assert_allclose(scores, expected(engine, "red shoes", documents), atol=1e-5)
    assert [result.get("truncated", False) for result in results][-1] is True
    assert answer["usage"]["total_tokens"] > 0


def test_search_gives_the_engines_scores_of_the_products_text(client, engine):
    filters = {"brand": ["O'Neill"], "in_stock": True}
    answer = client.post("/search", json={"query": "red shoes", "filters": filters, "top_k": 50}).json()
    rows = {row["product_id"]: row for row in ROWS}
    found = [rows[result["product_id"]] for result in answer["results"]]
    assert found and all(row["brand"] == "O'Neill" and row["stock"] for row in found)
    scores = [result["score"] for result in answer["results"]]
    np.testing.assert_allclose(scores, expected(engine, "red shoes", found), atol=1e-5)
    assert scores == sorted(scores, reverse=True)
    assert answer["degraded"] is False
    assert answer["results"][0]["price"] == found[0]["price"]
    assert answer["model"] == {
        "name": "tiny",
        "version": 0,
        "digest": client.get("/v1/models").json()["data"][0]["digest"],
    }


def test_status_routes_answer(client):
    assert client.get("/healthz").status_code == client.get("/readyz").status_code == 200
    assert client.get("/docs").status_code == client.get("/openapi.json").status_code == 200


def test_requests_together_get_their_own_scores(client, engine):
    def ask(number):
        documents = [text(number + i, 5) for i in range(3)]
        answer = client.post("/v1/rerank", json={"query": text(number, 2), "documents": documents})
        return number, documents, answer

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for number, documents, answer in pool.map(ask, range(24)):
            results = sorted(answer.json()["results"], key=lambda result: result["index"])
            scores = [result["relevance_score"] for result in results]
            np.testing.assert_allclose(scores, expected(engine, text(number, 2), documents), atol=1e-5)


def test_too_many_requests_are_shed_and_the_rest_answered(server, client):
    body = {"query": "red", "documents": [text(number, 60) for number in range(200)]}
    with concurrent.futures.ThreadPoolExecutor(24) as pool:
        send = lambda _: httpx.post(f"{server.url}/v1/rerank", json=body, timeout=60)  # noqa: E731 - a test's shorthand
        answers = list(pool.map(send, range(48)))
    codes = [answer.status_code for answer in answers]
    assert set(codes) <= {200, 503, 504} and 200 in codes and 503 in codes
    assert all(answer.headers["retry-after"] == "1" for answer in answers if answer.status_code == 503)
    assert client.post("/v1/rerank", json={"query": "red", "documents": ["a"]}).status_code == 200


def test_a_chunked_body_is_counted(server):
    def body():
        for _ in range(40):
            yield b" " * 10_000

    headers = {"content-type": "application/json"}
    assert httpx.post(f"{server.url}/search", content=body(), headers=headers).status_code == 413


@pytest.mark.parametrize(
    "header", [b"x-request-id: \xff\xfe", b"x-request-timeout-seconds: \xff", b"serve_multiplexed_model_id: \xff"]
)
def test_headers_that_would_break_ray_are_harmless(server, header):
    url = httpx.URL(server.url)
    with socket.create_connection((url.host, url.port), timeout=10) as raw:
        raw.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + header + b"\r\n\r\n")
        assert raw.recv(100).startswith((b"HTTP/1.1 200", b"HTTP/1.1 400"))


def test_a_killed_ranker_costs_no_search(client):
    import ray
    from ray.util.state import list_actors

    # Said outright: another cluster may run on this machine.
    address = ray.get_runtime_context().gcs_address
    pids = [
        actor.pid
        for actor in list_actors(address, filters=[("state", "=", "ALIVE")], detail=True)
        if (actor.name or "").startswith("SERVE_REPLICA::planogram#Ranker")
    ]
    assert len(pids) == 1
    os.kill(pids[0], signal.SIGKILL)
    reasons = set()
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        answer = client.post("/search", json={"query": "red shoes"})
        assert answer.status_code == 200, answer.text
        assert answer.json()["results"]
        reasons.add(answer.json()["reason"])
        if reasons - {None} and not answer.json()["degraded"]:
            break
        time.sleep(0.2)
    assert not client.post("/search", json={"query": "red shoes"}).json()["degraded"]
    assert reasons - {None} <= {"ranker_unavailable", "ranker_late", "ranker_overloaded", "ranker_failed"}
