"""The embedder: a replica that turns texts into vectors with one bi-encoder on one engine."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from planogram.data.text import clean
from planogram.data.tokenizer import Tokens
from planogram.engines.base import concurrent_passes
from planogram.engines.load import load_embedding_engine
from planogram.serve.batching import TokenBatcher
from planogram.serve.logs import configure_logging
from planogram.serve.memo import Memo, Recall
from planogram.serve.ranker import replica_cpus
from planogram.serve.settings import CacheArgs, EngineArgs
from planogram.serve.values import Busy, Embedded, FailedError, ModelInfo


class Embedder:
    """A Ray Serve deployment over the bundle of a bi-encoder.

    Args:
        args: of the engine.
        model: the bundle.
        cache: of vectors; absent: the default.

    Raises:
        IntegrityError: the bundle does not verify; the replica does not start.
        ConfigError: it is no bi-encoder.
    """

    def __init__(self, args: EngineArgs, model: ModelInfo, cache: CacheArgs | None = None) -> None:
        configure_logging()
        self.model = model
        self._args = args
        threads = args.threads or replica_cpus()
        passes = concurrent_passes(args.engine, threads)
        self._device = ThreadPoolExecutor(passes, "infer")
        self._tokenizer = ThreadPoolExecutor(1, "tokenize")
        self._engine = self._device.submit(load_embedding_engine, model.path, args.engine, threads).result()
        self._probe = self._engine.tokenize(["health check"])
        wait_s = args.batch_wait_ms / 1000
        infer, width = self._engine.infer, self._engine.width
        self._batcher = TokenBatcher(infer, width, self._device, args.batch_tokens, wait_s, passes)
        cache = cache or CacheArgs()
        vectors = cache.open(cache.vectors_mb)
        self._memo = Memo(vectors, "vectors", args.engine) if vectors else None
        # The first pass allocates what later ones reuse: no client waits for it.
        self._device.submit(self._infer_probe).result()

    async def embed(self, texts: Sequence[str]) -> Embedded | Busy:
        """Unit vectors of texts, in their order; a replica whose work would take over `max_wait_s` refuses more.

        Raises:
            FailedError: the model gave a vector that is not finite.
        """
        loop = asyncio.get_running_loop()
        cleaned, wait_s = [clean(text) for text in texts], self._batcher.wait_s(len(texts))
        with self._batcher.taken_on(len(texts)):
            read = await loop.run_in_executor(self._tokenizer, self._read, cleaned, wait_s)
            if isinstance(read, Busy):
                return read
            recall, tokens = read
            if tokens is not None:
                recall.complete(tokens, await self._batcher.compute(tokens))
        if not np.isfinite(recall.rows).all():
            raise FailedError(f"{self.model.name}:{self.model.version} gave a vector that is not finite")
        if self._memo and recall.unknown:
            await loop.run_in_executor(self._tokenizer, self._memo.keep, recall, recall.unknown)
        return Embedded(recall.rows, recall.truncated, int(recall.lengths.sum()), self.model)

    def _read(self, texts: Sequence[str], wait_s: float) -> tuple[Recall, Tokens | None] | Busy:
        """What is known of each text, and the tokens of the others; None where there are none. A refusal reads none."""
        memo, width = self._memo, self._engine.width
        inputs = [(text,) for text in texts]
        recall = memo.recall(self.model.digest, inputs, width) if memo else Recall.nothing(len(texts), width)
        if recall.unknown and wait_s > self._args.max_wait_s:
            return Busy(wait_s)
        unknown = [texts[place] for place in recall.unknown]
        return recall, self._engine.tokenize(unknown) if unknown else None

    async def check_health(self) -> None:
        """Run a tiny inference: Ray Serve replaces the replica when this fails or takes too long."""
        await asyncio.get_running_loop().run_in_executor(self._device, self._infer_probe)

    def _infer_probe(self) -> None:
        if not np.isfinite(self._engine.infer(self._probe)).all():
            raise FailedError(f"{self.model.path} gives vectors that are not finite")
