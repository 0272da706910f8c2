"""A lane without a replica."""

import asyncio
import os
import threading

import numpy as np
import pytest

from planogram.serve.batching import TokenBatcher
from planogram.serve.lane import PATIENT_NICENESS, Lane
from planogram.serve.values import ModelInfo

from .conftest import FakeEngine

MODEL = ModelInfo("shop-ranker", 1, "/home/me/bundles/1", "digest", ("relevance", "click"), ("title",), 8)


class NicenessEngine(FakeEngine):
    """Its logits are the niceness of the thread that calls it."""

    def infer(self, tokens):
        niceness = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
        return np.full((len(tokens), len(self.manifest.heads)), niceness, dtype=np.float32)


def open_lane(*, any_thread: bool) -> Lane:
    return Lane.open(
        lambda: (MODEL, NicenessEngine()),
        lambda engine, threads, passes: TokenBatcher(engine.infer, len(engine.manifest.heads), threads, 64),
        any_thread=any_thread,
    )


def test_what_may_wait_is_computed_with_a_lower_priority():
    lane = open_lane(any_thread=True)

    async def both():
        return await asyncio.gather(lane.patient.compute(lane.health), lane.batcher.compute(lane.health))

    patient, usual = asyncio.run(both())
    ours = os.getpriority(os.PRIO_PROCESS, 0)
    assert np.unique(usual) == ours
    assert np.unique(patient) == min(19, ours + PATIENT_NICENESS)


@pytest.mark.parametrize("any_thread", [True, False])
def test_an_engine_for_one_thread_is_called_from_no_other(any_thread):
    lane = open_lane(any_thread=any_thread)
    assert (lane.patient is lane.batcher) is not any_thread
