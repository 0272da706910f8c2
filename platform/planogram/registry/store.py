"""Names, versions and aliases of bundles, kept by MLflow, with an audit of every move.

The registry is MLflow's: SQLite under PLANOGRAM_HOME, or a tracking server by MLFLOW_TRACKING_URI. Bundles lie sealed
below `PLANOGRAM_HOME/bundles/NAME/`. The audit stands as tags of the registered model, one per move, which nothing
rewrites.
"""

import getpass
import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from planogram import storage
from planogram.errors import NotFoundError, StorageError
from planogram.registry.audit import Move
from planogram.registry.bundle import MANIFEST, check_engines, open_bundle

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHAMPION = "champion"
AUDIT = "audit."
_REFERENCE = re.compile(r"^(?P<name>[^@:/]+)(?:@(?P<alias>[^@:/]+)|:(?P<version>[1-9][0-9]*))?$")


@dataclass(frozen=True)
class ModelVersion:
    """A published bundle.

    Attributes:
        path: folder or URI of the bundle.
        digest: sha256 of its manifest, 16 characters.
        aliases: names that point to this version.
    """

    name: str
    version: int
    path: str
    digest: str
    aliases: tuple[str, ...] = ()
    created_at: str = ""

    @property
    def reference(self) -> str:
        """`name:version`, which always means this bundle."""
        return f"{self.name}:{self.version}"


def tracking_uri() -> str:
    """Where MLflow keeps runs and the registry: MLFLOW_TRACKING_URI, else SQLite under PLANOGRAM_HOME.

    Raises:
        StorageError: PLANOGRAM_HOME is on an object store, which cannot hold a database.
    """
    if uri := os.environ.get("MLFLOW_TRACKING_URI"):
        return uri
    folder = storage.home()
    if not storage.is_local(folder):
        raise StorageError(
            f"PLANOGRAM_HOME={folder} cannot hold a database", remedy="set MLFLOW_TRACKING_URI to a tracking server"
        )
    path = storage.local_path(folder)
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return f"sqlite:///{path / 'mlflow.db'}"


class Registry:
    """Publishes, finds and promotes bundles.

    Args:
        root: folder or URI that holds the bundles; by default PLANOGRAM_HOME.
    """

    def __init__(self, root: str | None = None) -> None:
        self.root = root or storage.home()

    @cached_property
    def _client(self) -> "MlflowClient":
        from mlflow import MlflowClient

        uri = tracking_uri()
        return MlflowClient(tracking_uri=uri, registry_uri=uri)

    def publish(self, bundle: str, name: str, reason: str) -> ModelVersion:
        """Copy a bundle under a name, as its next version; the same bundle again is the version that it is already.

        Raises:
            IntegrityError: the bundle does not verify.
            ParityError: one of its engines does not rank as the trained model does.
            ConfigError: the name is not allowed.
        """
        storage.check_name(name, "model name")
        folder, manifest = open_bundle(bundle)
        check_engines(manifest)
        digest = hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()[:16]
        for known in self._versions(name):
            if known.digest == digest:
                return known
        place = storage.join("bundles", name, digest)
        self._copy(folder, storage.join(self.root, place))
        self._ensure_model(name)
        created = self._client.create_model_version(
            name, source=storage.join(self.root, place), tags={"place": place, "digest": digest}
        )
        self._record(name, "publish", alias="", before=0, version=int(created.version), reason=reason)
        return self.resolve(f"{name}:{created.version}")

    def resolve(self, reference: str) -> ModelVersion:
        """Find a version: `name` (its champion), `name@alias`, `name:version`, or the folder of a bundle.

        Raises:
            NotFoundError: there is none; the message lists what there is.
        """
        if Path(reference, MANIFEST).is_file():
            return _unpublished(reference)
        match = _REFERENCE.match(reference)
        if match is None:
            raise NotFoundError(
                f"{reference!r} is no model", allowed="name, name@alias, name:version, or the folder of a bundle"
            )
        versions = self._versions(match["name"])
        if not versions:
            raise NotFoundError(
                f"there is no model {match['name']!r}",
                allowed=", ".join(self.names()) or "none is published yet",
                remedy="publish one with `planogram models publish`",
            )
        alias = match["alias"] or CHAMPION
        for version in versions:
            if (match["version"] and version.version == int(match["version"])) or (
                not match["version"] and alias in version.aliases
            ):
                return version
        raise NotFoundError(
            f"{reference!r} does not exist",
            allowed=", ".join(f"{v.reference} {' '.join('@' + a for a in v.aliases)}".strip() for v in versions),
            remedy=f"promote a version: planogram models promote {versions[-1].reference} --alias {alias} --reason …",
        )

    def names(self) -> list[str]:
        """Names of all models, sorted."""
        return sorted(model.name for model in self._client.search_registered_models(max_results=1000))

    def versions(self, name: str) -> list[ModelVersion]:
        """All versions of a model, oldest first.

        Raises:
            NotFoundError: there is no such model.
        """
        return self._versions(name) or [self.resolve(name)]

    def promote(
        self, reference: str, alias: str, reason: str, gate: Sequence[dict[str, Any]] = (), forced: str = ""
    ) -> ModelVersion:
        """Let an alias point to a version. Its bundle must verify.

        Args:
            reference: of the version.
            alias: to move.
            reason: why; it stays in the audit.
            gate: what each rule of a policy said, for the audit.
            forced: why, although rules failed.

        Raises:
            NotFoundError: there is no such version.
            IntegrityError: its bundle does not verify.
            ParityError: one of its engines does not rank as the trained model does.
        """
        target = self.resolve(reference)
        check_engines(open_bundle(target.path)[1])
        return self._move(target, alias, "promote", reason, gate=list(gate), forced=forced)

    def refuse(self, reference: str, alias: str, reason: str, gate: Sequence[dict[str, Any]]) -> None:
        """Write in the audit that a gate did not let a version through; nothing moves.

        Raises:
            NotFoundError: there is no such version.
        """
        target = self.resolve(reference)
        before = self._version_of(target.name, alias)
        fields = {"alias": alias, "before": before, "version": target.version, "reason": reason}
        self._record(target.name, "refuse", **fields, gate=list(gate))

    def pointed_to(self, name: str, alias: str) -> ModelVersion | None:
        """The version that an alias of a model points to; None where it points to nothing."""
        return next((version for version in self._versions(name) if alias in version.aliases), None)

    def rollback(self, name: str, alias: str, reason: str) -> ModelVersion:
        """Let an alias point again to where it pointed before its last promotion.

        Raises:
            NotFoundError: it never pointed to anything else.
        """
        trail: list[int] = []
        for move in self.history(name):
            if move.alias == alias and move.action == "promote" and move.version != move.before:
                trail.append(move.version)
            elif move.alias == alias and move.action == "rollback":
                trail.pop()
        if len(trail) < 2:
            raise NotFoundError(f"{name}@{alias} has no earlier version", remedy="promote the version that you want")
        target = self.resolve(f"{name}:{trail[-2]}")
        open_bundle(target.path)
        return self._move(target, alias, "rollback", reason)

    def history(self, name: str) -> list[Move]:
        """The audit of a model, oldest first.

        Raises:
            NotFoundError: there is no such model.
        """
        self.versions(name)
        tags = self._client.get_registered_model(name).tags
        return [Move.read(tags[key]) for key in sorted(tags) if key.startswith(AUDIT)]

    def _move(self, target: ModelVersion, alias: str, action: str, reason: str, **more: Any) -> ModelVersion:
        storage.check_name(alias, "alias")
        before = self._version_of(target.name, alias)
        self._client.set_registered_model_alias(target.name, alias, str(target.version))
        self._record(target.name, action, alias=alias, before=before, version=target.version, reason=reason, **more)
        return self.resolve(target.reference)

    def _version_of(self, name: str, alias: str) -> int:
        version = self.pointed_to(name, alias)
        return version.version if version else 0

    def _record(self, name: str, action: str, **fields: Any) -> None:
        now = datetime.now(UTC)
        move = Move(time=now.isoformat(timespec="microseconds"), actor=getpass.getuser(), action=action, **fields)
        key = f"{AUDIT}{now:%Y%m%dT%H%M%S.%f}.{uuid.uuid4().hex[:8]}"
        self._client.set_registered_model_tag(name, key, json.dumps(asdict(move)))

    def _ensure_model(self, name: str) -> None:
        from mlflow.exceptions import MlflowException
        from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode

        try:
            self._client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
                raise

    def _versions(self, name: str) -> list[ModelVersion]:
        if name not in self.names():
            return []
        aliases = self._client.get_registered_model(name).aliases
        found = self._client.search_model_versions(f"name = '{name}'", max_results=1000)
        versions = [
            ModelVersion(
                name=name,
                version=int(entry.version),
                path=storage.join(self.root, entry.tags["place"]),
                digest=entry.tags["digest"],
                aliases=tuple(
                    sorted(alias for alias, version in aliases.items() if str(version) == str(entry.version))
                ),
                created_at=datetime.fromtimestamp(entry.creation_timestamp / 1000, UTC).isoformat(timespec="seconds"),
            )
            for entry in found
        ]
        return sorted(versions, key=lambda version: version.version)

    def _copy(self, folder: Path, target: str) -> None:
        if storage.exists(target):  # an earlier publication ended before the version was registered
            open_bundle(target)
            return
        with storage.sealed_folder(target, MANIFEST) as (aside, payload):
            shutil.copytree(folder, aside, dirs_exist_ok=True)
            payload.update({k: v for k, v in storage.read_json(str(folder / MANIFEST)).items() if k != "files"})


def _unpublished(folder: str) -> ModelVersion:
    digest = hashlib.sha256(Path(folder, MANIFEST).read_bytes()).hexdigest()[:16]
    return ModelVersion(name=Path(folder).resolve().name, version=0, path=storage.absolute(folder), digest=digest)


def backbone_folder(name: str) -> str:
    """Where a backbone lies: the verified folder of a bundle, if `name` is one or refers to one; else `name`."""
    version = _backbone_version(name)
    return str(open_bundle(version.path)[0]) if version else name


def backbone_parent(name: str) -> dict[str, Any] | None:
    """What a lineage says of the bundle that a backbone's name is or refers to now; None where it is no bundle.

    Returns:
        `name` and `version` (None: not published) of the model, and `digest`, by which the registry knows a bundle.
    """
    version = _backbone_version(name)
    if version is None:
        return None
    _, manifest = open_bundle(version.path)
    published = bool(version.version)
    return {
        "name": version.name if published else manifest.name,
        "version": version.version if published else None,
        "digest": version.digest,
    }


def _backbone_version(name: str) -> ModelVersion | None:
    if Path(name, MANIFEST).is_file() or "@" in name or re.search(r":[1-9][0-9]*$", name):
        return Registry().resolve(name)
    return None
