"""The engine of bi-encoders: texts into unit vectors."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from planogram.data.collate import collate, token_batches
from planogram.data.tokenizer import PairTokenizer
from planogram.engines.torch import load_backbone_of, read_weights
from planogram.errors import ConfigError
from planogram.models.bi_encoder import BiEncoder
from planogram.registry.bundle import open_bundle


class EmbeddingEngine:
    """Runs a bi-encoder bundle with torch.

    Args:
        uri: the bundle.
        device: `cpu`, `cuda`, …; by default a GPU where there is one.

    Raises:
        IntegrityError: the bundle does not verify, or its weights do not fit.
        ConfigError: it is no bi-encoder.
    """

    def __init__(self, uri: str, device: str | None = None) -> None:
        folder, self.manifest = open_bundle(uri)
        if self.manifest.kind != "bi-encoder":
            raise ConfigError(
                f"{uri} is a {self.manifest.kind}", allowed="a bi-encoder", remedy="choose another bundle"
            )
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        backbone = load_backbone_of(folder, self.manifest, read_weights(folder))
        self.model = BiEncoder(backbone, self.manifest.pooling).to(self.device).eval()
        self.tokenizer = PairTokenizer.from_folder(folder, self.manifest.max_tokens)

    @torch.inference_mode()
    def embed(self, texts: Sequence[str], batch_tokens: int = 4096) -> npt.NDArray[np.float32]:
        """Unit vectors (texts, width) float32, in the order of the texts."""
        tokens = self.tokenizer.encode([(text, "") for text in texts])
        vectors = np.zeros((len(texts), self.model.backbone.config.hidden_size), dtype=np.float32)
        for rows in token_batches(tokens.lengths, batch_tokens):
            arrays = collate(tokens.take(rows), self.manifest.pad_id)[:3]
            vectors[rows] = self.model(*(torch.from_numpy(array).to(self.device) for array in arrays)).cpu().numpy()
        return vectors
