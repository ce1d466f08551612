"""Run in a copy of the tree that has the toy: quantized, written, read, checked, run.

`python runs.py MACHINE...` verifies them; with `--refused` in front it prints refusals.
"""

import sys
from typing import Any

import numpy as np

from bitpim import make_machine, verify
from bitpim.errors import MappingError
from bitpim_traces import check_trace, open_trace, write_trace
from bitpim_traces.network import FloatLayer, FloatNetwork
from bitpim_traces.quantize import Settings, calibrate, quantize_network
from bitpim_traces.records import REQUANTIZE_MODES, Geometry, Params, Trace


def network_of(rng: np.random.Generator) -> FloatNetwork:
    """A convolution, reversed along every axis; the same flat; a linear layer."""
    kernels, matrix = rng.normal(size=(4, 2, 3, 3)), rng.normal(size=(3, 80))
    around = Geometry((3, 3), padding=(1, 1, 1, 1))
    layers = (
        FloatLayer("conv", "conv2d", (-1,), around, kernels.astype(np.float32)),
        *(FloatLayer(f"r{k}", "reverse", (k,), params=Params(axis=k)) for k in range(3)),
        FloatLayer("flat", "flatten", (3,)),
        FloatLayer("r", "reverse", (4,), params=Params(axis=0)),
        FloatLayer("fc", "linear", (5,), weight=matrix.astype(np.float32)),
    )
    return FloatNetwork("toy", layers, (2, 4, 5))


def run(trace: Trace, name: str) -> None:
    """Hold a machine against the referee."""
    for fidelity in ("bit", "integer"):
        report = verify(trace, name, fidelity=fidelity)
        assert all(layer.equal for layer in report.layers), (name, fidelity)


def refuse(trace: Trace, name: str) -> None:
    """Print why a machine does not take it, neither planned nor prepared."""
    works: list[Any] = [make_machine(name).plan, make_machine(name).prepare]
    for work in works:
        try:
            work(trace)
        except MappingError as error:
            print(error)
        else:
            raise AssertionError(name)


def main() -> None:
    """Make the traces and give them to each machine."""
    refused = sys.argv[1] == "--refused"
    rng = np.random.default_rng(0)
    network, images = network_of(rng), rng.normal(size=(3, 2, 4, 5)).astype(np.float32)
    found = network.outputs(images, [0, 3])
    assert np.array_equal(found[3], found[0][:, ::-1, ::-1, ::-1])
    for mode in REQUANTIZE_MODES:
        settings = Settings(requantize=mode, weight_bits=4)
        ranges = calibrate(network, images, settings)
        write_trace(quantize_network(network, ranges, images, settings=settings), f"{mode}.h5")
        assert check_trace(f"{mode}.h5", deep=True) == []
        with open_trace(f"{mode}.h5") as trace:
            axes = [layer.params.get("axis") for layer in trace.layers]
            assert axes == [None, 0, 1, 2, None, 0, None]
            for name in sys.argv[1 + refused :]:
                (refuse if refused else run)(trace, name)


if __name__ == "__main__":
    main()
