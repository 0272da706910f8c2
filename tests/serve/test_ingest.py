import pytest

from planogram.errors import OverloadedError

GOOD = {"product_id": "p-9", "title": "violet boots", "price": 9.5, "attributes": {"color": "violet"}}


def test_changes_are_seen_by_the_next_search(client):
    answer = client.post("/ingest/products", json={"upsert": [GOOD], "delete": ["p-2", "nobody"]}).json()
    assert (answer["upserted"], answer["deleted"], answer["catalogue"]) == (1, 2, "fake/3")
    found = client.post("/search", json={"query": "violet boots"}).json()["results"]
    assert found[0]["product_id"] == "p-9" and "p-2" not in [result["product_id"] for result in found]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, ""),
        ({"upsert": [GOOD], "delete": ["p-9"]}, ""),
        ({"upsert": [GOOD, GOOD]}, ""),
        ({"upsert": [{**GOOD, "title": ""}]}, "upsert.0.title"),
        ({"upsert": [{"product_id": "p-9"}]}, "upsert.0.title"),
        ({"upsert": [{**GOOD, "price": -1}]}, "upsert.0.price"),
        ({"upsert": [{**GOOD, "price": "9"}]}, "upsert.0.price"),
        ({"upsert": [{**GOOD, "stock": 1.5}]}, "upsert.0.stock"),
        ({"upsert": [{**GOOD, "popularity": 1}]}, "upsert.0.popularity"),
        ({"delete": [""]}, "delete.0"),
    ],
)
def test_what_is_no_product_is_refused_as_a_whole(client, backend, body, param):
    before = list(backend.products)
    response = client.post("/ingest/products", json=body)
    assert response.status_code == 422
    assert response.json()["error"]["param"] == (param or "body")
    assert backend.products == before


def test_the_cost_is_taken_and_never_shown(client, backend):
    client.post("/ingest/products", json={"upsert": [{**GOOD, "cost": 3.21}]})
    assert backend.products[-1]["cost"] == 3.21
    assert "3.21" not in client.post("/search", json={"query": "violet", "explain": True}).text


def test_without_a_retriever_the_client_is_told_to_come_again(client, backend):
    backend.retriever_error = OverloadedError("the retriever has too many requests")
    response = client.post("/ingest/products", json={"upsert": [GOOD]})
    assert response.status_code == 503 and response.headers["retry-after"] == "1"


def test_the_route_is_there_where_it_is_named(make_client):
    assert make_client(routes=["search"]).post("/ingest/products", json={"upsert": [GOOD]}).status_code == 404
