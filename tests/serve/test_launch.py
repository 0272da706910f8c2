from contextlib import contextmanager, nullcontext

import httpx
import pytest
from ray.exceptions import RayActorError

from planogram.config import ClusterConfig
from planogram.errors import ClusterError, ConfigError
from planogram.serve import launch
from planogram.serve.check import IMPORT_PATH, check, is_loopback
from planogram.serve.keys import create_key
from planogram.serve.launch import essence

ARGS = {"ranker": "r", "routes": ["rerank"]}


def config(**http_options):
    return {"http_options": http_options, "applications": [{"import_path": IMPORT_PATH, "args": ARGS}]}


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "localhost", "::1", "[::1]"])
def test_loopback(host):
    assert is_loopback(host)
    assert check(config(host=host))["http_options"]["host"] == host


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org", "localhost.example.org", "", None])
def test_without_keys_a_bind_that_others_can_reach_is_refused(host):
    with pytest.raises(ConfigError, match="there are no API keys") as caught:
        check(config(host=host))
    assert "planogram keys create" in caught.value.remedy and "auth.keys_file" in caught.value.remedy


@pytest.fixture
def with_keys(tmp_path):
    path = str(tmp_path / "keys.json")
    create_key(path, "shop", ["read"])

    def make(host):
        values = config(host=host)
        values["applications"][0]["args"] = {**ARGS, "auth": {"keys_file": path}}
        return values

    return make


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_with_keys_any_address_may_be_bound(with_keys, host):
    values = check(with_keys(host))
    assert values["http_options"]["host"] == host
    # A replica that has not got the keys must not start without them.
    assert values["applications"][0]["args"]["auth"]["required"] is True


@pytest.mark.parametrize("host", ["", None, "a b", "*"])
def test_what_is_no_address_is_refused_with_keys_too(with_keys, host):
    with pytest.raises(ConfigError, match="is no address"):
        check(with_keys(host))


def test_keys_in_the_environment_count_and_become_required(monkeypatch):
    monkeypatch.setenv("PLANOGRAM_API_KEYS", f"shop:read:{'x' * 40}")
    for host in ("0.0.0.0", "127.0.0.1"):
        assert check(config(host=host))["applications"][0]["args"]["auth"] == {"required": True}


def test_every_application_on_an_open_address_needs_keys(with_keys):
    values = with_keys("0.0.0.0")
    values["applications"].append({"name": "other", "import_path": "x:y"})
    with pytest.raises(ConfigError, match="other is no application that asks for keys"):
        check(values)


def test_keys_that_others_can_read_do_not_start(with_keys, tmp_path):
    (tmp_path / "keys.json").chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        check(with_keys("127.0.0.1"))


@pytest.fixture
def deployed(monkeypatch):
    """What `serving` would hand to Ray and to HAProxy."""
    seen = {}

    @contextmanager
    def isolated(front):
        seen["front"] = front
        yield

    @contextmanager
    def stand_in(values, timeout_s, host):
        seen.update(ray=values["http_options"]["host"], url=launch._reachable(host))
        yield

    monkeypatch.setattr(launch, "isolated", isolated)
    monkeypatch.setattr(launch, "_deployed", stand_in)
    monkeypatch.setattr(launch, "connect", lambda cluster, serve: nullcontext())
    return seen


@pytest.mark.parametrize(
    ("host", "front", "url"),
    [
        ("0.0.0.0", "0.0.0.0", "127.0.0.1"),
        ("::", "::", "[::1]"),
        ("192.0.2.1", "192.0.2.1", "192.0.2.1"),
        ("[2001:db8::1]", "[2001:db8::1]", "[2001:db8::1]"),
    ],
)
def test_ray_stays_on_loopback_behind_an_open_front_end(with_keys, deployed, host, front, url):
    with launch.serving(with_keys(host)):
        assert deployed == {"front": front, "ray": "127.0.0.1", "url": url}


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "localhost", "::1"])
def test_a_loopback_address_is_rays_own(with_keys, deployed, host):
    with launch.serving(with_keys(host)):
        assert (deployed["front"], deployed["ray"]) == (None, host)


def test_a_cluster_that_was_joined_is_warned_about(with_keys, deployed, caplog):
    with launch.serving(with_keys("0.0.0.0"), ClusterConfig(address="auto")):
        assert deployed["ray"] == "0.0.0.0" and "front" not in deployed
    assert "binds all of its ports to 0.0.0.0" in caplog.text


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
