"""A chunk: the words of 2,048 lanes, held in vector registers as one value.

A chunk is loaded from a packed row, combined with ``& | ^ ~`` and stored again. Numba would turn a
loop over words into vector code only where it can prove that rows do not overlap, which it cannot
when a step writes back to a row it reads; a chunk makes that moot, because all loads come first.

Each function is plain Python, used as it stands when a kernel runs through ``.py_func`` (a chunk is
then a small array), and an intrinsic of the same meaning that Numba puts in its place.
"""

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import (
    intrinsic,
    lower_builtin,
    models,
    overload,
    register_model,
    type_callable,
)

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

_VECTOR = ir.VectorType(ir.IntType(64), CHUNK_WORDS)
_ONES = ir.Constant(_VECTOR, [-1] * CHUNK_WORDS)
_ZEROS = ir.Constant(_VECTOR, [0] * CHUNK_WORDS)


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


@register_model(ChunkType)
class _ChunkModel(models.PrimitiveModel):  # type: ignore[misc]
    """A chunk is one LLVM vector."""

    def __init__(self, data_models: Any, numba_type: Any) -> None:
        super().__init__(data_models, numba_type, _VECTOR)


def _add_operator(function: Callable[..., Any], n_args: int, emit: Callable[..., Any]) -> None:
    """Give chunks an operator."""

    @type_callable(function)  # type: ignore[untyped-decorator]
    def type_operator(context: Any) -> Callable[..., Any]:
        def typer(*args: Any) -> Any:
            return _CHUNK if args == (_CHUNK,) * n_args else None

        def typer_one(x: Any) -> Any:
            return typer(x)

        def typer_two(x: Any, y: Any) -> Any:
            return typer(x, y)

        return typer_one if n_args == 1 else typer_two

    @lower_builtin(function, *[ChunkType] * n_args)  # type: ignore[untyped-decorator]
    def lower(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return emit(builder, *args)


_add_operator(operator.and_, 2, lambda builder, x, y: builder.and_(x, y))
_add_operator(operator.or_, 2, lambda builder, x, y: builder.or_(x, y))
_add_operator(operator.xor, 2, lambda builder, x, y: builder.xor(x, y))
_add_operator(operator.invert, 1, lambda builder, x: builder.xor(x, _ONES))


def _address(context: Any, builder: Any, array_type: Any, array: Any, index: list[Any]) -> Any:
    """Emit the address of an element, as a pointer to a vector."""
    view = context.make_array(array_type)(context, builder, array)
    element = cgutils.get_item_pointer2(
        context,
        builder,
        view.data,
        cgutils.unpack_tuple(builder, view.shape, array_type.ndim),
        cgutils.unpack_tuple(builder, view.strides, array_type.ndim),
        array_type.layout,
        index,
        False,
        False,
    )
    return builder.bitcast(element, _VECTOR.as_pointer())


@intrinsic  # type: ignore[untyped-decorator]
def _load(typing: Any, array: Any, index: Any) -> Any:
    """Load a chunk at an index tuple; the last axis is contiguous."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array_type, index_type = signature.args
        where = cgutils.unpack_tuple(builder, args[1], index_type.count)
        chunk = builder.load(_address(context, builder, array_type, args[0], where))
        chunk.align = 8
        return chunk

    return _CHUNK(array, types.UniTuple(types.int64, array.ndim)), emit


@intrinsic  # type: ignore[untyped-decorator]
def _store(typing: Any, array: Any, index: Any, chunk: Any) -> Any:
    """Store a chunk at an index tuple; the last axis is contiguous."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array_type, index_type, _ = signature.args
        where = cgutils.unpack_tuple(builder, args[1], index_type.count)
        stored = builder.store(args[2], _address(context, builder, array_type, args[0], where))
        stored.align = 8
        return context.get_dummy_value()

    return types.void(array, types.UniTuple(types.int64, array.ndim), _CHUNK), emit


@intrinsic  # type: ignore[untyped-decorator]
def _zeros(typing: Any) -> Any:
    return _CHUNK(), lambda context, builder, signature, args: _ZEROS


@intrinsic  # type: ignore[untyped-decorator]
def _ones(typing: Any) -> Any:
    return _CHUNK(), lambda context, builder, signature, args: _ONES


@overload(load_row, strict=False)  # type: ignore[untyped-decorator]
def _load_row_jit(rows: Any, row: Any, w: Any) -> Any:
    return lambda rows, row, w: _load(rows, (row, w))


@overload(store_row, strict=False)  # type: ignore[untyped-decorator]
def _store_row_jit(rows: Any, row: Any, w: Any, chunk: Any) -> Any:
    return lambda rows, row, w, chunk: _store(rows, (row, w), chunk)


@overload(load_latch, strict=False)  # type: ignore[untyped-decorator]
def _load_latch_jit(latch: Any, w: Any) -> Any:
    return lambda latch, w: _load(latch, (w,))


@overload(store_latch, strict=False)  # type: ignore[untyped-decorator]
def _store_latch_jit(latch: Any, w: Any, chunk: Any) -> Any:
    return lambda latch, w, chunk: _store(latch, (w,), chunk)


@overload(zeros, strict=False)  # type: ignore[untyped-decorator]
def _zeros_jit() -> Any:
    return lambda: _zeros()


@overload(ones, strict=False)  # type: ignore[untyped-decorator]
def _ones_jit() -> Any:
    return lambda: _ones()
