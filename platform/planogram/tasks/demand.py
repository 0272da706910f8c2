"""Demand as a task of the shared loop: level and elasticity in pairs of heads, each on its own bootstrap sample."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import save_file
from torch import Tensor

from planogram import storage
from planogram.config import DemandConfig
from planogram.data.collate import collate
from planogram.data.features import fit_features
from planogram.data.sampler import list_batches
from planogram.data.tokenizer import PairTokenizer, Tokens
from planogram.elasticity.demand import load_rows
from planogram.elasticity.rows import DemandRows
from planogram.evaluate.demand import demand_metrics
from planogram.models.demand import DemandModel, head_names, likelihood, response, split_heads, squared_error
from planogram.models.heads import CrossEncoder, parameter_groups
from planogram.pricing.demand import Baseline
from planogram.registry.bundle import BASELINE, WEIGHTS, BundleManifest, DemandRef, Head
from planogram.tasks.backbones import (
    bundle_weights,
    copy_backbone_files,
    manifest_of,
    pad_id,
    prepare_backbone,
    training_backbone,
)
from planogram.tasks.scorers import FEATURES, dense_tower, read_features
from planogram.train.context import TrainContext
from planogram.train.engine import TrainEngine
from planogram.train.loop import Positions
from planogram.train.run import Trained

START = "elasticity.json"
# The elasticity that training starts from, where prices say nothing.
USUAL_ELASTICITY = 1.5
# A start outside of these would rather be an accident of the data than a shop's elasticity.
STARTS = (0.3, 5.0)
# That a frozen backbone reads in one pass.
TEXTS_AT_ONCE = 256


class DemandStage:
    """Fine-tunes a demand model."""

    name = "finetune"

    def prepare(self, config: DemandConfig, folder: Path) -> None:
        """The backbone, its tokenizer, the scales of features, and the elasticity that all products start from."""
        prepare_backbone(config, folder)
        rows = load_rows(config)
        rows.save(folder)
        training = rows.rows("train")
        if config.tower.features:
            spec = fit_features(rows.features.iloc[training], config.tower.features, config.tower.categories)
            storage.write_json(str(folder / FEATURES), spec.model_dump(mode="json"))
        storage.write_json(str(folder / START), {"elasticity": common_elasticity(config, rows)})

    def task(self, config: DemandConfig, context: TrainContext, initial: Path) -> "DemandTask":
        """One worker's data, model and loss."""
        return DemandTask(config, context, initial)

    def manifest(self, config: DemandConfig, trained: Trained) -> BundleManifest:
        """The manifest, with the metrics of the validation split."""
        rows = DemandRows.read(trained.initial)
        return manifest_of(
            config,
            trained,
            read_features(trained.initial),
            heads=tuple(Head(name=name, activation="identity") for name in head_names(config.members)),
            demand=DemandRef(kind=config.kind, members=config.members),
            metrics=demand_metrics(config.kind, rows, rows.rows("valid"), trained.outputs),
        )

    def fill(self, config: DemandConfig, trained: Trained, folder: Path) -> None:
        """Weights, architecture, tokenizer, and what is known of each product's price and level."""
        save_file(bundle_weights(config, trained), folder / WEIGHTS)
        copy_backbone_files(trained.initial, folder)
        baseline = Baseline(products=newest(DemandRows.read(trained.initial)))
        storage.write_json(str(folder / BASELINE), baseline.model_dump(mode="json"))


class DemandTask:
    """What was bought at which price, explained by a product's text."""

    def __init__(self, config: DemandConfig, context: TrainContext, initial: Path) -> None:
        self.config = config
        self.device = context.device
        self.world_size = context.world_size
        self.metric = "log_loss"
        self.pad_id = pad_id(initial)
        self.rows = DemandRows.read(initial)
        self.training, self.validation = self.rows.rows("train"), self.rows.rows("valid")
        tokenizer = PairTokenizer.from_folder(initial, config.text.max_tokens)
        self.tokens: Tokens = tokenizer.encode([("", text) for text in self.rows.texts])
        spec = read_features(initial)
        self.features = spec.transform(self.rows.features) if spec.width else None
        self.start = float(np.log(storage.read_json(str(initial / START))["elasticity"]))
        self.weights = bootstrap_weights(self.rows.clusters, config.members, config.train.seed)
        #: brings the loss near 1, whatever a shop's units are
        self.scale = _scale(config, self.rows)
        torch.manual_seed(config.train.seed)
        backbone = training_backbone(config, initial)
        tower = dense_tower(config.tower, spec.width)
        heads = head_names(config.members)
        scorer = CrossEncoder(backbone, heads, config.backbone.pooling, config.backbone.dropout, tower)
        scorer.start_at([(1.0, 0.0), (1.0, self.start)] * config.members)
        self.model = DemandModel(scorer)
        learns = any(parameter.requires_grad for parameter in backbone.parameters())
        #: (texts, width) of what a frozen backbone makes of them; None: each step reads its texts
        self.pooled = None if learns else self._read_all()

    def parameter_groups(self) -> list[dict[str, object]]:
        """Parameter groups of the optimizer."""
        rates = self.config.optimizer
        return parameter_groups(self.model, rates.learning_rate, rates.head_learning_rate, rates.weight_decay)

    def micro_batches(self, epoch: int) -> list[Positions]:
        """Rows of one product together, or whole choice sets."""
        settings = self.config.train
        choice = self.config.kind == "choice"
        groups = (self.rows.sets if choice else self.rows.text)[self.training]
        lengths = np.asarray(self.tokens.lengths)[self.rows.text[self.training]]
        size = int(np.bincount(groups).max()) if choice else settings.list_size
        generator = np.random.default_rng([settings.seed, epoch])
        batches = list_batches(groups, lengths, size, settings.micro_batch, self.world_size, generator)
        return [self.training[places] for places in batches]

    def loss(self, engine: TrainEngine, positions: Positions) -> Tensor:
        """Negative log-likelihood and the prior of log elasticities, the mean over members, float32."""
        logits = self._logits(engine, positions).float()
        rows = self.rows
        offset, log_price, outcome, exposure = (
            self._tensor(values[positions].astype(np.float32))
            for values in (rows.offset, rows.log_price, rows.outcome, rows.exposure)
        )
        responses = response(logits, offset, log_price)
        weights = self._tensor(self.weights[positions].astype(np.float32))
        if self.config.loss == "loglog":
            losses = squared_error(responses, outcome, weights)
        else:
            sets = self._tensor(rows.sets[positions])
            losses = likelihood(self.config.kind, responses, outcome, exposure, sets, weights) / self.scale
        return losses.mean() + self._prior(logits)

    def _prior(self, logits: Tensor) -> Tensor:
        """That log elasticities are the shop's, and that the offset has told the level where there is one."""
        level, log_elasticity = split_heads(logits)
        found = self.config.prior * (log_elasticity - self.start).square().mean()
        return found if self.config.kind == "choice" else found + self.config.level_prior * level.square().mean()

    def validation_batches(self) -> list[Positions]:
        """Validation rows in their order."""
        size = 4 * self.config.train.micro_batch
        count = len(self.validation)
        return [np.arange(start, min(start + size, count)) for start in range(0, count, size)]

    def predict(self, engine: TrainEngine, positions: Positions) -> Tensor:
        """Logits (batch, 2 * members) float32 on the CPU."""
        return self._logits(engine, self.validation[positions]).float().cpu()

    def validate(self, outputs: npt.NDArray[np.float32]) -> dict[str, float]:
        """Metrics of the members' mean."""
        return demand_metrics(self.config.kind, self.rows, self.validation, outputs)

    def _logits(self, engine: TrainEngine, positions: Positions) -> Tensor:
        numbers, rows = np.unique(self.rows.text[positions], return_inverse=True)
        features = None if self.features is None else self._tensor(self.features[positions])
        texts = self._inputs(numbers) if self.pooled is None else (self.pooled[numbers],)
        return engine.forward(self._tensor(rows.astype(np.int64)), features, *texts)

    def _inputs(self, numbers: npt.NDArray[np.int64]) -> tuple[Tensor, Tensor, Tensor]:
        ids, mask, types, _ = collate(self.tokens.take(numbers), self.pad_id)
        return self._tensor(ids), self._tensor(mask), self._tensor(types)

    def _read_all(self) -> Tensor:
        """Once: what a frozen backbone makes of a text does not change."""
        self.model.to(self.device)
        numbers = np.arange(len(self.tokens.lengths))
        parts = np.array_split(numbers, -(-len(numbers) // TEXTS_AT_ONCE))
        return self.model.pooled(self._inputs(part) for part in parts)

    def _tensor(self, array: npt.NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(array).to(self.device)


def bootstrap_weights(clusters: npt.NDArray[np.int64], members: int, seed: int) -> npt.NDArray[np.float64]:
    """(rows, members) how often each member's sample has a row: Poisson(1), the same for all rows of a cluster.

    A single member learns from every row once.

    Source: Oza & Russell 2001, Online Bagging and Boosting; Osband et al. 2016, Deep Exploration via Bootstrapped DQN,
    for heads on a shared backbone.
    """
    if members == 1:
        return np.ones((len(clusters), 1))
    drawn = np.random.default_rng(seed).poisson(1.0, (int(clusters.max()) + 1, members))
    return drawn[clusters].astype(np.float64)


def common_elasticity(config: DemandConfig, rows: DemandRows) -> float:
    """The one elasticity under which the training rows are likeliest, with no other parameter: a search on a grid."""
    training = rows.rows("train")
    outcome, exposure, sets = rows.outcome[training], rows.exposure[training], rows.sets[training]
    candidates = np.geomspace(*STARTS, 30)
    responses = rows.offset[training][:, None] - candidates * rows.log_price[training][:, None]
    tensors = [torch.from_numpy(values) for values in (responses, outcome, exposure, sets, np.ones_like(responses))]
    losses = likelihood(config.kind, *tensors).numpy()
    best = float(candidates[int(np.argmin(losses))])
    informative = float(np.ptp(rows.log_price[training])) > 0
    return best if informative else USUAL_ELASTICITY


def newest(rows: DemandRows) -> dict[str, tuple[float, float, float]]:
    """Product id -> (reference price, offset, exposure) of its newest row."""
    order = np.argsort(rows.period, kind="stable")
    columns = (rows.reference[order], rows.offset[order], rows.exposure[order])
    return dict(zip(map(str, rows.product_ids[order]), zip(*(c.tolist() for c in columns), strict=True), strict=True))


def _scale(config: DemandConfig, rows: DemandRows) -> float:
    if config.kind == "choice":
        return 1.0
    return max(float(rows.outcome[rows.rows("train")].mean()), 1e-6)
