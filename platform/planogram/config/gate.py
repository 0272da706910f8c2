"""The policy of promotion: what a bundle has to show before an alias may point to it."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from planogram.config.compress import EngineName
from planogram.config.data import ClickConfig, HeadTask, SplitConfig
from planogram.config.stages import EvaluateConfig, SliceName
from planogram.config.training import ClusterConfig
from planogram.section import Section


class QualityRule(Section):
    """NDCG is not worse than the champion's, with confidence; without a champion than BM25's."""

    tolerance: float = Field(0.005, ge=0, description="that the lower bound of the paired difference may be below 0")


class ParityRule(Section):
    """Every export ranks as the trained model does, and the engine that serves is among what was compared."""

    required: bool = Field(False, description="whether a bundle without any export is refused")


class LatencyRule(Section):
    """Median pairs per second of the engine, on this machine."""

    pairs_per_s: float | None = Field(None, gt=0, description="least; absent: no limit of its own")
    of_champion: float | None = Field(0.8, gt=0, description="least share of the champion's; absent: not compared")
    pairs: int = Field(64, ge=1, description="of the shop, in one measurement")
    rounds: int = Field(7, ge=1, description="in which bundle and champion take turns; one more warms up")

    @model_validator(mode="after")
    def _some_limit(self) -> "LatencyRule":
        if self.pairs_per_s is None and self.of_champion is None:
            raise ValueError("latency has no limit: set pairs_per_s, of_champion or both, or latency to null")
        return self


class CalibrationRule(Section):
    """Scores are the probabilities, or the scaled grades, that they say."""

    limit: float = Field(0.1, ge=0, le=1, description="largest expected calibration error")


class RobustnessRule(Section):
    """Typing errors cost little, and stuffed titles bring little."""

    queries: int = Field(100, ge=1, description="that are drawn")
    typo_drop: float | None = Field(0.15, ge=0, description="largest mean fall of NDCG by a typing error")
    stuffing_share: float | None = Field(
        0.3, ge=0, le=1, description="largest share of queries where a stuffed irrelevant product gains 3 ranks or more"
    )


class SlicesRule(Section):
    """No kind of query is worse than with the champion, with confidence."""

    by: Annotated[tuple[SliceName, ...], Field(strict=False)] = Field(
        ("category", "price", "traffic", "new", "locale"), min_length=1, description="as `slices` of evaluate"
    )
    tolerance: float = Field(0.02, ge=0, description="that the upper bound of a slice's difference may be below 0")


class GatePolicy(Section):
    """`planogram models promote --gate`: rules that a bundle has to pass; a rule that is null is not asked."""

    shop: str = Field(..., description="folder of a prepared shop, whose judged queries decide")
    part: Literal["train", "valid", "test", "all"] = "test"
    task: HeadTask | None = Field(None, description="what the first head is measured against; absent: its own task")
    split: SplitConfig | None = Field(None, description="absent: the split that the bundle was trained with")
    clicks: ClickConfig | None = Field(None, description="how clicks are counted; absent: as the bundle was trained")
    engine: EngineName = Field("torch-fp32", description="that serves: it scores, and its speed is measured")
    champion_engine: EngineName | None = Field(
        None, description="that the champion is served by, where it lacks the export; absent: as `engine`"
    )
    confidence: float = Field(0.95, gt=0.5, lt=1, description="of each bound, one-sided; of slices of all together")
    quality: QualityRule | None = QualityRule()
    parity: ParityRule | None = ParityRule()
    latency: LatencyRule | None = LatencyRule()
    calibration: CalibrationRule | None = CalibrationRule()
    robustness: RobustnessRule | None = RobustnessRule()
    slices: SlicesRule | None = SlicesRule()
    k: int = Field(10, ge=1, description="cut of NDCG")
    batch_tokens: int = Field(4096, ge=128)
    bootstrap: int = Field(2000, ge=100, description="resamples of each bound")
    seed: int = Field(0, ge=0)
    workers: int = Field(0, ge=0, description="Ray Data actors; 0: in this process, without a cluster")
    cluster: ClusterConfig = ClusterConfig()

    def evaluation(self, bundle: str) -> EvaluateConfig:
        """How a bundle is measured."""
        shared = ("shop", "part", "task", "split", "clicks", "engine", "k", "batch_tokens", "bootstrap", "seed")
        values = {name: getattr(self, name) for name in (*shared, "workers", "cluster")}
        slices = self.slices.by if self.slices else ()
        robustness = self.robustness.queries if self.robustness else 0
        return EvaluateConfig(bundle=bundle, slices=slices, robustness=robustness, **values)
