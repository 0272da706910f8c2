"""The Ray Serve application: gateway -> retriever, ranker and embedder, bound from typed arguments.

Serve config files name it as `import_path: planogram.serve.app:build`.
"""

from typing import TYPE_CHECKING, Any

from planogram.serve.embedder import Embedder
from planogram.serve.gateway import Gateway
from planogram.serve.policy import Policy
from planogram.serve.probe import check_heads
from planogram.serve.ranker import Ranker
from planogram.serve.resolve import check_demand, resolve_embedder, resolve_sequencer, resolve_served
from planogram.serve.retriever import Retriever
from planogram.serve.settings import NEED_A_SHOP, AppArgs, EngineArgs
from planogram.serve.values import ModelInfo

if TYPE_CHECKING:
    from ray.serve import Application

# A replica is checked every 5 s and replaced after three checks that fail or take longer than 5 s.
COMMON: dict[str, Any] = {
    "health_check_period_s": 5,
    "health_check_timeout_s": 5,
    "graceful_shutdown_wait_loop_s": 1,
    "graceful_shutdown_timeout_s": 15,
    # What replaces a replica serves before the old one leaves, even where there is one alone.
    "max_surge_percent": 50,
    "backpressure_config": {"status_code": 503, "retry_after_s": 1},
}
# The ranker's queue is the shortest: it is the slowest, and what waits there too long is thrown away.
GATEWAY: dict[str, Any] = {
    "max_ongoing_requests": 256,
    "max_queued_requests": 256,
    "ray_actor_options": {"num_cpus": 0.2},
    "autoscaling_config": {"min_replicas": 1, "max_replicas": 4, "target_ongoing_requests": 64},
}
RETRIEVER: dict[str, Any] = {
    "max_ongoing_requests": 64,
    "max_queued_requests": 128,
    "ray_actor_options": {"num_cpus": 0.2},
    "autoscaling_config": {"min_replicas": 1, "max_replicas": 4, "target_ongoing_requests": 8},
}
RANKER: dict[str, Any] = {
    "max_ongoing_requests": 32,
    "max_queued_requests": 64,
    "ray_actor_options": {"num_cpus": 1},
    "autoscaling_config": {"min_replicas": 1, "max_replicas": 8, "target_ongoing_requests": 4, "upscale_delay_s": 3},
}
# Half a CPU in Ray's books and one thread: with the other three it fits on two cores.
EMBEDDER: dict[str, Any] = {**RANKER, "ray_actor_options": {"num_cpus": 0.5}}
# What a demand model says of a product does not depend on the request: nearly all of it comes from the cache.
PRICER: dict[str, Any] = {**RANKER, "ray_actor_options": {"num_cpus": 0.2}}


def build(args: AppArgs) -> "Application":
    """Bind the application. Every option of a deployment can be set in the config file's `deployments`.

    Args:
        args: Ray Serve makes them from the config file's `args`.

    Raises:
        ConfigError: an argument is wrong.
        NotFoundError: there is no such model, or it has no export for the engine.
        IntegrityError: the bundle does not verify, and none that served before does.
        ProbeError: the canary lacks a head of the ranker.
    """
    from ray import serve

    ranker = _ranker("Ranker", args.ranker, args.engine, args)
    check_demand(ranker[0], wanted=False)
    # Said here what is wrong with it, before any replica starts.
    Policy.of(args, ranker[0], sequencer=args.sequencer is not None)
    canary = None
    if args.canary:
        canary = _ranker("CanaryRanker", args.canary.ranker, args.engine, args)
        check_heads(canary[0], ranker[0])
    sequencer = resolve_sequencer(args.sequencer) if args.sequencer is not None else None
    retriever = None
    if not set(NEED_A_SHOP).isdisjoint(args.routes):
        options = serve.deployment(Retriever, name="Retriever", **COMMON, **RETRIEVER)
        retriever = options.bind(args.shop, args.retriever, sequencer)
    embedder = _embedder(args.embedder, args) if args.embedder is not None else None
    pricer = None
    if args.pricing:
        pricer = _ranker("Pricer", args.pricing.demand, args.pricing.engine, args, PRICER)
        check_demand(pricer[0], wanted=True)
    gateway = serve.deployment(serve.ingress()(Gateway), name="Gateway", **COMMON, **GATEWAY)
    return gateway.bind(args, ranker, retriever, embedder=embedder, canary=canary, sequencer=sequencer, pricer=pricer)


def _ranker(
    name: str, reference: str, engine: EngineArgs, args: AppArgs, options: dict[str, Any] = RANKER
) -> "tuple[ModelInfo, Application]":
    from ray import serve

    model = resolve_served(reference, engine.engine)
    replicas = serve.deployment(Ranker, name=name, **COMMON, **options)
    return model, replicas.bind(engine, model, reference, args.follow, args.cache)


def _embedder(reference: str, args: AppArgs) -> "tuple[ModelInfo, Application]":
    from ray import serve

    model = resolve_embedder(reference, args.embedder_engine.engine)
    replicas = serve.deployment(Embedder, name="Embedder", **COMMON, **EMBEDDER)
    return model, replicas.bind(args.embedder_engine, model, args.cache)
