"""A chunk: the words of 2,048 lanes, held in vector registers as one value.

A chunk is loaded from a packed row, combined with ``& | ^ ~`` and stored again. Numba would turn a
loop over words into vector code only where it can prove that rows do not overlap, which it cannot
when a step writes back to a row it reads; a chunk makes that moot, because all loads come first.

Each function is plain Python, in which a chunk is a small array, and below is what a compiled
kernel does in its place.
"""

import operator
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import types
from numba.extending import models, register_model

from bitpim_kernels.ir import Lanes, address, instead_of, operator_of

__all__ = [
    "CHUNK_WORDS",
    "load_latch",
    "load_row",
    "ones",
    "store_latch",
    "store_row",
    "zeros",
]

CHUNK_WORDS = 32
"""Words of a chunk: four registers of 512 bits; 16 and 8 words measured 0.7 and 0.6 as fast."""

Words = npt.NDArray[np.uint64]
Chunk = npt.NDArray[np.uint64]  # outside jitted code
Index = Any  # int or np.int64


def load_row(rows: Words, row: Index, w: int) -> Chunk:
    """Return the chunk of a row that starts at word `w`."""
    return rows[row, w : w + CHUNK_WORDS].copy()


def store_row(rows: Words, row: Index, w: int, chunk: Chunk) -> None:
    """Write the chunk of a row that starts at word `w`."""
    rows[row, w : w + CHUNK_WORDS] = chunk


def load_latch(latch: Words, w: int) -> Chunk:
    """Return the chunk of a latch that starts at word `w`."""
    return latch[w : w + CHUNK_WORDS].copy()


def store_latch(latch: Words, w: int, chunk: Chunk) -> None:
    """Write the chunk of a latch that starts at word `w`."""
    latch[w : w + CHUNK_WORDS] = chunk


def zeros() -> Chunk:
    """Return a chunk of zeros."""
    return np.zeros(CHUNK_WORDS, np.uint64)


def ones() -> Chunk:
    """Return a chunk of ones."""
    return np.full(CHUNK_WORDS, np.uint64(0xFFFFFFFFFFFFFFFF))


class ChunkType(types.Type):  # type: ignore[misc]
    """Numba's type of a chunk."""

    def __init__(self) -> None:
        super().__init__(name=f"Chunk{CHUNK_WORDS}")


_CHUNK = ChunkType()
_LONG = types.int64


def _lanes(builder: Any = None) -> Lanes:
    return Lanes(builder, CHUNK_WORDS, 64)


@register_model(ChunkType)
class _ChunkModel(models.PrimitiveModel):  # type: ignore[misc]
    """A chunk is one LLVM vector."""

    def __init__(self, data_models: Any, numba_type: Any) -> None:
        super().__init__(data_models, numba_type, _lanes().vector)


@operator_of(operator.and_, ChunkType, ChunkType)
def _and(x: Any, y: Any) -> Any:
    return _binary(x, y, lambda context, b, x, y: b.and_(x, y))


@operator_of(operator.or_, ChunkType, ChunkType)
def _or(x: Any, y: Any) -> Any:
    return _binary(x, y, lambda context, b, x, y: b.or_(x, y))


@operator_of(operator.xor, ChunkType, ChunkType)
def _xor(x: Any, y: Any) -> Any:
    return _binary(x, y, lambda context, b, x, y: b.xor(x, y))


def _binary(x: Any, y: Any, emit: Any) -> Any:
    return (_CHUNK(_CHUNK, _CHUNK), emit) if x == y == _CHUNK else None


@operator_of(operator.invert, ChunkType)
def _invert(x: Any) -> Any:
    if x != _CHUNK:
        return None
    return _CHUNK(_CHUNK), lambda context, b, x: b.xor(x, _lanes().all(-1))


@instead_of(zeros)
def _zeros() -> Any:
    return _CHUNK(), lambda context, b: _lanes().all(0)


@instead_of(ones)
def _ones() -> Any:
    return _CHUNK(), lambda context, b: _lanes().all(-1)


def _load(array: Any, *index: Any) -> Any:
    """Load a chunk; the last axis of the array is contiguous."""

    def emit(context: Any, b: Any, array_value: Any, *where: Any) -> Any:
        return _lanes(b).load(address(context, b, array, array_value, *where))

    return _CHUNK(array, *[_LONG] * array.ndim), emit


def _store(array: Any, *index_and_chunk: Any) -> Any:
    """Store a chunk; the last axis of the array is contiguous."""

    def emit(context: Any, b: Any, array_value: Any, *rest: Any) -> None:
        *where, chunk = rest
        _lanes(b).store(chunk, address(context, b, array, array_value, *where))

    return types.void(array, *[_LONG] * array.ndim, _CHUNK), emit


instead_of(load_row)(_load)
instead_of(load_latch)(_load)
instead_of(store_row)(_store)
instead_of(store_latch)(_store)
