"""Errors of the file floor."""

from bitpim_kernels.errors import BitpimError

__all__ = ["TraceDataError", "TraceError", "TraceFormatError", "TraceTooNew", "TraceTooOld"]


class TraceError(BitpimError):
    """A trace file cannot be used; the message names file, HDF5 path, need and got."""


class TraceFormatError(TraceError, ValueError):
    """The file is not a trace, or breaks the format."""


class TraceTooOld(TraceError, ValueError):  # noqa: N818  (the state of the file, as a sentence)
    """The file's major version is older than any this release reads."""


class TraceTooNew(TraceError, ValueError):  # noqa: N818
    """The file's major version is newer than this release."""


class TraceDataError(TraceError, ValueError):
    """The numbers in the file contradict each other or are damaged."""
