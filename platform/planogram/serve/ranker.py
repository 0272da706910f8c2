"""The ranker: a replica that scores documents for a query with one bundle on one engine, and follows its alias."""

import asyncio
import math
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Executor

import numpy as np

from planogram.data.tokenizer import Tokens
from planogram.engines.base import Engine, concurrent_passes
from planogram.engines.load import load_engine
from planogram.registry.store import ModelVersion, Registry
from planogram.serve.attribution import occlude
from planogram.serve.batching import TokenBatcher
from planogram.serve.begin import begin
from planogram.serve.follow import Fixed, Follower
from planogram.serve.lane import Lane
from planogram.serve.ledger import Ledger
from planogram.serve.logs import configure_logging
from planogram.serve.memo import Memo, Recall
from planogram.serve.probe import Recent, check_heads, probe
from planogram.serve.ray_metrics import observe_replica
from planogram.serve.resolve import check_vocabulary, inspect, is_alias
from planogram.serve.settings import CacheArgs, EngineArgs, FollowArgs
from planogram.serve.values import Busy, Document, FailedError, Following, ModelInfo, Queries, Scored, TokenWeight

KEPT_REQUESTS = 8


class Ranker:
    """A Ray Serve deployment over one bundle. It knows texts and scores, and nothing about shops.

    Args:
        args: of the engine.
        model: the bundle, as the application was built.
        reference: what the bundle was found by; where it is an alias, the replica goes where the alias goes.
        follow: how it follows.
        cache: of scores; absent: the default.

    Raises:
        IntegrityError: neither the bundle nor one that served before verifies; the replica does not start.
    """

    def __init__(
        self,
        args: EngineArgs,
        model: ModelInfo,
        reference: str = "",
        follow: FollowArgs | None = None,
        cache: CacheArgs | None = None,
    ) -> None:
        configure_logging()
        observe_replica()
        self._args = args
        self._threads = args.threads or replica_cpus()
        self._passes = concurrent_passes(args.engine, self._threads)
        self._built = model
        self._follow = follow or FollowArgs()
        #: the last requests that were answered, for probes; they are never written anywhere
        self._recent: deque[Recent] = deque(maxlen=KEPT_REQUESTS)
        cache = cache or CacheArgs()
        scores = cache.open(cache.scores_mb)
        self._memo = Memo(scores, "scores", args.engine) if scores else None
        self._source = self._begin(reference)

    async def score(self, query: Queries, documents: Sequence[Document]) -> Scored | Busy:
        """Score documents, in their order, for one query or for one each; one model makes the tokens and the scores.

        A replica whose work would take longer than `max_wait_s` refuses more, unless it knows all scores already.

        Raises:
            FailedError: the model gave a score that is not a number.
        """
        lane = self._source.lane
        loop = asyncio.get_running_loop()
        wait_s = lane.batcher.wait_s(len(documents))
        with lane.batcher.taken_on(len(documents)):
            read = await loop.run_in_executor(lane.tokenizer, self._read, lane, query, documents, wait_s)
            if isinstance(read, Busy):
                return read
            recall, tokens = read
            if tokens is not None:
                recall.complete(tokens, await lane.batcher.compute(tokens))
        logits = recall.rows
        values = lane.engine.finish(logits)
        if not (np.isfinite(values).all() and np.isfinite(logits).all()):
            raise FailedError(f"{lane.model.reference} gave a score that is not finite")
        if self._memo and recall.unknown:
            await loop.run_in_executor(lane.tokenizer, self._memo.keep, recall, recall.unknown)
        self._recent.append(Recent.of(query, documents))
        num_tokens = int(recall.lengths.sum())
        return Scored(values, recall.truncated, num_tokens, lane.model, logits, known=recall.known)

    def _read(
        self, lane: Lane, query: Queries, documents: Sequence[Document], wait_s: float
    ) -> tuple[Recall, Tokens | None] | Busy:
        """What is known of each pair, and the tokens of the others; None where there are none. A refusal reads none."""
        pairs, heads = lane.pairs(query, documents), len(lane.model.heads)
        memo = self._memo
        recall = memo.recall(lane.model.digest, pairs, heads) if memo else Recall.nothing(len(pairs), heads)
        if recall.unknown and wait_s > self._args.max_wait_s:
            return Busy(wait_s)
        unknown = [pairs[place] for place in recall.unknown]
        return recall, lane.engine.tokenize(unknown) if unknown else None

    async def explain(self, query: str, documents: Sequence[Document]) -> list[list[TokenWeight]] | Busy:
        """What each word of the query and of a title does to the deciding score; see `attribution`.

        Raises:
            FailedError: the model gave a score that is not a number.
        """
        occlusion = occlude(query, documents)
        scored = await self.score([text for text, _ in occlusion.inputs], [shown for _, shown in occlusion.inputs])
        if isinstance(scored, Busy):
            return scored
        return occlusion.weights(scored.values[:, scored.model.primary])

    async def following(self) -> Following:
        """What this replica serves, and what it should."""
        return self._source.state

    async def check_health(self) -> None:
        """Run a tiny inference: Ray Serve replaces the replica when this fails or takes too long."""
        lane = self._source.lane
        await asyncio.get_running_loop().run_in_executor(lane.device, lane.infer_health)

    def __del__(self) -> None:
        """Follow no more. Ray Serve calls this when it stops the replica; requests that are in work are answered."""
        if source := getattr(self, "_source", None):
            source.close()

    def _begin(self, reference: str) -> Fixed | Follower:
        """Load the first model, and follow where there is anything to follow."""
        model = self._built
        built = ModelVersion(model.name, model.version, model.path, model.digest)
        if not (self._follow.period_s and model.version and is_alias(reference)):
            return Fixed(self._open(built, None))
        registry, ledger = Registry(), Ledger(reference, self._args.engine)
        lane, refusal = begin(
            built, lambda: registry.resolve(reference), lambda version: self._open_probed(version, None), ledger
        )
        follower = Follower(lane, lambda: registry.resolve(reference), self._open_probed, ledger, self._follow, refusal)
        follower.start()
        return follower

    def _open(self, version: ModelVersion, timeout_s: float | None) -> Lane:
        def load() -> tuple[ModelInfo, Engine]:
            # In the thread that will run it: torch counts threads per calling thread.
            model = inspect(version, self._args.engine)
            check_heads(model, self._built)
            check_vocabulary(model.path)
            return model, load_engine(model.path, self._args.engine, self._threads)

        return Lane.open(load, self._batcher, timeout_s, self._passes)

    def _open_probed(self, version: ModelVersion, old: Lane | None) -> Lane:
        lane = self._open(version, self._follow.timeout_s)
        probe(lane, old, list(self._recent), self._follow.max_slowdown, self._follow.timeout_s)
        return lane

    def _batcher(self, engine: Engine, device: Executor) -> TokenBatcher:
        args, heads = self._args, len(engine.manifest.heads)
        return TokenBatcher(
            engine.infer, heads, device, args.batch_tokens, args.batch_wait_ms / 1000, passes=self._passes
        )


def replica_cpus() -> int:
    """CPUs that Ray gave to this replica, rounded up."""
    import ray

    return max(1, math.ceil(ray.get_runtime_context().get_assigned_resources().get("CPU", 1)))
