"""Lines packed and read by the kernels alone; whole layers are tests/bitpim/weightstore's."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bitpim_kernels import checksum, weight_lines
from bitpim_kernels.checksum import parities
from bitpim_kernels.weight_lines import (
    CODE,
    EVERY_LINE,
    FINE,
    FIRST_LINE,
    HEADER,
    LENGTH,
    NO_HEADER,
    POSITION,
    Form,
    Lines,
    Stored,
)
from tests.naive.weight_store import NaiveRules, bits_of, checked

SIGNED = Form(8, -128, 3, 5, FIRST_LINE, 9, 0)


@pytest.fixture(params=["jit", "python"])
def kernels(request: pytest.FixtureRequest, in_python: Callable[..., None]) -> Any:
    if request.param == "python":
        in_python(checksum, weight_lines)
    return weight_lines


def lines_of(*lines: str, checksum_bits: int = 0, first: int = 0) -> Stored:
    """Lines that are given as bits."""
    padded = [line + "0" * (-len(line) % 8) for line in lines]
    bits = "".join(padded)
    bits += "0" * (-len(bits) % 64)
    words = [int(bits[i : i + 64][::-1], 2) for i in range(0, len(bits), 64)]
    starts = np.cumsum([0, *(len(line) // 8 for line in padded)])
    return Stored(
        np.array([*words, 0], np.uint64), starts, np.array([first]), len(lines), checksum_bits
    )


def codes_of(kernels: Any, stored: Stored, form: Form, n: int) -> tuple[int, list[int]]:
    out = np.full(n + 7, 99, np.uint8)
    fault = kernels.read_codes(stored, form, n, out)
    return int(fault), out[:n].view(np.int8).tolist()


def fields(numbers: list[int], width: int) -> str:
    return "".join(bits_of(number, width) for number in numbers)


def test_lines_are_packed_bit_by_bit(kernels: Any) -> None:
    """Two lines of 13 bits and 70, each with a checksum before and zeros after it."""
    numbers = [1, 0, 1, *range(13)]
    lines = Lines(
        n_fields=np.array([3, 13]),
        width=np.array([1, 5]),
        header=np.array([0b1100110001, 0]),
        header_bits=np.array([10, 5]),
        starts=np.array([0, 3, 13]),
    )
    out = np.full(3, 12345, np.uint64)
    kernels.pack_lines(np.array(numbers, np.uint8), lines, 8, out)
    kernels.pack_checksums(lines, parities(8, 15), np.zeros(2, np.uint64), out)
    rules = NaiveRules(8, True, 0, line_bytes=16)
    bodies = [bits_of(0b1100110001, 10) + "101", "00000" + fields([*range(13)], 5)]
    need = lines_of(*(checked(body, rules) for body in bodies))
    assert out.tolist() == need.words.tolist()


@pytest.mark.parametrize("checksum_bits", [0, 8])
def test_codes_as_they_are_lie_above_the_least(checksum_bits: int, kernels: Any) -> None:
    form = Form(3, -4, 1, 6, NO_HEADER, 9, 0)
    codes = [-4, 3, 0, -1, 2, 1, 3, -4, 0]
    skip = "1" * checksum_bits
    lines = [skip + fields([c + 4 for c in part], 3) for part in (codes[:6], codes[6:])]
    stored = lines_of("1" * 24, *lines, checksum_bits=checksum_bits, first=1)
    assert codes_of(kernels, stored, form, 9) == (FINE, codes)
    assert stored.line[0] == 3


def header(low: int, leading: int = 0, bits: int = 8) -> str:
    return bits_of(low, 4) + bits_of(leading, bits - low)


def test_what_is_shared_is_said_once_or_in_every_line(kernels: Any) -> None:
    """Magnitudes 80 to 95 are 0101 and four bits; 16 to 19 are 000100 and two."""
    first = header(4, 0b0101) + fields([0, 15, 16 + 1, 16 + 15, 3], 5)
    more = fields([9, 16 + 9], 5)
    codes = [83, 98, 3 - 81, 3 - 95, 86, 92, 3 - 89]
    assert codes_of(kernels, lines_of(first, more), SIGNED, 7) == (FINE, codes)
    every = SIGNED._replace(headers=EVERY_LINE)
    other = header(2, 0b000100) + fields([1, 4 + 3], 3)
    codes[5:] = [3 + 17, 3 - 19]
    assert codes_of(kernels, lines_of(first, other), every, 7) == (FINE, codes)
    none = header(8) + fields([0, 255], 8)
    codes[5:] = [-128, 127]
    assert codes_of(kernels, lines_of(first, none), every, 7) == (FINE, codes)


def test_all_bits_may_be_shared(kernels: Any) -> None:
    stored = lines_of(header(0, 100) + "101")
    assert codes_of(kernels, stored, SIGNED, 3) == (FINE, [-97, 103, -97])


@pytest.mark.parametrize("low", [7, 9, 15])
def test_headers_that_are_none(low: int, kernels: Any) -> None:
    stored = lines_of(header(8) + fields([1] * 5, 8), header(low, 1) + "0" * 50)
    assert codes_of(kernels, stored, SIGNED._replace(headers=EVERY_LINE), 6)[0] == HEADER
    assert stored.line[0] == 1


@pytest.mark.parametrize(
    ("form", "low", "leading", "field", "code"),
    [
        (SIGNED, 4, 0b0111, 12, 127),  # 3 + 124
        (SIGNED, 4, 0b0111, 13, None),
        (SIGNED, 5, 0b100, 32 + 3, -128),  # 3 - 131
        (SIGNED, 5, 0b100, 32 + 4, None),
        (Form(3, 0, 2, 9, FIRST_LINE, 9, 0), 1, 0b01, 2 + 0, 0),  # 2 - 2
        (Form(3, 0, 2, 9, FIRST_LINE, 9, 0), 1, 0b01, 2 + 1, None),
        (Form(3, 0, 2, 9, FIRST_LINE, 9, 0), 1, 0b10, 1, 7),
        (Form(3, 0, 2, 9, FIRST_LINE, 9, 0), 1, 0b11, 0, None),
    ],
)
def test_fields_that_stand_for_no_code(
    form: Form, low: int, leading: int, field: int, code: int | None, kernels: Any
) -> None:
    stored = lines_of(header(low, leading, form.code_bits) + fields([field], low + 1))
    fault, codes = codes_of(kernels, stored, form, 1)
    assert (fault, codes) == (FINE, [code]) if code is not None else fault == CODE


@pytest.mark.parametrize("n_bytes", [1, 4, 6])
def test_lines_of_codes_that_are_too_short_or_too_long(n_bytes: int, kernels: Any) -> None:
    """Header and codes take 4 + 4 + 25 bits: 5 bytes."""
    stored = lines_of((header(4, 5) + fields([1] * 5, 5)).ljust(48, "0")[: 8 * n_bytes])
    assert codes_of(kernels, stored, SIGNED, 5)[0] == LENGTH


@pytest.mark.parametrize("n_bytes", [5, 6, 7])
def test_lines_of_codes_that_end_with_a_byte(n_bytes: int, kernels: Any) -> None:
    """Header and codes take 4 + 4 + 40 bits: 6 bytes, and no bit is left over."""
    stored = lines_of((header(4, 5) + fields([1] * 8, 5)).ljust(56, "0")[: 8 * n_bytes])
    form = SIGNED._replace(codes_per_line=8)
    assert codes_of(kernels, stored, form, 8)[0] == (FINE if n_bytes == 6 else LENGTH)


def test_lines_that_are_missing(kernels: Any) -> None:
    stored = lines_of(header(8) + fields([1] * 5, 8))
    assert codes_of(kernels, stored, SIGNED, 6)[0] == LENGTH
    assert stored.line[0] == 1
    for form in (SIGNED, SIGNED._replace(gap_bits=2)):
        one = lines_of("000000000" if form.gap_bits == 0 else "11" * 9)
        assert members_of(kernels, one, form, 1, 99)[0] == LENGTH
        assert one.line[0] == 1


def members_of(
    kernels: Any, stored: Stored, form: Form, n: int, n_free: int
) -> tuple[int, list[int]]:
    out = np.zeros(-(-n_free // 64) + 1, np.uint64)
    fault = kernels.read_members(stored, form, n, n_free, out)
    bits = np.unpackbits(out.view(np.uint8), bitorder="little")
    return int(fault), np.flatnonzero(bits).tolist()


@pytest.mark.parametrize("per_line", [7, 64, 72, 200])
def test_a_bitmap_goes_on_in_the_next_line(per_line: int, kernels: Any) -> None:
    rng = np.random.default_rng(per_line)
    form = SIGNED._replace(positions_per_line=per_line)
    bits = "".join(rng.choice(["0", "1"], 150))
    places = [place for place, bit in enumerate(bits) if bit == "1"]
    parts = ["1" * 8 + bits[i : i + per_line] for i in range(0, 150, per_line)]
    stored = lines_of(*parts, "1" * 16, checksum_bits=8)
    assert members_of(kernels, stored, form, len(places), 150) == (FINE, places)
    assert stored.line[0] == len(parts)
    for n in (len(places) - 1, len(places) + 1):
        stored.line[0] = 0
        assert members_of(kernels, stored, form, n, 150)[0] == POSITION
        assert stored.line[0] == len(parts) - 1


def test_bits_after_a_bitmap_are_none_of_it(kernels: Any) -> None:
    stored = lines_of("10011111")
    assert members_of(kernels, stored, SIGNED, 2, 4) == (FINE, [0, 3])


def test_gaps_of_ones_alone_go_on(kernels: Any) -> None:
    """Gaps 0, 3 + 3 + 1, 3 + 0, 2 of two bits, three fields a line."""
    form = SIGNED._replace(gap_bits=2, positions_per_line=3)
    parts = ([0, 3, 3], [1, 3, 0], [2])
    stored = lines_of(*(fields(part, 2) for part in parts))
    assert members_of(kernels, stored, form, 4, 16) == (FINE, [0, 8, 12, 15])
    assert stored.line[0] == 3
    stored.line[0] = 0
    assert members_of(kernels, stored, form, 4, 15)[0] == POSITION
    assert stored.line[0] == 2


def test_gaps_that_lead_out_of_the_layer(kernels: Any) -> None:
    form = SIGNED._replace(gap_bits=8, positions_per_line=3)
    assert members_of(kernels, lines_of(fields([255, 0], 8)), form, 1, 255)[0] == POSITION
    assert members_of(kernels, lines_of(fields([255, 0], 8)), form, 1, 256) == (FINE, [255])


@pytest.mark.parametrize("part", [[0, 1], [0, 1, 2, 0, 0], [0, 1, 2, 0, 0, 0, 0, 0, 0]])
def test_lines_of_gaps_that_are_too_short_or_too_long(part: list[int], kernels: Any) -> None:
    """Three gaps of four bits take 2 bytes; a line of four is full, in two."""
    form = SIGNED._replace(gap_bits=4, positions_per_line=4)
    assert members_of(kernels, lines_of(fields(part, 4)), form, 3, 90)[0] == LENGTH
    full = fields([0, 0, 0, 0], 4), fields([1], 4)
    assert members_of(kernels, lines_of(*full), form, 5, 90) == (FINE, [0, 1, 2, 3, 5])
    shorter = fields([0, 0], 4), fields([0, 0, 1], 4)
    assert members_of(kernels, lines_of(*shorter), form, 5, 90)[0] == LENGTH
    longer = fields([0, 0, 0, 0, 0], 4), fields([1], 4)
    assert members_of(kernels, lines_of(*longer), form, 5, 90)[0] == LENGTH


def test_bitmaps_of_another_length(kernels: Any) -> None:
    for bits in ("1" * 8, "1" * 24):
        assert members_of(kernels, lines_of(bits), SIGNED, 9, 9)[0] == LENGTH


@pytest.mark.parametrize("seed", range(100))
def test_whatever_lines_hold_nothing_else_is_read(
    seed: int, in_python: Callable[..., None]
) -> None:
    """In plain Python, where an index out of range is an error."""
    in_python(checksum, weight_lines)
    rng = np.random.default_rng(seed)
    lengths = rng.integers(2, 17, rng.integers(1, 5))
    starts = np.concatenate([[0], np.cumsum(lengths)])
    words = rng.integers(0, 1 << 63, -(-int(starts[-1]) // 8) + 1).astype(np.uint64)
    words[rng.random(len(words)) < 0.3] = 0
    bits = int(rng.integers(1, 9))
    form = Form(bits, 0, 1, int(rng.integers(2, 20)), int(rng.integers(0, 3)),
                int(rng.integers(5, 60)), int(rng.integers(0, 9)))  # fmt: skip
    n, n_free = sorted(rng.integers(1, 60, 2).tolist())
    for checksum_bits in (0, 8):
        stored = Stored(words, starts, np.zeros(1, np.int64), len(lengths), checksum_bits)
        found = np.zeros(-(-n_free // 64) + 1, np.uint64)
        fault = weight_lines.read_members(stored, form, n, n_free, found)
        ones = int(np.bitwise_count(found).sum())
        assert fault in (LENGTH, POSITION) or (fault == FINE and ones == n)
        assert not int(found[0]) >> n_free
        fault = weight_lines.read_codes(stored, form, n, np.zeros(n + 7, np.uint8))
        assert fault in (FINE, LENGTH, HEADER, CODE)
