"""The gateway: the ingress replica. It answers HTTP and asks the retriever and the ranker over Ray Serve handles."""

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI

from planogram.errors import OverloadedError
from planogram.section import parse
from planogram.serve.backend import (
    Document,
    FailedError,
    Filters,
    Following,
    LateError,
    ModelInfo,
    Scored,
    UnavailableError,
)
from planogram.serve.canary import CanaryChange, Split
from planogram.serve.logs import configure_logging
from planogram.serve.rankers import Group, Rankers
from planogram.serve.served import Served
from planogram.serve.settings import AppArgs
from planogram.serve.web import create_app

if TYPE_CHECKING:
    from ray.serve.handle import DeploymentHandle, DeploymentResponse

logger = logging.getLogger(__name__)

CHECK_TIMEOUT_S = 3.0


class Gateway:
    """A Ray Serve ingress deployment, and the routes' `Backend`.

    Args:
        args: routes and limits.
        model: the bundle that the ranker loaded when the application was built.
        ranker: handle of `Ranker`.
        retriever: handle of `Retriever`; None where no route needs one.
        canary: handle of `CanaryRanker` and its bundle; None where there is none.
    """

    def __init__(
        self,
        args: AppArgs,
        model: ModelInfo,
        ranker: "DeploymentHandle",
        retriever: "DeploymentHandle | None",
        canary: "DeploymentHandle | None" = None,
        canary_model: ModelInfo | None = None,
    ) -> None:
        configure_logging()
        self.args = args
        self._retriever = retriever
        self._rankers = Rankers(group("ranker", ranker, model, args))
        if args.canary and canary is not None and canary_model is not None:
            split = Split(args.canary.ranker, args.canary.percent, args.canary.timeout_s)
            self._rankers.try_canary(group("canary", canary, canary_model, args), split)
        if args.follow.period_s:
            # Kept, since the loop itself holds its tasks weakly.
            self._watch = asyncio.get_running_loop().create_task(self._rankers.watch(args.follow.period_s))

    @property
    def model(self) -> ModelInfo:
        """The model that ranks, as far as it is known."""
        return self._rankers.model

    def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Take what `user_config` changes. Ray Serve calls it at the start and when that changes, without a restart.

        Raises:
            ConfigError: a value is wrong; what held goes on.
        """
        if "canary" in user_config:
            self._rankers.change_canary(parse(CanaryChange, user_config["canary"], "user_config.canary").percent)

    def __serve_build_asgi_app__(self) -> FastAPI:
        """The HTTP application of this replica."""
        return create_app(self, self.args)

    async def retrieve(self, query: str, filters: Filters, limit: int) -> list[dict[str, Any]]:
        """The best products for a query text, best first."""
        assert self._retriever is not None
        return await ask("retriever", self._retriever.search.remote(query, filters, limit))

    async def lookup(self, product_ids: Sequence[str], filters: Filters) -> list[dict[str, Any]]:
        """The products with these ids that meet the filters, in the order given."""
        assert self._retriever is not None
        return await ask("retriever", self._retriever.lookup.remote(product_ids, filters))

    async def score(self, query: str, documents: Sequence[Document], timeout_s: float | None = None) -> Scored:
        """Scores of documents for a query."""
        return await self._rankers.score(query, documents, timeout_s)

    async def following(self) -> list[Following]:
        """What serves and what should: of the ranker, then of the canary."""
        return await self._rankers.following()

    async def check(self) -> None:
        """Return when the retriever and the ranker answer."""
        await self._rankers.main.score("ready", ["ready"], CHECK_TIMEOUT_S)
        if self._retriever is not None:
            await ask("retriever", self._retriever.search.remote("ready", Filters(), 1), CHECK_TIMEOUT_S)


def group(who: str, ranker: "DeploymentHandle", model: ModelInfo, args: AppArgs) -> Group:
    """The replicas of a ranker as a group that can be asked."""

    async def score(query: str, documents: Sequence[Document], timeout_s: float | None) -> Scored:
        return await ask(who, ranker.score.remote(query, documents), timeout_s)

    async def following() -> Following:
        return await ask(who, ranker.following.remote(), CHECK_TIMEOUT_S)

    return Group(Served(model, args.follow.period_s), score, following)


async def ask(who: str, response: "DeploymentResponse", timeout_s: float | None = None) -> Any:
    """Await the answer of a deployment, with its failures as the errors that routes know.

    Args:
        who: the deployment, as errors name it.
        response: cancelled when it is late, or when the caller is cancelled.
        timeout_s: None for the request's own limit.

    Raises:
        OverloadedError, LateError, UnavailableError, FailedError
    """
    from ray.exceptions import RayActorError
    from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, ReplicaUnavailableError

    try:
        async with asyncio.timeout(timeout_s) as limit:
            return await response
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
