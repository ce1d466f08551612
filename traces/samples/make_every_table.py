"""Make v1.2/every_table.h5: each form of codebook and product table that format 1.2 brought.

Run from the root: `python traces/samples/make_every_table.py [-o FILE]`. Weights and images are
random, from a seed; the network computes nothing of use. See README.md.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim_traces import write_trace
from bitpim_traces.network import FloatLayer, FloatNetwork, fuse_activations
from bitpim_traces.provenance import make_provenance
from bitpim_traces.quantize import CodebookSettings, LayerCodes, quantize_codebooks
from bitpim_traces.records import Geometry, Params, Trace

__all__ = ["SAMPLE", "SETTINGS", "main", "network", "trace"]

SEED = 2020
N_SAMPLES = 4
SAMPLE = Path(__file__).with_name("v1.2") / "every_table.h5"
SETTINGS = CodebookSettings(
    weight_codes=16,
    input_codes=32,
    value_bits=12,
    product_bits=24,
    product_fraction_bits=14,
    activation_rows=24,
    reference_samples=N_SAMPLES,
    overrides={"wide": LayerCodes(weight_codes=64, output_codes=8)},
)

Floats = npt.NDArray[np.float32]


class _Layers:
    """Layers in the making, each reading the one before unless it says otherwise."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(SEED)
        self.made: list[FloatLayer] = []

    def put(self, name: str, kind: str, *inputs: int, **more: Any) -> int:
        index = len(self.made)
        params = {k: more.pop(k) for k in list(more) if isinstance(more[k], (int, tuple))}
        given = inputs or (index - 1,)
        self.made.append(FloatLayer(name, kind, given, params=Params(params), **more))
        return index

    def weight(self, *shape: int) -> Floats:
        fan_in = int(np.prod(shape[1:]))
        return self.rng.standard_normal(shape, dtype=np.float32) * np.float32(1.4 / fan_in**0.5)


def network() -> FloatNetwork:
    """Return the float network."""
    b = _Layers()
    window = Geometry((3, 3), padding=(1, 1, 1, 1))
    bias = b.weight(8, 4)[:, 0]
    b.put("conv", "conv2d", geometry=window, weight=b.weight(8, 3, 3, 3), bias=bias)
    first = b.put("silu", "activation", activation="silu")  # by points, in the conv2d
    b.put("depthwise", "conv2d", geometry=Geometry((3, 3), groups=8), weight=b.weight(8, 1, 3, 3))
    small = b.put("relu6", "activation", activation="relu6")
    b.put("crop", "slice", first, starts=(0, 1, 1), stops=(8, 6, 5), steps=(1, 1, 1))
    b.put("sum", "add", small + 1, small)
    b.put("relu", "activation", activation="relu")
    wide = b.put("wide", "conv2d", geometry=Geometry((1, 1)), weight=b.weight(4, 8, 1, 1))
    b.put("both", "concat", wide - 1, wide, concat_axis=0)
    slopes = np.linspace(-0.25, 0.5, 12, dtype=np.float32)[:, None]
    b.put("prelu", "activation", activation="prelu", tensors={"constants": slopes})
    plane = b.weight(1, 20).reshape(1, 5, 4)
    place = b.put("places", "constant", -1, tensors={"values": plane})
    b.put("placed", "add", place - 1, place)
    b.put("framed", "pad", pads=(0, 0, 1, 0, 0, 1))
    b.put("largest", "max_pool2d", geometry=Geometry((2, 2), stride=(2, 2)))
    b.put("mean", "avg_pool2d", geometry=Geometry((2, 2), stride=(2, 2), padding=(1, 0, 1, 1)))
    b.put("flat", "flatten")
    b.put("hidden", "linear", weight=b.weight(16, 48), bias=b.weight(16, 4)[:, 0])
    b.put("tanh", "activation", activation="tanh")
    b.put("scores", "linear", weight=b.weight(10, 16))  # raw sums
    return fuse_activations(FloatNetwork("every_table", tuple(b.made), (3, 7, 6)))


def trace() -> Trace:
    """Return the trace."""
    images = np.random.default_rng(SEED + 1).standard_normal((N_SAMPLES, 3, 7, 6), np.float32)
    sources = {
        "weights": f"random, seed {SEED}",
        "samples": f"random, seed {SEED + 1}",
        "licence": "Apache-2.0, as bitpim",
    }
    return quantize_codebooks(
        network(),
        images,
        settings=SETTINGS,
        provenance=make_provenance("make_every_table", {}, seed=SEED, sources=sources),
        dataset="random",
    )


def main() -> None:
    """Write the file, and say its digest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=SAMPLE)
    output = parser.parse_args().output
    output.parent.mkdir(parents=True, exist_ok=True)
    digest = write_trace(trace(), output)
    sys.stdout.write(f"{output}: {output.stat().st_size:,} bytes, digest {digest}\n")


if __name__ == "__main__":
    main()
