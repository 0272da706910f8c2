"""A peer of our engines: ONNX Runtime with dynamic int8, the scheme of sentence-transformers. It never serves."""

import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from planogram.benchmark.machine import has_vnni
from planogram.compress.export import INPUTS, Float32, example_inputs
from planogram.data.collate import collate
from planogram.data.tokenizer import Tokens
from planogram.engines.base import Floats, Pair
from planogram.engines.torch import TorchEngine
from planogram.errors import ConfigError


class OnnxEngine:
    """Exports a bundle, quantizes it dynamically and runs it.

    Args:
        uri: the bundle.
        threads: of one inference.

    Raises:
        ConfigError: ONNX Runtime is not installed.
    """

    def __init__(self, uri: str, threads: int) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise ConfigError(
                "ONNX Runtime is not installed", remedy="pip install -c constraints.txt 'planogram[benchmark]'"
            ) from error
        self._torch = TorchEngine(uri, device="cpu", merged=True)
        self.passes = 1
        self.manifest = self._torch.manifest
        columns = self.manifest.features.width
        self._names = INPUTS[: 4 if columns else 3]
        with tempfile.TemporaryDirectory(prefix="planogram-") as folder:
            plain, quantized = Path(folder, "model.onnx"), Path(folder, "int8.onnx")
            export_onnx(Float32(self._torch.model).eval(), columns, plain)
            quantize_onnx(plain, quantized)
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = threads
            self.size_mb = quantized.stat().st_size / 2**20
            self._session = onnxruntime.InferenceSession(quantized, options, providers=["CPUExecutionProvider"])
        del self._torch.model

    def tokenize(self, pairs: Sequence[Pair], features: pd.DataFrame | None = None) -> Tokens:
        """As the trained model does."""
        return self._torch.tokenize(pairs, features)

    def infer(self, tokens: Tokens) -> Floats:
        """Logits (pairs, heads) float32."""
        batch = [array for array in collate(tokens, self.manifest.pad_id) if array is not None]
        return np.asarray(self._session.run(None, dict(zip(self._names, batch, strict=True)))[0])

    def finish(self, logits: Floats) -> Floats:
        """Scores (pairs, heads) float32."""
        return self._torch.finish(logits)


def export_onnx(model: nn.Module, columns: int, path: Path) -> None:
    """Write a model of tensors as an ONNX graph, for texts of any number and length.

    Args:
        model: in evaluation mode; takes the arrays of a `Batch` and gives logits.
        columns: of the features beside the text; 0: none.
        path: new file.
    """
    shapes = {name: {0: "pairs", 1: "tokens"} for name in INPUTS[:3]}
    if columns:
        shapes["features"] = {0: "pairs"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            example_inputs(columns),
            path,
            input_names=list(shapes),
            output_names=["logits"],
            dynamic_axes=shapes | {"logits": {0: "pairs"}},
            opset_version=17,
            dynamo=False,
        )


def quantize_onnx(plain: Path, quantized: Path) -> None:
    """Quantize a graph dynamically to int8, by output channel, as sentence-transformers does."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    # Its users choose the same by naming their CPU.
    reduced = not has_vnni()
    quantize_dynamic(plain, quantized, weight_type=QuantType.QInt8, per_channel=True, reduce_range=reduced)
