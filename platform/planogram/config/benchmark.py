"""The sections of the benchmarks of serving: what is sent, to whom, and what is broken meanwhile."""

from typing import Annotated, Any, Literal, get_args

from pydantic import Field, model_validator

from planogram.config.compress import EngineName
from planogram.section import Section

ServeFlags = Literal["none", "throughput", "haproxy", "both"]
PeerName = Literal["infinity-torch", "infinity-onnx", "infinity-onnx-int8", "sentence-transformers"]
WorkloadName = Literal["rerank", "search", "cached", "price"]
ScenarioName = Literal["kill", "freeze", "block", "overload", "redeploy", "autoscale", "hostile"]
Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]


class RequestsConfig(Section):
    """What clients send."""

    documents: int = Field(32, ge=1, le=1000, description="of one request to rerank")
    tokens: int | None = Field(
        64, ge=8, description="about so many per pair: texts are cut or repeated; absent: as the shop has them"
    )
    distinct: int = Field(64, ge=1, description="different requests, which take turns")
    candidates: int = Field(100, ge=1, le=1000, description="products that `/search` retrieves and ranks")
    top_k: int = Field(10, ge=1, le=200, description="results of `/search`")
    items: int = Field(16, ge=1, le=1000, description="products of one request to `/price`")
    zipf: float = Field(1.0, ge=0, description="exponent of the `cached` stream: the k-th query has weight 1 / k^zipf")
    timeout_s: float = Field(30.0, gt=0, description="after which a client gives up")
    seed: int = Field(0, ge=0)


class BenchmarkServingConfig(Section):
    """`planogram benchmark serving`: the server beside its engine and beside other servers, in one run."""

    name: str = Field("serving", description="of the result below PLANOGRAM_HOME/benchmarks")
    bundle: str = Field(..., description="registry reference or folder of a cross-encoder")
    shop: str | None = Field(None, description="prepared shop that gives texts and queries; absent: random words")
    workloads: Annotated[tuple[WorkloadName, ...], Field(strict=False)] = Field(
        ("rerank",),
        min_length=1,
        description="`search` and `price` need a shop; `cached`: repeated queries, cache on and off",
    )
    demand: str | None = Field(None, description="registry reference or folder of a demand model, which `price` needs")
    demand_engine: EngineName = Field("torch-fp32", description="of the demand model")
    engines: Annotated[tuple[EngineName, ...], Field(strict=False)] = Field(
        ("openvino-int8",), min_length=1, description="of the server and of the raw loop; peers stand beside the first"
    )
    flags: Annotated[tuple[ServeFlags, ...], Field(strict=False)] = Field(
        ("both",), min_length=1, description="RAY_SERVE_THROUGHPUT_OPTIMIZED, RAY_SERVE_ENABLE_HA_PROXY or both"
    )
    peers: Annotated[tuple[PeerName, ...], Field(strict=False)] = Field(
        get_args(PeerName), description="other servers of the same model; they answer `rerank` alone"
    )
    peers_folder: str | None = Field(
        None, description="of their virtual environments, made where absent; absent: PLANOGRAM_HOME/peers"
    )
    requests: RequestsConfig = RequestsConfig()
    clients: Annotated[tuple[Count, ...], Field(strict=False)] = Field(
        (1, 4, 16), min_length=1, description="that each wait for an answer before they ask again"
    )
    loads: Annotated[tuple[Positive, ...], Field(strict=False)] = Field(
        (0.5, 0.8, 3.0), description="random arrivals, as shares of what the most clients got answered"
    )
    seconds: float = Field(10.0, gt=0, description="of each measurement")
    recovery_s: float = Field(10.0, gt=0, description="of watching a server after a load above its capacity")
    warmup_s: float = Field(3.0, gt=0, description="of load before anything counts")
    rounds: int = Field(3, ge=1, description="in which targets take turns")
    threads: int | None = Field(None, ge=1, description="of one inference; absent: all cores")
    cache_on: dict[str, Any] = Field(
        {"cache": {"scores_mb": 64}}, description="arguments of the application with its cache"
    )
    cache_off: dict[str, Any] = Field(
        {"cache": {"scores_mb": 0, "answers_mb": 0}}, description="arguments of the application without it"
    )
    start_timeout_s: float = Field(300.0, gt=0, description="for a server to answer")

    @model_validator(mode="after")
    def _there_are_texts(self) -> "BenchmarkServingConfig":
        for name in {"search", "price"} & set(self.workloads) if self.shop is None else ():
            raise ValueError(f"the workload `{name}` needs `shop`: name a prepared shop, or drop it from `workloads`")
        if "price" in self.workloads and self.demand is None:
            raise ValueError("the workload `price` needs `demand`: name a demand model, or drop it from `workloads`")
        if self.shop is None and self.requests.tokens is None:
            raise ValueError("requests.tokens is absent, which takes the shop's texts as they are: name `shop`")
        return self


class HostileConfig(Section):
    """What the scenario `hostile` sends beside the load."""

    inputs: int = Field(10_000, ge=1, description="requests that the OpenAPI document allows, and broken ones")
    rate: float = Field(50.0, gt=0, description="of them per second; the load lasts as long as they do")
    raw_share: float = Field(0.1, ge=0, le=1, description="of them that are no HTTP")
    drips: int = Field(200, ge=0, description="sockets that send a byte a second")
    documents_per_s: float = Field(10.0, gt=0, description="that the hostile key may have ranked, as its server allows")


class BenchmarkReliabilityConfig(Section):
    """`planogram benchmark reliability`: what clients notice while replicas die, hang, drown or are replaced."""

    name: str = Field("reliability", description="of the result below PLANOGRAM_HOME/benchmarks")
    bundle: str = Field(..., description="registry reference or folder of a cross-encoder")
    shop: str | None = Field(None, description="prepared shop that gives texts; absent: random words")
    scenarios: Annotated[tuple[ScenarioName, ...], Field(strict=False)] = Field(
        get_args(ScenarioName), min_length=1, description="each on a server of its own"
    )
    engine: EngineName = Field("openvino-int8", description="of the server")
    threads: int = Field(1, ge=1, description="of one ranker's inference")
    max_wait_s: float = Field(2.0, gt=0, description="the server's `engine.max_wait_s`")
    requests: RequestsConfig = RequestsConfig(documents=16, distinct=16)
    replicas: int = Field(2, ge=2, description="rankers")
    clients: int = Field(8, ge=1, description="whose answers per second are the capacity")
    load: float = Field(0.5, gt=0, le=1, description="share of the capacity while something is broken")
    overload: float = Field(3.0, gt=1, description="share of the capacity in the scenario `overload`")
    hostile: HostileConfig = HostileConfig()
    seconds: float = Field(60.0, gt=0, description="of load in each scenario")
    measure_s: float = Field(10.0, gt=0, description="of measuring the capacity, and latency at 80 % of it")
    kill_every_s: float = Field(10.0, gt=0, description="between two kills, or longer until replicas are whole again")
    settle_s: float = Field(60.0, gt=0, description="to wait at most for what a scenario waits for")
    tolerance: float = Field(
        0.02, gt=0, description="of a score beside the one before the fault; what is further off is a wrong body"
    )
    num_cpus: int = Field(4, ge=1, description="that Ray counts on; more than there are lets two rankers share one")
    start_timeout_s: float = Field(300.0, gt=0, description="for a server to answer")

    @model_validator(mode="after")
    def _texts_have_a_length(self) -> "BenchmarkReliabilityConfig":
        if self.shop is None and self.requests.tokens is None:
            raise ValueError("requests.tokens is absent, which takes the shop's texts as they are: name `shop`")
        return self
