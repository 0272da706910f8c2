"""The sections of `planogram reprice` and of the benchmark of pricing."""

from typing import Literal

from pydantic import Field

from planogram.config import ClusterConfig, EngineName
from planogram.pricing.policy import PricePolicy
from planogram.section import Section

Exploration = Literal["none", "thompson", "epsilon"]


class RepriceConfig(Section):
    """`planogram reprice`: prices of a whole catalogue, as a proposal unless `apply` is set."""

    demand: str = Field(..., description="the bundle of a demand model: name, name@alias, name:version, or folder")
    shop: str = Field(..., description="folder of a prepared shop")
    out: str = Field(..., description="new folder: prices.parquet, report.json and plots")
    apply: bool = Field(
        False, description="record every decision in the audit; without it the prices are a proposal that binds nobody"
    )
    policy: PricePolicy = PricePolicy()
    family: str | None = Field(None, description="attribute of products that sizes of one thing share")
    pack_size: str | None = Field(None, description="attribute of products: how much is in a pack")
    engine: EngineName = Field(
        "torch-fp32", description="that reads texts; `openvino-…` needs its export in the bundle"
    )
    audit: str | None = Field(None, description="absent: PLANOGRAM_HOME/prices/audit.jsonl")
    kill_switch: str | None = Field(None, description="absent: PLANOGRAM_HOME/prices/STOP")
    batch_tokens: int = Field(4096, ge=128)
    workers: int = Field(2, ge=0, description="Ray Data actors; 0: in this process, without a cluster")
    seed: int = Field(0, ge=0, description="of exploration")
    cluster: ClusterConfig = ClusterConfig()


class BenchmarkPricingConfig(Section):
    """`planogram benchmark pricing`: a demand model and a policy in a market whose truth is known."""

    name: str = Field("pricing", description="of the result below PLANOGRAM_HOME/benchmarks")
    bundle: str = Field(..., description="a demand model of purchases: registry reference or folder")
    shop: str = Field(..., description="folder of the prepared simulated shop")
    raw: str = Field(..., description="folder that `planogram data simulate` made of it, with its truth")
    policy: PricePolicy = Field(
        PricePolicy(min_margin=0.02, max_change=None, reach=1.5), description="the shop's rules"
    )
    explorations: tuple[Exploration, ...] = Field(("none", "thompson", "epsilon"), strict=False, min_length=1)
    weeks: int = Field(52, ge=1)
    particles: int = Field(64, ge=8, le=1000, description="of what is believed of each product's demand")
    engine: EngineName = "torch-fp32"
    seed: int = Field(0, ge=0)
