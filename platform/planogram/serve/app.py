"""The Ray Serve application: gateway -> retriever, ranker and embedder, bound from typed arguments.

Serve config files name it as `import_path: planogram.serve.app:build`.
"""

from typing import TYPE_CHECKING, Any

from planogram.config import EngineName
from planogram.data.match import MATCH
from planogram.engines.load import check_engine
from planogram.errors import ConfigError
from planogram.registry.bundle import BundleManifest, open_bundle
from planogram.registry.store import ModelVersion, Registry
from planogram.serve.backend import ModelInfo
from planogram.serve.embedder import Embedder
from planogram.serve.gateway import Gateway
from planogram.serve.policy import Policy
from planogram.serve.ranker import Ranker
from planogram.serve.retriever import Retriever
from planogram.serve.settings import NEED_A_SHOP, AppArgs

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
# Half a CPU in Ray's books and one thread: with the other three it fits on two cores.
EMBEDDER: dict[str, Any] = {**RANKER, "ray_actor_options": {"num_cpus": 0.5}}


def build(args: AppArgs) -> "Application":
    """Bind the application. Every option of a deployment can be set in the config file's `deployments`.

    Args:
        args: Ray Serve makes them from the config file's `args`.

    Raises:
        ConfigError: an argument is wrong.
        NotFoundError: there is no such model, or it has no export for the engine.
        IntegrityError: the bundle does not verify.
    """
    from ray import serve

    model = resolve(args.ranker, args.engine.engine)
    # Said here what is wrong with it, before any replica starts.
    Policy.of(args, model)
    ranker = serve.deployment(Ranker, name="Ranker", **COMMON, **RANKER).bind(args.engine, model)
    retriever = None
    if not set(NEED_A_SHOP).isdisjoint(args.routes):
        options = serve.deployment(Retriever, name="Retriever", **COMMON, **RETRIEVER)
        retriever = options.bind(args.shop, args.retriever)
    embedder_model, embedder = None, None
    if args.embedder is not None:
        embedder_model = resolve_embedder(args.embedder, args.embedder_engine.engine)
        replicas = serve.deployment(Embedder, name="Embedder", **COMMON, **EMBEDDER)
        embedder = replicas.bind(args.embedder_engine, embedder_model)
    gateway = serve.deployment(serve.ingress()(Gateway), name="Gateway", **COMMON, **GATEWAY)
    return gateway.bind(args, model, ranker, retriever, embedder_model, embedder)


def resolve(reference: str, engine: EngineName = "torch-fp32") -> ModelInfo:
    """Find and verify a bundle. An alias is resolved here, once, so that all replicas load the same version.

    Args:
        reference: name, name@alias, name:version, or the folder of a bundle.
        engine: that will run it.

    Raises:
        NotFoundError: there is none, or it has no export for the engine.
        IntegrityError: it does not verify; the message names the file.
        ConfigError: it does not score a query and a product by their texts.
    """
    version = Registry().resolve(reference)
    folder, manifest = open_bundle(version.path)
    check_engine(folder, manifest, engine)
    needed = [name for name in manifest.features.names if name not in MATCH]
    if manifest.kind != "cross-encoder" or needed:
        what = f"takes {', '.join(needed)}" if needed else f"is a {manifest.kind}"
        raise ConfigError(
            f"{reference} {what}",
            allowed="a cross-encoder of texts alone",
            remedy="choose another bundle as the ranker",
        )
    return _info(version, manifest)


def resolve_embedder(reference: str, engine: EngineName = "torch-fp32") -> ModelInfo:
    """Find and verify the bundle of a bi-encoder, once, so that all replicas load the same version.

    Args:
        reference: name, name@alias, name:version, or the folder of a bundle.
        engine: that will run it.

    Raises:
        NotFoundError: there is none, or it has no export for the engine.
        IntegrityError: it does not verify; the message names the file.
        ConfigError: it is no bi-encoder, or the engine does not give vectors.
    """
    from planogram.engines.embedding import check_embedding, vector_width

    version = Registry().resolve(reference)
    folder, manifest = open_bundle(version.path)
    if manifest.kind != "bi-encoder":
        raise ConfigError(
            f"{reference} is a {manifest.kind}: what it gives are no vectors that can be compared",
            allowed="a bi-encoder",
            remedy="choose another bundle as the embedder, or name this one as the ranker",
        )
    check_embedding(folder, manifest, engine)
    return _info(version, manifest, vector_width(folder))


def _info(version: ModelVersion, manifest: BundleManifest, width: int = 0) -> ModelInfo:
    return ModelInfo(
        name=version.name,
        version=version.version,
        path=version.path,
        digest=version.digest,
        heads=tuple(head.name for head in manifest.heads),
        text_fields=manifest.text_fields,
        max_tokens=manifest.max_tokens,
        text_language=manifest.text_language,
        text_season=manifest.text_season,
        width=width,
    )
