"""Make v1.1/every_kind.h5: one layer at least of each kind that format 1.1 brought. See README.md.

Run from the root: `python traces/samples/make_every_kind.py [-o FILE]`. Weights and images are
random, from a seed; the network computes nothing of use.
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
from bitpim_traces.quantize import Settings, calibrate, quantize_network
from bitpim_traces.records import Geometry, Params, Trace

__all__ = ["SAMPLE", "main", "network", "trace"]

SEED = 2026
N_SAMPLES = 4
SAMPLE = Path(__file__).with_name("v1.1") / "every_kind.h5"

Floats = npt.NDArray[np.float32]


class _Layers:
    """Layers in the making, each reading the one before unless it says otherwise."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(SEED)
        self.made: list[FloatLayer] = []

    def put(self, name: str, kind: str, *inputs: int, **more: Any) -> int:
        index = len(self.made)
        params = {k: more.pop(k) for k in list(more) if isinstance(more[k], (int, tuple))}
        if isinstance(more.get("border"), str):
            params["border"] = more.pop("border")
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
    b.put("conv", "conv2d", geometry=window, weight=b.weight(8, 3, 3, 3), bias=b.weight(8, 1)[:, 0])
    b.put("silu", "activation", activation="silu")
    b.put("mirror", "extend", pads=(0, 0, 1, 1, 2, 2), border="reflect")
    b.put("crop", "slice", starts=(0, 1, 1), stops=(8, 7, 9), steps=(1, 1, 2))
    b.put("apart", "reshape", shape=(2, 4, 6, 4))
    b.put("shuffle", "permute", axes=(1, 0, 2, 3))
    image = b.put("together", "reshape", shape=(8, 6, 4))
    b.put("mean", "avg_pool2d", geometry=Geometry((6, 4)))
    gate = b.put("gate", "activation", activation="hardsigmoid")
    b.put("gated", "multiply", image, gate)
    plane = b.weight(1, 24).reshape(1, 6, 4)
    place = b.put("places", "constant", -1, tensors={"values": plane})
    b.put("placed", "add", place - 1, place)
    slopes = np.linspace(-0.25, 0.5, 8, dtype=np.float32)[:, None]
    skip = b.put("prelu", "activation", activation="prelu", tensors={"constants": slopes})
    b.put("apart_by_two", "dilate", steps=(2, 2))
    b.put("up", "conv2d", geometry=window, weight=b.weight(8, 8, 3, 3))
    larger = b.put("larger", "resize_bilinear", skip, size=(11, 7), align_corners=1, share_bits=10)
    b.put("both", "concat", larger - 1, larger, concat_axis=0)
    b.put("smaller", "resize_nearest", size=(5, 5), centred=0)
    b.put("flat", "flatten")
    b.put("scores", "linear", weight=b.weight(10, 400))
    return fuse_activations(FloatNetwork("every_kind", tuple(b.made), (3, 6, 5)))


def trace() -> Trace:
    """Return the trace."""
    made, settings = network(), Settings(reference_samples=N_SAMPLES)
    images = np.random.default_rng(SEED + 1).standard_normal((N_SAMPLES, 3, 6, 5), np.float32)
    sources = {
        "weights": f"random, seed {SEED}",
        "samples": f"random, seed {SEED + 1}",
        "licence": "Apache-2.0, as bitpim",
    }
    return quantize_network(
        made,
        calibrate(made, images, settings),
        images,
        settings=settings,
        provenance=make_provenance("make_every_kind", {}, seed=SEED, sources=sources),
        dataset="random",
    )


def main() -> None:
    """Write the file, and say its digest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=SAMPLE)
    output = parser.parse_args().output
    output.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.write(f"{output}: {write_trace(trace(), output)}\n")


if __name__ == "__main__":
    main()
