"""The engine of bi-encoders: texts into unit vectors, by torch or by the bundle's OpenVINO export."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from planogram.config import EngineName
from planogram.data.collate import Batch, collate, token_batches
from planogram.data.tokenizer import PairTokenizer
from planogram.engines.openvino import open_graph
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
        if self.manifest.kind != "bi-encoder":
            raise ConfigError(
                f"{uri} is a {self.manifest.kind}", allowed="a bi-encoder", remedy="choose another bundle"
            )
        self.tokenizer = PairTokenizer.from_folder(folder, self.manifest.max_tokens)
        self.width = int(read_architecture(folder).hidden_size)
        if name == "torch-fp32":
            self._encode = _torch(folder, self.manifest, device)
        elif name.startswith("openvino"):
            self._encode = open_graph(folder, self.manifest, name, threads)
        else:
            raise ConfigError(
                f"{name} does not give vectors", allowed="torch-fp32, openvino-…", remedy="choose one of these"
            )

    def embed(self, texts: Sequence[str], batch_tokens: int = 4096) -> Vectors:
        """Unit vectors (texts, width) float32, in the order of the texts."""
        tokens = self.tokenizer.encode([(text, "") for text in texts])
        vectors = np.zeros((len(texts), self.width), dtype=np.float32)
        for rows in token_batches(tokens.lengths, batch_tokens):
            vectors[rows] = self._encode(collate(tokens.take(rows), self.manifest.pad_id))
        return vectors


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
