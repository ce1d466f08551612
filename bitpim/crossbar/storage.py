"""What holds codes between layers, and what reading and writing them takes.

A layer reads the codes of its inputs once and writes those of its output once, hidden behind its
crossbars' reads: this takes no cycles.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod

from bitpim_traces.records import LayerRecord, Quantization

__all__ = ["Phases", "Storage", "Stored", "buffered", "in_memory_arrays"]

Phases = dict[str, dict[str, int]]

BUFFER_BITS = 256
"""Width of one access to a buffer."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What holding a layer's codes takes, for one sample.

    Attributes
    ----------
    phase : as counts name it
    events : what happens
    n_arrays : arrays that its output fills; 0 where it lies in a buffer
    """

    phase: str
    events: Mapping[str, int]
    n_arrays: int = 0

    def phases(self, n_samples: int) -> Phases:
        """Return the phase in which codes are read and written, for so many samples."""
        events = {event: n_samples * count for event, count in self.events.items()}
        return {self.phase: {"cycles": 0, **events}}


Storage = Callable[[LayerRecord, Sequence[Quantization]], Stored]
"""Returns what holding the codes of a layer takes, with the quantizations of its inputs."""


def buffered(layer: LayerRecord, quantizations: Sequence[Quantization]) -> Stored:
    """Return the accesses to a buffer that is read and written 256 bits at a time."""
    tensors = [*zip(layer.input_shapes, quantizations, strict=True)]
    tensors.append((layer.output_shape, layer.output))
    accesses = sum(-(-prod(shape) * q.bits // BUFFER_BITS) for shape, q in tensors)
    return Stored("buffer", {"edram_access_256b": accesses})


def in_memory_arrays(cell_bits: int, cells_of_array: int, *, twice: bool) -> Storage:
    """Return storage in the cells of crossbars: a code takes as many cells as its bits need.

    `twice` has room for two outputs of each layer: one is read while the next is written.
    """

    def stored(layer: LayerRecord, quantizations: Sequence[Quantization]) -> Stored:
        def cells(shape: Sequence[int], quantization: Quantization) -> int:
            return prod(shape) * -(-quantization.bits // cell_bits)

        pairs = zip(layer.input_shapes, quantizations, strict=True)
        read = sum(cells(shape, quantization) for shape, quantization in pairs)
        written = cells(layer.output_shape, layer.output)
        n_arrays = -(-written * (1 + twice) // cells_of_array)
        return Stored("memory", {"reram_read": read, "reram_write": written}, n_arrays)

    return stored
