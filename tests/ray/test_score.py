"""`planogram score` on Ray Data gives the table that one process gives."""

import pandas as pd
import pytest

from planogram.bulk.run import run
from planogram.config import ClusterConfig, ScoreConfig

pytestmark = pytest.mark.ray


def test_workers_write_the_same_parts(ranked_bundle, ranked_shop, tmp_path, home):
    (tmp_path / "queries.txt").write_text("red shoes\nblue lamp\n")
    asked = ScoreConfig(
        bundle=ranked_bundle,
        shop=ranked_shop,
        out=str(tmp_path / "alone"),
        queries=str(tmp_path / "queries.txt"),
        pairs_per_part=50,
        workers=0,
        cluster=ClusterConfig(num_cpus=2),
    )
    alone = run(asked)
    spread = run(asked.model_copy(update={"out": str(tmp_path / "spread"), "workers": 2}))
    assert (spread["pairs"], spread["parts"], spread["kept"]) == (192, 4, 0)
    pd.testing.assert_frame_equal(pd.read_parquet(spread["out"]), pd.read_parquet(alone["out"]), rtol=1e-5)
    assert run(asked.model_copy(update={"out": str(tmp_path / "spread"), "workers": 2}))["kept"] == 4
