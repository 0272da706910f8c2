"""Who may ask what: API keys, the scope that each path needs, and how often a key may ask."""

import hmac
import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path

from starlette.datastructures import Headers
from starlette.types import Scope as AsgiScope

from planogram.errors import ConfigError
from planogram.serve import metrics
from planogram.serve.call import Call
from planogram.serve.keys import FORM, VARIABLE, Key, Scope, digest_of, environment_keys, read_keys
from planogram.serve.problems import ForbiddenError, RateLimitedError, UnauthorizedError
from planogram.serve.rates import Clock, RateLimits
from planogram.serve.settings import AuthArgs

logger = logging.getLogger(__name__)

# Probes have no keys: these say that the server is there, and nothing about it.
OPEN_PATHS = ("/healthz", "/readyz")
OPEN_METHODS = ("GET", "HEAD")
# The first part of a path -> what it needs; every other path, also one that does not exist, needs `read`.
SCOPES: Mapping[str, Scope] = {"admin": "admin", "ingest": "ingest", "price": "price"}
# What these ask for is ranked, embedded or priced by a model.
RANKED = ("read", "price")
RELOAD_S = 1.0


def required_scope(path: str) -> Scope:
    """The scope that a path needs, whatever its method."""
    return SCOPES.get(path.strip("/").partition("/")[0], "read")


class Keyring:
    """The keys that are valid now. The file is read again when it changes, at most once a second.

    Args:
        args: names the file.
        clock: seconds.

    Raises:
        ConfigError: the file or the variable is wrong, or two keys have one name.
    """

    def __init__(self, args: AuthArgs, clock: Clock = time.monotonic) -> None:
        self._path = args.keys_file
        self._clock = clock
        self._fixed = environment_keys(os.environ.get(VARIABLE, ""))
        self._seen = self._signature()
        self._keys = self._read()
        self._checked_s = clock()

    @property
    def configured(self) -> bool:
        """Whether there is a place for keys, even where all of them were revoked."""
        return self._path is not None or bool(self._fixed)

    @property
    def num_keys(self) -> int:
        """Valid keys."""
        return len(self._keys)

    def find(self, given: str) -> Key | None:
        """The key whose secret was given. Takes as long for a wrong one as for a right one."""
        self._refresh()
        digest = digest_of(given)
        found = None
        for key in self._keys:
            if hmac.compare_digest(key.digest, digest):
                found = key
        return found

    def _refresh(self) -> None:
        if self._path is None or self._clock() - self._checked_s < RELOAD_S:
            return
        self._checked_s = self._clock()
        signature = self._signature()
        if signature == self._seen:
            return
        self._seen = signature
        try:
            self._keys = self._read()
        except ConfigError:
            logger.exception("the file of keys cannot be used: the keys read before stay valid")
        else:
            logger.info("read %d keys anew", len(self._keys))

    def _read(self) -> tuple[Key, ...]:
        keys = read_keys(self._path) if self._path is not None else ()
        twice = {key.name for key in keys} & {key.name for key in self._fixed}
        if twice:
            raise ConfigError(
                f"the key {min(twice)!r} is in {self._path} and in {VARIABLE}", remedy="give one of them another name"
            )
        return (*keys, *self._fixed)

    def _signature(self) -> tuple[int, ...]:
        if self._path is None:
            return ()
        try:
            found = Path(self._path).stat()
        except OSError:
            return ()
        return found.st_ino, found.st_mtime_ns, found.st_size, found.st_mode


class Gate:
    """Lets a request in, or says why not.

    Args:
        keyring: the valid keys.
        args: the limits of keys without their own.
        clock: seconds.
    """

    def __init__(self, keyring: Keyring, args: AuthArgs, clock: Clock = time.monotonic) -> None:
        self._keyring = keyring
        self._limits = RateLimits(args, clock)

    def admit(self, scope: AsgiScope, call: Call) -> None:
        """Return where the request may pass. From then on `call` knows the key's name.

        Raises:
            UnauthorizedError: it has no valid key.
            RateLimitedError: its key has sent too many.
            ForbiddenError: its key lacks the scope of the path.
        """
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if path in OPEN_PATHS and scope["method"] in OPEN_METHODS:
            return
        key = self._identify(Headers(scope=scope))
        call.key = key.name
        wait_s = self._limits.take(key)
        if wait_s:
            metrics.add(metrics.RATE_LIMITED, key=key.name)
            raise RateLimitedError("the key has sent too many requests", retry_after_s=wait_s)
        needed = required_scope(path)
        if not key.allows(needed):
            metrics.add(metrics.UNAUTHORIZED, cause="scope")
            raise ForbiddenError(
                f"the key lacks the scope {needed}", remedy=f"use a key with the scope {needed} or admin"
            )
        if needed in RANKED and (budget := self._limits.budget(key)):
            call.budget = budget.take

    def _identify(self, headers: Headers) -> Key:
        given = presented(headers)
        key = self._keyring.find(given) if given else None
        if key is None:
            metrics.add(metrics.UNAUTHORIZED, cause="unknown" if given else "missing")
            what = "the key is not valid" if given else "the request has no key"
            raise UnauthorizedError(what, remedy="send the header Authorization: Bearer KEY, or X-API-Key: KEY")
        return key


def presented(headers: Headers) -> str:
    """The key of a request; empty: none."""
    scheme, _, given = headers.get("authorization", "").partition(" ")
    return given.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")


def gate_of(args: AuthArgs) -> Gate | None:
    """The gate of an application, or None where no keys are configured.

    Raises:
        ConfigError: the keys cannot be read; or there are none, although some are required.
    """
    keyring = Keyring(args)
    if not keyring.num_keys and (args.required or keyring.configured):
        raise ConfigError(
            f"there is no API key: {args.keys_file or VARIABLE} has none",
            allowed=f"a file in auth.keys_file, or {VARIABLE}={FORM}",
            remedy="make one: planogram keys create --name NAME --scope read --file FILE",
        )
    return Gate(keyring, args) if keyring.configured else None
