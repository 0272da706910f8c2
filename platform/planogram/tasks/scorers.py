"""The cross-encoder of a fine-tune: what is fitted before it trains, and its first weights."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer

from planogram import storage
from planogram.config import FinetuneConfig, TowerConfig
from planogram.data.collate import collate, token_batches
from planogram.data.examples import load
from planogram.data.features import FeatureSpec, fit_features
from planogram.data.match import MATCH, with_matches
from planogram.data.tokenizer import PairTokenizer, Tokens
from planogram.errors import ConfigError, TrainingError
from planogram.evaluate.heads import fit_calibration
from planogram.models.heads import CrossEncoder, TrainedScorer
from planogram.models.tower import Tower
from planogram.registry.bundle import Head
from planogram.tasks.backbones import source, training_backbone
from planogram.tasks.teaching import load_heads

if TYPE_CHECKING:
    from transformers import PreTrainedModel

FEATURES = "features.json"
STARTS = "heads.json"
# Training pairs from which a head's start is fitted.
START_SAMPLE = 512
# Of the fitted slope, at most; and never a flatter one, which would have little gradient to learn from.
SLOPES = (1.0, 4.0)
Outputs = npt.NDArray[np.float32]


def fitted_start(
    config: FinetuneConfig, task: str, backbone: "PreTrainedModel", tokenizer: Tokenizer
) -> dict[str, float]:
    """Scale and shift of a head's first logits, so that training starts at the rates of its targets.

    A bias moves by the learning rate in a step: left at zero, it would need thousands of steps to say that a tenth of
    all pairs match, and the rest of the model would learn to say it instead.
    """
    examples = load(task, source(config, "train"))
    head = plain_head(config, task)
    rows = np.random.default_rng(config.train.seed).permutation(len(examples))[:START_SAMPLE]
    targets = scaled(examples.grades[rows], head)
    if config.backbone.pooling != "pair":
        mean = float(np.clip(targets.mean(), 0.01, 0.99))
        return {"scale": 1.0, "shift": float(np.log(mean / (1 - mean)))}
    model = CrossEncoder(backbone, [task], "pair", 0.0).eval()
    tokens = PairTokenizer(tokenizer, config.text.max_tokens).encode([examples.pairs[row] for row in rows])
    logits = predicted_logits(model, tokens, config.train.eval_batch_tokens)[:, 0]
    fitted = fit_calibration("temperature", targets, logits)
    scale = float(np.clip(fitted.scale, *SLOPES))
    # The shift that keeps the fitted line at the mean logit, whatever became of its slope.
    return {"scale": scale, "shift": float(fitted.shift + (fitted.scale - scale) * logits.mean())}


def plain_head(config: FinetuneConfig, task: str) -> Head:
    """The head before anything is fitted; its scale comes from all the grades there are."""
    grades = load(task, source(config, "all")).grades
    low, high = float(grades.min()), float(grades.max())
    if low == high:
        raise TrainingError(
            f"every example of {task} in {config.shop} has the target {low}", remedy="bring examples that differ"
        )
    return Head(name=task, low=low, high=high) if task in ("relevance", "sentiment") else Head(name=task)


def scaled(grades: npt.NDArray[np.float64], head: Head) -> npt.NDArray[np.float64]:
    """Grades on the scale of scores, 0..1."""
    return (grades - head.low) / (head.high - head.low)


def fitted_features(config: FinetuneConfig, tokenizer: PairTokenizer) -> FeatureSpec:
    """The scales of the main task's features, from its training rows."""
    training = load(config.task, source(config, "train"))
    names = [*config.tower.features, *(MATCH if config.tower.match else ())]
    if config.tower.match and not any(second for _, second in training.pairs):
        raise ConfigError(
            f"tower.match compares two texts, and {config.task} reads one", remedy="set tower.match=false"
        )
    rows = with_matches(tokenizer, tokenizer.encode(training.pairs), names, training.features)
    return fit_features(rows, names, config.tower.categories)


def read_features(initial: Path) -> FeatureSpec:
    """The scales of features that `prepare` fitted; empty where there are none."""
    path = initial / FEATURES
    return FeatureSpec.model_validate(storage.read_json(str(path))) if path.is_file() else FeatureSpec()


def initial_model(folder: Path, config: FinetuneConfig, features: FeatureSpec) -> TrainedScorer:
    """The model that `prepare` left, the same for every worker: heads at their starts, the tower at random."""
    torch.manual_seed(config.train.seed)
    backbone = training_backbone(config, folder)
    dropout = config.backbone.dropout
    scorer = CrossEncoder(
        backbone, config.tasks, config.backbone.pooling, dropout, dense_tower(config.tower, features.width)
    )
    starts = storage.read_json(str(folder / STARTS))
    scorer.start_at([(starts[name]["scale"], starts[name]["shift"]) for name in config.tasks])
    load_heads(scorer, folder)
    positions = 0
    if config.clicks.debias == "position_feature":
        positions = int(load("click", source(config, "train")).positions.max())
    return TrainedScorer(scorer, positions, uncertainty=config.weighting == "uncertainty")


@torch.inference_mode()
def predicted_logits(model: CrossEncoder, tokens: Tokens, batch_tokens: int, pad_id: int = 0) -> Outputs:
    """Logits (pairs, heads) float32, on the CPU."""
    outputs = np.zeros((len(tokens), len(model.head_names)), dtype=np.float32)
    for rows in token_batches(tokens.lengths, batch_tokens):
        batch = collate(tokens.take(rows), pad_id)
        outputs[rows] = model(*(None if array is None else torch.from_numpy(array) for array in batch)).numpy()
    return outputs


def dense_tower(settings: TowerConfig, width: int) -> Tower | None:
    """The network of features beside the text; None where there are none.

    Args:
        settings: its sizes.
        width: columns of the features.
    """
    if not width:
        return None
    return Tower(
        width,
        settings.hidden_size,
        crosses=settings.crosses,
        dropout=settings.dropout,
        input_dropout=settings.input_dropout,
    )
