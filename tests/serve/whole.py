"""The whole server in this process: gateway, replicas and engine are the real ones, only Ray Serve is not there."""

import asyncio
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from planogram.serve import gateway, ranker, retriever
from planogram.serve.resolve import resolve_served
from planogram.serve.settings import AppArgs

Asked = Callable[[AppArgs, Sequence[tuple[str, dict[str, Any]]]], list[dict[str, Any]]]


class Handle:
    """Calls the methods of one replica, as the handle of its deployment would."""

    def __init__(self, replica: Any) -> None:
        self._replica = replica

    def __getattr__(self, name: str) -> SimpleNamespace:
        return SimpleNamespace(remote=getattr(self._replica, name))


def whole(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """asked(args, requests): bodies of the answers to (path, body), each of which is 200."""
    for module in (gateway, ranker, retriever):
        monkeypatch.setattr(module, "configure_logging", lambda: None)
    for module in (gateway, ranker):
        monkeypatch.setattr(module, "observe_replica", lambda: None)
    return lambda args, requests: asyncio.run(_ask(args, requests))


async def _ask(args: AppArgs, requests: Sequence[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    model = resolve_served(args.ranker, args.engine.engine)
    scoring = Handle(ranker.Ranker(args.engine, model, args.ranker, args.follow, args.cache))
    finding = Handle(retriever.Retriever(str(args.shop), args.retriever))
    pricer = None
    if args.pricing:
        demand = resolve_served(args.pricing.demand, args.pricing.engine.engine)
        replica = ranker.Ranker(args.pricing.engine, demand, args.pricing.demand, args.follow, args.cache)
        pricer = (demand, Handle(replica))
    app = gateway.Gateway(args, (model, scoring), finding, pricer=pricer).__serve_build_asgi_app__()
    found = []
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        for path, body in requests:
            answer = await client.post(path, json=body)
            assert answer.status_code == 200, answer.text
            found.append(answer.json())
    return found
