import pytest

DOCUMENTS = ["blue lamp", "red shoes"]
SIGMOID = {0: 0.5, 1: 0.731059, 2: 0.880797}


def scores(response):
    assert response.status_code == 200, response.text
    return [item["score"] for item in response.json()["data"]]


def test_it_answers_in_vllms_words(client):
    body = {"model": "fake", "queries": "red shoes", "documents": DOCUMENTS}
    answer = client.post("/v1/score", json=body, headers={"X-Request-ID": "abc-1"}).json()
    assert answer.pop("created") > 1.7e9
    assert answer == {
        "id": "score-abc-1",
        "object": "list",
        "model": "fake",
        "data": [
            {"index": 0, "object": "score", "score": pytest.approx(SIGMOID[0])},
            {"index": 1, "object": "score", "score": pytest.approx(SIGMOID[2])},
        ],
        "usage": {"prompt_tokens": 8, "total_tokens": 8},
    }


@pytest.mark.parametrize(
    ("first", "second", "shared"),
    [
        ("red shoes", "red shirt", [1]),
        ("red shoes", DOCUMENTS, [0, 2]),
        (["red shoes"], DOCUMENTS, [0, 2]),
        (["blue lamp", "red lamp"], DOCUMENTS, [2, 1]),
        (["red lamp"], ["red lamp"], [2]),
    ],
)
@pytest.mark.parametrize("names", [("queries", "documents"), ("text_1", "text_2")])
def test_one_to_many_and_pair_by_pair(client, names, first, second, shared):
    body = dict(zip(names, (first, second), strict=True))
    assert scores(client.post("/v1/score", json=body)) == pytest.approx([SIGMOID[count] for count in shared], abs=1e-6)


def test_logits_without_the_activation(client):
    body = {"queries": "red shoes", "documents": DOCUMENTS, "use_activation": False}
    assert scores(client.post("/v1/score", json=body)) == [0.0, 2.0]


def test_a_cut_pair_says_so(client):
    body = {"queries": "red", "documents": ["a", "one two three four five six seven eight"]}
    data = client.post("/v1/score", json=body).json()["data"]
    assert [item.get("truncated") for item in data] == [None, True]


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "`queries` and `documents`"),
        ({"queries": "a"}, "`queries` and `documents`"),
        ({"queries": "a", "text_2": "b"}, "`queries` and `documents`"),
        ({"queries": "a", "documents": "b", "text_1": "c", "text_2": "d"}, "`queries` and `documents`"),
        ({"queries": ["a", "b"], "documents": ["c"]}, "2 queries and 1 documents"),
        ({"queries": ["a", "b"], "documents": ["c", "d", "e"]}, "2 queries and 3 documents"),
        ({"queries": [], "documents": ["c"]}, "0 queries"),
        ({"queries": "a", "documents": []}, "0 documents"),
        ({"queries": "a", "documents": ["d"] * 1001}, "1001 documents"),
        ({"queries": "a", "documents": "b", "truncate_prompt_tokens": 5}, "truncate_prompt_tokens"),
    ],
)
def test_an_error_is_openais(client, body, named):
    response = client.post("/v1/score", json=body)
    error = response.json()["error"]
    assert response.status_code == 400
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["type"], error["code"]) == ("invalid_request_error", "validation")
    assert named in error["message"]


def test_another_model_is_not_found(client):
    response = client.post("/v1/score", json={"model": "other", "queries": "a", "documents": "b"})
    assert (response.status_code, response.json()["error"]["code"]) == (404, "model_not_found")
