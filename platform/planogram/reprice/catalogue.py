"""The products of a shop as items to be priced."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from planogram.config import EvaluateConfig
from planogram.data.examples.base import examples, product_texts, text_columns
from planogram.data.shop import read_table
from planogram.errors import DataError
from planogram.evaluate.scoring import score_examples
from planogram.pricing.item import PriceItem
from planogram.pricing.settings import RepriceConfig
from planogram.registry.bundle import BundleManifest
from planogram.registry.store import ModelVersion

AMOUNTS = ("price", "list_price", "cost", "stock")


def catalogue(config: RepriceConfig, manifest: BundleManifest) -> pd.DataFrame:
    """All products with their amounts, attributes and `text`, as the demand model reads it.

    Raises:
        NotFoundError, DataError: there is no such shop, or it has no products.
    """
    columns = dict.fromkeys([*text_columns(manifest.text_fields), "title", "attributes", *AMOUNTS])
    products = read_table(config.shop, "products", list(columns))
    texts = product_texts(products, manifest.text_fields, manifest.text_language)
    return products.assign(text=products["product_id"].map(texts)).reset_index(drop=True)


def logits_of(
    products: pd.DataFrame, version: ModelVersion, manifest: BundleManifest, config: RepriceConfig
) -> npt.NDArray[np.float32]:
    """(products, 2 * members) what the demand model says of each text."""
    pairs = [("", text) for text in products["text"]]
    settings = EvaluateConfig(
        bundle=config.demand,
        shop=config.shop,
        engine=config.engine,
        batch_tokens=config.batch_tokens,
        workers=config.workers,
        cluster=config.cluster,
    )
    scored = score_examples(version, [examples(pairs, np.zeros(len(pairs)))], settings)
    columns = [f"score_{column}" for column in range(len(manifest.heads))]
    return scored[columns].to_numpy(dtype=np.float32)


def items_of(products: pd.DataFrame, config: RepriceConfig) -> list[PriceItem]:
    """What is known of each product.

    Raises:
        DataError: no product has the attribute that `family` or `pack_size` names.
    """
    attributes = [dict(pairs) if pairs is not None else {} for pairs in products["attributes"]]
    for name in filter(None, (config.family, config.pack_size)):
        if not any(name in row for row in attributes):
            known = sorted({key for row in attributes for key in row})
            raise DataError(f"no product has the attribute {name!r}", allowed=", ".join(known), remedy="name another")
    rows = zip(products.to_dict("records"), attributes, strict=True)
    return [_item(product, own, config) for product, own in rows]


def _item(product: Mapping[Any, Any], attributes: Mapping[str, str], config: RepriceConfig) -> PriceItem:
    return PriceItem(
        product_id=product["product_id"],
        current_price=_number(product["price"]),
        cost=_number(product["cost"]),
        list_price=_number(product["list_price"]),
        stock=_number(product["stock"]),
        family=attributes.get(config.family) if config.family else None,
        pack_size=_number(attributes.get(config.pack_size)) if config.pack_size else None,
    )


def _number(value: Any) -> float | None:
    """A number; None where there is none, and NaN, which no price can be made of, where there is something else."""
    if value is None or (isinstance(value, float) and math.isnan(value)) or value is pd.NA:
        return None
    try:
        return float(value)
    except ValueError:
        return math.nan
