"""A fake engine and a backend over it: HTTP tests take milliseconds and need no cluster."""

import asyncio
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from planogram.data.tokenizer import Tokens
from planogram.engines.base import Floats, Pair, activate
from planogram.registry.bundle import BundleManifest, Head
from planogram.serve.attribution import occlude
from planogram.serve.policy import Policy, PolicyArgs
from planogram.serve.settings import AppArgs
from planogram.serve.texts import pair_texts
from planogram.serve.values import (
    Document,
    Embedded,
    Filters,
    Following,
    ModelInfo,
    RangeCount,
    Retrieved,
    Scored,
    TokenWeight,
    ValueCount,
)
from planogram.serve.web import create_app

MODEL = ModelInfo("fake", 3, "/nowhere", "0123456789abcdef", ("relevance", "click"), ("title", "brand"), 8)
EMBEDDER = ModelInfo("fake-embedder", 1, "/nowhere", "fedcba9876543210", (), ("title",), 8, width=4)
DEMAND = ModelInfo(
    "fake-demand", 2, "/nowhere", "aaaa567890abcdef", ("level-0", "log_elasticity-0"), ("title",), 8, demand="units"
)
PRODUCTS = [
    {
        "product_id": "p-1",
        "title": "blue lamp",
        "brand": "Acme",
        "price": 10.0,
        "cost": 2.0,
        "stock": 0,
        "currency": "EUR",
        "popularity": 1.0,
    },
    {
        "product_id": "p-2",
        "title": "red shoes",
        "brand": "Acme",
        "price": 20.0,
        "cost": 15.0,
        "stock": 5,
        "currency": "EUR",
        "popularity": 0.2,
        "sentiment": 0.9,
    },
    {"product_id": "p-3", "title": "red shirt", "brand": None, "price": 30.0, "stock": None, "currency": "EUR"},
]
CORRECTIONS = {"read shoes": "red shoes"}


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
    passes = 1

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


def vector_of(text: str) -> Floats:
    """A unit vector (4,) that is the text's own."""
    digest = hashlib.sha256(text.encode()).digest()
    vector = np.frombuffer(digest[:4], dtype=np.int8).astype(np.float32) + np.float32(0.5)
    return vector / np.linalg.norm(vector)


@dataclass
class FakeBackend:
    """Products in memory, scores by the fake engine, and failures on demand."""

    model: ModelInfo = MODEL
    embedder: ModelInfo | None = EMBEDDER
    sequencer: ModelInfo | None = None
    sequencer_error: Exception | None = None
    ranker_error: Exception | None = None
    retriever_error: Exception | None = None
    embedder_error: Exception | None = None
    demand_model: ModelInfo = DEMAND
    demand_error: Exception | None = None
    #: members' levels and log elasticities of every product
    demand_logits: Sequence[float] = (0.0, math.log(3.0), 0.0, math.log(3.0))
    delay_s: float = 0.0
    explain_error: Exception | None = None
    canary: bool = False
    catalogue: str = ""
    follows: list[Following] | None = None
    seen: list[Any] = field(default_factory=list)
    products: list[dict[str, Any]] = field(default_factory=lambda: list(PRODUCTS))
    bought: dict[str, list[str]] = field(default_factory=lambda: {"u-1": ["p-1"]})
    bought_after: dict[str, list[str]] = field(default_factory=lambda: {"p-1": ["p-3", "p-2"], "p-2": ["p-3", "p-1"]})
    taken_next: dict[str, dict[str, float]] = field(default_factory=lambda: {"p-1": {"p-2": 1.0, "p-3": 0.25}})
    policy: Policy = field(init=False)

    def __post_init__(self) -> None:
        self.set_policy()

    def set_policy(self, **values: Any) -> None:
        """Weights and rules, as a Gateway's `user_config` gives them."""
        self.policy = Policy.of(PolicyArgs.model_validate(values), self.model, sequencer=self.sequencer is not None)

    async def retrieve(self, query: str, filters: Filters, limit: int, facets: Sequence[str] = ()) -> Retrieved:
        self.seen.append((query, filters, limit))
        if self.retriever_error:
            raise self.retriever_error
        counted = {"brand": [ValueCount("Acme", 2)], "category": [], "price": [RangeCount(10.0, 30.0, 3)]}
        return Retrieved(
            self._passing(filters)[:limit], {name: counted[name] for name in facets}, CORRECTIONS.get(query)
        )

    async def lookup(self, product_ids: Sequence[str], filters: Filters) -> list[dict[str, Any]]:
        found = {product["product_id"]: product for product in self._passing(filters)}
        return [found[name] for name in product_ids if name in found]

    async def recommend(
        self, history: Sequence[str], exclude: Sequence[str], filters: Filters, limit: int
    ) -> Retrieved:
        """What was bought after the newest known product of the history."""
        self.seen.append(("recommend", list(history), sorted(exclude), limit))
        known = [name for name in history if name in self.bought_after]
        names = self.bought_after[known[-1]] if known else []
        return Retrieved((await self.lookup([name for name in names if name not in exclude], filters))[:limit])

    async def next_items(
        self, history: Sequence[str], exclude: Sequence[str], filters: Filters, limit: int, timeout_s: float
    ) -> Retrieved:
        """What is taken after the newest known product of the history."""
        self.seen.append(("next_items", list(history), sorted(exclude), limit, timeout_s))
        if self.sequencer_error:
            raise self.sequencer_error
        known = [name for name in history if name in self.taken_next]
        ranked = self.taken_next[known[-1]] if known else {}
        found = await self.lookup([name for name in ranked if name not in exclude], filters)
        return Retrieved([{**product, "next_item": ranked[product["product_id"]]} for product in found][:limit])

    async def similar(self, product_id: str, filters: Filters, limit: int) -> Retrieved:
        """By the number of words of the title that are shared; none shared: not similar."""
        titles = {product["product_id"]: set(product["title"].split()) for product in self.products}
        own = titles.pop(product_id, set())
        ranked = sorted(titles, key=lambda name: -len(titles[name] & own))
        return Retrieved((await self.lookup([name for name in ranked if titles[name] & own], filters))[:limit])

    async def popular(self, filters: Filters, limit: int) -> Retrieved:
        ranked = sorted(self._passing(filters), key=lambda product: -(product.get("popularity") or 0.0))
        return Retrieved(ranked[:limit])

    async def change(self, products: Sequence[dict[str, Any]], deleted: Sequence[str]) -> str:
        if self.retriever_error:
            raise self.retriever_error
        changed = {product["product_id"]: product for product in (*self.products, *products)}
        self.products = [product for name, product in changed.items() if name not in deleted]
        return f"fake/{len(self.products)}"

    async def history(self, user_id: str) -> list[str]:
        return self.bought.get(user_id, [])

    async def explain(
        self, query: str, documents: Sequence[Document], timeout_s: float | None = None
    ) -> list[list[TokenWeight]]:
        if self.explain_error:
            raise self.explain_error
        occlusion = occlude(query, documents)
        texts, shown = zip(*occlusion.inputs, strict=True)
        return occlusion.weights((await self.score(texts, shown)).values[:, self.model.primary])

    def _passing(self, filters: Filters) -> list[dict[str, Any]]:
        """The products that meet the filters, as the index tells it."""
        return [
            product
            for product in self.products
            if all(
                limit is None or (product["price"] is not None and sign * product["price"] <= sign * limit)
                for sign, limit in ((-1, filters.price_min), (1, filters.price_max))
            )
            and (not filters.in_stock or (product["stock"] or 0) > 0)
            and (not filters.brands or product["brand"] in filters.brands)
            and (not filters.categories or product.get("category") in filters.categories)
        ]

    async def score(
        self, query: str | Sequence[str], documents: Sequence[Document], timeout_s: float | None = None
    ) -> Scored:
        await asyncio.sleep(self.delay_s)
        if self.ranker_error:
            raise self.ranker_error
        engine = FakeEngine()
        tokens = engine.tokenize(pair_texts(query, documents, self.model.text_fields))
        logits = engine.infer(tokens)
        return Scored(engine.finish(logits), tokens.truncated, sum(tokens.lengths), self.model, logits, self.canary)

    async def demand(self, products: Sequence[Document], timeout_s: float | None = None) -> Scored:
        if self.demand_error:
            raise self.demand_error
        self.seen.append(products)
        logits = np.asarray([self.demand_logits] * len(products), dtype=np.float32)
        return Scored(logits, [False] * len(products), len(products), self.demand_model, logits)

    async def embed(self, texts: Sequence[str]) -> Embedded:
        if self.embedder_error:
            raise self.embedder_error
        return Embedded(
            np.stack([vector_of(text) for text in texts]),
            [len(text.split()) > self.embedder.max_tokens for text in texts],
            sum(len(text.split()) for text in texts),
            self.embedder,
        )

    async def following(self) -> list[Following]:
        return self.follows or [Following(self.model, self.model.version)]

    async def check(self) -> None:
        for error in (self.ranker_error, self.retriever_error, self.embedder_error):
            if error:
                raise error


def app_args(**args: Any) -> AppArgs:
    """Arguments of an application with every route."""
    every = {"routes": ["search", "recommend", "ingest", "rerank", "embeddings"], "embedder": "fake-embedder"}
    return AppArgs.model_validate({**every, "ranker": "fake@champion", "shop": "shop", **args})


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def fake_vector():
    return vector_of


@pytest.fixture
def backend() -> FakeBackend:
    return FakeBackend()


@pytest.fixture
def make_client(backend: FakeBackend):
    def make(**args: Any) -> TestClient:
        given = app_args(**args)
        backend.policy = Policy.of(given, backend.model, sequencer=given.sequencer is not None)
        # What the guard does not catch fails the test.
        return TestClient(create_app(backend, given), raise_server_exceptions=True)

    return make


@pytest.fixture
def client(make_client) -> TestClient:
    return make_client()
