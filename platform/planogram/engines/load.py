"""An engine by its name."""

from pathlib import Path
from typing import TYPE_CHECKING, cast

from planogram.config import EngineName
from planogram.engines.base import Engine
from planogram.registry.bundle import BundleManifest, check_parity

if TYPE_CHECKING:
    from planogram.engines.embedding import EmbeddingEngine


def load_engine(uri: str, name: EngineName = "torch-fp32", threads: int | None = None) -> Engine:
    """Load a bundle, in the thread that will run it: torch counts its threads per calling thread.

    Args:
        uri: the bundle.
        name: `torch-…` runs on a GPU where there is one, `openvino-…` runs the bundle's export on the CPU.
        threads: CPU threads of one inference; absent: the library's choice.

    Raises:
        IntegrityError: the bundle does not verify.
        NotFoundError: it has no such export.
        ConfigError: it is no cross-encoder, or this machine cannot run the engine.
    """
    if name.startswith("openvino"):
        from planogram.engines.openvino import OpenVinoEngine

        return OpenVinoEngine(uri, name, threads)
    import torch

    from planogram.engines.torch import Precision, TorchEngine

    if threads is not None:
        torch.set_num_threads(threads)
    return TorchEngine(uri, precision=cast(Precision, name.removeprefix("torch-")))


def load_embedding_engine(uri: str, name: EngineName = "torch-fp32", threads: int | None = None) -> "EmbeddingEngine":
    """Load the bundle of a bi-encoder, in the thread that will run it: torch counts its threads per calling thread.

    Raises:
        IntegrityError, NotFoundError, ConfigError: as `EmbeddingEngine`.
    """
    import torch

    from planogram.engines.embedding import EmbeddingEngine

    if threads is not None and name.startswith("torch"):
        torch.set_num_threads(threads)
    return EmbeddingEngine(uri, name, threads=threads)


def check_engine(folder: Path, manifest: BundleManifest, name: EngineName) -> None:
    """Whether a bundle has what an engine runs and it ranks as the trained model does, without loading it.

    Raises:
        NotFoundError: it has no such export.
        ParityError: the export was not compared with the trained model, or does not rank as it does.
    """
    if name.startswith("openvino"):
        from planogram.engines.openvino import export_path

        export_path(folder, manifest, name)
        check_parity(manifest, name)
