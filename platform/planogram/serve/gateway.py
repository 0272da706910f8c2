"""The gateway: the ingress replica. It answers HTTP and asks the other replicas over Ray Serve handles."""

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI

from planogram.errors import OverloadedError, PlanogramError
from planogram.section import parse
from planogram.serve.answer_memo import Catalogue
from planogram.serve.call import Call
from planogram.serve.canary import Split
from planogram.serve.hedge import hedged
from planogram.serve.logs import configure_logging
from planogram.serve.policy import Policy, changed_policy
from planogram.serve.rankers import Group, Rankers
from planogram.serve.ray_metrics import observe_replica
from planogram.serve.served import Served
from planogram.serve.settings import AppArgs, UserConfig
from planogram.serve.values import (
    Busy,
    Document,
    Embedded,
    FailedError,
    Filters,
    Following,
    LateError,
    ModelInfo,
    Queries,
    Retrieved,
    Scored,
    ShedError,
    TokenWeight,
    UnavailableError,
)
from planogram.serve.web import create_app

if TYPE_CHECKING:
    from ray.serve.handle import DeploymentHandle, DeploymentResponse

    Bound = tuple[ModelInfo, DeploymentHandle]

logger = logging.getLogger(__name__)

CHECK_TIMEOUT_S = 3.0


class Gateway:
    """A Ray Serve ingress deployment, and the routes' `Backend`.

    Args:
        args: routes and limits.
        ranker: the bundle when the application was built, and the handle of `Ranker`.
        retriever: handle of `Retriever`; None where no route needs one.
        embedder: the bundle and the handle of `Embedder`; None: there is none.
        canary: the bundle and the handle of `CanaryRanker`; None: there is none.
        sequencer: the bundle that `Retriever` proposes by; None: there is none.
        pricer: the demand model and the handle of `Pricer`; None: nothing is priced.

    Raises:
        NotFoundError, ConfigError: the weights or rules are wrong; the replica does not start.
    """

    def __init__(
        self,
        args: AppArgs,
        ranker: "Bound",
        retriever: "DeploymentHandle | None",
        *,
        embedder: "Bound | None" = None,
        canary: "Bound | None" = None,
        sequencer: ModelInfo | None = None,
        pricer: "Bound | None" = None,
    ) -> None:
        configure_logging()
        observe_replica()
        self.args = args
        # Weights are judged by the model that the application was built with: all that follow have its heads.
        self._built = ranker[0]
        self.sequencer = sequencer
        self.policy = Policy.of(args, self._built, sequencer=sequencer is not None)
        self._started = False
        self.embedder = embedder[0] if embedder else None
        self._embedder = embedder[1] if embedder else None
        self._retriever = retriever
        # One period until a replica looks, and one until this gateway does.
        self._catalogue = Catalogue(2 * args.retriever.refresh_s)
        self._rankers = Rankers(group("ranker", ranker, args))
        if args.canary and canary is not None:
            split = Split(args.canary.ranker, args.canary.percent, args.canary.timeout_s)
            self._rankers.try_canary(group("canary", canary, args), split)
        self._pricers = Rankers(group("pricer", pricer, args)) if pricer else None
        if args.follow.period_s:
            # Kept, since the loop itself holds its tasks weakly.
            watched = [self._rankers, *([self._pricers] if self._pricers else [])]
            loop = asyncio.get_running_loop()
            self._watch = [loop.create_task(group.watch(args.follow.period_s)) for group in watched]
        if retriever is not None and args.cache.answers_mb:
            self._look = asyncio.get_running_loop().create_task(self._look_at(retriever, args.retriever.refresh_s))

    @property
    def model(self) -> ModelInfo:
        """The model that ranks, as far as it is known."""
        return self._rankers.model

    @property
    def demand_model(self) -> ModelInfo:
        """The model that foretells demand, as far as it is known."""
        assert self._pricers is not None
        return self._pricers.model

    @property
    def catalogue(self) -> str:
        """The version of the products that every replica has; empty: not known, or it is just changing."""
        return self._catalogue.version

    def __serve_build_asgi_app__(self) -> FastAPI:
        """The HTTP application of this replica."""
        return create_app(self, self.args)

    def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Take other weights, diversity, rules or share of the canary, without a restart: when `user_config` changes.

        Ray Serve stops a replica that raises here. So wrong values end a start, but never a replica that serves: its
        policy goes on, and the log says what is wrong.

        Raises:
            NotFoundError, ConfigError: the values are wrong, and the replica is starting.
        """
        try:
            changes = parse(UserConfig, user_config, "the Gateway's user_config")
            policy = changed_policy(self.args, changes, self._built, sequencer=self.sequencer is not None)
            if changes.canary:
                self._rankers.change_canary(changes.canary.percent)
            self.policy = policy
        except PlanogramError as error:
            if not self._started:
                raise
            logger.error("user_config is wrong, and what held before goes on: %s", error)  # noqa: TRY400

    def check_health(self) -> None:
        """Ray Serve calls it at the end of a start, and then at intervals."""
        self._started = True

    async def retrieve(self, query: str, filters: Filters, limit: int, facets: Sequence[str] = ()) -> Retrieved:
        """The best products for a query text, best first."""
        return await self._find("search", query, filters, limit, facets)

    async def lookup(self, product_ids: Sequence[str], filters: Filters) -> list[dict[str, Any]]:
        """The products with these ids that meet the filters, in the order given."""
        return await self._find("lookup", product_ids, filters)

    async def recommend(
        self, history: Sequence[str], exclude: Sequence[str], filters: Filters, limit: int
    ) -> Retrieved:
        """What shoppers take next after these products."""
        return await self._find("recommend", history, exclude, filters, limit)

    async def next_items(
        self, history: Sequence[str], exclude: Sequence[str], filters: Filters, limit: int, timeout_s: float
    ) -> Retrieved:
        """What the sequencer says that comes next after these products."""
        assert self._retriever is not None
        return await ask("sequencer", self._retriever.next_items.remote(history, exclude, filters, limit), timeout_s)

    async def similar(self, product_id: str, filters: Filters, limit: int) -> Retrieved:
        """The products most like one."""
        return await self._find("similar", product_id, filters, limit)

    async def popular(self, filters: Filters, limit: int) -> Retrieved:
        """The products that most shoppers take."""
        return await self._find("popular", filters, limit)

    async def history(self, user_id: str) -> list[str]:
        """Ids of the products that a shopper bought, oldest first."""
        return await self._find("history", user_id)

    async def change(self, products: Sequence[dict[str, Any]], deleted: Sequence[str]) -> str:
        """Add or replace products, and take others out."""
        version: str = await self._find("change", products, deleted)
        self._catalogue.told(version)
        return version

    async def _look_at(self, retriever: "DeploymentHandle", period_s: float) -> None:
        """Ask again and again which version the products have; ends with its task."""
        while True:
            try:
                self._catalogue.told(await ask("retriever", retriever.version.remote(), CHECK_TIMEOUT_S))
            except (OverloadedError, FailedError):
                # What is not known is not answered from memory.
                self._catalogue.told("")
            await asyncio.sleep(period_s)

    async def _find(self, method: str, *args: Any) -> Any:
        assert self._retriever is not None
        return await ask("retriever", getattr(self._retriever, method).remote(*args))

    async def score(self, query: Queries, documents: Sequence[Document], timeout_s: float | None = None) -> Scored:
        """Scores of documents for one query, or for one each."""
        return await self._rankers.score(query, documents, timeout_s)

    async def following(self) -> list[Following]:
        """What serves and what should: of the ranker, then of the canary."""
        return await self._rankers.following()

    async def demand(self, products: Sequence[Document], timeout_s: float | None = None) -> Scored:
        """Level and log elasticity of products."""
        assert self._pricers is not None
        return await self._pricers.score("", products, timeout_s)

    async def embed(self, texts: Sequence[str]) -> Embedded:
        """Vectors of texts.

        Raises:
            RateLimitedError: the caller's key has had too many embedded.
        """
        assert self._embedder is not None
        if call := Call.current():
            call.charge(len(texts))
        return await ask("embedder", self._embedder.embed.remote(texts))

    async def explain(
        self, query: str, documents: Sequence[Document], timeout_s: float | None = None
    ) -> list[list[TokenWeight]]:
        """What each word of the query and of a title does to the score."""
        return await self._rankers.explain(query, documents, timeout_s)

    async def check(self) -> None:
        """Return when all replicas behind this one answer."""
        # One that refuses answers: under load a balancer must not take everything out of rotation.
        with suppress(ShedError):
            await self._rankers.main.score("ready", ["ready"], CHECK_TIMEOUT_S)
        if self._retriever is not None:
            await ask("retriever", self._retriever.search.remote("ready", Filters(), 1), CHECK_TIMEOUT_S)
        if self._pricers is not None:
            with suppress(ShedError):
                await self._pricers.main.score("", ["ready"], CHECK_TIMEOUT_S)
        if self._embedder is not None:
            with suppress(ShedError):
                await ask("embedder", self._embedder.embed.remote(["ready"]), CHECK_TIMEOUT_S)


def group(who: str, bound: "Bound", args: AppArgs) -> Group:
    """The replicas of a ranker as a group that can be asked."""
    model, ranker = bound
    # What only waits its turn is not asked for twice.
    patience_s = max(args.limits.ranker_timeout_s / 2, args.engine.max_wait_s)

    async def score(query: Queries, documents: Sequence[Document], timeout_s: float | None) -> Scored:
        began_s = time.monotonic()

        async def attempt() -> Scored:
            left_s = None if timeout_s is None else timeout_s - (time.monotonic() - began_s)
            scored: Scored = await ask(who, ranker.score.remote(query, documents), left_s)
            return scored

        return await hedged(attempt, patience_s)

    async def explain(query: str, documents: Sequence[Document], timeout_s: float | None) -> list[list[TokenWeight]]:
        return await ask(who, ranker.explain.remote(query, documents), timeout_s)

    async def following() -> Following:
        return await ask(who, ranker.following.remote(), CHECK_TIMEOUT_S)

    return Group(Served(model, args.follow.period_s), score, explain, following)


async def ask(who: str, response: "DeploymentResponse", timeout_s: float | None = None) -> Any:
    """Await the answer of a deployment, with its failures as the errors that routes know.

    Args:
        who: the deployment, as errors name it.
        response: cancelled when it is late, or when the caller is cancelled.
        timeout_s: None for the request's own limit.

    Raises:
        OverloadedError, ShedError, LateError, UnavailableError, FailedError
    """
    from ray.exceptions import RayActorError
    from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, ReplicaUnavailableError

    try:
        async with asyncio.timeout(timeout_s) as limit:
            answer = await response
    except BackPressureError as error:
        raise OverloadedError(f"the {who} has too many requests", remedy="send the request again later") from error
    except (RayActorError, DeploymentUnavailableError, ReplicaUnavailableError) as error:
        raise UnavailableError(f"the {who} is not available", remedy="send the request again later") from error
    except Exception as error:
        if limit.expired():
            response.cancel()
            raise LateError(f"the {who} did not answer within {timeout_s:g} s") from error
        logger.exception("the %s failed", who)
        raise FailedError(f"the {who} failed") from error
    except asyncio.CancelledError:
        response.cancel()
        raise
    if isinstance(answer, Busy):
        raise ShedError(f"the {who} has work for {answer.wait_s:.1f} s", remedy="send the request again later")
    return answer
