"""The Ray Serve application: gateway -> retriever and ranker, bound from typed arguments.

Serve config files name it as `import_path: planogram.serve.app:build`.
"""

from typing import TYPE_CHECKING, Any

from planogram.serve.gateway import Gateway
from planogram.serve.probe import check_heads
from planogram.serve.ranker import Ranker
from planogram.serve.resolve import resolve_served
from planogram.serve.retriever import Retriever
from planogram.serve.settings import AppArgs

if TYPE_CHECKING:
    from ray.serve import Application

# A replica is checked every 5 s and replaced after three checks that fail or take longer than 5 s.
COMMON: dict[str, Any] = {
    "health_check_period_s": 5,
    "health_check_timeout_s": 5,
    "graceful_shutdown_wait_loop_s": 1,
    "graceful_shutdown_timeout_s": 15,
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

    model = resolve_served(args.ranker, args.engine.engine)
    ranker = serve.deployment(Ranker, name="Ranker", **COMMON, **RANKER).bind(
        args.engine, model, args.ranker, args.follow
    )
    retriever, canary, tried = None, None, None
    if args.canary:
        tried = resolve_served(args.canary.ranker, args.engine.engine)
        check_heads(tried, model)
        canary = serve.deployment(Ranker, name="CanaryRanker", **COMMON, **RANKER).bind(
            args.engine, tried, args.canary.ranker, args.follow
        )
    if "search" in args.routes:
        options = serve.deployment(Retriever, name="Retriever", **COMMON, **RETRIEVER)
        retriever = options.bind(args.shop, args.retriever)
    gateway = serve.deployment(serve.ingress()(Gateway), name="Gateway", **COMMON, **GATEWAY)
    return gateway.bind(args, model, ranker, retriever, canary, tried)
