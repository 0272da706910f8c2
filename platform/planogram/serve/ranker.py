"""The ranker: a replica that scores documents for a query with one bundle on one engine."""

import asyncio
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import numpy as np

from planogram.data.text import Language, clean, product_text, query_text
from planogram.data.tokenizer import Tokens
from planogram.engines.base import Pair
from planogram.engines.load import load_engine
from planogram.serve.attribution import occlude
from planogram.serve.backend import Document, FailedError, ModelInfo, Scored, TokenWeight
from planogram.serve.batching import Job, TokenBatcher
from planogram.serve.logs import configure_logging
from planogram.serve.ray_metrics import observe_replica
from planogram.serve.settings import EngineArgs


class Ranker:
    """A Ray Serve deployment over one bundle. It knows texts and scores, and nothing about shops.

    Args:
        args: of the engine.
        model: the bundle.

    Raises:
        IntegrityError: the bundle does not verify; the replica does not start.
    """

    def __init__(self, args: EngineArgs, model: ModelInfo) -> None:
        from ray import serve

        configure_logging()
        observe_replica()
        self.model = model
        self._device = ThreadPoolExecutor(1, "infer")
        self._tokenizer = ThreadPoolExecutor(1, "tokenize")
        threads = args.threads or replica_cpus()
        self._engine = self._device.submit(load_engine, model.path, args.engine, threads).result()
        self._probe = self._engine.tokenize([("health", "check")])
        heads = len(self._engine.manifest.heads)
        self._batcher = TokenBatcher(self._engine.infer, heads, self._device, args.batch_tokens)
        self._submit = serve.batch(
            max_batch_size=args.batch_tokens,
            batch_wait_timeout_s=args.batch_wait_ms / 1000,
            batch_size_fn=self._batcher.size,
        )(self._batcher.run)
        # The first pass allocates what later ones reuse: no client waits for it.
        self._device.submit(self._infer_probe).result()

    async def score(self, query: str | Sequence[str], documents: Sequence[Document]) -> Scored:
        """Score documents, in their order, for one query or for one each.

        Raises:
            FailedError: the model gave a score that is not a number.
        """
        tokens = await asyncio.get_running_loop().run_in_executor(self._tokenizer, self._tokenize, query, documents)
        job = Job(tokens)
        try:
            logits = await self._submit(job)
        except asyncio.CancelledError:
            job.abandoned = True
            raise
        values = self._engine.finish(logits)
        if not (np.isfinite(values).all() and np.isfinite(logits).all()):
            raise FailedError(f"{self.model.name}:{self.model.version} gave a score that is not finite")
        return Scored(values, tokens.truncated, job.num_tokens, self.model, logits)

    async def explain(self, query: str, documents: Sequence[Document]) -> list[list[TokenWeight]]:
        """What each word of the query and of a title does to the deciding score; see `attribution`.

        Raises:
            FailedError: the model gave a score that is not a number.
        """
        occlusion = occlude(query, documents)
        scored = await self.score([text for text, _ in occlusion.inputs], [shown for _, shown in occlusion.inputs])
        return occlusion.weights(scored.values[:, self.model.primary])

    async def check_health(self) -> None:
        """Run a tiny inference: Ray Serve replaces the replica when this fails or takes too long."""
        await asyncio.get_running_loop().run_in_executor(self._device, self._infer_probe)

    def _infer_probe(self) -> None:
        scores = self._engine.finish(self._engine.infer(self._probe))
        if not np.isfinite(scores).all():
            raise FailedError(f"{self.model.path} gives scores that are not finite")

    def _tokenize(self, query: str | Sequence[str], documents: Sequence[Document]) -> Tokens:
        model = self.model
        month = datetime.now(UTC).month if model.text_season else None
        return self._engine.tokenize(pair_texts(query, documents, model.text_fields, model.text_language, month))


def pair_texts(
    query: str | Sequence[str],
    documents: Sequence[Document],
    text_fields: Sequence[str],
    language: Language = "en",
    month: int | None = None,
) -> list[Pair]:
    """The model's text of each pair, by the same functions as in training; with the season of `month`, 1 to 12.

    The query is one for all documents, or one for each.
    """
    queries = [query] * len(documents) if isinstance(query, str) else query
    texts = {text: query_text(text, month, language) for text in set(queries)}
    return [
        (texts[text], clean(document) if isinstance(document, str) else product_text(document, text_fields, language))
        for text, document in zip(queries, documents, strict=True)
    ]


def replica_cpus() -> int:
    """CPUs that Ray gave to this replica, rounded up."""
    import ray

    return max(1, math.ceil(ray.get_runtime_context().get_assigned_resources().get("CPU", 1)))
