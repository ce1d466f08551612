"""Vector instructions LLVM has and Python has not: 64 lanes at once, ones in a word.

Each is a plain Python function, and below is what a compiled kernel does in its place.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.core import cgutils

from bitpim_kernels.ir import (
    I64,
    Lanes,
    address,
    constant,
    index_or_last,
    instead_of,
    is_contiguous,
    shape_of,
)

__all__ = ["TILE_FILTERS", "TILE_PIXELS", "multiply_tile", "plane_word", "popcount", "put_byte"]

TILE_PIXELS = 4
"""Pixels whose sums one `multiply_tile` keeps in registers: four fit 16 registers, and fill 32."""

TILE_FILTERS = 16
"""Filters that share one vector of int32 sums."""

_LANES = 64
_LONG = types.int64


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


@instead_of(popcount)
def _popcount(word: Any) -> Any:
    return types.int64(types.uint64), lambda context, builder, word: builder.ctpop(word)


@instead_of(plane_word)
def _plane_word(codes: Any, start: Any, n: Any, bit: Any) -> Any:
    """Compare 64 codes with one bit mask; the 64 verdicts are the plane word."""
    if not is_contiguous(codes):
        return None
    width = codes.dtype.bitwidth

    def emit(context: Any, b: Any, array: Any, first: Any, n_codes: Any, plane: Any) -> Any:
        lanes = Lanes(b, _LANES, width)
        beyond = b.icmp_signed(">", plane, constant(width - 1))
        mask = b.shl(constant(1), b.select(beyond, constant(width - 1), plane))
        if not codes.dtype.signed:
            mask = b.select(beyond, constant(0), mask)

        pointer = address(context, b, codes, array, first)
        source = cgutils.alloca_once_value(b, pointer)
        partial = b.icmp_signed("!=", n_codes, constant(_LANES))
        buffer = lanes.variable()
        with b.if_then(partial, likely=False):  # never read beyond the row
            b.store(lanes.all(0), buffer)
            cgutils.raw_memcpy(b, buffer, pointer, n_codes, width // 8)
            b.store(b.bitcast(buffer, pointer.type), source)
        hit = b.and_(lanes.load(b.load(source)), lanes.splat(mask))
        return b.bitcast(b.icmp_unsigned("!=", hit, lanes.all(0)), I64)

    return types.uint64(codes, _LONG, _LONG, _LONG), emit


@instead_of(put_byte)
def _put_byte(out: Any, start: Any, n: Any, byte: Any, extend: Any, words: Any) -> Any:
    """Turn eight words into 64 bytes, one bit of each from every word."""
    if not is_contiguous(out):
        return None
    width = out.dtype.bitwidth

    def emit(context: Any, b: Any, array: Any, first: Any, n_codes: Any, *what: Any) -> None:
        at_byte, extended, planes = what
        lanes = Lanes(b, _LANES, width)
        value = _bytes_of_words(b, planes)
        if width > 8:
            value = _shifted_byte(lanes, value, at_byte, extended)
        pointer = address(context, b, out, array, first)
        partial = b.icmp_signed("!=", n_codes, constant(_LANES))
        with b.if_else(partial, likely=False) as (short, full):
            with short:
                buffer = lanes.variable()
                cgutils.raw_memcpy(b, buffer, pointer, n_codes, width // 8)
                _merge(lanes, buffer, value, at_byte)
                cgutils.raw_memcpy(b, pointer, buffer, n_codes, width // 8)
            with full:
                _merge(lanes, pointer, value, at_byte)

    return types.void(out, _LONG, _LONG, _LONG, types.boolean, words), emit


def _bytes_of_words(builder: Any, words: Any) -> Any:
    octets = Lanes(builder, _LANES, 8)
    verdicts = Lanes(builder, _LANES, 1)
    value = octets.all(0)
    for k in range(8):
        lit = builder.bitcast(builder.extract_value(words, k), verdicts.vector)
        value = builder.or_(value, builder.select(lit, octets.all(1 << k), octets.all(0)))
    return value


def _shifted_byte(lanes: Lanes, value: Any, byte: Any, extend: Any) -> Any:
    b = lanes.builder
    keep = lanes.splat(b.select(extend, constant(-1), constant(255)))
    return b.shl(b.and_(lanes.of(value), keep), lanes.splat(b.mul(byte, constant(8))))


def _merge(lanes: Lanes, target: Any, value: Any, byte: Any) -> None:
    """Store `value`, or OR it into what is there when it is not byte 0."""
    b = lanes.builder
    if lanes.element.width > 8:
        first = b.icmp_signed("==", byte, constant(0))
        value = b.or_(value, b.select(first, lanes.all(0), lanes.load(target)))
    lanes.store(value, target)


@instead_of(multiply_tile)
def _multiply_tile(
    codes: Any, start: Any, step: Any, n: Any, runs: Any, weights: Any, acc: Any, first: Any
) -> Any:
    """Keep 4 x 16 sums in registers; LLVM makes each pair product one multiply-add instruction."""
    if not is_contiguous(codes, runs, weights, acc):
        return None

    def emit(context: Any, b: Any, *args: Any) -> None:
        lanes, pairs = Lanes(b, TILE_FILTERS, 32), Lanes(b, 2 * TILE_FILTERS, 16)
        codes_at = address(context, b, codes, args[0], args[1])
        runs_at = address(context, b, runs, args[4], 0)
        weights_at = address(context, b, weights, args[5], 0, 0, 0)
        n_runs, n_pairs, _ = shape_of(context, b, weights, args[5])
        pixels = [index_or_last(b, p, args[3]) for p in range(TILE_PIXELS)]
        rows = [address(context, b, acc, args[6], p, args[7]) for p in pixels]
        offsets = [b.mul(p, args[2]) for p in pixels]
        sums = [lanes.variable() for _ in pixels]
        for total, row in zip(sums, rows, strict=True):
            b.store(lanes.load(row), total)
        with cgutils.for_range(b, n_runs) as run:
            base = b.gep(codes_at, [b.load(b.gep(runs_at, [run.index]))])
            at_run = b.mul(run.index, n_pairs)
            with cgutils.for_range(b, n_pairs) as pair:
                block = b.mul(b.add(at_run, pair.index), constant(2 * TILE_FILTERS))
                weight = pairs.load(b.gep(weights_at, [block]))
                at_pair = b.mul(pair.index, constant(2))
                for total, offset in zip(sums, offsets, strict=True):
                    code = b.gep(base, [b.add(at_pair, offset)])
                    product = _pair_product(lanes, pairs, code, weight)
                    b.store(b.add(b.load(total), product), total)
        for total, row in zip(sums, rows, strict=True):
            lanes.store(b.load(total), row)

    signature = types.void(codes, _LONG, _LONG, _LONG, runs, weights, acc, _LONG)
    return signature, emit


def _pair_product(lanes: Lanes, pairs: Lanes, code: Any, weight: Any) -> Any:
    """Multiply one pair of codes with 16 pairs of weights and add within the pairs."""
    b, wide = lanes.builder, Lanes(lanes.builder, pairs.n, lanes.element.width)
    pair = b.load(b.bitcast(code, lanes.element.as_pointer()), align=2)
    left = wide.of(b.bitcast(lanes.splat(pair), pairs.vector))
    product = b.mul(left, wide.of(weight))
    nothing = ir.Constant(wide.vector, ir.Undefined)
    even = ir.Constant(lanes.vector, list(range(0, pairs.n, 2)))
    odd = ir.Constant(lanes.vector, list(range(1, pairs.n, 2)))
    return b.add(
        b.shuffle_vector(product, nothing, even),
        b.shuffle_vector(product, nothing, odd),
    )
