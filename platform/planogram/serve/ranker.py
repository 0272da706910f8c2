"""The ranker: a replica that scores documents for a query with one bundle on one engine, and follows its alias."""

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np

from planogram.data.tokenizer import Tokens
from planogram.engines.base import Engine, Floats
from planogram.engines.load import load_engine
from planogram.registry.store import ModelVersion, Registry
from planogram.serve.attribution import occlude
from planogram.serve.backend import (
    Busy,
    Document,
    FailedError,
    Following,
    ModelInfo,
    Queries,
    Scored,
    TokenWeight,
)
from planogram.serve.batching import Job, TokenBatcher
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

KEPT_REQUESTS = 8


@dataclass(eq=False)
class LaneJob:
    """The pairs of one request, and the lane that made their tokens and will score them, whatever serves meanwhile."""

    job: Job
    lane: Lane


Answers = list[Floats | Exception]


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
        self._built = model
        self._follow = follow or FollowArgs()
        #: the last requests that were answered, for probes; they are never written anywhere
        self._recent: deque[Recent] = deque(maxlen=KEPT_REQUESTS)
        cache = cache or CacheArgs()
        scores = cache.open(cache.scores_mb)
        self._memo = Memo(scores, "scores", args.engine) if scores else None
        self._source = self._begin(reference)
        self._submit = queue(args, run_jobs)

    async def score(self, query: Queries, documents: Sequence[Document]) -> Scored | Busy:
        """Score documents, in their order, for one query or for one each; one model makes the tokens and the scores.

        A replica whose work would take longer than `max_wait_s` refuses more, unless it knows all scores already.

        Raises:
            FailedError: the model gave a score that is not a number.
        """
        lane = self._source.lane
        loop = asyncio.get_running_loop()
        wait_s = lane.batcher.wait_s
        with lane.batcher.taken_on(len(documents)):
            read = await loop.run_in_executor(lane.tokenizer, self._read, lane, query, documents, wait_s)
            if isinstance(read, Busy):
                return read
            recall, tokens = read
            if tokens is not None:
                recall.complete(tokens, await self._computed(lane, tokens))
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

    async def _computed(self, lane: Lane, tokens: Tokens) -> Floats:
        """Logits (pairs, heads) float32, together with those of other requests."""
        job = Job(tokens)
        try:
            logits = await self._submit(LaneJob(job, lane))
        except asyncio.CancelledError:
            job.abandoned = True
            raise
        if isinstance(logits, Exception):
            raise logits
        return logits

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

        return Lane.open(load, self._batcher, timeout_s)

    def _open_probed(self, version: ModelVersion, old: Lane | None) -> Lane:
        lane = self._open(version, self._follow.timeout_s)
        probe(lane, old, list(self._recent), self._follow.max_slowdown, self._follow.timeout_s)
        return lane

    def _batcher(self, engine: Engine, device: Executor) -> TokenBatcher:
        return TokenBatcher(engine.infer, len(engine.manifest.heads), device, self._args.batch_tokens)


def queue(
    args: EngineArgs, run: Callable[[list[LaneJob]], Awaitable[Answers]]
) -> Callable[[LaneJob], Awaitable[Floats | Exception]]:
    """A queue of Ray Serve before `run`, which then gets the jobs of several requests at once."""
    from ray import serve

    def size(jobs: Sequence[LaneJob]) -> int:
        return jobs[0].lane.batcher.size([job.job for job in jobs])

    return serve.batch(
        max_batch_size=args.batch_tokens, batch_wait_timeout_s=args.batch_wait_ms / 1000, batch_size_fn=size
    )(run)


async def run_jobs(jobs: list[LaneJob]) -> Answers:
    """Scores per job, or why there are none. Jobs of one lane run together, and its failure is theirs alone."""
    answers: Answers = [FailedError("not scored")] * len(jobs)
    for lane in dict.fromkeys(job.lane for job in jobs):
        places = [place for place, job in enumerate(jobs) if job.lane is lane]
        for place, answer in zip(places, await _run_lane(lane, [jobs[place].job for place in places]), strict=True):
            answers[place] = answer
    return answers


async def _run_lane(lane: Lane, jobs: list[Job]) -> Answers:
    try:
        return [*await lane.batcher.run(jobs)]
    except Exception as error:  # the jobs of another lane in the same batch go on
        return [error] * len(jobs)


def replica_cpus() -> int:
    """CPUs that Ray gave to this replica, rounded up."""
    import ray

    return max(1, math.ceil(ray.get_runtime_context().get_assigned_resources().get("CPU", 1)))
