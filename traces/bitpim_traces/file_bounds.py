"""What a file may ask for: checked before anything is allocated (FORMAT.md 2.6)."""

__all__ = [
    "EAGER_BYTES",
    "EAGER_MULTIPLE",
    "MAX_AXES",
    "MAX_AXIS",
    "MAX_BITS",
    "MAX_CHUNK_BYTES",
    "MAX_LAYERS",
    "MAX_OBJECTS",
    "MAX_PARAMETERS",
    "MAX_RANK",
    "MAX_ROW_BYTES",
    "MAX_TEXT_BYTES",
    "MAX_VALUES",
    "MAX_WINDOW",
]

MAX_LAYERS = 10_000
MAX_OBJECTS = 400_000
"""Groups and datasets of one file."""
MAX_AXES = 6
MAX_RANK = MAX_AXES - 1
"""Axes of an activation, without that of the samples."""
MAX_AXIS = 2**31 - 1
"""Longest axis of a tensor."""
MAX_VALUES = 2**48
"""Values of an activation of one sample: what counts of them come to stays far within int64."""
MAX_BITS = 16
"""Width of a code that some layer reads, of weights and tables."""
MAX_PARAMETERS = 2**24
"""Entries of a tensor that is read as a whole: scales, zero points, multipliers, tables."""
EAGER_MULTIPLE, EAGER_BYTES = 16, 2**22
"""All tensors read when a file is opened: at most this multiple of the file and these bytes."""
MAX_WINDOW = 2**16
"""Largest kernel, stride, padding, dilation and number of groups."""
MAX_CHUNK_BYTES = 2**24
MAX_ROW_BYTES = 2**28
"""Unpacked bytes of the chunks that hold one sample, where they hold others too."""
MAX_TEXT_BYTES = 4096
"""Bytes of a text attribute. (Provenance is a dataset and may have MAX_PARAMETERS bytes.)"""
