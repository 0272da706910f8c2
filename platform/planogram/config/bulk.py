"""The section of batch scoring."""

from pydantic import Field, model_validator

from planogram.config.compress import EngineName
from planogram.config.training import ClusterConfig
from planogram.section import Section


class ScoreConfig(Section):
    """`planogram score`: score every query with every candidate, or the pairs of a file, into a table."""

    bundle: str = Field(..., description="registry reference (name@alias, name:version) or the folder of a bundle")
    shop: str = Field(..., description="folder of a prepared shop, whose products are scored")
    out: str = Field(..., description="folder of the table; the same command again goes on where it was interrupted")
    queries: str | None = Field(None, description="file with a query in each line; absent: the judged queries")
    candidates: str | None = Field(None, description="file with a product id in each line; absent: all products")
    pairs: str | None = Field(
        None, description="CSV or Parquet file with the columns `query` and `product_id`, instead of both"
    )
    pairs_per_part: int = Field(10_000, ge=1, description="that are scored and written as one")
    engine: EngineName = Field("torch-fp32", description="that scores; `openvino-…` needs its export in the bundle")
    batch_tokens: int = Field(4096, ge=128)
    workers: int = Field(2, ge=0, description="Ray Data actors; 0: in this process, without a cluster")
    cluster: ClusterConfig = ClusterConfig()

    @model_validator(mode="after")
    def _pairs_or_a_product(self) -> "ScoreConfig":
        if self.pairs and (self.queries or self.candidates):
            raise ValueError("pairs names what is scored: leave queries and candidates out")
        return self
