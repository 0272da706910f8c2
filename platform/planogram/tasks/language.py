"""Language modelling on a shop's own text: hidden tokens guessed, or the next one."""

import shutil
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional

from planogram.config import ClickConfig, PretrainConfig, TowerConfig
from planogram.data.collate import token_batches
from planogram.data.examples import Source, corpus
from planogram.data.hashing import hash_rows
from planogram.data.masking import IGNORED, SPECIAL, MaskRule, mask
from planogram.data.sampler import list_batches
from planogram.data.tokenizer import TOKENIZER_FILE, load_tokenizer
from planogram.errors import ConfigError, DataError
from planogram.models.backbone import build_backbone, load_backbone, read_architecture
from planogram.models.heads import parameter_groups
from planogram.models.language import HEAD, LanguageModel, language_model
from planogram.registry.bundle import MANIFEST, WEIGHTS, BundleManifest
from planogram.registry.store import backbone_folder
from planogram.train.context import TrainContext
from planogram.train.engine import TrainEngine
from planogram.train.loop import Positions
from planogram.train.run import Trained

if TYPE_CHECKING:
    from transformers import PreTrainedModel

MASK_TOKENS = ("[MASK]", "<mask>")
ENCODED_AT_ONCE = 4096
#: scores of a chunk: negative log likelihood in nats, scored tokens, tokens whose likeliest guess was right
OUTPUTS = ("nll", "scored", "correct")
Integers = npt.NDArray[np.int64]


class PretrainStage:
    """Pretrains a language model."""

    name = "pretrain"

    def prepare(self, config: PretrainConfig, folder: Path) -> None:
        """The model that training starts from, its tokenizer, which learns from the training texts alone, and tokens.

        All workers and a resumed run read these tokens: the shop is read once.
        """
        training, validation = split_texts(config)
        backbone = config.backbone.model_copy(update={"name": backbone_folder(config.backbone.name)})
        model, tokenizer = load_backbone(backbone, training, config.text.max_tokens)
        whole = language_model(model, config.objective)
        if config.objective == "masked":
            _mask_rule(config, tokenizer)
        _load_head(whole, Path(backbone.name))
        model.config.save_pretrained(folder)
        save_file({name: tensor.contiguous() for name, tensor in whole.state_dict().items()}, folder / WEIGHTS)
        tokenizer.save(str(folder / TOKENIZER_FILE))
        for part, texts in (("training", training), ("validation", validation)):
            made = chunks(texts, tokenizer, config.text.max_tokens, masked=config.objective == "masked")
            made.save(folder / f"{part}.safetensors")

    def task(self, config: PretrainConfig, context: TrainContext, initial: Path) -> "LanguageTask":
        """One worker's data, model and loss."""
        return LanguageTask(config, context, initial)

    def manifest(self, config: PretrainConfig, trained: Trained) -> BundleManifest:
        """The manifest of a model without heads."""
        return BundleManifest(
            name=config.name,
            kind="language-model",
            backbone=config.backbone.name,
            pooling="mean",
            text_fields=config.text.fields,
            text_language=config.text.language,
            max_tokens=config.text.max_tokens,
            pad_id=read_architecture(trained.initial).pad_token_id or 0,
            metrics=metrics(trained.outputs, config.objective),
            lineage=trained.lineage,
        )

    def fill(self, config: PretrainConfig, trained: Trained, folder: Path) -> None:  # noqa: ARG002 - a protocol
        """Weights, architecture and tokenizer."""
        save_file(trained.weights, folder / WEIGHTS)
        for name in ("config.json", TOKENIZER_FILE):
            shutil.copy(trained.initial / name, folder / name)


class LanguageTask:
    """Tokens of texts, guessed by a language model."""

    metric = "perplexity"

    def __init__(self, config: PretrainConfig, context: TrainContext, initial: Path) -> None:
        self.config = config
        self.device = context.device
        self.world_size = context.world_size
        self.model = _initial_model(initial, config)
        self.pad_id = int(self.model.backbone.config.pad_token_id or 0)
        self.rule = _mask_rule(config, load_tokenizer(initial)) if config.objective == "masked" else None
        self.training = Chunks.load(initial / "training.safetensors")
        self.validation = Chunks.load(initial / "validation.safetensors")
        self.epoch = 0

    def parameter_groups(self) -> list[dict[str, object]]:
        """Parameter groups of the optimizer."""
        rates = self.config.optimizer
        return parameter_groups(self.model, rates.learning_rate, rates.head_learning_rate, rates.weight_decay)

    def micro_batches(self, epoch: int) -> list[Positions]:
        """Chunks of similar length; the masks that follow are those of this epoch."""
        self.epoch = epoch
        settings = self.config.train
        return list_batches(
            np.arange(len(self.training)),
            np.asarray(self.training.lengths),
            1,
            settings.micro_batch,
            self.world_size,
            np.random.default_rng([settings.seed, epoch]),
        )

    def loss(self, engine: TrainEngine, positions: Positions) -> Tensor:
        """Mean cross entropy of the scored tokens in nats, float32."""
        seed = self.config.train.seed
        batch = self._batch(
            self.training, positions, lambda position: np.random.default_rng([seed, self.epoch, position])
        )
        return functional.cross_entropy(self._logits(engine, batch), self._tensor(batch.targets))

    def validation_batches(self) -> list[Positions]:
        """Validation chunks of similar length."""
        return token_batches(self.validation.lengths, self.config.train.eval_batch_tokens)

    def predict(self, engine: TrainEngine, positions: Positions) -> Tensor:
        """`OUTPUTS` of each chunk, (batch, 3) float32 on the CPU; its masks depend on its tokens alone."""
        batch = self._batch(
            self.validation,
            positions,
            lambda position: np.random.default_rng(zlib.crc32(self.validation.ids(position).tobytes())),
        )
        logits, targets = self._logits(engine, batch), self._tensor(batch.targets)
        losses = functional.cross_entropy(logits, targets, reduction="none")
        values = torch.stack([losses, torch.ones_like(losses), (logits.argmax(-1) == targets).float()], dim=1)
        sums = torch.zeros(len(positions), len(OUTPUTS), device=values.device)
        return sums.index_add_(0, self._tensor(batch.rows), values).cpu()

    def validate(self, outputs: npt.NDArray[np.float32]) -> dict[str, float]:
        """Perplexity and the share of right guesses; see `metrics`."""
        return metrics(outputs, self.config.objective)

    def _batch(
        self, texts: "Chunks", positions: Positions, generator: Callable[[int], np.random.Generator]
    ) -> "ScoredBatch":
        if self.rule is None:
            rows = [texts.ids(position) for position in positions]
            return scored_batch(rows, [next_tokens(ids) for ids in rows], self.pad_id)
        masked = [
            mask(texts.ids(position), texts.words(position), self.rule, generator(int(position)))
            for position in positions
        ]
        return scored_batch([read for read, _ in masked], [labels for _, labels in masked], self.pad_id)

    def _logits(self, engine: TrainEngine, batch: "ScoredBatch") -> Tensor:
        """(scored, vocabulary) float32."""
        inputs = (batch.input_ids, batch.attention_mask, batch.scored)
        return engine.forward(*(self._tensor(array) for array in inputs)).float()

    def _tensor(self, array: Integers) -> Tensor:
        return torch.from_numpy(array).to(self.device)


@dataclass(frozen=True)
class Chunks:
    """Texts as tokens, at most `max_tokens` at a time, special tokens included.

    Attributes:
        flat_ids: ids of all chunks, one after the other.
        flat_words: the number of each token's word, `SPECIAL` for special tokens.
        bounds: (chunks + 1,) where each begins and the last one ends.
    """

    flat_ids: Integers
    flat_words: Integers
    bounds: Integers

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def save(self, path: Path) -> None:
        """Write to a safetensors file."""
        save_file({name: torch.from_numpy(array) for name, array in vars(self).items()}, path)

    @classmethod
    def load(cls, path: Path) -> "Chunks":
        """Read what `save` wrote."""
        return cls(**{name: tensor.numpy() for name, tensor in load_file(path).items()})

    @property
    def lengths(self) -> list[int]:
        """Tokens of each chunk."""
        return list(map(int, np.diff(self.bounds)))

    def ids(self, position: int) -> Integers:
        """Of one chunk."""
        return self.flat_ids[self.bounds[position] : self.bounds[position + 1]]

    def words(self, position: int) -> Integers:
        """Of one chunk."""
        return self.flat_words[self.bounds[position] : self.bounds[position + 1]]


@dataclass(frozen=True)
class ScoredBatch:
    """A padded batch and what is asked of it.

    Attributes:
        input_ids: (batch, tokens).
        attention_mask: (batch, tokens) 1 for a token, 0 for padding.
        scored: (scored,) places in the flattened batch whose states are decoded.
        rows: (scored,) the text of each.
        targets: (scored,) the right ids.
    """

    input_ids: Integers
    attention_mask: Integers
    scored: Integers
    rows: Integers
    targets: Integers


def scored_batch(rows: Sequence[Integers], labels: Sequence[Integers], pad_id: int) -> ScoredBatch:
    """Pad texts on the right.

    Args:
        rows: ids of each text.
        labels: of the same lengths; `IGNORED` where nothing is asked.
        pad_id: id of the padding token.
    """
    lengths = np.asarray([len(ids) for ids in rows])
    present = np.arange(lengths.max()) < lengths[:, None]
    input_ids = np.full(present.shape, pad_id, dtype=np.int64)
    input_ids[present] = np.concatenate(rows)
    asked = np.full(present.shape, IGNORED, dtype=np.int64)
    asked[present] = np.concatenate(labels)
    scored = np.flatnonzero(asked != IGNORED)
    return ScoredBatch(
        input_ids, present.astype(np.int64), scored, scored // present.shape[1], asked.reshape(-1)[scored]
    )


def next_tokens(ids: Integers) -> Integers:
    """Labels of a decoder: after each token the next one."""
    return np.append(ids[1:], IGNORED)


def chunks(texts: Sequence[str], tokenizer: Tokenizer, max_tokens: int, *, masked: bool) -> Chunks:
    """Texts as tokens; what is longer than `max_tokens` goes on in a further chunk.

    Args:
        texts: the corpus.
        tokenizer: a fast tokenizer, which is left as it is.
        max_tokens: special tokens included.
        masked: leave out chunks in which nothing can be masked, else those in which no token follows another.

    Raises:
        DataError: no chunk is left.
    """
    cutting = Tokenizer.from_str(tokenizer.to_str())
    cutting.no_padding()
    cutting.enable_truncation(max_tokens)
    special = _special_ids(cutting)
    ids: list[Integers] = []
    words: list[Integers] = []
    for start in range(0, len(texts), ENCODED_AT_ONCE):
        for encoding in cutting.encode_batch(list(texts[start : start + ENCODED_AT_ONCE])):
            for part in (encoding, *encoding.overflowing):
                tokens = np.asarray(part.ids, dtype=np.int64)
                numbers = np.asarray([SPECIAL if word is None else word for word in part.word_ids], dtype=np.int64)
                numbers[np.isin(tokens, special)] = SPECIAL
                if (numbers != SPECIAL).any() if masked else len(tokens) > 1:
                    ids.append(tokens)
                    words.append(numbers)
    if not ids:
        raise DataError("no text has a token to learn from", remedy="check the shop's texts and `sources`")
    bounds = np.cumsum([0, *(len(tokens) for tokens in ids)])
    return Chunks(np.concatenate(ids), np.concatenate(words), bounds)


def split_texts(config: PretrainConfig) -> tuple[list[str], list[str]]:
    """The different texts that train and those that validate.

    Equal texts count once: a shop repeats itself, and what is repeated would be memorised (Lee et al. 2022). Which of
    them validate is said by their hash, so it stays when others come and go.

    Raises:
        DataError: there are fewer than two.
    """
    part = Source(config.shop, config.text, config.split, ClickConfig(), TowerConfig(), config.part)
    texts = dict.fromkeys(corpus(part, config.sources))
    if config.part == "train":
        for text in corpus(replace(part, part="held_out"), config.sources):
            texts.pop(text, None)
    if len(texts) < 2:
        raise DataError(
            f"{config.shop} has {len(texts)} different texts of {', '.join(config.sources)}",
            allowed="at least 2",
            remedy="name other `sources`, or set part=all",
        )
    return _held_out_by_hash(list(texts), config.valid_share)


def _held_out_by_hash(texts: list[str], share: float) -> tuple[list[str], list[str]]:
    places = hash_rows([pa.array(texts, pa.string())]) / 2.0**64
    # Where chance holds nothing out, or everything, one text stands on the other side.
    threshold = np.clip(share, np.sort(places)[0], np.sort(places)[-2])
    validates = places <= threshold
    known = np.asarray(texts, dtype=object)
    return list(known[~validates]), list(known[validates])


def metrics(outputs: npt.NDArray[np.float32], objective: str) -> dict[str, float]:
    """Perplexity exp(nats per scored token), and the share of tokens whose likeliest guess was right.

    Of a masked model both are of the masked tokens given all others, under one fixed choice of masks: they compare
    models with the same tokenizer and masking. It is not the pseudo-perplexity of Salazar et al. 2020, which masks
    every token in turn by itself.

    Args:
        outputs: (chunks, 3), see `OUTPUTS`.
        objective: masked or causal.
    """
    nll, scored, correct = outputs.astype(np.float64).sum(0)
    return {"perplexity": float(np.exp(nll / scored)), f"{objective}_accuracy": float(correct / scored)}


def _special_ids(tokenizer: Tokenizer) -> Integers:
    added = tokenizer.get_added_tokens_decoder()
    return np.asarray([number for number, token in added.items() if token.special], dtype=np.int64)


def _mask_rule(config: PretrainConfig, tokenizer: Tokenizer) -> MaskRule:
    found = [number for token in MASK_TOKENS if (number := tokenizer.token_to_id(token)) is not None]
    if not found:
        raise ConfigError(
            f"the tokenizer of {config.backbone.name} has no mask token",
            allowed=" or ".join(MASK_TOKENS),
            remedy="choose another backbone, or objective=causal",
        )
    ordinary = np.setdiff1d(np.arange(tokenizer.get_vocab_size()), _special_ids(tokenizer))
    return MaskRule(config.masking, config.mask_share, config.mean_span, found[0], ordinary)


def _load_head(model: LanguageModel, folder: Path) -> None:
    """Go on with the head of a language model's bundle; of any other backbone it is new."""
    if not (folder / MANIFEST).is_file():
        return
    head = {name: tensor for name, tensor in load_file(folder / WEIGHTS).items() if name.startswith(HEAD)}
    if head:
        model.load_state_dict(head, strict=False)


def _initial_model(folder: Path, config: PretrainConfig) -> LanguageModel:
    backbone: PreTrainedModel = build_backbone(read_architecture(folder))
    model = language_model(backbone, config.objective)
    model.load_state_dict(load_file(folder / WEIGHTS))
    return model
