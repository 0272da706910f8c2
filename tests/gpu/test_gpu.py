"""The same line on a CUDA device; skipped where there is none."""

import numpy as np
import pytest
import torch

from planogram import finetune
from planogram.config import FinetuneConfig
from planogram.engines.base import score
from planogram.engines.torch import TorchEngine

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")

PAIRS = [("red shoes", "red running shoes"), ("red shoes", "blue kettle"), ("kettle", "a blue kettle, 1.5 l")]


@pytest.fixture(scope="module")
def bundle(tiny_shop, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLANOGRAM_HOME", str(tmp_path_factory.mktemp("home")))
        config = FinetuneConfig.model_validate(
            {
                "shop": str(tiny_shop),
                "run": "gpu",
                "backbone": {"name": "scratch", "hidden_size": 32, "layers": 1, "attention_heads": 2},
                "text": {"max_tokens": 32},
                "train": {"precision": "bf16"},
                "launch": {"workers": 0},
            }
        )
        yield finetune.run(config)["bundle"]


def test_training_in_bfloat16_ends_with_finite_scores(bundle):
    assert np.isfinite(score(TorchEngine(bundle, device="cuda"), PAIRS, 512).values).all()


def test_gpu_and_cpu_give_the_same_scores(bundle):
    gpu, cpu = (score(TorchEngine(bundle, device=device), PAIRS, 512).values for device in ("cuda", "cpu"))
    np.testing.assert_allclose(gpu, cpu, atol=1e-4)


def test_bfloat16_stays_close(bundle):
    half, full = (score(TorchEngine(bundle, "cuda", precision), PAIRS, 512).values for precision in ("bf16", "fp32"))
    np.testing.assert_allclose(half, full, atol=2e-2)
