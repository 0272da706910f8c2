"""`planogram blend`: learn from judgments or clicks how much each signal of a product counts beside its relevance."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from planogram import storage
from planogram.config import BlendConfig
from planogram.data.examples import Source, examples
from planogram.data.examples.base import numbered, product_texts
from planogram.data.examples.ranked import ranked_rows, taken
from planogram.data.shop import has_table, open_shop, read_table
from planogram.data.signals import PRODUCT_SIGNALS, popularity, review_sentiment
from planogram.data.text import query_text
from planogram.errors import ConfigError, DataError
from planogram.evaluate.metrics import bootstrap, per_query
from planogram.evaluate.scoring import score_examples
from planogram.evaluate.sources import source_of
from planogram.evaluate.weights import fit_weights
from planogram.registry.bundle import BundleManifest, open_bundle
from planogram.registry.store import ModelVersion, Registry
from planogram.serve.blend import BlendFile


def run(config: BlendConfig) -> dict[str, Any]:
    """Fit the weights on one part of the shop, measure them on another, and write them.

    Returns:
        `bundle`, `task`, `queries` (of the measured part), `weights` (the largest is 1 or -1), `constant` (signals that
        do not vary, and have no weight), `ndcg` (of `blend` and of the deciding head `alone`), `gain` with
        `gain_interval` (95 %, over queries), and `file`.

    Raises:
        NotFoundError: there is no such bundle or shop.
        ConfigError: the bundle does not rank texts of products, or a signal does not exist.
        DataError: there is nothing to fit or to measure.
    """
    version = Registry().resolve(config.bundle)
    _, manifest = open_bundle(version.path)
    names = _signals(config, manifest)
    products = _products(config, manifest)
    fitted, measured = (_rows(config, part, version, manifest, products) for part in (config.fit, config.measure))
    weights = fit_weights(fitted, names)
    report = _report(measured, weights, _deciding(manifest), config)
    reference = version.reference if version.version else version.path
    content = BlendFile(
        weights=weights,
        task=config.task,
        bundle=reference,
        data_digest=open_shop(config.shop)["data_digest"],
        report=report,
    )
    storage.write_json(config.out, content.model_dump(mode="json"))
    constant = [name for name in names if name not in weights]
    about = {"bundle": reference, "task": config.task, "weights": weights, "constant": constant}
    return about | report | {"file": config.out}


def _report(rows: pd.DataFrame, weights: dict[str, float], deciding: str, config: BlendConfig) -> dict[str, Any]:
    """NDCG of the blend beside that of the deciding head alone, on the same queries."""
    grades, groups = rows["grade"].to_numpy(dtype=float), numbered(rows["query"])
    blended = rows[list(weights)].to_numpy(dtype=float) @ np.asarray(list(weights.values()))
    name = f"ndcg@{config.k}"
    blend, alone = (
        per_query(grades, scores, groups, config.k)[name] for scores in (blended, rows[deciding].to_numpy(dtype=float))
    )
    if not len(blend):
        raise DataError(f"no query of part {config.measure!r} has two products and a grade above 0")
    gain = bootstrap(blend - alone, config.bootstrap, config.seed)
    return {
        "queries": len(blend),
        name: {"blend": float(blend.mean()), "alone": float(alone.mean())},
        "gain": gain.mean,
        "gain_interval": [gain.low, gain.high],
    }


@dataclass(frozen=True)
class _Products:
    """Of every product, by id: its text for the bundle, and its signals."""

    texts: dict[str, str]
    signals: pd.DataFrame


def _products(config: BlendConfig, manifest: BundleManifest) -> _Products:
    products = read_table(config.shop, "products")
    found = products.set_index("product_id").assign(sentiment=np.nan, popularity=np.nan)
    if has_table(config.shop, "reviews"):
        spoken = review_sentiment(read_table(config.shop, "reviews"))
        found["sentiment"] = spoken.reindex(found.index).fillna(spoken.mean())
    if has_table(config.shop, "interactions"):
        found["popularity"] = popularity(_events(config, manifest)).reindex(found.index)
    # Missing numbers of a frame are NaN or NA; a row of the served index has None.
    rows = found.astype(object).where(found.notna(), None).to_dict("records")
    signals = {name: [value(row) for row in rows] for name, value in PRODUCT_SIGNALS.items()}
    texts = product_texts(products, manifest.text_fields, manifest.text_language)
    return _Products(texts, pd.DataFrame(signals, index=found.index))


def _rows(
    config: BlendConfig, part: str, version: ModelVersion, manifest: BundleManifest, products: _Products
) -> pd.DataFrame:
    """The rows of a part with a column for every signal."""
    rows = ranked_rows(config.task, _source(config, manifest, part))
    pairs = [(query_text(q), products.texts[p]) for q, p in zip(rows["query"], rows["product_id"], strict=True)]
    scored = score_examples(version, [examples(pairs, rows["grade"].to_numpy())], config.evaluation())
    heads = {head.name: scored[f"score_{column}"].to_numpy() for column, head in enumerate(manifest.heads)}
    signals = products.signals.loc[rows["product_id"]].reset_index(drop=True)
    # As when serving: a product's signal goes before a head of its name.
    return pd.concat([rows, pd.DataFrame(heads | dict(signals.items()))], axis=1)


def _events(config: BlendConfig, manifest: BundleManifest) -> pd.DataFrame:
    """What makes products popular; where clicks are learned from, those of training pages alone: not the answers."""
    if config.task == "relevance":
        return read_table(config.shop, "interactions")
    return taken(_source(config, manifest, "train"))


def _source(config: BlendConfig, manifest: BundleManifest, part: str) -> Source:
    evaluation = config.evaluation().model_copy(update={"part": part})
    return source_of(manifest, evaluation)


def _signals(config: BlendConfig, manifest: BundleManifest) -> list[str]:
    if manifest.kind != "cross-encoder":
        raise ConfigError(f"{config.bundle} is a {manifest.kind}", allowed="a cross-encoder", remedy="choose another")
    known = list(dict.fromkeys([*(head.name for head in manifest.heads), *PRODUCT_SIGNALS]))
    if unknown := [name for name in config.signals or () if name not in known]:
        raise ConfigError(
            f"signals: {', '.join(unknown)} does not exist", allowed=", ".join(known), remedy="name these"
        )
    return list(config.signals or known)


def _deciding(manifest: BundleManifest) -> str:
    names = [head.name for head in manifest.heads]
    return "relevance" if "relevance" in names else names[0]
