"""What compression asks of a model: its graph's source, its tokens, and one score for each pair of the shop."""

from pathlib import Path
from typing import Protocol

import numpy as np
from torch import nn

from planogram.config import EngineName
from planogram.data.examples import Examples
from planogram.data.tokenizer import PairTokenizer, Tokens
from planogram.engines.base import Floats, score
from planogram.engines.embedding import EmbeddingEngine, load_bi_encoder
from planogram.engines.load import load_engine
from planogram.engines.torch import TorchEngine
from planogram.errors import ConfigError
from planogram.registry.bundle import BundleManifest, open_bundle


class Kind(Protocol):
    """A bundle as it was trained.

    Attributes:
        task: whose examples it learned from.
        model: float32, on the CPU, in evaluation mode, adapters merged.
        columns: of features beside the text.
    """

    task: str
    model: nn.Module
    columns: int

    def tokenize(self, examples: Examples) -> Tokens:
        """What the model reads of the examples."""
        ...

    def scores(self, path: str, name: EngineName, examples: Examples, batch_tokens: int) -> Floats:
        """(examples,) scores by a bundle of this kind on an engine."""
        ...


def kind_of(path: str) -> Kind:
    """A bundle's kind, loaded.

    Raises:
        ConfigError: such a model has no export.
    """
    folder, manifest = open_bundle(path)
    if manifest.demand:
        return DemandKind(path, manifest)
    if manifest.kind == "cross-encoder":
        return CrossEncoderKind(path, manifest)
    if manifest.kind == "bi-encoder":
        return BiEncoderKind(folder, manifest)
    raise ConfigError(
        f"{path} is a {manifest.kind}", allowed="a cross-encoder, a demand model or a bi-encoder", remedy="choose another bundle"
    )


class CrossEncoderKind:
    """Scores pairs by its first head."""

    def __init__(self, path: str, manifest: BundleManifest) -> None:
        self._engine = TorchEngine(path, device="cpu", merged=True)
        self.task = manifest.heads[0].name
        self.model: nn.Module = self._engine.model
        self.columns = manifest.features.width

    def tokenize(self, examples: Examples) -> Tokens:
        """Pairs with their features."""
        return self._engine.tokenize(examples.pairs, examples.features)

    def scores(self, path: str, name: EngineName, examples: Examples, batch_tokens: int) -> Floats:
        """Of the first head."""
        engine = load_engine(path, name)
        return score(engine, examples.pairs, batch_tokens, examples.features).values[:, 0]


class DemandKind(CrossEncoderKind):
    """Scores a product in two lists: in those of an even number by its level, in the others by its log elasticity.

    Both are means over the members.
    """

    def scores(self, path: str, name: EngineName, examples: Examples, batch_tokens: int) -> Floats:
        """Of level, or of elasticity, by the list."""
        logits = score(load_engine(path, name), examples.pairs, batch_tokens, examples.features).values
        level, log_elasticity = logits[:, 0::2].mean(axis=1), logits[:, 1::2].mean(axis=1)
        return np.where(examples.groups % 2 == 0, level, log_elasticity).astype(np.float32)


class BiEncoderKind:
    """Scores pairs by the cosine of their two vectors."""

    def __init__(self, folder: Path, manifest: BundleManifest) -> None:
        self.task = str(manifest.lineage["config"]["task"])
        self.model: nn.Module = load_bi_encoder(folder, manifest)
        self.columns = 0
        self._tokenizer = PairTokenizer.from_folder(folder, manifest.max_tokens)

    def tokenize(self, examples: Examples) -> Tokens:
        """Queries and products, each by itself."""
        return self._tokenizer.encode([(text, "") for pair in examples.pairs for text in pair])

    def scores(self, path: str, name: EngineName, examples: Examples, batch_tokens: int) -> Floats:
        """Cosines."""
        engine = EmbeddingEngine(path, name)
        texts, number = np.unique([text for pair in examples.pairs for text in pair], return_inverse=True)
        vectors = engine.embed(texts.tolist(), batch_tokens)
        first, second = (vectors[number[side::2]] for side in (0, 1))
        return np.asarray((first * second).sum(1), dtype=np.float32)
