"""Bit-level functional emulator of processing-in-memory accelerators for neural networks.

Importing this package loads neither Numba nor h5py: the names below come when they are first used.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bitpim.errors import (
        AccumulatorError,
        ArrayBoundsError,
        BitpimError,
        ConfigError,
        LayoutError,
        MappingError,
        MismatchError,
        ProgramError,
        ResultError,
        TraceDataError,
        TraceError,
        TraceFormatError,
        TraceTooNew,
        TraceTooOld,
    )
    from bitpim.machine.registry import list_presets, load_preset
    from bitpim.report.result_file import compare_results, open_result

try:
    __version__ = version("bitpim")
except PackageNotFoundError:  # run from a tree that was never installed
    __version__ = "0.0.0"

_HOMES = {
    "bitpim.errors": (
        "AccumulatorError",
        "ArrayBoundsError",
        "BitpimError",
        "ConfigError",
        "LayoutError",
        "MappingError",
        "MismatchError",
        "ProgramError",
        "ResultError",
        "TraceDataError",
        "TraceError",
        "TraceFormatError",
        "TraceTooNew",
        "TraceTooOld",
    ),
    "bitpim.machine.registry": ("list_presets", "load_preset"),
    "bitpim.report.result_file": ("compare_results", "open_result"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "AccumulatorError",
    "ArrayBoundsError",
    "BitpimError",
    "ConfigError",
    "LayoutError",
    "MappingError",
    "MismatchError",
    "ProgramError",
    "ResultError",
    "TraceDataError",
    "TraceError",
    "TraceFormatError",
    "TraceTooNew",
    "TraceTooOld",
    "__version__",
    "compare_results",
    "list_presets",
    "load_preset",
    "open_result",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'bitpim' has no attribute {name!r}")
    value = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
