from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from bitpim.errors import LayoutError
from bitpim_kernels import checksum
from bitpim_kernels.checksum import CHECKSUM_BITS, parities
from tests.naive.weight_store import crc

Bytes = npt.NDArray[np.uint8]


@pytest.fixture(params=["jit", "python"])
def kernels(request: pytest.FixtureRequest, in_python: Callable[..., None]) -> Any:
    if request.param == "python":
        in_python(checksum)
    return checksum


def words_of(content: Bytes) -> npt.NDArray[np.uint64]:
    words = np.zeros(-(-len(content) // 8) + 1, np.uint64)
    words.view(np.uint8)[: len(content)] = content
    return words


def sums_of(kernels: Any, content: Bytes, lengths: list[int], n_bits: int, room: int) -> list[int]:
    """Checksums of all lines but the first and the last."""
    starts = np.cumsum([0, *lengths])
    out = np.full(len(lengths) - 2, 99, np.uint64)
    kernels.line_checksums(
        words_of(content), starts, 1, len(lengths) - 1, parities(n_bits, room), out
    )
    return out.tolist()


@pytest.mark.parametrize(("n_bits", "need"), [(8, 0xD0), (16, 0x906E)])
def test_published_check_values(n_bits: int, need: int, kernels: Any) -> None:
    """The checksum of "123456789", as catalogues of CRCs have it."""
    text = np.frombuffer(b"x" * (n_bits // 8) + b"123456789", np.uint8)
    content = np.concatenate([np.zeros(3, np.uint8), text, np.zeros(1, np.uint8)])
    assert crc(b"123456789", n_bits) == need
    assert sums_of(kernels, content, [3, len(text), 1], n_bits, 9) == [need]


@pytest.mark.parametrize("n_bits", CHECKSUM_BITS)
@pytest.mark.parametrize("room", [1, 7, 8, 9, 63, 64])
def test_bytes_that_a_line_has_not_count_as_zeros(n_bits: int, room: int, kernels: Any) -> None:
    rng = np.random.default_rng(room)
    own = n_bits // 8
    lengths = [5, *(own + n for n in range(1, room + 1, 1 + room // 5)), own + room, 3]
    content = rng.integers(0, 256, sum(lengths)).astype(np.uint8)
    edges = np.cumsum([0, *lengths])
    lines = [bytes(content[a + own : b]) for a, b in pairwise(edges[1:-1])]
    need = [crc(line.ljust(room, b"\0"), n_bits) for line in lines]
    assert sums_of(kernels, content, lengths, n_bits, room) == need


@pytest.mark.parametrize("n_bits", CHECKSUM_BITS)
def test_every_bit_that_is_flipped_is_seen(n_bits: int, kernels: Any) -> None:
    lengths = [3, n_bits // 8 + 2, n_bits // 8 + 1, n_bits // 8 + 3, 2]
    starts = np.cumsum([0, *lengths])
    content = np.random.default_rng(n_bits).integers(0, 256, starts[-1]).astype(np.uint8)
    by, sums = parities(n_bits, 12), np.zeros(3, np.uint64)
    for start, line in zip(
        starts[1:], sums_of(kernels, content, lengths, n_bits, 12), strict=False
    ):
        content[start : start + n_bits // 8] = [line >> 8 * i & 255 for i in range(n_bits // 8)]
    assert kernels.damaged_line(words_of(content), starts, 1, 4, by, sums) == 4
    for bit in range(8 * starts[1], 8 * starts[4]):
        flipped = content.copy()
        flipped[bit // 8] ^= 1 << bit % 8
        need = int(np.searchsorted(8 * starts, bit, side="right")) - 1
        assert kernels.damaged_line(words_of(flipped), starts, 1, 4, by, sums) == need


@pytest.mark.parametrize("n_bits", CHECKSUM_BITS)
def test_which_flips_are_seen(n_bits: int) -> None:
    """What a bit does to the checksum: an odd number of bits of it, and with 16 all others."""
    masks = parities(n_bits, 64 - n_bits // 8).masks
    bits = np.unpackbits(masks.T.copy().view(np.uint8), axis=1, bitorder="little")
    bits = bits[:, : 512 - n_bits]
    assert (bits.sum(axis=0) % 2 == 1).all()
    does = {*np.packbits(bits, axis=0).T.tobytes().hex(" ", n_bits // 8).split()}
    itself = {f"{1 << bit:0{n_bits // 4}x}" for bit in range(n_bits)}
    seen = does | itself
    assert (len(seen) == 512) == (n_bits == 16)


@pytest.mark.parametrize(("n_bits", "room"), [(7, 8), (32, 8), (8, 0)])
def test_checksums_there_are_not(n_bits: int, room: int) -> None:
    with pytest.raises(LayoutError, match=f"need 8 or 16 bits over 1 byte or more, got {n_bits}"):
        parities(n_bits, room)


def test_bits_are_read_across_words(kernels: Any) -> None:
    words = np.array([0x0123456789ABCDEF, 0xFEDCBA9876543210, 5], np.uint64)
    number = sum(int(word) << 64 * i for i, word in enumerate(words))
    for bit in (0, 1, 4, 63, 64, 65, 127):
        assert int(kernels.bits_at(words, bit)) == number >> bit & (1 << 64) - 1
