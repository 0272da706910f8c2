"""The groups of replicas that rank: the main one, and a canary that takes over a share of its requests."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from planogram.errors import ConfigError, OverloadedError
from planogram.serve.attribution import occlude
from planogram.serve.call import Call
from planogram.serve.canary import Split
from planogram.serve.served import Served
from planogram.serve.values import Document, FailedError, Following, ModelInfo, Queries, Scored, TokenWeight

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Group:
    """Replicas of one deployment.

    Attributes:
        served: what is known of their models.
        ask: scores of documents for a query; raises OverloadedError or FailedError.
        explain: what each word does to a score; raises the same.
        tell: what one of them serves and should; raises the same.
    """

    served: Served
    ask: Callable[[Queries, Sequence[Document], float | None], Awaitable[Scored]]
    explain: Callable[[str, Sequence[Document], float | None], Awaitable[list[list[TokenWeight]]]]
    tell: Callable[[], Awaitable[Following]]

    async def score(self, query: Queries, documents: Sequence[Document], timeout_s: float | None) -> Scored:
        """Scores of documents for a query, and one more sign of what is served."""
        scored = await self.ask(query, documents, timeout_s)
        self.served.answered(scored.model)
        return scored

    async def refresh(self) -> Following:
        """What is served, by asking; what was known, where nobody answers."""
        try:
            self.served.told(await self.tell())
        except (OverloadedError, FailedError) as error:
            return replace(self.served.following, problem=error.given)
        return self.served.following


class Rankers:
    """The main group, and the canary where there is one.

    Args:
        main: the main group.
    """

    def __init__(self, main: Group) -> None:
        self.main = main
        self._canary: Group | None = None
        self._split: Split | None = None

    def try_canary(self, canary: Group, split: Split) -> None:
        """Let a canary answer a share of the requests."""
        self._canary, self._split = canary, split

    def change_canary(self, percent: float) -> None:
        """Change the canary's share.

        Raises:
            ConfigError: there is no canary.
        """
        if self._split is None:
            raise ConfigError("user_config.canary: the application has no canary", remedy="set `canary` in its args")
        self._split.percent = percent

    @property
    def model(self) -> ModelInfo:
        """The main model, as far as it is known."""
        return self.main.served.model

    async def score(self, query: Queries, documents: Sequence[Document], timeout_s: float | None) -> Scored:
        """Scores by the canary for its callers, and by the main group for the others and where the canary has none.

        Raises:
            RateLimitedError: the caller's key has had too many documents ranked.
        """
        split, canary, call = self._split, self._canary, Call.current()
        if call:
            call.charge(len(documents))
        if split is None or canary is None or call is None or not split.takes(call):
            return await self.main.score(query, documents, timeout_s)
        began_s = time.monotonic()
        # Half of the time is left for the main group.
        allowed_s = split.timeout_s if timeout_s is None else min(split.timeout_s, timeout_s / 2)
        try:
            scored = await canary.score(query, documents, allowed_s)
        except (OverloadedError, FailedError) as error:
            split.missed += 1
            logger.warning("the ranker answers for the canary (%d so far): %s", split.missed, error)
        else:
            split.answered += 1
            call.canary = True
            return replace(scored, canary=True)
        left_s = None if timeout_s is None else timeout_s - (time.monotonic() - began_s)
        return await self.main.score(query, documents, left_s)

    async def explain(
        self, query: str, documents: Sequence[Document], timeout_s: float | None
    ) -> list[list[TokenWeight]]:
        """What each word does to the scores of the group that ranked in this call.

        Raises:
            RateLimitedError: the caller's key has had too many documents ranked; each is ranked once for each word.
        """
        call = Call.current()
        if call:
            call.charge(len(occlude(query, documents).inputs))
        group = self._canary if self._canary and call and call.canary else self.main
        return await group.explain(query, documents, timeout_s)

    async def following(self) -> list[Following]:
        """What serves and what should, by asking: of the main group, then of the canary."""
        main = await self.main.refresh()
        if self._canary is None or self._split is None:
            return [main]
        return [main, replace(await self._canary.refresh(), canary=self._split.state)]

    async def watch(self, period_s: float) -> None:
        """Ask again and again, so that a name in a request is judged by what serves now; ends with its task."""
        while True:
            await asyncio.sleep(period_s)
            await self.following()
