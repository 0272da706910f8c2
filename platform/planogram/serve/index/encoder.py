"""Queries and products as vectors, by the bi-encoder that was trained for both."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from planogram.config import EngineName
from planogram.data.text import product_text, query_text
from planogram.engines.embedding import EmbeddingEngine
from planogram.engines.load import check_engine
from planogram.registry.bundle import open_bundle
from planogram.registry.store import Registry

MAX_QUERIES = 10_000
Vector = npt.NDArray[np.float32]


class ProductEncoder:
    """Runs a bi-encoder bundle. For one thread at a time.

    Args:
        reference: name, name@alias, name:version, or the folder of a bundle.
        engine: `torch-fp32`, or that of an export.
        threads: CPU threads of one inference; absent: the library's choice.

    Attributes:
        digest: of the bundle and its engine, which rounds in its own way.
        width: of the vectors.

    Raises:
        NotFoundError: there is no such bundle, or it has no such export.
        IntegrityError: it does not verify.
        ParityError: the export does not rank as the trained model does.
        ConfigError: it is no bi-encoder.
    """

    def __init__(self, reference: str, engine: EngineName = "torch-fp32", threads: int | None = None) -> None:
        version = Registry().resolve(reference)
        check_engine(*open_bundle(version.path), engine)
        self._engine = EmbeddingEngine(version.path, engine, threads=threads)
        self.digest = f"{version.digest}/{engine}"
        self.width = self._engine.width
        self._queries: OrderedDict[str, Vector] = OrderedDict()

    def query(self, text: str) -> Vector:
        """(width,) unit vector; the newest are remembered."""
        text = query_text(text)
        if text in self._queries:
            self._queries.move_to_end(text)
            return self._queries[text]
        vector = self._queries[text] = self._engine.embed([text])[0]
        if len(self._queries) > MAX_QUERIES:
            self._queries.popitem(last=False)
        return vector

    def products(self, products: Sequence[Mapping[Any, Any]]) -> Vector:
        """(products, width) unit vectors."""
        manifest = self._engine.manifest
        fields, language = manifest.text_fields, manifest.text_language
        return self._engine.embed([product_text(product, fields, language) for product in products])
