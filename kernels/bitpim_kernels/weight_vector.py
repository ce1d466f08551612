"""Vector instructions for the lines of a weight store: eight codes, or eight parities, at once.

Each is a plain Python function, and below is what a compiled kernel does in its place. Two of them
need instructions that not every processor has; `SPREADS` says whether this one does.
"""

from typing import Any

import numba
import numpy as np
import numpy.typing as npt
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils

from bitpim_kernels.ir import (
    I64,
    Lanes,
    address,
    constant,
    instead_of,
    is_contiguous,
    shape_of,
)

__all__ = ["SPREADS", "TOGETHER", "masked_parities", "put_codes", "put_members", "spread_bits"]

Bytes = npt.NDArray[np.uint8]
Words = npt.NDArray[np.uint64]

TOGETHER = 8
"""Codes that are put, or parities that are found, at once."""

_LANES = 64
_LONG = types.int64
_I8 = ir.IntType(8)
_EIGHT_WORDS = ir.VectorType(I64, TOGETHER)


def _can_spread() -> bool:
    """Return whether this processor spreads bits and bytes, and is what is compiled for."""
    if numba.config.CPU_NAME is not None or numba.config.CPU_FEATURES is not None:
        return False
    found = binding.get_host_cpu_features()
    return bool(found.get("bmi2") and found.get("avx512vbmi2") and found.get("avx512bw"))


SPREADS = _can_spread()
"""Whether `spread_bits` and `put_members` are one instruction here; else they must not be used."""


def put_codes(
    word: np.uint64, width: int, low: int, shared: int, base: int, out: Bytes, at: int
) -> None:
    """Write the low bytes of the codes of eight fields, at `out[at : at + 8]`.

    A field of `width` bits is a number, `low` bits to which `shared` is added, and a sign above
    them if there is room. The code is base + number, or base - number where the sign is 1.
    """
    bits, step = int(word), int(width)
    for i in range(TOGETHER):
        field = bits >> (i * step) & ((1 << step) - 1)
        number = field & ((1 << low) - 1) | shared
        out[at + i] = (base - number if field >> low else base + number) & 255


def masked_parities(words: Words, first: int, n_bits: int, masks: Words, k: int) -> np.uint64:
    """Return as bits whether ones are odd in number that masks k to k + 7 leave of some bits.

    These are `n_bits` bits from `first` on; the word after the one in which they end is read, too.

    Shapes
    ------
    masks: (words of as many bits, k + 8 or more)
    """
    start, n = int(first), int(n_bits)
    near = words[start // 64 :][: n // 64 + 2]
    number = sum(int(word) << 64 * w for w, word in enumerate(near))
    number = number >> start % 64 & ((1 << n) - 1)
    found = 0
    for i in range(TOGETHER):
        mask = sum(int(word) << 64 * w for w, word in enumerate(masks[:, k + i]))
        found |= ((number & mask).bit_count() & 1) << i
    return np.uint64(found)


def spread_bits(bits: np.uint64, mask: np.uint64) -> np.uint64:
    """Return a word with bit k of `bits` at the k-th one of `mask`."""
    word, rest = 0, int(bits)
    for lane in range(_LANES):
        if int(mask) >> lane & 1:
            word |= (rest & 1) << lane
            rest >>= 1
    return np.uint64(word)


def put_members(word: np.uint64, codes: Bytes, at: int, out: Bytes, first: int) -> None:
    """Write `codes[at]` and those after it at the ones of `word`, in `out[first : first + 64]`."""
    for lane in range(_LANES):
        if int(word) >> lane & 1:
            out[first + lane] = codes[at]
            at += 1


@instead_of(put_codes)
def _put_codes(word: Any, width: Any, low: Any, shared: Any, base: Any, out: Any, at: Any) -> Any:
    """Shift the word eight ways; a sign of 1 complements a number and adds 1."""
    if not is_contiguous(out):
        return None

    def emit(context: Any, b: Any, fields: Any, *args: Any) -> None:
        step, n, common, origin, *to = args
        lanes, octets = Lanes(b, TOGETHER, 64), Lanes(b, TOGETHER, 8)
        places = ir.Constant(lanes.vector, list(range(TOGETHER)))
        field = b.lshr(lanes.splat(fields), b.mul(places, lanes.splat(step)))
        mask = b.sub(b.shl(constant(1), step), constant(1))
        field = b.and_(field, lanes.splat(mask))
        sign = b.lshr(field, lanes.splat(n))
        keep = b.sub(b.shl(constant(1), n), constant(1))
        number = b.or_(b.and_(field, lanes.splat(keep)), lanes.splat(common))
        number = b.add(b.xor(number, b.sub(lanes.all(0), sign)), sign)
        code = b.trunc(b.add(number, lanes.splat(origin)), octets.vector)
        octets.store(code, address(context, b, out, *to))

    return types.void(types.uint64, _LONG, _LONG, _LONG, _LONG, out, _LONG), emit


@instead_of(masked_parities)
def _masked_parities(words: Any, first: Any, n_bits: Any, masks: Any, k: Any) -> Any:
    """Keep eight sums of masked words in registers; parities are sums without carry."""
    if not is_contiguous(words, masks):
        return None

    def emit(context: Any, b: Any, *args: Any) -> Any:
        lanes, counts = Lanes(b, TOGETHER, 64), ir.FunctionType(_EIGHT_WORDS, [_EIGHT_WORDS])
        words_at = address(context, b, words, args[0], 0)
        masks_at = address(context, b, masks, args[3], 0, args[4])
        _, n_masks = shape_of(context, b, masks, args[3])
        sums = lanes.variable()
        b.store(lanes.all(0), sums)
        n_words = b.ashr(b.add(args[2], constant(63)), constant(6))
        with cgutils.for_range(b, n_words) as word:
            done = b.shl(word.index, constant(6))
            bits = _bits_at(b, words_at, b.add(args[1], done), b.sub(args[2], done))
            mask = lanes.load(b.gep(masks_at, [b.mul(word.index, n_masks)]))
            b.store(b.xor(b.load(sums), b.and_(lanes.splat(bits), mask)), sums)
        ones = b.call(_declared(b, counts, "llvm.ctpop.v8i64"), [b.load(sums)])
        return b.zext(b.bitcast(b.trunc(ones, Lanes(b, TOGETHER, 1).vector), _I8), I64)

    return types.uint64(words, _LONG, _LONG, masks, _LONG), emit


def _bits_at(b: Any, words_at: Any, bit: Any, n: Any) -> Any:
    """Emit the 64 bits from a bit on, those beyond n as zeros."""
    place, shift = b.gep(words_at, [b.ashr(bit, constant(6))]), b.and_(bit, constant(63))
    low = b.lshr(b.load(place), shift)
    above = b.shl(b.load(b.gep(place, [constant(1)])), constant(1))
    bits = b.or_(low, b.shl(above, b.sub(constant(63), shift)))
    partial = b.icmp_signed("<", n, constant(64))
    beyond = b.shl(constant(-1), b.select(partial, n, constant(0)))
    return b.select(partial, b.and_(bits, b.not_(beyond)), bits)


@instead_of(spread_bits)
def _spread_bits(bits: Any, mask: Any) -> Any:
    def emit(context: Any, b: Any, low: Any, at: Any) -> Any:
        kind = ir.FunctionType(I64, [I64, I64])
        return b.call(_declared(b, kind, "llvm.x86.bmi.pdep.64"), [low, at])

    return types.uint64(types.uint64, types.uint64), emit


@instead_of(put_members)
def _put_members(word: Any, codes: Any, at: Any, out: Any, first: Any) -> Any:
    if not is_contiguous(codes, out):
        return None

    def emit(context: Any, b: Any, bits: Any, source: Any, place: Any, *to: Any) -> None:
        lanes, verdicts = Lanes(b, _LANES, 8), Lanes(b, _LANES, 1)
        there, target = address(context, b, codes, source, place), address(context, b, out, *to)
        kind = ir.FunctionType(lanes.vector, [there.type, verdicts.vector, lanes.vector])
        expand = _declared(b, kind, "llvm.masked.expandload.v64i8")
        lit = b.bitcast(bits, verdicts.vector)
        lanes.store(b.call(expand, [there, lit, lanes.load(target)]), target)

    return types.void(types.uint64, codes, _LONG, out, _LONG), emit


def _declared(builder: Any, kind: Any, name: str) -> Any:
    """Return a function of LLVM, declared once a module."""
    return builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
