"""HDF5 traces: a quantized network, its samples and its float reference, in one file.

`open_trace`, `write_trace` and `check_trace` load h5py when they are first used, not before.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bitpim_traces import records
    from bitpim_traces.check import check_trace
    from bitpim_traces.reader import open_trace
    from bitpim_traces.writer import write_trace

__all__ = ["check_trace", "open_trace", "records", "write_trace"]

_HOMES = {"check_trace": "check", "open_trace": "reader", "write_trace": "writer"}


def __getattr__(name: str) -> Any:
    if name == "records":
        return import_module(f"{__name__}.records")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
