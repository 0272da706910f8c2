"""API keys at rest: a file with their digests that only its owner can read, and an environment variable.

A key is 256 random bits, so that its plain sha256 tells nothing about it. No error repeats what a file or a variable
holds: a key could stand in the wrong place there.
"""

import hashlib
import json
import os
import secrets
import stat
import uuid
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from planogram.errors import ConfigError, NotFoundError
from planogram.section import Section
from planogram.storage import NAME_PATTERN, check_name, dump_json

Scope = Literal["read", "ingest", "price", "admin"]

VARIABLE = "PLANOGRAM_API_KEYS"
PREFIX = "pg_"
# A shorter one could be guessed from its digest.
MIN_KEY_CHARS = 32
FORM = f"NAME:SCOPE[+SCOPE]:KEY, separated by commas or blanks, a key of at least {MIN_KEY_CHARS} characters"


class Key(Section):
    """What is kept of a key.

    Attributes:
        digest: sha256 of the key.
        requests_per_s, burst, documents_per_s: of this key; None: as the server's configuration says.
    """

    name: str = Field(pattern=rf"^{NAME_PATTERN.pattern}$")
    scopes: Annotated[tuple[Scope, ...], Field(strict=False, min_length=1)]
    digest: str = Field(pattern=r"^[0-9a-f]{64}$")
    created_at: str = ""
    requests_per_s: float | None = Field(None, gt=0)
    burst: int | None = Field(None, ge=1)
    documents_per_s: float | None = Field(None, gt=0)

    def allows(self, scope: Scope) -> bool:
        """Whether the key has a scope; `admin` has all, and the others have only themselves."""
        return scope in self.scopes or "admin" in self.scopes


class KeyFile(Section):
    """Content of a file of keys."""

    keys: Annotated[tuple[Key, ...], Field(strict=False)] = ()


def digest_of(key: str) -> str:
    """The sha256 of a key."""
    return hashlib.sha256(key.encode()).hexdigest()


def read_keys(path: str) -> tuple[Key, ...]:
    """The keys in a file.

    Raises:
        ConfigError: there is no such file, others can read it, or it holds something else.
    """
    try:
        with Path(path).open("rb") as file:
            # Of the open file: another one could be put in its place in between.
            _check_mode(path, os.fstat(file.fileno()).st_mode)
            content = file.read()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        remedy = "make it by `planogram keys create`"
        raise ConfigError(f"the keys in {path} cannot be read: {reason}", remedy=remedy) from None
    try:
        keys = KeyFile.model_validate(json.loads(content)).keys
    except ValidationError as error:
        raise ConfigError(f"{path} is no file of keys: {_without_values(error)}", remedy="make it anew") from None
    except ValueError:
        raise ConfigError(f"{path} is no file of keys: it is not JSON", remedy="make it anew") from None
    return _distinct(keys, path)


def environment_keys(text: str) -> tuple[Key, ...]:
    """The keys in the value of `PLANOGRAM_API_KEYS`.

    Raises:
        ConfigError: an entry is wrong; it is named by its number.
    """
    keys = []
    for number, entry in enumerate(text.replace(",", " ").split(), 1):
        name, _, rest = entry.partition(":")
        scopes, _, key = rest.partition(":")
        try:
            if len(key) < MIN_KEY_CHARS:
                raise ConfigError(f"entry {number} of {VARIABLE} has no key, or a short one", allowed=FORM)
            keys.append(Key.model_validate({"name": name, "scopes": scopes.split("+"), "digest": digest_of(key)}))
        except ValidationError as error:
            problems = _without_values(error)
            raise ConfigError(f"entry {number} of {VARIABLE} is wrong: {problems}", allowed=FORM) from None
    return _distinct(keys, VARIABLE)


def create_key(
    path: str,
    name: str,
    scopes: Sequence[Scope],
    *,
    requests_per_s: float | None = None,
    burst: int | None = None,
    documents_per_s: float | None = None,
) -> str:
    """Add a key to a file, which is made where it is missing.

    Returns:
        The key; it is kept nowhere.

    Raises:
        ConfigError: the name is taken or not a name, or the file is not one of keys.
    """
    check_name(name, "key")
    key = PREFIX + secrets.token_urlsafe(32)
    entry = Key(
        name=name,
        scopes=tuple(dict.fromkeys(scopes)),
        digest=digest_of(key),
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        requests_per_s=requests_per_s,
        burst=burst,
        documents_per_s=documents_per_s,
    )
    with _locked(path):
        keys = read_keys(path) if Path(path).exists() else ()
        if any(known.name == name for known in keys):
            raise ConfigError(f"{path} has a key {name!r} already", remedy="choose another name, or revoke that key")
        _write(path, (*keys, entry))
    return key


def revoke_key(path: str, name: str) -> None:
    """Take a key out of a file; servers that run notice it within a second.

    Raises:
        NotFoundError: the file has no such key.
        ConfigError: the file is not one of keys.
    """
    with _locked(path):
        keys = read_keys(path)
        left = tuple(key for key in keys if key.name != name)
        if len(left) == len(keys):
            names = ", ".join(key.name for key in keys) or "none"
            raise NotFoundError(f"{path} has no key {name!r}", allowed=names, remedy="name one of these")
        _write(path, left)


def _check_mode(path: str, mode: int) -> None:
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(
            f"{path} has mode {stat.S_IMODE(mode):04o}: others on this machine can use it",
            allowed="0600 or 0400",
            remedy=f"chmod 600 {path}, and replace its keys if others may have changed it",
        )


def _distinct(keys: Sequence[Key], source: str) -> tuple[Key, ...]:
    twice = [name for name, count in Counter(key.name for key in keys).items() if count > 1]
    if twice:
        raise ConfigError(f"{source} has the key {twice[0]!r} twice", remedy="give each key a name of its own")
    return tuple(keys)


def _without_values(error: ValidationError) -> str:
    """Which fields are wrong, and why. A field that is none of ours may be a key in the wrong place."""
    known = {"keys", *Key.model_fields}
    problems = []
    for problem in error.errors(include_input=False, include_url=False, include_context=False):
        place = ".".join(str(part) if isinstance(part, int) or part in known else "?" for part in problem["loc"])
        problems.append(f"{place or 'it'}: {problem['msg']}")
    return "; ".join(problems)


def _locked(path: str) -> Any:
    from filelock import FileLock

    Path(path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return FileLock(f"{path}.lock", mode=0o600)


def _write(path: str, keys: Sequence[Key]) -> None:
    """Replace the file: readers see the old keys or the new, and never a mode that lets others read."""
    target = Path(path)
    content = dump_json({"keys": [key.model_dump(mode="json", exclude_none=True) for key in keys]})
    aside = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        with os.fdopen(os.open(aside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(target)
    finally:
        aside.unlink(missing_ok=True)
