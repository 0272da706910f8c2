"""What the engine decides before it trains."""

from dataclasses import replace

import pytest
import torch

from planogram.train.context import TrainContext, local_context
from planogram.train.engine import resolve_precision


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
