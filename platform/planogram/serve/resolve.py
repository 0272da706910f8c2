"""From a reference to a bundle that may rank: found in the registry, verified, and of the right kind."""

import hashlib

from planogram import storage
from planogram.config import EngineName
from planogram.data.match import MATCH
from planogram.data.tokenizer import TOKENIZER_FILE, load_tokenizer
from planogram.engines.load import check_engine
from planogram.errors import ConfigError, IntegrityError, PlanogramError
from planogram.registry.bundle import MANIFEST, BundleManifest, check_engines, open_bundle
from planogram.registry.store import ModelVersion, Registry
from planogram.serve.ledger import Ledger
from planogram.serve.refusal import log_refusal
from planogram.serve.values import ModelInfo

ARCHITECTURE = "config.json"


def check_demand(model: ModelInfo, wanted: bool) -> None:
    """Whether a bundle is a demand model where one is needed, and none where products are ranked.

    Raises:
        ConfigError: it is the other, or explains choices alone.
    """
    if wanted and model.demand not in ("units", "purchase"):
        what = f"explains the {model.demand}" if model.demand else "is no demand model"
        raise ConfigError(
            f"{model.reference} {what}", allowed="a demand model of units or purchase", remedy="name one in `pricing`"
        )
    if model.demand and not wanted:
        raise ConfigError(
            f"{model.reference} is a demand model", allowed="a ranker", remedy="name it in `pricing.demand`"
        )


def resolve(reference: str, engine: EngineName = "torch-fp32") -> ModelInfo:
    """Find and verify a bundle.

    Args:
        reference: name, name@alias, name:version, or the folder of a bundle.
        engine: that will run it.

    Raises:
        NotFoundError: there is none, or it has no export for the engine.
        IntegrityError: it does not verify; the message names the file.
        ParityError: an export of it does not rank as the trained model does.
        ConfigError: it does not score a query and a product by their texts.
    """
    return inspect(Registry().resolve(reference), engine)


def resolve_served(reference: str, engine: EngineName) -> ModelInfo:
    """As `resolve`; where an alias points to what cannot serve, the version behind it that served last.

    So a server that starts anew is no worse off than one that was running when the alias moved.

    Raises:
        NotFoundError, IntegrityError, ParityError, ConfigError: as `resolve`, where none served before.
    """
    try:
        return resolve(reference, engine)
    except PlanogramError as error:
        good = Ledger(reference, engine).good() if is_alias(reference) else None
        if good is None:
            raise
        log_refusal(reference, error)
        return inspect(good, engine)


def inspect(version: ModelVersion, engine: EngineName) -> ModelInfo:
    """Verify a bundle and say what a ranker needs to know of it.

    Raises:
        NotFoundError, IntegrityError, ParityError, ConfigError: as `resolve`.
    """
    folder, manifest = open_bundle(version.path)
    if hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()[:16] != version.digest:
        raise IntegrityError(f"{folder / MANIFEST} is not the one that was published", remedy="publish the bundle anew")
    check_engine(folder, manifest, engine)
    if version.version:
        check_engines(manifest)
    needed = [name for name in manifest.features.names if name not in MATCH]
    if manifest.kind != "cross-encoder" or needed:
        what = f"takes {', '.join(needed)}" if needed else f"is a {manifest.kind}"
        raise ConfigError(
            f"{version.reference if version.version else version.path} {what}",
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
        ParityError: the export does not rank as the trained model does.
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
    check_engine(folder, manifest, engine)
    return _info(version, manifest, vector_width(folder))


def resolve_sequencer(reference: str) -> ModelInfo:
    """Find and verify the bundle of a sequence model, once, so that all replicas load the same version.

    Raises:
        NotFoundError: there is none.
        IntegrityError: it does not verify; the message names the file.
        ConfigError: it is no sequence model.
    """
    version = Registry().resolve(reference)
    _, manifest = open_bundle(version.path)
    if manifest.kind != "sequence":
        raise ConfigError(
            f"{reference} is a {manifest.kind}: it does not say what comes next in a history",
            allowed="a sequence, as `planogram finetune` makes one for the task next_item",
            remedy="choose another bundle as the sequencer, or leave it out",
        )
    return _info(version, manifest)


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
        demand=manifest.demand.kind if manifest.demand else "",
    )


def check_vocabulary(uri: str) -> None:
    """Refuse a bundle whose tokenizer knows more tokens than the model has embeddings: it is another model's.

    An export would read beyond its table without an error.

    Raises:
        IntegrityError: it does, or it is none.
    """
    folder, _ = open_bundle(uri)
    if not (folder / ARCHITECTURE).is_file():  # an adapter's embeddings are its base's
        return
    known = load_tokenizer(folder).get_vocab_size()
    embeddings = storage.read_json(str(folder / ARCHITECTURE)).get("vocab_size")
    if not isinstance(embeddings, int) or known > embeddings:
        raise IntegrityError(
            f"{folder / TOKENIZER_FILE} has {known} tokens, but the model has embeddings of {embeddings}",
            remedy="publish the bundle anew, with its own tokenizer",
        )


def is_alias(reference: str) -> bool:
    """Whether a reference may come to mean another version: a name alone is its champion."""
    return bool(reference) and "/" not in reference and ":" not in reference
