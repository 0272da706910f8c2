"""`planogram index`: the index of a shop, made ahead."""

import resource
import time
from typing import Any

from planogram import storage
from planogram.serve.index.build import INDEX_MANIFEST, index_folder
from planogram.serve.index.encoder import ProductEncoder
from planogram.serve.settings import IndexConfig

MIB = 1024 * 1024


def run(config: IndexConfig) -> dict[str, Any]:
    """Make the index of a shop, unless it is there already.

    Returns:
        `folder`, `products` (how many), `encoder` (digest of its bundle; None: words alone), `size_mb` of the folder,
        `seconds`, and `peak_memory_mb` of this process.

    Raises:
        NotFoundError: there is no such shop or bundle.
        DataError: the shop has no products.
    """
    started_s = time.perf_counter()
    encoder = ProductEncoder(config.encoder, config.encoder_engine) if config.encoder else None
    folder = index_folder(config.shop, config, encoder)
    made = storage.read_json(str(folder / INDEX_MANIFEST))
    return {
        "folder": str(folder),
        "products": made["products"],
        "encoder": made["encoder"],
        "size_mb": round(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / MIB, 2),
        "seconds": round(time.perf_counter() - started_s, 3),
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }
