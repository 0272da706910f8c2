"""Where the result of a benchmark stays: as JSON, as a picture, and as a page that holds both."""

from collections.abc import Callable
from typing import Any

from planogram import storage

FOLDER = "benchmarks"


def keep(
    name: str, result: dict[str, Any], picture: bytes, page: Callable[[dict[str, Any], bytes], bytes]
) -> dict[str, str]:
    """Write a result below `PLANOGRAM_HOME/benchmarks`, over an earlier one of the same name.

    Args:
        name: of the result.
        result: as JSON takes it.
        picture: PNG.
        page: makes HTML of the result and the picture.

    Returns:
        `file`, `plot` and `page`: where they stand.
    """
    place = storage.join(storage.home(), FOLDER, name)
    storage.write_json(f"{place}.json", result)
    storage.write_bytes(f"{place}.png", picture)
    storage.write_bytes(f"{place}.html", page(result, picture))
    return {"file": f"{place}.json", "plot": f"{place}.png", "page": f"{place}.html"}
