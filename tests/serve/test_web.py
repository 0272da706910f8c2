import re

import pytest

from planogram.serve.answers import RecommendResponse, SearchResponse
from planogram.serve.dialects.jina import JinaRequest, JinaResponse
from planogram.serve.schemas import RecommendRequest, SearchRequest

REQUESTS = {"/search": SearchRequest, "/recommend": RecommendRequest, "/v1/rerank": JinaRequest}
MODELS = (*REQUESTS.values(), SearchResponse, RecommendResponse, JinaResponse)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_example_fits_its_schema(model):
    for example in model.model_config["json_schema_extra"]["examples"]:
        model.model_validate(example)


@pytest.mark.parametrize("path", REQUESTS)
def test_request_examples_are_answered(client, path):
    for example in REQUESTS[path].model_config["json_schema_extra"]["examples"]:
        body = {**example, "model": "fake"} if "model" in example else example
        assert client.post(path, json=body).status_code == 200


def test_openapi_names_routes_limits_and_errors(client):
    spec = client.get("/openapi.json").json()
    assert set(spec["paths"]) == {
        "/search",
        "/recommend",
        "/ingest/products",
        "/v1/rerank",
        "/v2/rerank",
        "/rerank",
        "/v1/score",
        "/v1/embeddings",
        "/v1/models",
        "/healthz",
        "/readyz",
    }
    search = spec["paths"]["/search"]["post"]
    assert {"200", "400", "413", "422", "503"} <= set(search["responses"])
    assert spec["components"]["schemas"]["SearchRequest"]["properties"]["top_k"]["maximum"] == 200
    assert client.get("/docs").status_code == 200


def test_importing_the_application_starts_nothing():
    import subprocess
    import sys

    code = "import sys, planogram.serve.app, planogram.serve.launch; assert 'ray' not in sys.modules, 'ray'"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_an_answer_says_what_it_waited_for(client, backend):
    backend.delay_s = 0.03
    timing = client.post("/search", json={"query": "red shoes"}).headers["server-timing"]
    found = {name: float(value) for name, value in re.findall(r"(\w+);dur=([0-9.]+)", timing)}
    assert found.keys() == {"retrieve", "rank"} and found["rank"] >= 30 > found["retrieve"]
    assert "server-timing" not in client.get("/healthz").headers
