"""Networks of given TFLite codes, written as a `program`: one operation a line.

`name|kind|inputs|stride|activation`, kind one of conv, dw, add, avg, fc; `in` is the network input.
Padding is TensorFlow's "same": an odd pixel goes below and to the right. Codes, scales and zero
points are taken as they are; the requantize step is TFLite's, fixed_point_half_away, unless another
mode is named.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim_traces.builder import Activation, TraceBuilder, WeightCodes, quantization_of
from bitpim_traces.errors import TraceDataError
from bitpim_traces.provenance import make_provenance
from bitpim_traces.records import NETWORK_INPUT, Geometry, Quantization, Trace

__all__ = ["MODE", "build"]

MODE = "fixed_point_half_away"

Arrays = Mapping[str, npt.NDArray[Any]]


def build(
    name: str,
    path: Path,
    codes: npt.NDArray[Any],
    *,
    labels: npt.NDArray[np.int32],
    dataset: str,
    requantize: str,
    signed: bool,
) -> Trace:
    """Build a trace from a file of codes and the program in it.

    Shapes
    ------
    codes : (n_samples, C, H, W), as the network takes them
    """
    with np.load(path, allow_pickle=False) as stored:
        arrays = {key: stored[key] for key in stored.files}
    source = quantization_of(arrays["in.scale"], arrays["in.zp"], bits=8, signed=signed)
    builder = TraceBuilder(name, tuple(codes.shape[1:]), source, requantize=requantize)
    operations = _Operations(builder, arrays, signed)
    for line in arrays["program"].tolist():
        operations.append(line)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    provenance = make_provenance(
        "bench.networks",
        {"codes": "given", "requantize": requantize},
        sources={"weights": f"{path.name}, SHA-256 {digest}"},
    )
    return builder.build(codes, labels=labels, dataset=dataset, provenance=provenance)


class _Operations:
    """Appends the lines of a program to a builder."""

    def __init__(self, builder: TraceBuilder, arrays: Arrays, signed: bool) -> None:
        self.builder = builder
        self.arrays = arrays
        self.signed = signed
        self.indices = {"in": NETWORK_INPUT}

    def append(self, line: str) -> None:
        """Append one operation."""
        name, kind, inputs, stride, activation = line.split("|")
        sources = [self.indices[source] for source in inputs.split(",")]
        fused = Activation(activation)
        if kind in ("conv", "dw"):
            index = self._convolution(name, kind, sources[0], int(stride), fused)
        elif kind == "fc":
            flat = self.builder.flatten(f"{name}.flatten", sources[0])
            index = self.builder.linear(
                name, flat, self._weight(name), self._output(name), activation=fused
            )
        elif kind == "add":
            index = self.builder.add(name, sources, self._output(name), activation=fused)
        elif kind == "avg":
            window = self.builder.shape(sources[0])[1:]
            geometry = Geometry(kernel=(window[0], window[1]), stride=(window[0], window[1]))
            index = self.builder.avg_pool2d(name, sources[0], geometry)
        else:
            raise TraceDataError(f"program: need conv, dw, add, avg or fc, got {kind!r} in {line}")
        self.indices[name] = index

    def _convolution(
        self, name: str, kind: str, source: int, stride: int, fused: Activation
    ) -> int:
        weight = self._weight(name)
        n_channels, height, width = self.builder.shape(source)
        kernel = (weight.codes.shape[2], weight.codes.shape[3])
        top, bottom = _same(height, kernel[0], stride)
        left, right = _same(width, kernel[1], stride)
        geometry = Geometry(
            kernel=kernel,
            stride=(stride, stride),
            padding=(top, bottom, left, right),
            groups=n_channels if kind == "dw" else 1,
        )
        return self.builder.conv2d(
            name, source, weight, self._output(name), geometry, activation=fused
        )

    def _output(self, name: str) -> Quantization:
        return self._quantization(f"{name}.out_scale", f"{name}.out_zp")

    def _weight(self, name: str) -> WeightCodes:
        quantization = self._quantization(f"{name}.w_scale", f"{name}.w_zp")
        return WeightCodes(self.arrays[f"{name}.weight"], quantization, self.arrays[f"{name}.bias"])

    def _quantization(self, scale: str, zero: str) -> Quantization:
        values = self.arrays[scale]
        axis = 0 if values.size > 1 else None
        return quantization_of(values, self.arrays[zero], bits=8, signed=self.signed, axis=axis)


def _same(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Yield the padding before and after that leaves ceil(size / stride) windows."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2
