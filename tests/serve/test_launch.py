import httpx
import pytest
from ray.exceptions import RayActorError

from planogram.errors import ClusterError, ConfigError
from planogram.serve import launch
from planogram.serve.launch import IMPORT_PATH, check, essence, is_loopback

ARGS = {"ranker": "r", "routes": ["rerank"]}


def config(**http_options):
    return {"http_options": http_options, "applications": [{"import_path": IMPORT_PATH, "args": ARGS}]}


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "localhost", "::1", "[::1]"])
def test_loopback(host):
    assert is_loopback(host)
    assert check(config(host=host))["http_options"]["host"] == host


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org", "localhost.example.org", "", None])
def test_a_bind_that_others_can_reach_is_refused(host):
    with pytest.raises(ConfigError, match="no API keys yet"):
        check(config(host=host))


def test_loopback_is_the_default():
    assert check({"applications": []})["http_options"] == {"host": "127.0.0.1"}


def test_arguments_are_checked_before_anything_starts():
    with pytest.raises(ConfigError, match="ranker is missing"):
        check({"applications": [{"import_path": IMPORT_PATH, "args": {}}]})


def test_a_user_config_is_checked_before_anything_starts():
    values = config()
    values["applications"][0]["deployments"] = [{"name": "Gateway", "user_config": {"diversity": {"weigth": 0.1}}}]
    with pytest.raises(ConfigError, match="did you mean 'weight'"):
        check(values)


@pytest.mark.parametrize("values", [{}, {"applications": None}, {"applications": ["x"]}])
def test_a_config_has_applications(values):
    with pytest.raises(ConfigError, match="applications"):
        check(values)


def test_the_essence_of_a_failure_is_the_projects_own_error():
    message = (
        "Traceback:\n  File x\nplanogram.errors.IntegrityError: /b/model.safetensors is damaged\nremedy: restore it"
    )
    assert essence(message) == "IntegrityError: /b/model.safetensors is damaged\nremedy: restore it"
    assert essence(" something else ") == "something else"


def test_a_proxy_that_dies_is_named_with_its_port(monkeypatch):
    def die(**options):
        raise RayActorError

    monkeypatch.setattr("ray.serve._private.api.serve_start", die)
    monkeypatch.setattr("ray.serve.shutdown", lambda: None)
    with pytest.raises(ClusterError, match="does not start on port 8123"), launch._deployed(config(port=8123), 1):
        pass


def test_what_is_not_ready_says_why(monkeypatch):
    monkeypatch.setattr(launch, "_all_run", lambda names: True)
    monkeypatch.setattr(launch, "_progress", lambda: "planogram is RUNNING")
    monkeypatch.setattr(launch, "_answer", lambda client, url: "the ranker did not answer")
    server = launch.Server("http://127.0.0.1:8123", {"planogram": "/"})
    with pytest.raises(ClusterError, match=r"8123/readyz: the ranker did not answer"):
        launch._wait_until_ready(server, ["planogram"], 0.0)


@pytest.mark.parametrize(("status", "answer"), [(200, None), (503, "not yet")])
def test_an_answer_is_what_is_not_ok(status, answer):
    transport = httpx.MockTransport(lambda request: httpx.Response(status, text="not yet"))
    with httpx.Client(transport=transport) as client:
        assert launch._answer(client, "http://127.0.0.1:8123/readyz") == answer
