"""All errors of bitpim in one place. Messages say where, need, got and what to do."""

from bitpim_kernels.errors import BitpimError, LayoutError
from bitpim_traces.errors import (
    TraceDataError,
    TraceError,
    TraceFormatError,
    TraceTooNew,
    TraceTooOld,
)

__all__ = [
    "AccumulatorError",
    "ArrayBoundsError",
    "BitpimError",
    "ConfigError",
    "LayoutError",
    "MappingError",
    "MismatchError",
    "OutOfMemoryError",
    "ProgramError",
    "ResultError",
    "TraceDataError",
    "TraceError",
    "TraceFormatError",
    "TraceTooNew",
    "TraceTooOld",
    "WeightStoreError",
]


class ConfigError(BitpimError, ValueError):
    """A setting, preset, machine name or price is missing, unknown or out of range."""


class MappingError(BitpimError, ValueError):
    """A layer does not fit the arrays of the machine."""


class ArrayBoundsError(BitpimError, IndexError):
    """A row or column outside the array was addressed."""


class ProgramError(BitpimError, ValueError):
    """A micro-program has a step its logic family does not allow."""


class AccumulatorError(BitpimError, OverflowError):
    """A sum does not fit the accumulator that has to hold it."""


class MismatchError(BitpimError, AssertionError):
    """Two results that had to be equal differ."""


class ResultError(BitpimError, ValueError):
    """A result file is damaged, foreign, or belongs to another run."""


class OutOfMemoryError(BitpimError, MemoryError):
    """Memory ran short, and the message says what needs less of it."""


class WeightStoreError(BitpimError, ValueError):
    """A line of a weight store is damaged or cut short."""
