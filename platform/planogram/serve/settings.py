"""The typed arguments of the application: what stands under `args` in a Ray Serve config file."""

from typing import Any, Literal

from pydantic import Field, model_validator

from planogram.config import EngineName
from planogram.section import Section, parse

RouteName = Literal["search", "rerank"]


class EngineArgs(Section):
    """How the ranker runs its bundle."""

    engine: EngineName = Field("torch-fp32", description="`openvino-…` needs its export in the bundle")
    batch_tokens: int = Field(4096, ge=128, description="tokens in one forward pass, and in one batch of requests")
    batch_wait_ms: float = Field(
        0.0, ge=0, description="how long a request waits for others to join its batch; pays on a GPU only"
    )
    threads: int | None = Field(None, ge=1, description="CPU threads of one replica; absent: the replica's num_cpus")


class FollowArgs(Section):
    """How a ranker follows its alias. A version or a folder never changes."""

    period_s: float = Field(2.0, ge=0, le=3600, description="how often it looks where the alias points; 0: never")
    keep_previous: bool = Field(True, description="the version before stays loaded, so that a rollback is immediate")
    timeout_s: float = Field(120.0, gt=0, description="for loading a version, and for each step of its probe")
    max_slowdown: float = Field(5.0, ge=1, description="a version that takes so many times as long is refused")


class CanaryArgs(Section):
    """A second model that answers a share of the requests."""

    ranker: str = Field(..., description="as `ranker`; best an alias of its own, such as shop-ranker@candidate")
    percent: float = Field(..., ge=0, le=100, description="of callers; `user_config` changes it while the server runs")
    timeout_s: float = Field(1.0, gt=0, description="the main model answers where the canary has not by then")


class RetrieverArgs(Section):
    """The full-text index over the shop's products."""

    candidates: int = Field(50, ge=1, le=1000, description="products per query that the ranker sees")
    language: str = Field("English", description="of the stemmer, as Lance names it")
    stem: bool = Field(True, description="find `shoes` for `shoe`; of use in `language` only")
    folder: str | None = Field(None, description="where indexes are kept; absent: PLANOGRAM_HOME/indexes")


class Limits(Section):
    """What one request may cost. Counts and lengths that stand in the OpenAPI schema are not here."""

    body_bytes: int = Field(256 * 1024, ge=1024, le=16 * 1024 * 1024, description="of a request's body")
    json_depth: int = Field(20, ge=4, le=100, description="nesting of a request's JSON")
    request_timeout_s: float = Field(10.0, gt=0, description="from the first byte of a request to its answer")
    ranker_timeout_s: float = Field(5.0, gt=0, description="/search answers without the ranker after so long")

    @model_validator(mode="after")
    def _room_for_the_fallback(self) -> "Limits":
        if self.ranker_timeout_s >= self.request_timeout_s:
            raise ValueError(
                f"ranker_timeout_s {self.ranker_timeout_s} must be less than request_timeout_s "
                f"{self.request_timeout_s}: a late ranker must leave time for the answer without it"
            )
        return self


class AppSettings(Section):
    """The fields of `AppArgs`."""

    routes: tuple[RouteName, ...] = Field(("search", "rerank"), strict=False, min_length=1)
    ranker: str = Field(..., description="name, name@alias, name:version, or the folder of a bundle")
    shop: str | None = Field(None, description="folder of a prepared shop; needed by the route `search`")
    engine: EngineArgs = EngineArgs()
    retriever: RetrieverArgs = RetrieverArgs()
    limits: Limits = Limits()
    follow: FollowArgs = FollowArgs()
    canary: CanaryArgs | None = None

    @model_validator(mode="after")
    def _search_has_a_shop(self) -> "AppSettings":
        if "search" in self.routes and self.shop is None:
            raise ValueError("the route `search` needs `shop`: name a prepared shop, or drop `search` from `routes`")
        return self


class AppArgs(AppSettings):
    """Arguments of `planogram.serve.app:build`. Ray Serve makes them from the YAML's `args`.

    Raises:
        ConfigError: a key or a value is wrong; pydantic's own error would not name the valid keys.
    """

    @model_validator(mode="before")
    @classmethod
    def _explain(cls, values: Any) -> Any:
        if isinstance(values, dict):
            parse(AppSettings, values, "the application's args")
        return values
