"""The published clients of Cohere and OpenAI, and requests as clients of Jina and TEI send them, over a real socket."""

import asyncio
import base64
import socket
import threading

import cohere
import httpx
import numpy as np
import openai
import pytest
import uvicorn

from planogram.errors import OverloadedError

QUERY = "red shoes"
DOCUMENTS = ["blue lamp", "red shoes", "red one two three four five six seven"]
ORDER = [1, 2, 0]
ONCE = {"max_retries": 0}


@pytest.fixture
def url(make_client, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(make_client().app, log_level="warning", lifespan="off"))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(timeout=10)
    assert not thread.is_alive()


@pytest.fixture
def co(url):
    return cohere.ClientV2(api_key="unused", base_url=url)


@pytest.fixture
def oa(url):
    with openai.OpenAI(api_key="unused", base_url=f"{url}/v1", max_retries=0) as client:
        yield client


def test_cohere_reranks(co):
    answer = co.rerank(model="fake", query=QUERY, documents=DOCUMENTS)
    assert [result.index for result in answer.results] == ORDER
    scores = [result.relevance_score for result in answer.results]
    assert scores == sorted(scores, reverse=True) and scores[0] == pytest.approx(0.880797)
    assert answer.id and answer.meta.api_version.version == "2" and answer.meta.billed_units.search_units == 1
    assert len(answer.meta.warnings) == 1


def test_cohere_reranks_the_best_only_with_every_option(co):
    answer = co.rerank(model="fake:3", query=QUERY, documents=DOCUMENTS, top_n=1, max_tokens_per_doc=4096, priority=0)
    assert [result.index for result in answer.results] == ORDER[:1]


def test_cohere_asynchronously(url):
    async def ask():
        client = cohere.AsyncClientV2(api_key="unused", base_url=url)
        return await client.rerank(model="fake", query=QUERY, documents=DOCUMENTS)

    assert [result.index for result in asyncio.run(ask()).results] == ORDER


def test_cohere_raises_its_own_errors(co, backend):
    with pytest.raises(cohere.errors.NotFoundError) as missing:
        co.rerank(model="other", query=QUERY, documents=DOCUMENTS)
    assert missing.value.body["id"] and "fake" in missing.value.body["message"]
    with pytest.raises(cohere.errors.UnprocessableEntityError) as invalid:
        co.rerank(model="fake", query=QUERY, documents=[])
    assert "documents" in invalid.value.body["message"]
    backend.ranker_error = OverloadedError("the ranker has too many requests")
    with pytest.raises(cohere.errors.ServiceUnavailableError):
        co.rerank(model="fake", query=QUERY, documents=DOCUMENTS, request_options=ONCE)


def test_cohere_comes_again_when_the_server_was_busy(co, backend, monkeypatch):
    monkeypatch.setattr("cohere.core.http_client.time.sleep", lambda _: setattr(backend, "ranker_error", None))
    backend.ranker_error = OverloadedError("the ranker has too many requests")
    assert len(co.rerank(model="fake", query=QUERY, documents=DOCUMENTS).results) == 3


def test_openai_embeds(oa, fake_vector):
    answer = oa.embeddings.create(model="fake-embedder", input=DOCUMENTS)
    assert [item.index for item in answer.data] == [0, 1, 2]
    for text, item in zip(DOCUMENTS, answer.data, strict=True):
        assert item.embedding == fake_vector(text).tolist()
    assert answer.model == "fake-embedder" and answer.usage.total_tokens == answer.usage.prompt_tokens > 0


def test_openai_asks_for_floats_base64_and_fewer_dimensions(oa):
    floats, text = (
        oa.embeddings.create(model="fake-embedder", input=QUERY, encoding_format=encoding, user="u").data[0].embedding
        for encoding in ("float", "base64")
    )
    np.testing.assert_array_equal(np.frombuffer(base64.b64decode(text), "<f4"), np.asarray(floats, dtype=np.float32))
    short = oa.embeddings.create(model="fake-embedder", input=QUERY, dimensions=3).data[0].embedding
    assert len(short) == 3 and np.linalg.norm(short) == pytest.approx(1)


def test_openai_lists_the_models(oa):
    assert [(model.id, model.owned_by) for model in oa.models.list()] == [
        ("fake", "planogram"),
        ("fake-embedder", "planogram"),
    ]


def test_openai_raises_its_own_errors(oa, backend):
    with pytest.raises(openai.NotFoundError) as missing:
        oa.embeddings.create(model="text-embedding-3-small", input=QUERY)
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as invalid:
        oa.embeddings.create(model="fake-embedder", input=[[1, 2], [3]])
    assert (invalid.value.type, invalid.value.param) == ("invalid_request_error", "input")
    backend.embedder_error = OverloadedError("the embedder has too many requests")
    with pytest.raises(openai.InternalServerError) as busy:
        oa.embeddings.create(model="fake-embedder", input=QUERY)
    assert busy.value.response.headers["retry-after"] == "1"


@pytest.mark.parametrize("path", ["/v1/rerank", "/rerank"])
def test_a_jina_client(url, path):
    body = {"model": "fake", "query": QUERY, "documents": DOCUMENTS, "top_n": 2, "return_documents": False}
    answer = httpx.post(f"{url}{path}", json=body, headers={"Authorization": "Bearer unused"}).json()
    assert [result["index"] for result in answer["results"]] == ORDER[:2]
    assert set(answer) == {"model", "id", "usage", "results"} and answer["usage"]["total_tokens"] > 0


def test_a_tei_client(url):
    body = {"query": QUERY, "texts": DOCUMENTS, "raw_scores": False, "return_text": True, "truncate": True}
    answer = httpx.post(f"{url}/rerank", json=body).json()
    assert [DOCUMENTS[rank["index"]] for rank in answer] == [rank["text"] for rank in answer]
    assert [rank["index"] for rank in answer] == ORDER
    refused = httpx.post(f"{url}/rerank", json={"query": QUERY, "texts": DOCUMENTS})
    assert refused.status_code == 413 and refused.json()["error_type"] == "validation"


def test_a_vllm_client(url):
    body = {"model": "fake", "encoding_format": "float", "text_1": QUERY, "text_2": DOCUMENTS}
    answer = httpx.post(f"{url}/v1/score", json=body).json()
    assert [item["index"] for item in answer["data"]] == [0, 1, 2]
    assert sorted(range(3), key=lambda index: -answer["data"][index]["score"]) == ORDER
