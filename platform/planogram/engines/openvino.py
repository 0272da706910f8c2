"""The OpenVINO engine: an export of the bundle for CPUs, with pooling and heads in the graph."""

import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from planogram.config import EXPORTS, EngineName
from planogram.data.collate import Batch, collate, lengthened
from planogram.data.tokenizer import PairTokenizer, Tokens
from planogram.engines.base import Floats, PairEngine, concurrent_passes
from planogram.errors import ConfigError, IntegrityError, NotFoundError
from planogram.registry.bundle import ENGINES, BundleManifest, open_bundle

if TYPE_CHECKING:
    import openvino

MODEL = "model.xml"
BF16 = "-bf16"
# Kernels are made for each new shape, which takes as long as an inference: so there are few lengths.
LENGTH_STEP = 8


class OpenVinoEngine(PairEngine):
    """Runs a bundle's export on the CPU.

    Args:
        uri: the bundle.
        name: `openvino-…`: which export, and what its matrices are multiplied in.
        threads: of one inference; absent: all cores.

    Raises:
        IntegrityError: the bundle does not verify, or its export cannot be read.
        NotFoundError: the bundle has no such export.
        ConfigError: the CPU does not compute in this precision.
    """

    def __init__(self, uri: str, name: EngineName = "openvino-int8", threads: int | None = None) -> None:
        folder, self.manifest = open_bundle(uri)
        threads = threads or _cores()
        self.passes = concurrent_passes(name, threads)
        self._infer = open_graph(folder, self.manifest, name, threads)
        self.tokenizer = PairTokenizer.from_folder(folder, self.manifest.max_tokens)

    def infer(self, tokens: Tokens) -> Floats:
        """Logits (pairs, heads) float32."""
        return self._infer(collate(tokens, self.manifest.pad_id))


def open_graph(
    folder: Path, manifest: BundleManifest, name: EngineName, threads: int | None = None
) -> Callable[[Batch], Floats]:
    """A bundle's export as a function of a padded batch, for any threads that Python started.

    The rows of a batch are shared out among as many streams as there are threads. Threads of one stream wait for each
    other at every layer, and so for whatever takes a core from one of them for a moment.

    Args:
        folder: of the bundle.
        manifest: of the bundle.
        name: `openvino-…`.
        threads: of one inference; absent: all cores.

    Raises:
        NotFoundError: the bundle has no such export.
        IntegrityError: the export cannot be read.
        ConfigError: the CPU does not compute in this precision.
    """
    streams = threads or _cores()
    compiled = _compile(export_path(folder, manifest, name), name, streams)
    own = threading.local()

    def run(batch: Batch) -> Floats:
        if not hasattr(own, "requests"):
            own.requests = [compiled.create_infer_request() for _ in range(streams)]
        rows, longest = batch.input_ids.shape
        # The table of positions may end where texts do.
        length = max(longest, min(-(-longest // LENGTH_STEP) * LENGTH_STEP, manifest.max_tokens))
        arrays = [array for array in lengthened(batch, length, manifest.pad_id) if array is not None]
        used = own.requests[:rows]
        parts = list(zip(*[np.array_split(array, len(used)) for array in arrays], strict=True))
        for request, part in zip(used, parts, strict=True):
            request.start_async(list(part), share_inputs=True)
        return _joined(used)

    return run


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _joined(requests: "Sequence[openvino.InferRequest]") -> Floats:
    """Wait for all, whatever becomes of one: a request that is still at work takes no other."""
    errors = []
    for request in requests:
        try:
            request.wait()
        except RuntimeError as error:
            errors.append(error)
    if errors:
        raise errors[0]
    # Copied, for an output's memory belongs to its request, which the next call overwrites.
    return np.concatenate([request.get_output_tensor(0).data for request in requests])


def export_path(folder: Path, manifest: BundleManifest, name: EngineName) -> Path:
    """Where a bundle's graph lies.

    Raises:
        NotFoundError: the bundle has no such export.
    """
    path = folder / ENGINES / EXPORTS[name] / MODEL
    if not path.is_file():
        raise NotFoundError(
            f"{manifest.name} has no export {EXPORTS[name]}",
            allowed=", ".join(["torch-fp32", *manifest.engines]),
            remedy="make it: planogram compress --set bundle=… --set shop=…",
        )
    return path


def can_run(name: EngineName) -> bool:
    """Whether this machine's CPU computes in the engine's precision."""
    import openvino

    return not name.endswith(BF16) or "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _compile(path: Path, name: EngineName, streams: int) -> "openvino.CompiledModel":
    import openvino

    core = openvino.Core()
    in_bf16 = name.endswith(BF16)
    if not can_run(name):
        # OpenVINO itself would compute in float32 and not say so.
        raise ConfigError(
            "this CPU does not compute in bfloat16",
            allowed="a CPU with AVX512-BF16 or AMX",
            remedy="use openvino-fp32 or openvino-int8",
        )
    settings = {
        "NUM_STREAMS": streams,
        "INFERENCE_NUM_THREADS": streams,
        # Pinned, the threads of all processes of a machine would share its first cores.
        "ENABLE_CPU_PINNING": False,
        "INFERENCE_PRECISION_HINT": "bf16" if in_bf16 else "f32",
    }
    try:
        return core.compile_model(core.read_model(path), "CPU", settings)
    except RuntimeError as error:
        raise IntegrityError(f"{path} cannot be run: {error}", remedy="export the bundle anew") from error
