import pytest

from planogram.errors import ConfigError
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
