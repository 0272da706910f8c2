"""Bi-encoders trained contrastively: vectors of queries near those of their products."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from safetensors.numpy import load_file, save_file
from safetensors.torch import save_file as save_tensors
from tokenizers import Tokenizer
from torch import Tensor

from planogram.config import FinetuneConfig
from planogram.data.collate import collate, token_batches
from planogram.data.examples import Texts, load, texts_of
from planogram.data.sampler import list_batches
from planogram.data.tokenizer import PairTokenizer
from planogram.errors import ConfigError
from planogram.evaluate.metrics import retrieval_metrics
from planogram.models.adalora import regularizer
from planogram.models.bi_encoder import BiEncoder
from planogram.models.contrastive import gather_with_grad, in_chunks, info_nce
from planogram.models.heads import parameter_groups
from planogram.registry.bundle import WEIGHTS, BundleManifest
from planogram.tasks.backbones import (
    bundle_weights,
    copy_backbone_files,
    manifest_of,
    pad_id,
    prepare_backbone,
    source,
    training_backbone,
)
from planogram.train.context import TrainContext
from planogram.train.engine import TrainEngine
from planogram.train.loop import Positions
from planogram.train.run import Trained

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Integers = npt.NDArray[np.int64]
Vectors = npt.NDArray[np.float32]
NEGATIVES = "negatives.safetensors"
# Nearest neighbours that negatives are drawn from; nearer ones are often positives that nobody judged.
MINED_FROM, MINED_TO = 5, 50


class ContrastiveStage:
    """Fine-tunes a bi-encoder."""

    name = "finetune"

    def prepare(self, config: FinetuneConfig, folder: Path) -> None:
        """The backbone, and the hard negatives that it finds."""
        if config.backbone.pooling == "pair":
            raise ConfigError(
                "backbone.pooling=pair compares two texts",
                allowed="mean, cls, last",
                remedy="set backbone.pooling=mean",
            )
        model, tokenizer = prepare_backbone(config, folder)
        texts = texts_of(load(config.task, source(config, "train")))
        negatives = _hard_negatives(config, texts, model, tokenizer)
        save_file({"products": negatives}, folder / NEGATIVES)

    def task(self, config: FinetuneConfig, context: TrainContext, initial: Path) -> "ContrastiveTask":
        """One worker's data, model and loss."""
        return ContrastiveTask(config, context, initial)

    def manifest(self, config: FinetuneConfig, trained: Trained) -> BundleManifest:
        """The manifest, with retrieval metrics of the validation split."""
        texts = texts_of(load(config.task, source(config, "valid")))
        return manifest_of(config, trained, kind="bi-encoder", metrics=_metrics(texts, trained.outputs))

    def fill(self, config: FinetuneConfig, trained: Trained, folder: Path) -> None:
        """Weights, architecture and tokenizer."""
        save_tensors(bundle_weights(config, trained), folder / WEIGHTS)
        copy_backbone_files(trained.initial, folder)


class ContrastiveTask:
    """Positives against the other products of the batch, of all ranks, and against hard negatives."""

    metric = "ndcg@10"

    def __init__(self, config: FinetuneConfig, context: TrainContext, initial: Path) -> None:
        self.config = config
        self.context = context
        torch.manual_seed(config.train.seed)
        self.model = BiEncoder(training_backbone(config, initial), config.backbone.pooling)
        self.pad_id = pad_id(initial)
        self.training = texts_of(load(config.task, source(config, "train")))
        self.validation = texts_of(load(config.task, source(config, "valid")))
        self.negatives: Integers = load_file(initial / NEGATIVES)["products"]
        self.fits = _fits(self.training)
        tokenizer = PairTokenizer.from_folder(initial, config.text.max_tokens)
        self.queries = tokenizer.encode([(text, "") for text in self.training.queries])
        self.products = tokenizer.encode([(text, "") for text in self.training.products])
        both = [*self.validation.queries, *self.validation.products]
        self.validation_tokens = tokenizer.encode([(text, "") for text in both])

    def parameter_groups(self) -> list[dict[str, object]]:
        """Parameter groups of the optimizer."""
        rates = self.config.optimizer
        return parameter_groups(self.model, rates.learning_rate, rates.head_learning_rate, rates.weight_decay)

    def micro_batches(self, epoch: int) -> list[Positions]:
        """Positives in a random order; every batch is full, since ranks exchange vectors of equal shapes."""
        settings = self.config.train
        pairs = self.training.pairs
        lengths = np.asarray(self.products.lengths)[pairs[:, 1]]
        generator = np.random.default_rng([settings.seed, epoch])
        groups = np.arange(len(pairs), dtype=np.int64)
        batches = list_batches(groups, lengths, 1, settings.micro_batch, self.context.world_size, generator)
        size = min(settings.micro_batch, len(pairs))
        return [
            np.concatenate([batch, generator.permutation(np.setdiff1d(groups, batch))[: size - len(batch)]])
            for batch in batches
        ]

    def loss(self, engine: TrainEngine, positions: Positions) -> Tensor:
        """InfoNCE of the batch, float32."""
        queries, products = self.training.pairs[positions].T
        candidates = np.concatenate([products, self.negatives[positions].ravel()])
        encoded = self._encode(engine, queries, candidates)
        own, all_candidates = (
            encoded[: len(queries)],
            gather_with_grad(encoded[len(queries) :], self.context.world_size),
        )
        names = np.concatenate(self.context.gather(candidates))
        first = self.context.rank * len(candidates)
        settings = self.config.contrastive
        loss = info_nce(
            own,
            all_candidates,
            torch.arange(first, first + len(queries), device=own.device),
            settings.temperature,
            torch.from_numpy(self.fits[queries][:, names]).to(own.device),
            symmetric=settings.symmetric,
        )
        return loss + regularizer(self.model.backbone)

    def _encode(self, engine: TrainEngine, queries: Integers, candidates: Integers) -> Tensor:
        size = self.config.contrastive.chunk
        chunks = [
            collate(tokens.take(rows[start : start + size]), self.pad_id)[:3]
            for tokens, rows in ((self.queries, queries), (self.products, candidates))
            for start in range(0, len(rows), size)
        ]
        device = self.context.device
        inputs = [tuple(torch.from_numpy(array).to(device) for array in chunk) for chunk in chunks]
        # What fits into one chunk of each needs no second forward pass.
        if len(chunks) <= 2 + self.config.contrastive.hard_negatives:
            return torch.cat([engine.forward(*chunk) for chunk in inputs])
        return in_chunks(engine.forward, inputs)

    def validation_batches(self) -> list[Positions]:
        """Texts of similar length: the queries, then the products."""
        return token_batches(self.validation_tokens.lengths, self.config.train.eval_batch_tokens)

    def predict(self, engine: TrainEngine, positions: Positions) -> Tensor:
        """Vectors (batch, width) float32 on the CPU."""
        batch = collate(self.validation_tokens.take(positions), self.pad_id)[:3]
        return engine.forward(*(torch.from_numpy(array).to(self.context.device) for array in batch)).float().cpu()

    def validate(self, outputs: Vectors) -> dict[str, float]:
        """How well the products of validation queries are found among all of them."""
        return _metrics(self.validation, outputs)


def _metrics(texts: Texts, vectors: Vectors) -> dict[str, float]:
    queries, products = vectors[: len(texts.queries)], vectors[len(texts.queries) :]
    return retrieval_metrics(queries @ products.T, texts.good, 10)


def _fits(texts: Texts) -> npt.NDArray[np.bool_]:
    """(queries, products) whether they are known to fit: no negatives of each other."""
    fits = np.zeros((len(texts.queries), len(texts.products)), dtype=np.bool_)
    fits[texts.pairs[:, 0], texts.pairs[:, 1]] = True
    return fits


def _hard_negatives(
    config: FinetuneConfig, texts: Texts, backbone: "PreTrainedModel", tokenizer: Tokenizer
) -> Integers:
    """(positives, hard_negatives) numbers of products: what was judged bad first, then what looks near.

    Source: Karpukhin et al. 2020, Dense Passage Retrieval; Xiong et al. 2020 (ANCE) for mining by the model itself.
    """
    count = config.contrastive.hard_negatives
    negatives = np.zeros((len(texts.pairs), count), dtype=np.int64)
    if not count:
        return negatives
    generator = np.random.default_rng(config.train.seed)
    near = _mined(config, texts, backbone, tokenizer)
    for row, (query, _) in enumerate(texts.pairs):
        judged = generator.permutation(texts.bad.get(int(query), np.zeros(0, dtype=np.int64)))
        pool = np.concatenate([judged, generator.permutation(near[query])])
        negatives[row] = np.resize(pool, count)
    return negatives


@torch.inference_mode()
def _mined(config: FinetuneConfig, texts: Texts, backbone: "PreTrainedModel", tokenizer: Tokenizer) -> Integers:
    """(queries, neighbours) products near each query that are not known to fit it."""
    model = BiEncoder(backbone, config.backbone.pooling).eval()
    encoder = PairTokenizer(tokenizer, config.text.max_tokens)
    vectors = []
    for part in (texts.queries, texts.products):
        tokens = encoder.encode([(text, "") for text in part])
        found = np.zeros((len(part), backbone.config.hidden_size), dtype=np.float32)
        for rows in token_batches(tokens.lengths, config.train.eval_batch_tokens):
            arrays = collate(tokens.take(rows), 0)[:3]
            found[rows] = model(*(torch.from_numpy(array) for array in arrays)).numpy()
        vectors.append(found)
    cosines = vectors[0] @ vectors[1].T
    cosines[_fits(texts)] = -np.inf
    first = min(MINED_FROM, len(texts.products) // 2)
    return np.argsort(-cosines, axis=1, kind="stable")[:, first : max(MINED_TO, first + 1)].astype(np.int64)
