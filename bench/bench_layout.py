"""Speed of bit-plane transposition, one thread, against the fastest NumPy forms found.

The obvious twin, `np.unpackbits` of all codes and `np.packbits` of the transposed bits, is ten to
twenty times slower than packing one plane at a time, so the latter is the twin to beat.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from bitpim_kernels.layout import codes_to_planes, planes_to_codes

Ratio = Callable[[str, Callable[[], object], Callable[[], object]], float]

N_LANES = 1 << 16
CALLS = 20  # of a few microseconds each, for the clock


def codes_of(dtype: str, n_bits: int) -> npt.NDArray[Any]:
    low = -(1 << (n_bits - 1)) if dtype[0] == "i" else 0
    return np.random.default_rng(0).integers(low, low + (1 << n_bits), N_LANES).astype(dtype)


def repeated(function: Callable[..., None], *arguments: Any) -> Callable[[], None]:
    def calls() -> None:
        for _ in range(CALLS):
            function(*arguments)

    return calls


def planes_by_numpy(codes: npt.NDArray[Any], n_bits: int, out: npt.NDArray[np.uint64]) -> None:
    for k in range(n_bits):
        bits = ((codes >> k) & 1).astype(np.uint8, copy=False)
        out[k] = np.packbits(bits, bitorder="little").view(np.uint64)


def codes_by_numpy(planes: npt.NDArray[np.uint64], signed: bool, out: npt.NDArray[Any]) -> None:
    out[:] = 0
    for k in range(planes.shape[0]):
        bits = np.unpackbits(planes[k].view(np.uint8), bitorder="little").astype(out.dtype)
        top = signed and k == planes.shape[0] - 1
        out += np.left_shift(-bits if top else bits, k, dtype=out.dtype)


@pytest.mark.parametrize(("dtype", "n_bits"), [("uint8", 8), ("int16", 12), ("int32", 24)])
def test_transposition(ratio: Ratio, dtype: str, n_bits: int) -> None:
    codes = codes_of(dtype, n_bits)
    ours, theirs = np.zeros((2, n_bits, N_LANES // 64), np.uint64)
    ratio(
        f"transposition:{dtype} to {n_bits} planes",
        repeated(codes_to_planes, codes, ours),
        repeated(planes_by_numpy, codes, n_bits, theirs),
    )
    assert np.array_equal(ours, theirs)


@pytest.mark.parametrize(("dtype", "n_bits"), [("uint8", 8), ("int16", 12), ("int32", 24)])
def test_transposition_back(ratio: Ratio, dtype: str, n_bits: int) -> None:
    codes, signed = codes_of(dtype, n_bits), dtype[0] == "i"
    planes = np.zeros((n_bits, N_LANES // 64), np.uint64)
    codes_to_planes(codes, planes)
    ours, theirs = np.zeros_like(codes), np.zeros_like(codes)
    ratio(
        f"transposition:{dtype} from {n_bits} planes",
        repeated(planes_to_codes, planes, signed, ours),
        repeated(codes_by_numpy, planes, signed, theirs),
    )
    assert np.array_equal(ours, codes)
    assert np.array_equal(theirs, codes)


def test_transposition_by_unpackbits(ratio: Ratio) -> None:
    """The obvious twin, for orientation."""
    codes = codes_of("uint8", 8)
    ours = np.zeros((8, N_LANES // 64), np.uint64)

    theirs = np.zeros((8, N_LANES // 8), np.uint8)

    def twin() -> None:
        bits = np.unpackbits(codes[:, None], axis=1, bitorder="little")
        theirs[:] = np.packbits(np.ascontiguousarray(bits.T), axis=1, bitorder="little")

    case = "transposition:uint8 over unpackbits, transposed, packbits"
    ratio(case, repeated(codes_to_planes, codes, ours), repeated(twin))
    assert np.array_equal(ours.view(np.uint8), theirs)
