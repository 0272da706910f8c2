"""Keys at rest, and the verbs that make, list and revoke them."""

import json
import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from typer.testing import CliRunner

from planogram import cli
from planogram.errors import ConfigError, NotFoundError
from planogram.serve.keys import Key, create_key, digest_of, environment_keys, read_keys, revoke_key

SECRET = "hunter2-hunter2-hunter2-hunter2-"


@pytest.fixture
def file(tmp_path):
    return tmp_path / "private" / "keys.json"


@pytest.fixture
def path(file):
    return str(file)


def write(file, text):
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    file.chmod(0o600)


def test_a_file_has_digests_for_its_owner_alone(file, path):
    previous = os.umask(0)
    try:
        keys = [
            create_key(path, "shop", ["read", "read"]),
            create_key(path, "loader", ["ingest"], requests_per_s=2.5, burst=10),
        ]
    finally:
        os.umask(previous)
    assert file.stat().st_mode & 0o777 == 0o600
    assert [key.digest for key in read_keys(path)] == [digest_of(key) for key in keys]
    assert read_keys(path)[0].scopes == ("read",) and read_keys(path)[1].requests_per_s == 2.5
    assert not any(key in file.read_text() for key in keys)
    assert len(set(keys)) == 2 and all(len(key) > 40 for key in keys)
    assert sorted(each.name for each in file.parent.iterdir()) == ["keys.json", "keys.json.lock"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601, 0o666])
def test_a_file_that_others_can_use_is_refused_with_the_remedy(file, path, mode):
    create_key(path, "shop", ["read"])
    file.chmod(mode)
    for act in (read_keys, lambda it: create_key(it, "b", ["read"]), lambda it: revoke_key(it, "shop")):
        with pytest.raises(ConfigError, match=f"chmod 600 {path}"):
            act(path)


def test_a_file_that_only_its_owner_reads_is_fine(file, path):
    create_key(path, "shop", ["read"])
    file.chmod(0o400)
    assert len(read_keys(path)) == 1


def test_a_missing_file_is_named(path):
    with pytest.raises(ConfigError, match=r"keys\.json cannot be read: No such file"):
        read_keys(path)


@pytest.mark.parametrize(
    "text",
    [
        SECRET,
        json.dumps([SECRET]),
        json.dumps({SECRET: ["read"]}),
        json.dumps({"keys": [SECRET]}),
        json.dumps({"keys": [{"name": "a", "scopes": ["read"], "digest": SECRET}]}),
        json.dumps({"keys": [{"name": "a", "scopes": [SECRET], "digest": "0" * 64}]}),
        json.dumps({"keys": [{"name": SECRET.upper(), "scopes": ["read"], "digest": "0" * 64}]}),
        json.dumps({"keys": [{"name": "a", "scopes": ["read"], "digest": "0" * 64, SECRET: 1}]}),
        json.dumps({"keys": [{"name": "a", "scopes": [], "digest": "0" * 64}]}),
        "\x00" + SECRET,
    ],
)
def test_a_damaged_file_is_refused_and_never_repeated(file, path, text):
    write(file, text)
    with pytest.raises(ConfigError, match="is no file of keys") as caught:
        read_keys(path)
    assert "hunter2" not in str(caught.value).lower()
    assert caught.value.__suppress_context__


def test_a_name_is_there_once(file, path):
    create_key(path, "shop", ["read"])
    with pytest.raises(ConfigError, match="revoke that key"):
        create_key(path, "shop", ["admin"])
    entry = json.loads(file.read_text())["keys"][0]
    write(file, json.dumps({"keys": [entry, entry]}))
    with pytest.raises(ConfigError, match="'shop' twice"):
        read_keys(path)


@pytest.mark.parametrize("name", ["", "A", "a b", "../a", "a\n", "a" * 65])
def test_a_name_goes_into_logs_and_is_checked(file, path, name):
    with pytest.raises(ConfigError, match="not a valid name"):
        create_key(path, name, ["read"])
    assert not file.exists()


def test_revoking_leaves_the_others(path):
    create_key(path, "a", ["read"])
    create_key(path, "b", ["read"])
    revoke_key(path, "a")
    assert [key.name for key in read_keys(path)] == ["b"]
    with pytest.raises(NotFoundError, match="has no key 'a'\nallowed: b"):
        revoke_key(path, "a")


def test_two_who_add_keys_at_once_both_do(path):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: create_key(path, f"k{number}", ["read"]), range(8)))
    assert sorted(key.name for key in read_keys(path)) == [f"k{number}" for number in range(8)]


@pytest.mark.parametrize(
    ("scopes", "allowed"),
    [
        (("read",), {"read"}),
        (("ingest",), {"ingest"}),
        (("read", "ingest"), {"read", "ingest"}),
        (("admin",), {"read", "ingest", "admin"}),
    ],
)
def test_admin_has_all_scopes_and_ingest_has_not_read(scopes, allowed):
    key = Key(name="a", scopes=scopes, digest="0" * 64)
    assert {scope for scope in ("read", "ingest", "admin") if key.allows(scope)} == allowed


def test_the_variable_holds_names_scopes_and_keys():
    keys = environment_keys(f" shop:read:{SECRET}:1, loader:ingest+read:{SECRET}2\n")
    assert [(key.name, key.scopes) for key in keys] == [("shop", ("read",)), ("loader", ("ingest", "read"))]
    assert keys[0].digest == digest_of(f"{SECRET}:1")
    assert environment_keys("") == ()


@pytest.mark.parametrize(
    "entry",
    [
        SECRET,
        f"shop:{SECRET}",
        f"shop:write:{SECRET}",
        f"shop::{SECRET}",
        f"{SECRET.upper()}:read:{SECRET}",
        "shop:read:hunter2",
        f"a:read:{SECRET}",
    ],
)
def test_a_wrong_entry_is_named_by_its_number_alone(entry):
    with pytest.raises(
        ConfigError, match=r"entry 2 of PLANOGRAM_API_KEYS|PLANOGRAM_API_KEYS has the key 'a' twice"
    ) as e:
        environment_keys(f"a:read:{'x' * 32},{entry}")
    assert "hunter2" not in str(e.value).lower()


def run(*arguments):
    return CliRunner().invoke(cli.app, ["keys", *arguments])


def test_the_command_prints_a_key_once(path):
    created = run("create", "--name", "shop", "--scope", "read", "--scope", "ingest", "--file", path, "--burst", "3")
    key = created.stdout.strip()
    assert [each.digest for each in read_keys(path)] == [digest_of(key)]
    for listed in (run("list", "--file", path), run("list", "--file", path, "--json")):
        assert "shop" in listed.stdout and "ingest" in listed.stdout
        assert key not in listed.stdout and digest_of(key) not in listed.stdout
    assert json.loads(run("list", "--file", path, "--json").stdout)[0]["burst"] == 3
    assert run("revoke", "--name", "shop", "--file", path).stdout == "shop is revoked\n"
    assert run("list", "--file", path).stdout == "none yet\n"


def test_a_key_needs_a_scope_that_there_is(file, path):
    assert run("create", "--name", "shop", "--file", path).exit_code == 2
    assert run("create", "--name", "shop", "--file", path, "--scope", "write").exit_code == 2
    assert not file.exists()
