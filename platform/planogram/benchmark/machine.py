"""The machine that a benchmark ran on."""

import os
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np

#: CPU flags that decide how fast int8 and bfloat16 are
FLAGS = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16")
VNNI = ("avx_vnni", "avx512_vnni", "amx_int8")
CPUINFO = Path("/proc/cpuinfo")
# Of the measured products: large enough that nothing else counts.
ROWS, WIDTH, PRODUCTS, RUNS = 2048, 1024, 4, 8


def machine(threads: int) -> dict[str, Any]:
    """`cpu` (its name), `cores`, `threads` of one inference, `flags` that matter, and `int8_macs_per_s`."""
    cpu = _cpu().get("model name", platform.processor())
    common = {"cpu": cpu, "cores": os.cpu_count(), "threads": threads, "flags": cpu_flags()}
    return common | {"int8_macs_per_s": int8_rate(threads)}


def int8_rate(threads: int) -> float:
    """Multiply-adds of bytes per second in a chain of large matrix products on OpenVINO: the best of some runs."""
    import openvino
    from openvino import opset13 as ops

    low, high = np.float32(-1), np.float32(1)
    generator = np.random.default_rng(0)
    given = ops.parameter([ROWS, WIDTH], np.float32)
    states = given
    for _ in range(PRODUCTS):
        weights = ops.constant(generator.uniform(-1, 1, (WIDTH, WIDTH)).astype(np.float32))
        read, packed = (ops.fake_quantize(x, low, high, low, high, n) for x, n in ((states, 256), (weights, 255)))
        states = ops.matmul(read, packed, False, True)
    settings = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
    request = openvino.compile_model(openvino.Model([states], [given]), "CPU", settings).create_infer_request()
    rows = generator.uniform(-1, 1, (ROWS, WIDTH)).astype(np.float32)
    seconds = []
    for _ in range(RUNS):
        started = time.perf_counter()
        request.infer([rows])
        seconds.append(time.perf_counter() - started)
    return ROWS * WIDTH * WIDTH * PRODUCTS / min(seconds)


def cpu_flags() -> list[str]:
    """Those of `FLAGS` that the CPU has; none where Linux does not say."""
    flags = set(_cpu().get("flags", "").split())
    return [flag for flag in FLAGS if flag in flags]


def has_vnni() -> bool:
    """Whether products of bytes are added in 32 bits; without it they may overflow in 16."""
    return not set(VNNI).isdisjoint(cpu_flags())


def _cpu() -> dict[str, str]:
    """What Linux says of the last CPU."""
    lines = CPUINFO.read_text().splitlines() if CPUINFO.is_file() else []
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
