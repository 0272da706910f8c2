"""Whole answers of `/search` and `/recommend` that were given before: to the same request, over the same catalogue.

An answer is kept under all that it depends on: the request, the application's arguments, the model, the weights and
rules, the version of the products. Rules that hold for a time are late by `cache.answers_ttl_s` at most.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Literal, TypeVar

from planogram.serve import metrics
from planogram.serve.answers import Answer
from planogram.serve.backend import Backend
from planogram.serve.cache import Cache, key_of
from planogram.serve.call import Call
from planogram.serve.policy import Policy
from planogram.serve.schemas import ResultsRequest
from planogram.serve.settings import AppArgs

A = TypeVar("A", bound=Answer)
Route = Literal["search", "recommend"]
#: what every answer has for itself
OWN = {"ranking_id", "request_id", "took_ms"}


class Catalogue:
    """The version of the products, as far as a gateway knows it.

    Args:
        settle_s: how long replicas may lag behind; until then answers may be of either version.
        clock: seconds.
    """

    def __init__(self, settle_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._settle_s = settle_s
        self._clock = clock
        self._told = ""
        self._since_s = clock()

    def told(self, version: str) -> None:
        """A retriever said which version it has."""
        if version != self._told:
            self._told, self._since_s = version, self._clock()

    @property
    def version(self) -> str:
        """The version that all replicas have; empty: not known, or it has just changed."""
        return self._told if self._clock() - self._since_s >= self._settle_s else ""


class AnswerMemo:
    """Remembers answers.

    Args:
        cache: where; None: nothing is remembered.
        backend: whose model, policy and catalogue an answer is of.
        args: of the application, as text: gateways of another one may share the cache.
    """

    def __init__(self, cache: Cache | None, backend: Backend, args: str) -> None:
        self._cache = cache
        self._backend = backend
        self._args = args
        self._policy: tuple[Policy, str] | None = None

    @classmethod
    def of(cls, args: AppArgs, backend: Backend) -> "AnswerMemo":
        """As the application's arguments say. With a canary there is none: it would see only what is new.

        Raises:
            ConfigError: the URL is none of Redis.
        """
        max_mb = 0 if args.canary else args.cache.answers_mb
        return cls(args.cache.open(max_mb, args.cache.answers_ttl_s), backend, args.model_dump_json())

    async def answer(
        self, route: Route, kind: type[A], request: ResultsRequest, call: Call, compute: Callable[[], Awaitable[A]]
    ) -> A:
        """The answer that was given before, under new ids, or else a new one, which is kept unless it is degraded.

        Args:
            route: that is asked.
            kind: of the answer.
            request: what is asked; one that wants an explanation is always computed.
            call: the request's id and clock.
            compute: makes the answer.
        """
        catalogue, digest, sequencer = self._backend.catalogue, self._backend.model.digest, self._backend.sequencer
        if self._cache is None or not catalogue or request.explain:
            return await compute()
        models = f"{digest}/{sequencer.digest if sequencer else ''}"
        key = key_of("answers", self._args, route, models, self._policy_text(), catalogue, _asked(route, request))
        # A cache in Redis waits for the network.
        (kept,) = await asyncio.to_thread(self._cache.get, [key])
        metrics.count_lookups("answers", hits=int(kept is not None), misses=int(kept is None))
        if kept is not None:
            call.cache = "hit"
            return kind.model_validate({**json.loads(kept), "request_id": call.request_id, "took_ms": call.took_ms})
        answer = await compute()
        if not answer.degraded and answer.model.digest == digest:
            value = answer.model_dump_json(exclude=OWN).encode()
            await asyncio.to_thread(self._cache.put, {key: value})
        return answer

    def _policy_text(self) -> str:
        policy = self._backend.policy
        if self._policy is None or self._policy[0] is not policy:
            self._policy = policy, repr(policy)
        return self._policy[1]


def _asked(route: Route, request: ResultsRequest) -> str:
    """All of a request that its answer depends on: in `/search` a shopper's id only keeps it with one model."""
    return request.model_dump_json(exclude={"user_id"} if route == "search" else None)
