import shutil
from pathlib import Path

import pytest

from planogram import storage
from planogram.errors import ConfigError, IntegrityError, NotFoundError, StorageError
from planogram.registry.bundle import MANIFEST, WEIGHTS, open_bundle
from planogram.registry.store import ModelVersion, Registry, tracking_uri


@pytest.fixture(scope="module")
def module_home(empty_home, tmp_path_factory) -> Path:
    return Path(shutil.copytree(empty_home, tmp_path_factory.mktemp("store") / "home"))


@pytest.fixture
def registry(module_home, monkeypatch) -> Registry:
    monkeypatch.setenv("PLANOGRAM_HOME", str(module_home))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return Registry()


@pytest.fixture
def name(request) -> str:
    """A model of this test alone."""
    return request.node.name.replace("[", "-").replace("]", "")[:64].lower()


def _variant(bundle: Path, number: int) -> str:
    """The same weights with other metrics: another bundle."""
    target = bundle.with_name(f"variant-{number}")
    shutil.copytree(bundle, target)
    manifest = storage.read_json(str(target / MANIFEST)) | {"metrics": {"ndcg@10": number / 10}}
    del manifest["files"]
    (target / MANIFEST).unlink()
    storage.seal(target, MANIFEST, manifest)
    return str(target)


def _three(registry: Registry, bundle: Path, name: str) -> None:
    for number in (1, 2, 3):
        assert registry.publish(_variant(bundle, number), name, f"model {number}").version == number


def test_publish_copies_the_bundle(registry, bundle, name):
    made = registry.publish(str(bundle), name, "first model")
    assert (made.name, made.version, made.reference, made.aliases) == (name, 1, f"{name}:1", ())
    assert made.created_at.endswith("+00:00")
    shutil.rmtree(bundle)
    folder, manifest = open_bundle(registry.resolve(f"{name}:1").path)
    assert manifest.name == "tiny"
    assert (folder / WEIGHTS).is_file()
    assert registry.versions(name) == [made]
    assert name in registry.names()


def test_the_same_bundle_again_is_the_same_version(registry, bundle, name):
    first = registry.publish(str(bundle), name, "first")
    assert registry.publish(str(bundle), name, "again") == first
    # The published copy is the same bundle too.
    assert registry.publish(first.path, name, "again") == first
    assert len(registry.versions(name)) == 1
    assert [move.reason for move in registry.history(name)] == ["first"]


def test_versions_rise_over_several_registries(registry, bundle, name):
    _three(registry, bundle, name)
    assert [version.version for version in Registry().versions(name)] == [1, 2, 3]
    assert len({version.digest for version in Registry().versions(name)}) == 3


def test_a_publication_that_was_interrupted_can_be_repeated(registry, bundle, name, monkeypatch):
    def killed(name: str) -> None:
        raise ConnectionError("interrupted")

    with monkeypatch.context() as patch:
        patch.setattr(registry, "_ensure_model", killed)
        with pytest.raises(ConnectionError):
            registry.publish(str(bundle), name, "first")
    assert registry.publish(str(bundle), name, "again").version == 1


def test_a_damaged_bundle_is_not_published(registry, bundle, name):
    (bundle / "config.json").write_text("{}")
    with pytest.raises(IntegrityError, match=r"config\.json"):
        registry.publish(str(bundle), name, "damaged")
    assert name not in registry.names()
    assert not storage.exists(storage.join(registry.root, "bundles", name))


@pytest.mark.parametrize("bad", ["../up", "Upper", "", "a/b", "a@b", "a:1", "a' OR 1=1"])
def test_bad_names_are_refused(registry, bundle, bad):
    with pytest.raises(ConfigError, match="model name"):
        registry.publish(str(bundle), bad, "a reason")


def test_promote_moves_the_alias(registry, bundle, name):
    _three(registry, bundle, name)
    assert registry.promote(f"{name}:1", "champion", "the first").aliases == ("champion",)
    assert registry.promote(f"{name}:3", "champion", "better").version == 3
    assert registry.promote(f"{name}@champion", "shadow", "watch").aliases == ("champion", "shadow")
    assert registry.resolve(name).version == 3
    assert registry.resolve(f"{name}@champion").version == 3
    assert registry.resolve(f"{name}:1").aliases == ()


def test_rollback_goes_back_step_by_step_across_promotions(registry, bundle, name):
    _three(registry, bundle, name)
    for number in (1, 2, 3):
        registry.promote(f"{name}:{number}", "champion", f"promote {number}")
    registry.promote(f"{name}:1", "shadow", "another alias has its own trail")
    assert registry.rollback(name, "champion", "bad shoes").version == 2
    assert registry.rollback(name, "champion", "bad lamps").version == 1
    with pytest.raises(NotFoundError, match="no earlier version"):
        registry.rollback(name, "champion", "once more")
    assert registry.resolve(name).version == 1
    registry.promote(f"{name}:3", "champion", "mended")
    assert registry.rollback(name, "champion", "not mended").version == 1
    assert registry.resolve(f"{name}@shadow").version == 1


def test_promoting_what_is_promoted_does_not_stand_in_the_way_of_a_rollback(registry, bundle, name):
    _three(registry, bundle, name)
    for number in (1, 2, 2):
        registry.promote(f"{name}:{number}", "champion", f"promote {number}")
    assert registry.rollback(name, "champion", "complaints").version == 1


def test_history_says_who_did_what_when_and_why(registry, bundle, name, monkeypatch):
    monkeypatch.setattr("planogram.registry.store.getpass.getuser", lambda: "ada")
    registry.publish(_variant(bundle, 1), name, "model 1")
    registry.publish(_variant(bundle, 2), name, "model 2")
    registry.promote(f"{name}:1", "champion", 'NDCG .86 -> .88, "größer"')
    registry.promote(f"{name}:2", "champion", "promote 2")
    registry.rollback(name, "champion", "complaints about shoes")
    history = registry.history(name)
    assert [(m.action, m.alias, m.before, m.version, m.reason) for m in history] == [
        ("publish", "", 0, 1, "model 1"),
        ("publish", "", 0, 2, "model 2"),
        ("promote", "champion", 0, 1, 'NDCG .86 -> .88, "größer"'),
        ("promote", "champion", 1, 2, "promote 2"),
        ("rollback", "champion", 2, 1, "complaints about shoes"),
    ]
    assert {move.actor for move in history} == {"ada"}
    assert [move.time for move in history] == sorted(move.time for move in history)


@pytest.mark.parametrize("damage", ["flip", "remove"])
def test_a_damaged_version_gets_no_alias_back(registry, bundle, name, damage):
    _three(registry, bundle, name)
    registry.promote(f"{name}:1", "champion", "good")
    registry.promote(f"{name}:2", "champion", "good")
    for number in (1, 3):
        weights = Path(registry.resolve(f"{name}:{number}").path, WEIGHTS)
        if damage == "remove":
            weights.unlink()
        else:
            content = bytearray(weights.read_bytes())
            content[-1] ^= 1
            weights.write_bytes(content)
    with pytest.raises(IntegrityError, match=WEIGHTS):
        registry.promote(f"{name}:3", "champion", "damaged")
    with pytest.raises(IntegrityError, match=WEIGHTS):
        registry.rollback(name, "champion", "damaged")
    assert registry.resolve(name).version == 2
    assert len(registry.history(name)) == 5


def test_what_does_not_exist_lists_what_does(registry, bundle, name):
    _three(registry, bundle, name)
    registry.promote(f"{name}:2", "champion", "good")
    for reference in (f"{name}:9", f"{name}@shadow"):
        with pytest.raises(NotFoundError, match="does not exist") as error:
            registry.resolve(reference)
        assert reference in error.value.given
        assert error.value.allowed == f"{name}:1, {name}:2 @champion, {name}:3"
    with pytest.raises(NotFoundError, match="no model 'absent-model'") as error:
        registry.resolve("absent-model@champion")
    assert name in error.value.allowed
    for call in (registry.versions, registry.history):
        with pytest.raises(NotFoundError, match="absent-model"):
            call("absent-model")


@pytest.mark.parametrize("reference", ["a@b@c", "a:0", "a:x", "a:-1", "", "@champion", "a/b", "../../etc", "a:1\n"])
def test_a_reference_that_is_none_is_refused(registry, reference):
    with pytest.raises(NotFoundError):
        registry.resolve(reference)


def test_a_folder_is_a_reference_too(registry, bundle):
    found = registry.resolve(str(bundle))
    assert found == ModelVersion("bundle", 0, str(bundle), found.digest)
    assert len(found.digest) == 16


def test_bad_aliases_are_refused(registry, bundle, name):
    registry.publish(str(bundle), name, "first")
    for alias in ("../x", "Champion", "", "a b"):
        with pytest.raises(ConfigError, match="alias"):
            registry.promote(f"{name}:1", alias, "a reason")
    assert [move.action for move in registry.history(name)] == ["publish"]


def test_state_lies_below_the_home(registry, bundle, name, module_home):
    made = registry.publish(str(bundle), name, "first")
    assert Path(made.path).parent == module_home / "bundles" / name
    assert tracking_uri() == f"sqlite:///{module_home / 'mlflow.db'}"


def test_the_tracking_server_of_the_environment_wins(monkeypatch, tmp_path):
    monkeypatch.setenv("PLANOGRAM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking:5000")
    assert tracking_uri() == "http://tracking:5000"
    assert not (tmp_path / "home").exists()


def test_a_home_without_a_database_asks_for_a_server(monkeypatch):
    monkeypatch.setenv("PLANOGRAM_HOME", "memory://home")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(StorageError, match="MLFLOW_TRACKING_URI"):
        tracking_uri()


def test_a_home_that_moved_still_finds_its_bundles(registry, bundle, name, module_home, tmp_path, monkeypatch):
    registry.publish(str(bundle), name, "first")
    moved = shutil.copytree(module_home, tmp_path / "moved")
    monkeypatch.setenv("PLANOGRAM_HOME", str(moved))
    version = Registry().resolve(f"{name}:1")
    assert version.path.startswith(str(moved))
    assert open_bundle(version.path)[1].name == "tiny"


def test_the_home_is_closed_to_others(monkeypatch, tmp_path):
    monkeypatch.setenv("PLANOGRAM_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    tracking_uri()
    assert (tmp_path / "home").stat().st_mode & 0o077 == 0
