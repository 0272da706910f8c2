"""Requests as a shop's clients send them: texts of its products, or random words where there is no shop."""

import json
import random
from dataclasses import dataclass

import numpy as np
from tokenizers import Tokenizer

from planogram.config import RequestsConfig, WorkloadName
from planogram.data.shop import has_table, read_table
from planogram.data.text import clean, product_text
from planogram.data.tokenizer import PairTokenizer
from planogram.errors import ConfigError, DataError
from planogram.registry.bundle import BundleManifest, open_bundle

# Of a stream of repeated queries.
STREAM = 20_000
MOST_PRODUCTS = 5000
WORDS_PER_QUERY = 3
# Of a product's price.
FLOOR = 0.8


@dataclass(frozen=True)
class Workload:
    """Requests to one route.

    Attributes:
        path: of the route.
        bodies: different ones, as JSON.
        order: which of them are sent, in turn.
        pairs: that the ranker scores for one request; of `price` its products.
        texts: (query, documents) of each body, where the request brings its documents.
    """

    path: str
    bodies: list[bytes]
    order: list[int]
    pairs: int
    texts: list[tuple[str, list[str]]]


class Texts:
    """Queries and products' texts, in a random order that a seed fixes.

    Args:
        bundle: whose tokenizer counts, and whose words are drawn where there is no shop.
        shop: a prepared shop; None: random words.
        config: how many, and how long.

    Raises:
        ConfigError: the model does not read so many tokens.
        DataError: the shop has no products.
    """

    def __init__(self, bundle: str, shop: str | None, config: RequestsConfig) -> None:
        folder, manifest = open_bundle(bundle)
        if config.tokens is not None and config.tokens > manifest.max_tokens:
            raise ConfigError(
                f"requests.tokens={config.tokens}, but {manifest.name} reads {manifest.max_tokens}",
                allowed=f"8 to {manifest.max_tokens}",
                remedy="lower requests.tokens",
            )
        self._tokenizer = PairTokenizer.from_folder(folder, manifest.max_tokens)
        # What a tokenizer's file says of cutting and padding is for others.
        self._whole = Tokenizer.from_str(self._tokenizer.whole.to_str())
        self._whole.no_truncation()
        self._whole.no_padding()
        self._chance = random.Random(config.seed)  # noqa: S311 - a workload, no secret
        self.config = config
        if shop:
            self.queries, self.products = _of_shop(shop, manifest, self._chance)
        else:
            self.queries, self.products = self._random(manifest)

    def _random(self, manifest: BundleManifest) -> tuple[list[str], list[str]]:
        words = sorted(word for word in self._whole.get_vocab() if word.isalpha() and len(word) > 1)
        if not words:
            raise ConfigError(f"the tokenizer of {manifest.name} has no whole words", remedy="name a `shop`")

        def draw(count: int) -> str:
            return " ".join(self._chance.choices(words, k=count))

        size = self.config.documents * self.config.distinct
        return [draw(WORDS_PER_QUERY) for _ in range(self.config.distinct)], [draw(64) for _ in range(size)]

    def document(self, query: str, text: str) -> str:
        """The text, cut or repeated so that the pair has about `tokens` tokens."""
        if self.config.tokens is None or not text:
            return text
        room = max(1, self.config.tokens - len(self._whole.encode(query, "").ids))
        repeated = text
        while len(encoding := self._whole.encode(repeated, add_special_tokens=False)) < room:
            repeated = f"{repeated} {text}"
            if not len(encoding):
                return text
        return repeated[: encoding.offsets[room - 1][1]]

    def pairs(self, number: int) -> tuple[str, list[str]]:
        """The query and the documents of a request to rerank."""
        query = self.queries[number % len(self.queries)]
        count = self.config.documents
        chosen = [self.products[(number * count + place) % len(self.products)] for place in range(count)]
        return query, [self.document(query, text) for text in chosen]

    def mean_tokens(self, workload: Workload) -> float:
        """Tokens of a pair, as the model reads it."""
        pairs = [(query, document) for query, documents in workload.texts for document in documents]
        return float(np.mean(self._tokenizer.encode(pairs).lengths))


def workload(name: WorkloadName, texts: Texts, shop: str | None) -> Workload:
    """The requests of a workload; repeated queries go to `/search` where there is a shop, else to `/v1/rerank`."""
    config = texts.config
    if name == "price" and shop:
        return _price(shop, config)
    made = _search(texts) if name == "search" or (name == "cached" and shop) else rerank(texts)
    order = zipf(len(made.bodies), config.zipf, config.seed) if name == "cached" else made.order
    return Workload(made.path, made.bodies, order, made.pairs, made.texts)


def rerank(texts: Texts, path: str = "/v1/rerank") -> Workload:
    """Documents in the words that all servers understand."""
    pairs = [texts.pairs(number) for number in range(texts.config.distinct)]
    bodies = [_json({"query": query, "documents": given, "return_documents": False}) for query, given in pairs]
    return Workload(path, bodies, list(range(len(bodies))), texts.config.documents, pairs)


def _search(texts: Texts) -> Workload:
    config = texts.config
    queries = texts.queries[: config.distinct]
    wanted = {"num_candidates": config.candidates, "top_k": config.top_k}
    bodies = [_json({"query": query, **wanted}) for query in queries]
    return Workload("/search", bodies, list(range(len(bodies))), config.candidates, [])


def _price(shop: str, config: RequestsConfig) -> Workload:
    """Products with a price, each with a floor, so that all of them are decided."""
    products = read_table(shop, "products", ["product_id", "price"])
    priced = products[products["price"] > 0].sample(frac=1.0, random_state=config.seed)
    if priced.empty:
        raise DataError(f"{shop} has no product with a price", remedy="name another shop")
    known = zip(priced["product_id"], priced["price"] * FLOOR, strict=True)
    items = [{"product_id": str(product), "floor": round(float(floor), 2)} for product, floor in known]
    starts = (number * config.items for number in range(config.distinct))
    bodies = [_json({"items": [items[(start + k) % len(items)] for k in range(config.items)]}) for start in starts]
    return Workload("/price", bodies, list(range(len(bodies))), config.items, [])


def zipf(size: int, exponent: float, seed: int) -> list[int]:
    """A stream of draws of 0 to size - 1, the k-th with weight 1 / k^exponent."""
    weights = 1 / np.arange(1, size + 1) ** exponent
    draws = np.random.default_rng(seed).choice(size, STREAM, p=weights / weights.sum())
    return [int(draw) for draw in draws]


def _of_shop(shop: str, manifest: BundleManifest, chance: random.Random) -> tuple[list[str], list[str]]:
    rows = read_table(shop, "products").head(MOST_PRODUCTS).to_dict("records")
    found = (product_text(row, manifest.text_fields, manifest.text_language) for row in rows)
    products = [text for text in found if text]
    if not products:
        raise DataError(f"{shop} has no product with a text", remedy="name another shop")
    chance.shuffle(products)
    if has_table(shop, "judgments"):
        given = read_table(shop, "judgments", ["query"])["query"]
        queries = sorted({clean(query) for query in given} - {""})
        chance.shuffle(queries)
    else:
        queries = [" ".join(text.split()[:WORDS_PER_QUERY]) for text in products]
    return queries, products


def _json(value: dict[str, object]) -> bytes:
    return json.dumps(value).encode()
