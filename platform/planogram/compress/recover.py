"""A smaller model that ranks nearly as well: pruned, and taught by the bundle that it was made of, in rounds."""

import hashlib
import json
from typing import Any, Literal

import numpy as np
import pandas as pd
from safetensors.torch import save_file

from planogram import finetune, storage
from planogram.compress.prune import Target, prune_model, target_of
from planogram.compress.quantize import sample
from planogram.compress.vocabulary import trim_embeddings, trim_tokenizer, used_tokens
from planogram.config import ALL_SOURCES, AdapterConfig, CompressConfig, EvaluateConfig, FinetuneConfig, PruneConfig
from planogram.data.examples import Examples, corpus, load
from planogram.data.examples.base import product_texts, text_columns
from planogram.data.shop import read_table
from planogram.data.tokenizer import TOKENIZER_FILE, PairTokenizer
from planogram.engines.torch import TorchEngine
from planogram.errors import ConfigError
from planogram.evaluate.sources import source_of
from planogram.registry.bundle import WEIGHTS, BundleManifest, open_bundle, write_bundle
from planogram.registry.store import ModelVersion
from planogram.section import parse

# Products of a list in which a demand model's export is compared.
LIST_SIZE = 50


def examples_of(
    task: str, manifest: BundleManifest, config: CompressConfig, part: Literal["train", "test"]
) -> Examples:
    """Of a task, as the model was trained on them; of a demand model, products.

    Raises:
        ConfigError: a demand model that reads features beside the text: they are of a week, and not of a product.
    """
    if manifest.demand:
        return _products(manifest, config, part)
    asked = EvaluateConfig(bundle=config.bundle, shop=config.shop, split=config.split, part=part)
    return load(task, source_of(manifest, asked))


def _products(manifest: BundleManifest, config: CompressConfig, part: str) -> Examples:
    """Every other product of the shop, each in a list of levels and in one of elasticities; see `DemandKind`."""
    if manifest.features.width:
        raise ConfigError(
            f"{manifest.name} reads features beside the text",
            allowed="a demand model of texts alone",
            remedy="train one without tower.features",
        )
    fields = manifest.text_fields
    products = read_table(config.shop, "products", text_columns(fields))
    texts = [text for text in product_texts(products, fields, manifest.text_language).values() if text]
    own = texts[0 if part == "train" else 1 :: 2]
    lists = 2 * (np.arange(len(own)) // LIST_SIZE)
    both = [("", text) for text in own] * 2
    ones = np.ones(len(both))
    groups, none = np.concatenate([lists, lists + 1]).astype(np.int64), np.zeros(len(both), dtype=np.int64)
    return Examples(both, np.zeros(len(both)), groups, ones, none, pd.DataFrame(index=range(len(both))))


def smaller(config: CompressConfig, version: ModelVersion) -> str:
    """Prune and teach, round after round; what has run is not run again.

    Returns:
        The folder of the last round's bundle.

    Raises:
        ConfigError: the bundle was not made by `finetune`, or its backbone cannot be pruned.
        TrainingError: a training failed; the same configuration again goes on with it.
    """
    assert config.prune is not None
    if open_bundle(version.path)[1].demand:
        raise ConfigError(f"{version.reference} is a demand model", allowed="a ranker", remedy="leave out `prune`")
    whole = TorchEngine(version.path, device="cpu", merged=True)
    run = config.recovery.run or f"{whole.manifest.name[:40]}-{digest_of(config, version)}"
    path = version.path
    for number in range(1, config.recovery.rounds + 1):
        target = target_of(whole.model, config.prune, number / config.recovery.rounds)
        pruned = storage.join(storage.home(), "runs", f"{run}-pruned-{number}")
        if not storage.exists(pruned):
            _write_pruned(config, config.prune, path, target, pruned)
        path = finetune.run(_student(config, version, pruned, f"{run}-round-{number}"))["bundle"]
    return path


def digest_of(config: CompressConfig, version: ModelVersion) -> str:
    """Names what a configuration makes of a bundle, whatever cluster it is made on."""
    settings = config.model_dump(mode="json", exclude={"bundle": True, "out": True, "recovery": {"cluster", "run"}})
    return hashlib.sha256(json.dumps([version.digest, settings], sort_keys=True).encode()).hexdigest()[:10]


def _write_pruned(config: CompressConfig, settings: PruneConfig, path: str, target: Target, out: str) -> None:
    """A bundle whose model has lost what it needs least, and has not learned since."""
    engine = TorchEngine(path, device="cpu", merged=True)
    manifest = engine.manifest
    training = examples_of(manifest.heads[0].name, manifest, config, "train")
    few = training.take(sample(len(training), settings.pairs))
    head = manifest.heads[0]
    targets = ((few.grades - head.low) / (head.high - head.low)).astype(np.float32)
    prune_model(engine.model, engine.tokenize(few.pairs, few.features), targets, manifest.pad_id, target)
    write_model(engine, manifest.model_copy(update={"metrics": {}}), out)


def write_model(engine: TorchEngine, manifest: BundleManifest, out: str) -> None:
    """A bundle of what an engine holds now, whatever was done to it; adapters are merged."""
    with write_bundle(out, manifest.model_copy(update={"adapter": None, "engines": {}})) as made:
        save_file({name: tensor.contiguous() for name, tensor in engine.model.state_dict().items()}, made / WEIGHTS)
        engine.model.backbone.config.save_pretrained(made)
        engine.tokenizer.whole.save(str(made / TOKENIZER_FILE))


def trimmed(config: CompressConfig, path: str, out: str) -> str:
    """The bundle with the tokens of the shop's texts alone."""
    engine = TorchEngine(path, device="cpu", merged=True)
    asked = EvaluateConfig(bundle=config.bundle, shop=config.shop, split=config.split, part="all")
    tokenizer = engine.tokenizer.whole
    kept = used_tokens(tokenizer, corpus(source_of(engine.manifest, asked), ALL_SOURCES))
    trim_embeddings(engine.model.backbone, kept)
    engine.tokenizer = PairTokenizer(trim_tokenizer(tokenizer, kept), engine.manifest.max_tokens)
    pad_id = int(np.searchsorted(kept, engine.manifest.pad_id))
    write_model(engine, engine.manifest.model_copy(update={"pad_id": pad_id}), out)
    return out


def _student(config: CompressConfig, version: ModelVersion, pruned: str, run: str) -> FinetuneConfig:
    """The fine-tune of the whole model once more, on the pruned one and with the whole one as its teacher."""
    _, manifest = open_bundle(version.path)
    trained: dict[str, Any] = manifest.lineage.get("config", {})
    if "task" not in trained:
        raise ConfigError(
            f"{config.bundle} does not say how it was trained", remedy="compress a bundle that `finetune` made"
        )
    recovery = config.recovery
    # A teacher says more than labels do: there is little to learn by heart, and dropout would only blur what it says.
    backbone = {**trained["backbone"], "name": pruned, "dropout": 0.0, "attention_dropout": 0.0}
    tower = {**trained["tower"], "dropout": 0.0, "input_dropout": 0.0}
    distill = {**recovery.distill.model_dump(), "teacher": recovery.distill.teacher or version.path}
    values = trained | {"run": run, "shop": storage.absolute(config.shop), "backbone": backbone}
    values |= {"tower": tower, "distill": distill}
    values |= {name: getattr(recovery, name).model_dump() for name in ("optimizer", "train", "launch", "cluster")}
    values |= {"adapter": AdapterConfig().model_dump(), "repeat": {}}
    if config.split is not None:
        values["split"] = config.split.model_dump()
    return parse(FinetuneConfig, values, "the bundle's lineage")
