"""A teacher beside a training: its logits and relations as further losses, and its scores as labels of more pairs."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from sklearn.feature_extraction.text import TfidfVectorizer
from torch import Tensor

from planogram import storage
from planogram.config import DistillConfig, FinetuneConfig
from planogram.data.examples import Examples, Source, corpus, examples
from planogram.data.features import FeatureSpec
from planogram.data.tokenizer import PairTokenizer
from planogram.engines.base import score
from planogram.engines.torch import TorchEngine
from planogram.errors import ConfigError
from planogram.models.distillation import hidden_mse, relation_kl
from planogram.models.heads import BACKBONE, CrossEncoder
from planogram.models.taps import RELATED, Taps
from planogram.registry.bundle import MANIFEST, WEIGHTS, Head, open_bundle
from planogram.registry.store import Registry, backbone_folder

PAIRS = "unlabelled.json"
HEADS = "heads.safetensors"
BATCH_TOKENS = 4096


class Teacher:
    """Says how a student's pass should have been.

    Args:
        config: its bundle, and the weights of the losses.
        student: in training; its last layer is watched from now on.
        reads: the student's tokenizer and features, whose arrays the teacher is given as well.
        device: of both.

    Raises:
        ConfigError: the teacher is no cross-encoder, has other heads, or reads other tokens or features.
    """

    def __init__(
        self,
        config: DistillConfig,
        student: CrossEncoder,
        reads: tuple[PairTokenizer, FeatureSpec],
        device: torch.device,
    ) -> None:
        self.config = config
        engine = teaching_engine(config)
        tokenizer, features = reads
        if engine.tokenizer.whole.get_vocab() != tokenizer.whole.get_vocab() or engine.manifest.features != features:
            raise ConfigError(
                f"{config.teacher} reads other tokens or features than the student",
                allowed="a teacher with the student's vocabulary and tower",
                remedy="give the student the teacher's backbone, or one pruned from it, and its tower",
            )
        self.model = engine.model.to(device).requires_grad_(False)
        if self.model.head_names != student.head_names:
            raise ConfigError(
                f"the teacher has the heads {', '.join(self.model.head_names)}",
                allowed=", ".join(student.head_names),
                remedy="train the student on the teacher's tasks",
            )
        watched = config.hidden > 0 or config.relations > 0
        self._seen = (Taps(student), Taps(self.model)) if watched else None

    @torch.no_grad()
    def logits(self, inputs: Sequence[Tensor | None]) -> Tensor:
        """(batch, heads) of the teacher for what both read, in the order of `Batch`."""
        found: Tensor = self.model(*inputs)
        return found

    def loss(self, logits: Tensor, wanted: Tensor, mask: Tensor) -> Tensor:
        """What the student's last pass lacks of the teacher's, float32.

        Args:
            logits: (batch, heads) of the student.
            wanted: (batch, heads) of the teacher.
            mask: (batch, tokens) 1 for a token, 0 for padding.
        """
        total = self.config.logits * (logits.float() - wanted.float()).square().mean()
        if self._seen is None:
            return total
        student, teacher = (taps.states for taps in self._seen)
        if self.config.hidden:
            total = total + self.config.hidden * hidden_mse(student["hidden"], teacher["hidden"], mask)
        if self.config.relations:
            terms = [relation_kl(student[name], teacher[name], mask) for name in RELATED]
            total = total + self.config.relations * torch.stack(terms).mean()
        return total


def teaching_engine(config: DistillConfig) -> TorchEngine:
    """The teacher's bundle, in this process; whoever trains moves it to a device."""
    return TorchEngine(Registry().resolve(str(config.teacher)).path, device="cpu", merged=True)


def prepare_heads(config: FinetuneConfig, folder: Path) -> None:
    """Write the heads that the student's bundle already has: pruning changes what they stand on little."""
    source = Path(backbone_folder(config.backbone.name))
    if not (source / MANIFEST).is_file():
        return
    _, manifest = open_bundle(str(source))
    if manifest.kind == "cross-encoder" and tuple(head.name for head in manifest.heads) == config.tasks:
        weights = {
            name: tensor for name, tensor in load_file(source / WEIGHTS).items() if not name.startswith(BACKBONE)
        }
        save_file(weights, folder / HEADS)


def load_heads(scorer: CrossEncoder, folder: Path) -> None:
    """Give a scorer the heads that `prepare_heads` wrote, where it did."""
    if (folder / HEADS).is_file():
        scorer.load_state_dict(load_file(folder / HEADS), strict=False)


def prepare_unlabelled(config: FinetuneConfig, source: Source, labelled: Examples, folder: Path) -> None:
    """Write further pairs of the training queries, with the teacher's scores: products whose words are nearest."""
    found = similar_pairs(labelled.pairs, corpus(source, ("products",)), config.distill.unlabelled)
    scores = score(teaching_engine(config.distill), found, BATCH_TOKENS).values[:, 0]
    storage.write_json(str(folder / PAIRS), {"pairs": found, "scores": scores.tolist()})


def similar_pairs(labelled: Sequence[tuple[str, str]], products: Sequence[str], count: int) -> list[tuple[str, str]]:
    """Of each query the products that are likeliest by TF-IDF of their words, without those it has already."""
    known = set(labelled)
    queries = list(dict.fromkeys(query for query, _ in labelled))
    vectorizer = TfidfVectorizer(sublinear_tf=True)
    texts = vectorizer.fit_transform(products)
    found: list[tuple[str, str]] = []
    for query in queries:
        cosines = np.asarray((texts @ vectorizer.transform([query]).T).todense()).ravel()
        nearest = np.argsort(-cosines, kind="stable")[: np.count_nonzero(cosines)]
        new = ((query, products[row]) for row in nearest if (query, products[row]) not in known)
        found += islice(new, count)
    return found


def unlabelled(folder: Path, labelled: Examples, head: Head) -> Examples | None:
    """The pairs that `prepare_unlabelled` wrote, as graded as the teacher found them; None where there are none."""
    path = folder / PAIRS
    if not path.is_file():
        return None
    written = storage.read_json(str(path))
    pairs = [(query, text) for query, text in written["pairs"]]
    numbers = {query: group for (query, _), group in zip(labelled.pairs, labelled.groups, strict=True)}
    groups = np.asarray([numbers[query] for query, _ in pairs], dtype=np.int64)
    grades = head.low + np.asarray(written["scores"]) * (head.high - head.low)
    return examples(pairs, grades, groups)
