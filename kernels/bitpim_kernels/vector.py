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

__all__ = ["TILE_FILTERS", "TILE_PIXELS", "multiply_tile", "plane_word", "popcount", "put_byte"]

TILE_PIXELS = 4
"""Pixels whose sums one `multiply_tile` keeps in registers: four fit 16 registers, and fill 32."""

TILE_FILTERS = 16
"""Filters that share one vector of int32 sums."""

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


def multiply_tile(
    codes: npt.NDArray[np.int16],
    start: int,
    step: int,
    n: int,
    runs: npt.NDArray[np.int64],
    weights: npt.NDArray[np.int16],
    acc: npt.NDArray[np.int32],
    first: int,
) -> None:
    """Add 1 to 4 pixels' dot products with 16 filters to `acc[:n, first : first + 16]`.

    Pixel p sees, for every run r, the contiguous codes from ``start + p * step + runs[r]``. Codes
    meet weights in pairs, as the hardware's 16-bit multiply-add does; the caller proves that no
    sum leaves int32.

    Shapes
    ------
    codes: flat, contiguous
    weights: (n_runs, n_pairs, 32), filter f at 2f and 2f + 1 of the last axis, contiguous
    """
    for p in range(n):
        for f in range(TILE_FILTERS):
            total = int(acc[p, first + f])
            for r in range(weights.shape[0]):
                for k in range(weights.shape[1]):
                    at = start + p * step + int(runs[r]) + 2 * k
                    total += int(codes[at]) * int(weights[r, k, 2 * f])
                    total += int(codes[at + 1]) * int(weights[r, k, 2 * f + 1])
            acc[p, first + f] = total


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


_I16 = ir.IntType(16)
_I32 = ir.IntType(32)
_PAIRS = ir.VectorType(_I16, 2 * TILE_FILTERS)
_WIDE_PAIRS = ir.VectorType(_I32, 2 * TILE_FILTERS)
_SUMS = ir.VectorType(_I32, TILE_FILTERS)


@intrinsic  # type: ignore[untyped-decorator]
def _multiply_tile(
    typing_context: Any,
    codes: Any,
    start: Any,
    step: Any,
    n: Any,
    runs: Any,
    weights: Any,
    acc: Any,
    first: Any,
) -> Any:
    """Keep 4 x 16 sums in registers; LLVM makes each pair product one multiply-add instruction."""
    long = types.int64

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        codes_at = _address(context, builder, codes, args[0], args[1])
        runs_array = context.make_array(runs)(context, builder, args[4])
        weights_array = context.make_array(weights)(context, builder, args[5])
        n_runs, n_pairs, _ = cgutils.unpack_tuple(builder, weights_array.shape, 3)
        pixels = [_clamped(builder, p, args[3]) for p in range(TILE_PIXELS)]
        rows = [_row_of(context, builder, acc, args[6], p, args[7]) for p in pixels]
        offsets = [builder.mul(p, args[2]) for p in pixels]
        sums = [cgutils.alloca_once(builder, _SUMS) for _ in pixels]
        for total, row in zip(sums, rows, strict=True):
            builder.store(builder.load(row, align=4), total)
        with cgutils.for_range(builder, n_runs) as run:
            base = builder.gep(codes_at, [builder.load(builder.gep(runs_array.data, [run.index]))])
            at_run = builder.mul(run.index, n_pairs)
            with cgutils.for_range(builder, n_pairs) as pair:
                block = builder.mul(
                    builder.add(at_run, pair.index), ir.Constant(_I64, 2 * TILE_FILTERS)
                )
                address = builder.gep(weights_array.data, [block])
                weight = builder.load(builder.bitcast(address, _PAIRS.as_pointer()), align=2)
                at_pair = builder.mul(pair.index, ir.Constant(_I64, 2))
                for total, offset in zip(sums, offsets, strict=True):
                    code = builder.gep(base, [builder.add(at_pair, offset)])
                    product = _pair_product(builder, code, weight)
                    builder.store(builder.add(builder.load(total), product), total)
        for total, row in zip(sums, rows, strict=True):
            builder.store(builder.load(total), row, align=4)
        return context.get_dummy_value()

    return types.void(codes, long, long, long, runs, weights, acc, long), emit


def _clamped(builder: Any, pixel: int, n: Any) -> Any:
    """Index `pixel`, or the last one there is: a pixel done twice gives the same sums twice."""
    last = builder.sub(n, ir.Constant(_I64, 1))
    index = ir.Constant(_I64, pixel)
    return builder.select(builder.icmp_signed("<", index, n), index, last)


def _row_of(context: Any, builder: Any, array_type: Any, array: Any, row: Any, column: Any) -> Any:
    """Address the 16 sums of one row of a C array of two axes."""
    struct = context.make_array(array_type)(context, builder, array)
    width = cgutils.unpack_tuple(builder, struct.shape, 2)[1]
    address = builder.gep(struct.data, [builder.add(builder.mul(row, width), column)])
    return builder.bitcast(address, _SUMS.as_pointer())


def _pair_product(builder: Any, code: Any, weight: Any) -> Any:
    """Multiply one pair of codes with 16 pairs of weights and add within the pairs."""
    pair = builder.load(builder.bitcast(code, _I32.as_pointer()), align=2)
    one = builder.insert_element(ir.Constant(_SUMS, ir.Undefined), pair, ir.Constant(_I32, 0))
    zeros = ir.Constant(_SUMS, [0] * TILE_FILTERS)
    all_pairs = builder.shuffle_vector(one, ir.Constant(_SUMS, ir.Undefined), zeros)
    left = builder.sext(builder.bitcast(all_pairs, _PAIRS), _WIDE_PAIRS)
    product = builder.mul(left, builder.sext(weight, _WIDE_PAIRS))
    nothing = ir.Constant(_WIDE_PAIRS, ir.Undefined)
    even = ir.Constant(_SUMS, list(range(0, 2 * TILE_FILTERS, 2)))
    odd = ir.Constant(_SUMS, list(range(1, 2 * TILE_FILTERS, 2)))
    return builder.add(
        builder.shuffle_vector(product, nothing, even),
        builder.shuffle_vector(product, nothing, odd),
    )


@overload(multiply_tile, strict=False)  # type: ignore[untyped-decorator]
def _overload_multiply_tile(
    codes: Any, start: Any, step: Any, n: Any, runs: Any, weights: Any, acc: Any, first: Any
) -> Any:
    if not all(array.layout == "C" for array in (codes, runs, weights, acc)):
        return None
    return lambda codes, start, step, n, runs, weights, acc, first: _multiply_tile(
        codes, start, step, n, runs, weights, acc, first
    )
