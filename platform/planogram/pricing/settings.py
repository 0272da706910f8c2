"""The section of `planogram reprice`."""

from pydantic import Field

from planogram.config import ClusterConfig, EngineName
from planogram.pricing.policy import PricePolicy
from planogram.section import Section


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
