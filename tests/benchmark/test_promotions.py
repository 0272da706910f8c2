"""The parts of the benchmark of promotions that need no server; tests/ray/test_follow.py runs the whole."""

import os

import httpx
import pytest

from planogram.benchmark import clients as module
from planogram.benchmark.clients import Clients
from planogram.benchmark.promotions import own_home
from planogram.benchmark.versions import CORRUPT, KINDS

ANSWERS = {
    "right": httpx.Response(
        200, json={"results": [{"index": 1, "relevance_score": 0.5}, {"index": 0, "relevance_score": 0.9}]}
    ),
    "other scores": httpx.Response(
        200, json={"results": [{"index": 0, "relevance_score": 0.5}, {"index": 1, "relevance_score": 0.9}]}
    ),
    "too few": httpx.Response(200, json={"results": [{"index": 0, "relevance_score": 0.9}]}),
    "shed": httpx.Response(503),
}


@pytest.mark.parametrize(
    ("answer", "counted"),
    [("right", ("200", False)), ("other scores", ("200", True)), ("too few", ("200", True)), ("shed", ("503", False))],
)
def test_an_answer_is_counted_by_its_status_and_its_scores(answer, counted):
    clients = Clients("http://server", 1, 2)
    clients._expected = module._scores(ANSWERS["right"])
    with httpx.Client(transport=httpx.MockTransport(lambda request: ANSWERS[answer])) as client:
        assert clients._once(client) == counted


def test_a_connection_that_breaks_is_counted():
    def fail(request):
        raise httpx.ReadError("gone")

    with httpx.Client(transport=httpx.MockTransport(fail)) as client:
        assert Clients("http://server", 1, 2)._once(client) == ("ReadError", False)


def test_what_is_not_2xx_is_added_up():
    clients = Clients("http://server", 1, 2)
    clients._statuses.update({"200": 7, "503": 2, "ReadError": 1})
    assert (clients.result()["requests"], clients.result()["non_2xx"]) == (10, 3)


def test_the_home_is_its_own_and_the_users_comes_back(tmp_path, monkeypatch):
    monkeypatch.setenv("PLANOGRAM_HOME", "/users")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with own_home(str(tmp_path)):
        assert os.environ["PLANOGRAM_HOME"] == str(tmp_path)
        assert os.environ["MLFLOW_TRACKING_URI"] == f"sqlite:///{tmp_path}/mlflow.db"
    assert os.environ["PLANOGRAM_HOME"] == "/users" and "MLFLOW_TRACKING_URI" not in os.environ


def test_twenty_promotions_have_every_way_to_be_corrupt():
    assert {CORRUPT[number // 2 % len(CORRUPT)] for number in range(2, 21, 2)} == set(KINDS) - {"good"}
