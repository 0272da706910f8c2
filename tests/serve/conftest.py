"""A fake engine and a backend over it: HTTP tests take milliseconds and need no cluster."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from planogram.data.tokenizer import Tokens
from planogram.engines.base import Floats, Pair, activate, score
from planogram.registry.bundle import BundleManifest, Head
from planogram.serve.backend import Document, Filters, Following, ModelInfo, Scored
from planogram.serve.settings import AppArgs
from planogram.serve.texts import pair_texts
from planogram.serve.web import create_app

MODEL = ModelInfo("fake", 3, "/nowhere", "0123456789abcdef", ("relevance", "click"), ("title", "brand"), 8)
PRODUCTS = [
    {"product_id": "p-1", "title": "blue lamp", "brand": "Acme", "price": 10.0, "stock": 0, "currency": "EUR"},
    {"product_id": "p-2", "title": "red shoes", "brand": "Acme", "price": 20.0, "stock": 5, "currency": "EUR"},
    {"product_id": "p-3", "title": "red shirt", "brand": None, "price": 30.0, "stock": None, "currency": "EUR"},
]


class FakeEngine:
    """Scores a pair by how many words its texts share. Words are tokens; pairs beyond `max_tokens` words are cut."""

    manifest = BundleManifest(
        name="fake",
        heads=(Head(name="relevance"), Head(name="click", activation="identity")),
        backbone="none",
        pooling="cls",
        text_fields=("title", "brand"),
        max_tokens=8,
    )

    def tokenize(self, pairs: Sequence[Pair], features=None) -> Tokens:
        words = [[hash(word) for word in f"{a} {b}".split()] for a, b in pairs]
        limit = self.manifest.max_tokens
        cut = [ids[:limit] for ids in words]
        return Tokens(cut, [[0] * len(ids) for ids in cut], [len(ids) > limit for ids in words])

    def infer(self, tokens: Tokens) -> Floats:
        shared = [len(ids) - len(set(ids)) for ids in tokens.input_ids]
        return np.asarray([[count, count * 2] for count in shared], dtype=np.float32)

    def finish(self, logits: Floats) -> Floats:
        return activate(self.manifest, logits)


@dataclass
class FakeBackend:
    """Products in memory, scores by the fake engine, and failures on demand."""

    model: ModelInfo = MODEL
    ranker_error: Exception | None = None
    retriever_error: Exception | None = None
    delay_s: float = 0.0
    canary: bool = False
    follows: list[Following] | None = None
    seen: list[Any] = field(default_factory=list)

    async def retrieve(self, query: str, filters: Filters, limit: int) -> list[dict[str, Any]]:
        self.seen.append((query, filters, limit))
        if self.retriever_error:
            raise self.retriever_error
        return PRODUCTS[:limit]

    async def lookup(self, product_ids: Sequence[str], filters: Filters) -> list[dict[str, Any]]:
        found = {product["product_id"]: product for product in PRODUCTS}
        return [found[name] for name in product_ids if name in found]

    async def score(self, query: str, documents: Sequence[Document], timeout_s: float | None = None) -> Scored:
        await asyncio.sleep(self.delay_s)
        if self.ranker_error:
            raise self.ranker_error
        scores = score(FakeEngine(), pair_texts(query, documents, self.model.text_fields), 64)
        return Scored(scores.values, scores.truncated, scores.num_tokens, self.model, canary=self.canary)

    async def following(self) -> list[Following]:
        return self.follows or [Following(self.model, self.model.version)]

    async def check(self) -> None:
        for error in (self.ranker_error, self.retriever_error):
            if error:
                raise error


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def backend() -> FakeBackend:
    return FakeBackend()


@pytest.fixture
def make_client(backend: FakeBackend):
    def make(**args: Any) -> TestClient:
        given = AppArgs.model_validate({"ranker": "fake@champion", "shop": "shop", **args})
        # What the guard does not catch fails the test.
        return TestClient(create_app(backend, given), raise_server_exceptions=True)

    return make


@pytest.fixture
def client(make_client) -> TestClient:
    return make_client()
