"""Exports that were made or are run wrongly: the gate sees each."""

import numpy as np
import pytest
import torch

from planogram.compress import run as compress
from planogram.config import CompressConfig, SplitConfig
from planogram.data.tokenizer import PairTokenizer
from planogram.engines import openvino
from planogram.engines.base import activate
from planogram.errors import ParityError
from planogram.registry.store import Registry


def truncated_too_early(monkeypatch):
    class Shorter(PairTokenizer):
        def __init__(self, tokenizer, max_tokens):
            super().__init__(tokenizer, 6)

    monkeypatch.setattr(openvino, "PairTokenizer", Shorter)


def without_token_types(monkeypatch):
    export = compress.to_openvino

    def dropped(model, columns):
        forward = model.forward
        model.forward = lambda ids, mask, types, *rest: forward(ids, mask, torch.zeros_like(types), *rest)
        return export(model, columns)

    monkeypatch.setattr(compress, "to_openvino", dropped)


def sigmoid_in_half_precision(monkeypatch):
    def finish(engine, logits):
        return activate(engine.manifest, logits).astype(np.float16).astype(np.float32)

    monkeypatch.setattr(openvino.OpenVinoEngine, "finish", finish)


@pytest.mark.parametrize("fault", [truncated_too_early, without_token_types, sigmoid_in_half_precision])
def test_a_wrong_export_is_refused_with_its_reason(fault, tiny_bundle, tiny_shop, tmp_path, monkeypatch):
    fault(monkeypatch)
    config = CompressConfig(
        bundle=str(tiny_bundle),
        shop=tiny_shop,
        out=str(tmp_path / "bundle"),
        split=SplitConfig(by="query"),
        engines=("openvino-fp32",),
    )
    made = compress.run(config)
    assert "off by" in made["engines"]["openvino-fp32"]["faults"][0]
    with pytest.raises(ParityError, match="a score is off by"):
        Registry().publish(made["bundle"], "tiny", "wrong")
