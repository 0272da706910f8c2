"""The engine of bi-encoders: texts into unit vectors, by torch or by the bundle's OpenVINO export."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from planogram.config import EngineName
from planogram.data.collate import Batch, collate, token_batches
from planogram.data.tokenizer import PairTokenizer, Tokens
from planogram.engines.openvino import export_path, open_graph
from planogram.engines.torch import load_backbone_of, read_weights
from planogram.errors import ConfigError
from planogram.models.backbone import read_architecture
from planogram.models.bi_encoder import BiEncoder
from planogram.registry.bundle import BundleManifest, open_bundle

Vectors = npt.NDArray[np.float32]


class EmbeddingEngine:
    """Runs a bi-encoder bundle.

    Args:
        uri: the bundle.
        name: `torch-fp32`, or that of an export.
        device: of torch: `cpu`, `cuda`, …; by default a GPU where there is one.
        threads: CPU threads of one inference; absent: the library's choice.

    Attributes:
        width: of the vectors.

    Raises:
        IntegrityError: the bundle does not verify, or its weights do not fit.
        NotFoundError: it has no such export.
        ConfigError: it is no bi-encoder, or the engine is not for vectors.
    """

    def __init__(
        self, uri: str, name: EngineName = "torch-fp32", device: str | None = None, threads: int | None = None
    ) -> None:
        folder, self.manifest = open_bundle(uri)
        check_embedding(folder, self.manifest, name)
        self.tokenizer = PairTokenizer.from_folder(folder, self.manifest.max_tokens)
        self.width = vector_width(folder)
        if name == "torch-fp32":
            self._encode = _torch(folder, self.manifest, device)
        else:
            self._encode = open_graph(folder, self.manifest, name, threads)

    def tokenize(self, texts: Sequence[str]) -> Tokens:
        """Token ids of texts: work of the CPU, apart from that of the device."""
        return self.tokenizer.encode([(text, "") for text in texts])

    def infer(self, tokens: Tokens) -> Vectors:
        """Unit vectors (texts, width) float32 of one batch, padded to its longest text."""
        return self._encode(collate(tokens, self.manifest.pad_id))

    def embed(self, texts: Sequence[str], batch_tokens: int = 4096) -> Vectors:
        """Unit vectors (texts, width) float32, in the order of the texts."""
        tokens = self.tokenize(texts)
        vectors = np.zeros((len(texts), self.width), dtype=np.float32)
        for rows in token_batches(tokens.lengths, batch_tokens):
            vectors[rows] = self.infer(tokens.take(rows))
        return vectors


def check_embedding(folder: Path, manifest: BundleManifest, name: EngineName) -> None:
    """Whether an engine can make vectors of a bundle, without loading it.

    Raises:
        ConfigError: the bundle is no bi-encoder, or the engine is not for vectors.
        NotFoundError: the bundle has no such export.
    """
    if manifest.kind != "bi-encoder":
        raise ConfigError(f"{folder} is a {manifest.kind}", allowed="a bi-encoder", remedy="choose another bundle")
    if name.startswith("openvino"):
        export_path(folder, manifest, name)
    elif name != "torch-fp32":
        raise ConfigError(
            f"{name} does not give vectors", allowed="torch-fp32, openvino-…", remedy="choose one of these"
        )


def vector_width(folder: Path) -> int:
    """Width of the vectors of a bi-encoder's bundle."""
    return int(read_architecture(folder).hidden_size)


def load_bi_encoder(folder: Path, manifest: BundleManifest) -> BiEncoder:
    """The bundle's model, in evaluation mode.

    Raises:
        IntegrityError: its weights do not fit.
    """
    return BiEncoder(load_backbone_of(folder, manifest, read_weights(folder)), manifest.pooling).eval()


def _torch(folder: Path, manifest: BundleManifest, device: str | None) -> Callable[[Batch], Vectors]:
    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    model = load_bi_encoder(folder, manifest).to(place)

    @torch.inference_mode()
    def encode(batch: Batch) -> Vectors:
        return np.asarray(model(*(torch.from_numpy(array).to(place) for array in batch[:3])).cpu().numpy())

    return encode
