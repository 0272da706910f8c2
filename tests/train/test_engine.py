"""What the engine decides before it trains."""

from dataclasses import replace

import pytest
import torch

from planogram.config import BackboneConfig
from planogram.models.backbone import load_backbone
from planogram.train.context import TrainContext, local_context
from planogram.train.engine import choose_attention, resolve_precision


class TwoRanks(TrainContext):
    """A rank whose neighbour runs on a processor without bfloat16."""

    def gather(self, value):
        return [value, False]


@pytest.fixture
def context(tmp_path) -> TrainContext:
    return replace(local_context(str(tmp_path)), device=torch.device("cpu"))


@pytest.mark.parametrize("asked", ["fp32", "autocast", "bf16"])
def test_a_named_precision_is_what_was_asked(context, asked):
    assert resolve_precision(asked, context) == asked


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [({"avx512_bf16": True}, "autocast"), ({"amx_bf16": True}, "autocast"), ({"avx2": True}, "fp32"), ({}, "fp32")],
)
def test_auto_takes_bfloat16_where_the_processor_has_it(context, monkeypatch, capabilities, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert resolve_precision("auto", context) == expected


def test_auto_is_what_all_workers_can(context, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    neighbours = TwoRanks(**{name: getattr(context, name) for name in context.__dataclass_fields__})
    assert resolve_precision("auto", neighbours) == "fp32"


@pytest.mark.parametrize(
    ("precision", "device", "expected"),
    [("autocast", "cpu", "eager"), ("bf16", "cpu", "eager"), ("fp32", "cpu", "sdpa"), ("autocast", "cuda", "sdpa")],
)
def test_attention_is_what_trains_fastest_and_gives_the_same(precision, device, expected):
    config = BackboneConfig(name="scratch", hidden_size=32, layers=2, attention_heads=2, vocab_size=128)
    backbone, _ = load_backbone(config, ["red shoes", "blue kettle"], 16)
    ids = torch.randint(5, 20, (2, 8))
    mask = torch.tensor([[1] * 8, [1] * 5 + [0] * 3])
    before = backbone.eval()(input_ids=ids, attention_mask=mask).last_hidden_state
    choose_attention(torch.nn.ModuleDict({"backbone": backbone}), precision, torch.device(device))
    assert backbone.config._attn_implementation == expected
    after = backbone(input_ids=ids, attention_mask=mask).last_hidden_state
    torch.testing.assert_close(after[mask == 1], before[mask == 1], atol=1e-5, rtol=1e-4)
