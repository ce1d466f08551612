"""Bit-level functional emulator of processing-in-memory accelerators for neural networks.

    import bitpim
    result = bitpim.replay("net.h5", "isaac", adc_bits=6)
    bitpim.compare(result, bitpim.replay("net.h5", "neural_cache"))

Importing this package loads neither Numba nor h5py: the names below come when they are first used.
"""

from importlib import import_module
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
    from bitpim.face import (
        accuracy,
        compare,
        machines,
        make_machine,
        open_result,
        open_trace,
        plan,
        presets,
        prices,
        record,
        replay,
        replay_program,
        verify,
    )
    from bitpim.golden.stepper import Stepper
    from bitpim.lookup.cam import Cam
    from bitpim.lookup.cells import CellFaults
    from bitpim.lookup.nor_array import NorArray
    from bitpim.lookup.words import CamWords
    from bitpim.sample import sample_path
    from bitpim.version import __version__

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
    "bitpim.face": (
        "accuracy",
        "compare",
        "machines",
        "make_machine",
        "open_result",
        "open_trace",
        "plan",
        "presets",
        "prices",
        "record",
        "replay",
        "replay_program",
        "verify",
    ),
    "bitpim.golden.stepper": ("Stepper",),
    "bitpim.lookup.cam": ("Cam",),
    "bitpim.lookup.cells": ("CellFaults",),
    "bitpim.lookup.nor_array": ("NorArray",),
    "bitpim.lookup.words": ("CamWords",),
    "bitpim.sample": ("sample_path",),
    "bitpim.version": ("__version__",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "AccumulatorError",
    "ArrayBoundsError",
    "BitpimError",
    "Cam",
    "CamWords",
    "CellFaults",
    "ConfigError",
    "LayoutError",
    "MappingError",
    "MismatchError",
    "NorArray",
    "ProgramError",
    "ResultError",
    "Stepper",
    "TraceDataError",
    "TraceError",
    "TraceFormatError",
    "TraceTooNew",
    "TraceTooOld",
    "__version__",
    "accuracy",
    "compare",
    "machines",
    "make_machine",
    "open_result",
    "open_trace",
    "plan",
    "presets",
    "prices",
    "record",
    "replay",
    "replay_program",
    "sample_path",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'bitpim' has no attribute {name!r}")
    value = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
