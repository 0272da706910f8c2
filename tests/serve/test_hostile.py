"""Whatever comes in, nothing comes out as 5xx, and every answer is JSON."""

import json
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

POSTED = ["/search", "/recommend", "/v1/rerank", "/v2/rerank", "/rerank", "/v1/score", "/v1/embeddings"]
PATHS = st.sampled_from(POSTED)
TEXT = st.text(st.characters(), max_size=60) | st.sampled_from(
    [
        "\ud800",
        "\x00",
        "\x1b[2J",
        "\u202e",
        "'; DROP TABLE products; --",
        '" OR 1=1',
        "((((",
        "*",
        "\\",
        "${jndi:x}",
        " ",
    ]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.integers(10**300, 10**320) | st.floats(allow_nan=True) | TEXT
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4))
FIELDS = st.sampled_from(
    [
        "query",
        "filters",
        "candidates",
        "num_candidates",
        "top_k",
        "model",
        "documents",
        "top_n",
        "return_documents",
        "texts",
        "truncate",
        "raw_scores",
        "queries",
        "text_1",
        "text_2",
        "input",
        "dimensions",
        "encoding_format",
    ]
)
FILTERS = st.dictionaries(
    st.sampled_from(["price_min", "price_max", "brand", "category", "in_stock"]) | TEXT,
    SCALARS | st.lists(TEXT, max_size=3),
)
NEARLY = st.fixed_dictionaries(
    {"query": TEXT},
    optional={
        "documents": st.lists(TEXT | st.fixed_dictionaries({"text": TEXT}) | VALUES, max_size=5),
        "filters": FILTERS,
        "facets": st.lists(st.sampled_from(["brand", "price"]) | TEXT, max_size=3) | VALUES,
        "diversity": st.floats(0, 1) | VALUES,
        "explain": st.booleans() | VALUES,
        "candidates": st.lists(TEXT, max_size=5) | VALUES,
        "texts": st.lists(TEXT | VALUES, max_size=5),
        "top_k": st.integers(-5, 300) | VALUES,
        "top_n": st.integers(-5, 300) | VALUES,
        "model": TEXT,
    },
)
TEXTS = TEXT | st.lists(TEXT | VALUES, max_size=4)
FOREIGN = st.fixed_dictionaries({"queries": TEXTS, "documents": TEXTS}) | st.fixed_dictionaries(
    {"input": TEXTS}, optional={"dimensions": st.integers(-1, 6), "encoding_format": st.just("base64") | TEXT}
)
NEARLY_RECOMMENDED = st.fixed_dictionaries(
    {},
    optional={
        "user_id": TEXT,
        "product_id": TEXT | st.just("p-1"),
        "history": st.lists(TEXT | st.just("p-2"), max_size=5) | VALUES,
        "relation": st.sampled_from(["similar", "complementary"]) | TEXT,
        "filters": FILTERS,
        "candidates": st.lists(TEXT, max_size=5),
        "diversity": st.floats(),
        "explain": st.booleans(),
    },
)
BODIES = NEARLY | NEARLY_RECOMMENDED | FOREIGN | st.dictionaries(FIELDS | TEXT, VALUES, max_size=6) | VALUES
CHECK = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def check(response):
    assert response.status_code < 500, response.text
    answer = response.json()
    assert response.status_code == 200 or message_of(answer)


def message_of(answer):
    """Of an error in any of the shapes."""
    if "request_id" in answer:
        return answer["error"]["message"]
    if "error_type" in answer:
        return answer["error"]
    return answer["message"] if "id" in answer else answer["error"]["message"]


@CHECK
@given(path=PATHS, body=BODIES)
def test_any_json(client, path, body):
    check(client.post(path, content=json.dumps(body), headers={"content-type": "application/json"}))


@CHECK
@given(path=PATHS, body=st.binary(max_size=200), media=st.sampled_from(["application/json", "text/plain", "/;=", ""]))
def test_any_bytes(client, path, body, media):
    check(client.post(path, content=body, headers={"content-type": media}))


@CHECK
@given(path=st.text(st.characters(codec="utf-8", min_codepoint=32), max_size=40))
def test_any_path(client, path):
    check(client.get("/" + quote(path)))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
def test_other_encodings(client, encoding):
    body = '{"query": "red"}'.encode(encoding)
    check(client.post("/search", content=body, headers={"content-type": "application/json"}))
