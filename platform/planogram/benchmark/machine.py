"""The machine that a benchmark ran on."""

import os
import platform
from pathlib import Path
from typing import Any

#: CPU flags that decide how fast int8 and bfloat16 are
FLAGS = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16")
VNNI = ("avx_vnni", "avx512_vnni", "amx_int8")
CPUINFO = Path("/proc/cpuinfo")


def machine(threads: int) -> dict[str, Any]:
    """`cpu` (its name), `cores`, `threads` of one inference, and `flags` that matter."""
    fields = _cpu()
    cpu = fields.get("model name", platform.processor())
    return {"cpu": cpu, "cores": os.cpu_count(), "threads": threads, "flags": cpu_flags()}


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
