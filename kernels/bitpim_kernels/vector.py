"""Vector instructions LLVM has and Python has not: 64 lanes at once, ones in a word.

Each is a plain Python function, used as it stands when a kernel runs through ``.py_func``, and an
intrinsic of the same meaning that Numba puts in its place when it compiles the kernel.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

__all__ = ["plane_word", "popcount", "put_byte"]

_LANES = 64
_I1S = ir.VectorType(ir.IntType(1), _LANES)
_I8S = ir.VectorType(ir.IntType(8), _LANES)
_I64 = ir.IntType(64)


def popcount(word: np.uint64) -> np.int64:
    """Return the number of ones in a word."""
    return np.int64(int(word).bit_count())


def plane_word(codes: npt.NDArray[Any], start: int, n: int, bit: int) -> np.uint64:
    """Return bit `bit` of codes `start : start + n` as one word, lane `start` at bit 0.

    `n` is 1 to 64, `codes` contiguous. Bits above the width of the dtype repeat the sign.
    """
    word = 0
    for lane in range(n):
        word |= ((int(codes[start + lane]) >> bit) & 1) << lane
    return np.uint64(word)


def put_byte(
    out: npt.NDArray[Any], start: int, n: int, byte: int, extend: bool, words: tuple[Any, ...]
) -> None:
    """Set byte `byte` of codes `start : start + n` from eight plane words.

    Byte 0 clears the bytes above it, so bytes are put in rising order; `extend`, for the last byte
    put, fills those above it with its sign. `out` is contiguous.
    """
    for lane in range(n):
        value = sum(((int(words[k]) >> lane) & 1) << k for k in range(8))
        if extend and value >= 128:
            value -= 256
        value <<= 8 * byte
        if byte:
            value |= int(out[start + lane])
        n_bits = 8 * out.itemsize
        value &= (1 << n_bits) - 1
        if out.dtype.kind == "i" and value >> (n_bits - 1):
            value -= 1 << n_bits
        out[start + lane] = value


@intrinsic  # type: ignore[untyped-decorator]
def _popcount(typing_context: Any, word: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return types.int64(types.uint64), emit


@overload(popcount, strict=False)  # type: ignore[untyped-decorator]
def _overload_popcount(word: Any) -> Any:
    return lambda word: _popcount(word)


def _contiguous_integers(array: Any) -> bool:
    return isinstance(array, types.Array) and array.layout == "C" and array.ndim == 1


def _splat(builder: Any, element: Any, vector: Any) -> Any:
    one = builder.insert_element(
        ir.Constant(vector, ir.Undefined), element, ir.Constant(ir.IntType(32), 0)
    )
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), _LANES), [0] * _LANES)
    return builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), zeros)


def _address(context: Any, builder: Any, array_type: Any, array: Any, start: Any) -> Any:
    return builder.gep(context.make_array(array_type)(context, builder, array).data, [start])


@intrinsic  # type: ignore[untyped-decorator]
def _plane_word(typing_context: Any, codes: Any, start: Any, n: Any, bit: Any) -> Any:
    """Compare 64 codes with one bit mask; the 64 verdicts are the plane word."""
    width = codes.dtype.bitwidth
    signed = codes.dtype.signed

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        element = ir.IntType(width)
        vector = ir.VectorType(element, _LANES)
        pointer = _address(context, builder, codes, args[0], args[1])
        bit_index = args[3]
        top = ir.Constant(_I64, width - 1)
        beyond = builder.icmp_signed(">", bit_index, top)
        shift = builder.select(beyond, top, bit_index)
        mask = builder.shl(ir.Constant(_I64, 1), shift)
        if not signed:
            mask = builder.select(beyond, ir.Constant(_I64, 0), mask)
        mask = mask if width == 64 else builder.trunc(mask, element)

        partial = builder.icmp_signed("!=", args[2], ir.Constant(_I64, _LANES))
        buffer = cgutils.alloca_once(builder, vector)
        direct = builder.bitcast(pointer, vector.as_pointer())
        source = cgutils.alloca_once_value(builder, direct)
        with builder.if_then(partial, likely=False):  # never read beyond the row
            builder.store(ir.Constant(vector, [0] * _LANES), buffer)
            cgutils.raw_memcpy(builder, buffer, pointer, args[2], width // 8)
            builder.store(buffer, source)
        lanes = builder.load(builder.load(source), align=width // 8)
        hit = builder.and_(lanes, _splat(builder, mask, vector))
        verdict = builder.icmp_unsigned("!=", hit, ir.Constant(vector, [0] * _LANES))
        return builder.bitcast(verdict, _I64)

    return types.uint64(codes, types.int64, types.int64, types.int64), emit


@overload(plane_word, strict=False)  # type: ignore[untyped-decorator]
def _overload_plane_word(codes: Any, start: Any, n: Any, bit: Any) -> Any:
    if not _contiguous_integers(codes):
        return None
    return lambda codes, start, n, bit: _plane_word(codes, start, n, bit)


@intrinsic  # type: ignore[untyped-decorator]
def _put_byte(
    typing_context: Any, out: Any, start: Any, n: Any, byte: Any, extend: Any, words: Any
) -> Any:
    """Turn eight words into 64 bytes, one bit of each from every word."""
    width = out.dtype.bitwidth

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _, _, n_value, byte_value, extend_value, words_value = args
        vector = ir.VectorType(ir.IntType(width), _LANES)
        value = _bytes_of_words(builder, words_value)
        if width > 8:
            value = _shifted_byte(builder, value, byte_value, extend_value, width)
        pointer = _address(context, builder, out, args[0], args[1])
        partial = builder.icmp_signed("!=", n_value, ir.Constant(_I64, _LANES))
        with builder.if_else(partial, likely=False) as (short, full):
            with short:
                buffer = cgutils.alloca_once(builder, vector)
                cgutils.raw_memcpy(builder, buffer, pointer, n_value, width // 8)
                _merge(builder, buffer, value, byte_value, width)
                cgutils.raw_memcpy(builder, pointer, buffer, n_value, width // 8)
            with full:
                target = builder.bitcast(pointer, vector.as_pointer())
                _merge(builder, target, value, byte_value, width)
        return context.get_dummy_value()

    return types.void(out, types.int64, types.int64, types.int64, types.boolean, words), emit


def _bytes_of_words(builder: Any, words: Any) -> Any:
    zeros = ir.Constant(_I8S, [0] * _LANES)
    value = zeros
    for k in range(8):
        lit = builder.bitcast(builder.extract_value(words, k), _I1S)
        unit = ir.Constant(_I8S, [1 << k] * _LANES)
        value = builder.or_(value, builder.select(lit, unit, zeros))
    return value


def _shifted_byte(builder: Any, value: Any, byte: Any, extend: Any, width: int) -> Any:
    element = ir.IntType(width)
    vector = ir.VectorType(element, _LANES)
    keep = builder.select(extend, ir.Constant(element, -1), ir.Constant(element, 255))
    value = builder.and_(builder.sext(value, vector), _splat(builder, keep, vector))
    shift = builder.mul(byte, ir.Constant(_I64, 8))
    shift = shift if width == 64 else builder.trunc(shift, element)
    return builder.shl(value, _splat(builder, shift, vector))


def _merge(builder: Any, target: Any, value: Any, byte: Any, width: int) -> None:
    """Store `value`, or OR it into what is there when it is not byte 0."""
    if width > 8:
        old = builder.load(target, align=width // 8)
        first = builder.icmp_signed("==", byte, ir.Constant(_I64, 0))
        nothing = ir.Constant(value.type, [0] * _LANES)
        value = builder.or_(value, builder.select(first, nothing, old))
    builder.store(value, target, align=width // 8)


@overload(put_byte, strict=False)  # type: ignore[untyped-decorator]
def _overload_put_byte(out: Any, start: Any, n: Any, byte: Any, extend: Any, words: Any) -> Any:
    if not _contiguous_integers(out):
        return None
    return lambda out, start, n, byte, extend, words: _put_byte(out, start, n, byte, extend, words)
