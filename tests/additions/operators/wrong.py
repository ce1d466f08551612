"""Print what builder, writer and checker say of a toy that does not fit, after `runs.py`."""

from collections.abc import Callable
from dataclasses import replace

import h5py
import numpy as np

from bitpim_traces import check_trace, open_trace, write_trace
from bitpim_traces.errors import TraceError
from bitpim_traces.network import FloatLayer, FloatNetwork
from bitpim_traces.records import Params


def said(work: Callable[[], object]) -> str:
    """Return the error of some work."""
    try:
        work()
    except TraceError as error:
        return str(error)
    return ""


def main() -> None:
    """Try wrong params in memory, and in a file."""
    wrong = (
        Params(axis=3), Params(axis=-1), Params(), Params(axis=(1, 2)), Params(axis=0, by=1),
    )  # fmt: skip
    for params in wrong:
        layers = (FloatLayer("r", "reverse", (-1,), params=params),)
        print(said(lambda layers=layers: FloatNetwork("n", layers, (2, 4, 5))))  # type: ignore[misc]
    with open_trace("truncate_shift.h5") as trace:
        bad = replace(trace.layers[2], params=Params(axis=7))
        made = replace(trace, layers=(*trace.layers[:2], bad, *trace.layers[3:]))
        print(said(lambda: write_trace(made, "wrong.h5")))
    with h5py.File("truncate_shift.h5", "r+") as file:
        file["layers/0002"].attrs["axis"] = np.int64(7)
    print(*check_trace("truncate_shift.h5"), sep="\n")


if __name__ == "__main__":
    main()
