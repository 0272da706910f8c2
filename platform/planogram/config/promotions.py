"""The section of the benchmark of promotions."""

from pydantic import Field

from planogram.config.compress import TorchName
from planogram.config.training import ClusterConfig
from planogram.section import Section


class BenchmarkPromotionsConfig(Section):
    """`planogram benchmark promotions`: good and corrupt versions are promoted in turn while clients ask."""

    name: str = Field("promotions", description="of the result below PLANOGRAM_HOME/benchmarks")
    bundle: str = Field(..., description="registry reference or folder of a cross-encoder; copies of it are promoted")
    engine: TorchName = "torch-fp32"
    promotions: int = Field(20, ge=2, description="every second one is corrupt")
    clients: int = Field(2, ge=1, description="that ask all the time")
    documents: int = Field(8, ge=1, le=1000, description="in one request")
    replicas: int = Field(1, ge=1, description="of the ranker")
    replica_cpus: float = Field(1.0, gt=0, description="of one replica of the ranker")
    period_s: float = Field(2.0, gt=0, description="how often replicas look where the alias points")
    patience_s: float = Field(60.0, gt=0, description="a promotion that nothing comes of after so long is an error")
    cluster: ClusterConfig = ClusterConfig()
