"""The typed arguments of the application: what stands under `args` in a Ray Serve config file."""

import os
from typing import Any, Literal

from pydantic import Field, model_validator

from planogram.config import EngineName
from planogram.section import Section, parse
from planogram.serve.cache import Cache, open_cache
from planogram.serve.policy import PolicyArgs

RouteName = Literal["search", "recommend", "ingest", "rerank", "embeddings", "price"]
# These find products.
NEED_A_SHOP = ("search", "recommend", "ingest", "price")


class EngineArgs(Section):
    """How a replica runs its bundle."""

    engine: EngineName = Field("torch-fp32", description="`openvino-…` needs its export in the bundle")
    batch_tokens: int = Field(1024, ge=128, description="padded tokens in one forward pass, of one request or several")
    batch_wait_ms: float = Field(
        0.0, ge=0, description="how long a request waits for others to join its batch; pays on a GPU only"
    )
    max_wait_s: float = Field(
        2.0, gt=0, description="of the work that comes before a request in a replica; one beyond it is refused with 503"
    )
    threads: int | None = Field(None, ge=1, description="CPU threads of one replica; absent: the replica's num_cpus")


class FollowArgs(Section):
    """How a ranker follows its alias. A version or a folder never changes."""

    period_s: float = Field(2.0, ge=0, le=3600, description="how often it looks where the alias points; 0: never")
    keep_previous: bool = Field(True, description="the version before stays loaded, so that a rollback is immediate")
    timeout_s: float = Field(120.0, gt=0, description="for loading a version, and for each step of its probe")
    max_slowdown: float = Field(5.0, ge=1, description="a version that takes so many times as long is refused")


class CacheArgs(Section):
    """What replicas remember of what they computed. Of another model, text or catalogue it is another entry."""

    scores_mb: int = Field(64, ge=0, description="of pairs, in each ranker replica; 0: nothing is remembered")
    vectors_mb: int = Field(64, ge=0, description="of texts, in each embedder replica; 0: nothing is remembered")
    ttl_s: float = Field(3600.0, gt=0, description="how long both are remembered")
    answers_mb: int = Field(32, ge=0, description="of /search and /recommend, in each gateway replica; 0: nothing")
    answers_ttl_s: float = Field(60.0, gt=0, description="how long answers are remembered")
    redis_url: str | None = Field(
        None, description="redis://, rediss:// or unix://: replicas share what they know; else PLANOGRAM_REDIS_URL"
    )

    def open(self, max_mb: int, ttl_s: float | None = None) -> Cache | None:
        """A cache; None where nothing is remembered.

        Args:
            max_mb: in this process; 0: nothing is remembered.
            ttl_s: how long; absent: `ttl_s`.

        Raises:
            ConfigError: the URL is none of Redis.
        """
        return open_cache(max_mb, ttl_s or self.ttl_s, self.redis_url or os.environ.get("PLANOGRAM_REDIS_URL"))


class CanaryArgs(Section):
    """A second model that answers a share of the requests."""

    ranker: str = Field(..., description="as `ranker`; best an alias of its own, such as shop-ranker@candidate")
    percent: float = Field(..., ge=0, le=100, description="of callers; `user_config` changes it while the server runs")
    timeout_s: float = Field(1.0, gt=0, description="the main model answers where the canary has not by then")


class IndexArgs(Section):
    """How the index of a shop's products is made."""

    encoder: str | None = Field(
        None, description="a bi-encoder: name, name@alias, name:version, or folder; absent: products are found by words"
    )
    encoder_engine: EngineName = Field("torch-fp32", description="`openvino-…` needs its export in the bundle")
    language: str = Field("English", description="of the stemmer, as Lance names it")
    stem: bool = Field(True, description="find `shoes` for `shoe`; of use in `language` only")
    folder: str | None = Field(None, description="where indexes are kept; absent: PLANOGRAM_HOME/indexes")


class CanaryChange(Section):
    """What may be changed of a canary while the server runs."""

    percent: float = Field(..., ge=0, le=100, description="of callers")


class UserConfig(PolicyArgs):
    """The Gateway's `user_config`: what changes without a restart, each key as a whole."""

    canary: CanaryChange | None = None


class RetrieverArgs(IndexArgs):
    """The index over the shop's products, and how it is searched."""

    candidates: int = Field(50, ge=1, le=1000, description="products per query that the ranker sees")
    vector_weight: float = Field(1.0, ge=0, description="of products found by meaning; those found by words weigh 1")
    spelling: bool = Field(True, description="search for the nearest word of the shop where one finds nothing")
    refresh_s: float = Field(1.0, gt=0, description="until every replica sees a change of the products")
    threads: int | None = Field(
        None, ge=1, description="of the encoder, and of the sequencer; absent: the replica's num_cpus"
    )


class IndexConfig(IndexArgs):
    """`planogram index`: make the index of a shop before a server needs it."""

    shop: str = Field(..., description="folder of a prepared shop")


class Limits(Section):
    """What one request may cost. Counts and lengths that stand in the OpenAPI schema are not here."""

    body_bytes: int = Field(256 * 1024, ge=1024, le=16 * 1024 * 1024, description="of a request's body")
    json_depth: int = Field(20, ge=4, le=100, description="nesting of a request's JSON")
    request_timeout_s: float = Field(10.0, gt=0, description="from the first byte of a request to its answer")
    ranker_timeout_s: float = Field(
        5.0,
        gt=0,
        description="/search and /recommend answer without the ranker after so long; after half of it, but not "
        "before `engine.max_wait_s`, another replica is asked as well, for every route",
    )

    @model_validator(mode="after")
    def _room_for_the_fallback(self) -> "Limits":
        if self.ranker_timeout_s >= self.request_timeout_s:
            raise ValueError(
                f"ranker_timeout_s {self.ranker_timeout_s} must be less than request_timeout_s "
                f"{self.request_timeout_s}: a late ranker must leave time for the answer without it"
            )
        return self


class AuthArgs(Section):
    """Who may ask, and how often. Keys come from the file, and from the environment variable PLANOGRAM_API_KEYS."""

    keys_file: str | None = Field(None, description="made by `planogram keys create`; only its owner may read it")
    required: bool = Field(False, description="do not start without a key")
    requests_per_s: float | None = Field(
        None, gt=0, description="of one key at one gateway replica; absent: no limit; a key's own figure wins"
    )
    burst: int | None = Field(None, ge=1, description="requests at once; absent: those of one second, at least 1")
    documents_per_s: float | None = Field(
        None, gt=0, description="that one key may have ranked or embedded at one gateway replica; as requests_per_s"
    )


class PricingArgs(Section):
    """How `/price` decides."""

    demand: str = Field(..., description="the bundle of a demand model: name, name@alias, name:version, or folder")
    engine: EngineArgs = EngineArgs()
    audit: str | None = Field(
        None, description="file that every decision is recorded in; absent: PLANOGRAM_HOME/prices/audit.jsonl"
    )
    kill_switch: str | None = Field(
        None, description="while this file is there, no price changes; absent: PLANOGRAM_HOME/prices/STOP"
    )


class TracingArgs(Section):
    """Where spans go. Without an endpoint and without the console there are none."""

    endpoint: str | None = Field(
        None, pattern=r"^https?://", description="OTLP over HTTP, such as http://127.0.0.1:4318/v1/traces"
    )
    console: bool = Field(False, description="write spans to standard error, for debugging")
    share: float = Field(1.0, ge=0, le=1, description="of the requests that bring no decision of their own to trace")

    @property
    def on(self) -> bool:
        """Whether spans are made."""
        return self.console or self.endpoint is not None


class AppSettings(PolicyArgs):
    """The fields of `AppArgs`; those of `PolicyArgs` can be changed later by the Gateway's `user_config`."""

    routes: tuple[RouteName, ...] = Field(("search", "recommend", "rerank"), strict=False, min_length=1)
    ranker: str = Field(..., description="name, name@alias, name:version, or the folder of a bundle")
    embedder: str | None = Field(None, description="the bundle of a bi-encoder; needed by the route `embeddings`")
    sequencer: str | None = Field(
        None, description="the bundle of a sequence model: from a history it proposes what `recommend` ranks"
    )
    shop: str | None = Field(
        None, description="folder of a prepared shop; needed by `search`, `recommend`, `ingest` and `price`"
    )
    engine: EngineArgs = EngineArgs()
    embedder_engine: EngineArgs = EngineArgs()
    retriever: RetrieverArgs = RetrieverArgs()
    limits: Limits = Limits()
    auth: AuthArgs = AuthArgs()
    tracing: TracingArgs = TracingArgs()
    follow: FollowArgs = FollowArgs()
    cache: CacheArgs = CacheArgs()
    pricing: PricingArgs | None = None
    canary: CanaryArgs | None = None

    @model_validator(mode="after")
    def _products_come_from_a_shop(self) -> "AppSettings":
        needing = [route for route in self.routes if route in NEED_A_SHOP]
        if needing and self.shop is None:
            routes = ", ".join(needing)
            raise ValueError(f"the route {routes} needs `shop`: name a prepared shop, or drop {routes} from `routes`")
        return self

    @model_validator(mode="after")
    def _prices_have_a_demand_model(self) -> "AppSettings":
        if ("price" in self.routes) != (self.pricing is not None):
            raise ValueError("the route `price` and `pricing` belong together: set both, or neither")
        return self

    @model_validator(mode="after")
    def _a_sequencer_recommends(self) -> "AppSettings":
        if self.sequencer is not None and "recommend" not in self.routes:
            raise ValueError("`sequencer` serves the route `recommend` alone: add `recommend` to `routes`, or drop it")
        return self

    @model_validator(mode="after")
    def _embeddings_have_an_embedder(self) -> "AppSettings":
        if "embeddings" in self.routes and self.embedder is None:
            raise ValueError(
                "the route `embeddings` needs `embedder`: name the bundle of a bi-encoder, or drop `embeddings` from "
                "`routes`"
            )
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
