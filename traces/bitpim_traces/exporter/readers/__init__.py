"""What each PyTorch operator says in the words of a trace.

Both vocabularies are read: the names `torch.export` gives (aten.conv2d, aten.batch_norm) and the
decomposed core set (aten.convolution, aten._native_batch_norm_legit_no_training), so that one
reader serves PyTorch 2.6 and later. A reader yields the draft of its operator, the value itself
where the operator changes nothing, or several values; it may put drafts beside.
"""

from bitpim_traces.exporter.calls import Reader
from bitpim_traces.exporter.readers import (
    elementwise,
    functions,
    pooling,
    selections,
    shapes,
    sizes,
    weighted,
)
from bitpim_traces.exporter.readers.shapes import read_reshape
from bitpim_traces.operators import OPERATORS

__all__ = ["READERS", "read_reshape"]

_PARTS = (weighted, elementwise, functions, pooling, shapes, selections, sizes)

READERS: dict[str, Reader] = {
    **{name: read for part in _PARTS for name, read in part.READERS.items()},
    **{name: read for found in OPERATORS.values() for name, read in found.readers.items()},
}
"""By the names of PyTorch's operators."""
