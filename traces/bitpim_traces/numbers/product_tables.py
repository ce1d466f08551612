"""Product tables from codebooks, and the nearest value of a codebook: integers throughout.

A product is rounded once, half away from zero, where a table has fewer fraction bits than it takes.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim_traces.codebook import Codebook, ProductTable
from bitpim_traces.errors import TraceDataError
from bitpim_traces.file_bounds import MAX_PARAMETERS

__all__ = [
    "PRODUCT_TABLE_BITS",
    "nearest",
    "products_of",
    "shares_of",
    "terms_of",
]

Ints = npt.NDArray[np.int64]

PRODUCT_TABLE_BITS = 32
"""Width of the products of a table unless it is told."""


def products_of(
    weight: Codebook,
    source: Codebook,
    *,
    fraction_bits: int | None = None,
    bits: int = PRODUCT_TABLE_BITS,
) -> ProductTable:
    """Make the products of two codebooks; row by weight code, column by input code.

    Without `fraction_bits` products are exact.

    Raises
    ------
    TraceDataError
        A product does not fit `bits`, or there are too many.
    """
    _need_size(weight.n_codes, source.n_codes)
    products = np.multiply.outer(weight.values, source.values)  # 2**62 at most, of 32-bit values
    exact = weight.fraction_bits + source.fraction_bits
    fraction_bits = exact if fraction_bits is None else fraction_bits
    what = "products of weights and inputs"
    return ProductTable(_rounded(products, exact, fraction_bits, bits, what), fraction_bits, bits)


def shares_of(
    source: Codebook,
    n_elements: int,
    *,
    fraction_bits: int | None = None,
    bits: int = PRODUCT_TABLE_BITS,
) -> ProductTable:
    """Make the shares that values have in the mean of 1, 2, ... elements; row by elements less one.

    Without `fraction_bits` there are as many as leave the largest value within `bits`, at most 8
    more than values have.

    Raises
    ------
    TraceDataError
        A value does not fit `bits`, or there are too many.
    """
    _need_size(n_elements, source.n_codes)
    if fraction_bits is None:
        room = bits - 1 - int(np.abs(source.values).max()).bit_length()
        fraction_bits = source.fraction_bits + min(max(room, 0), 8)
    counts = np.arange(1, n_elements + 1)[:, None]
    values, what = source.values, "values of inputs"
    finest = max(fraction_bits, source.fraction_bits)
    divisors = counts << (finest - fraction_bits) if finest - fraction_bits < 40 else counts << 40
    values = _rounded(values, source.fraction_bits, finest, 62, what)
    sizes = (2 * np.abs(values) + divisors) // (2 * divisors)
    shares = np.where(values < 0, -sizes, sizes)
    return ProductTable(_fitted(shares, fraction_bits, bits, what), fraction_bits, bits)


def terms_of(
    sources: Sequence[Codebook],
    *,
    fraction_bits: int | None = None,
    bits: int = PRODUCT_TABLE_BITS,
) -> ProductTable:
    """Make the values of several codebooks at one fraction; row by input.

    Without `fraction_bits` there are as many as the finest has.

    Raises
    ------
    TraceDataError
        A value does not fit `bits`, or there are too many.
    """
    if fraction_bits is None:
        fraction_bits = max(source.fraction_bits for source in sources)
    width = max(source.n_codes for source in sources)
    _need_size(len(sources), width)
    rows, what = np.zeros((len(sources), width), np.int64), "values of inputs"
    for row, source in zip(rows, sources, strict=True):
        own = _rounded(source.values, source.fraction_bits, fraction_bits, bits, what)
        row[: source.n_codes] = own
    return ProductTable(rows, fraction_bits, bits)


def nearest(values: Ints, queries: Ints) -> Ints:
    """Return the place of the nearest of some rising values, the lower of two; within 62 bits."""
    last_lower = (values[:-1] + values[1:]) >> 1  # half way between two belongs to the lower
    found: Ints = np.searchsorted(last_lower, queries, side="left").astype(np.int64)
    return found


def _need_size(n_rows: int, n_codes: int) -> None:
    if n_rows * n_codes > MAX_PARAMETERS:
        raise TraceDataError(
            f"product table: need at most {MAX_PARAMETERS} products, got {n_rows} x {n_codes}; use "
            "codebooks of fewer values, or smaller windows"
        )


def _rounded(values: Ints, exact_bits: int, fraction_bits: int, bits: int, what: str) -> Ints:
    """Bring values to a fraction, ties away from zero; they have to fit `bits` then."""
    up, down = max(fraction_bits - exact_bits, 0), min(max(exact_bits - fraction_bits, 0), 64)
    ends = (int(values.min()) << up, int(values.max()) << up)
    if up and max(abs(end) for end in ends) >= 1 << 62:
        _fitted(np.array(ends, object), fraction_bits, bits, what)
    sizes = np.abs(values) << up
    sizes = ((sizes >> (down - 1)) + 1) >> 1 if down else sizes
    return _fitted(np.where(values < 0, -sizes, sizes), fraction_bits, bits, what)


def _fitted(products: npt.NDArray[Any], fraction_bits: int, bits: int, what: str) -> Ints:
    if not 2 <= bits <= 62:
        raise TraceDataError(f"product table: need 2 to 62 bits, got {bits}")
    low, high = int(products.min()), int(products.max())
    limit = 1 << (bits - 1)
    if low < -limit or high >= limit:
        need = 1 + max(high.bit_length(), (-low - 1).bit_length())
        wider = f"product_bits={need}, or " if need <= 62 else ""
        raise TraceDataError(
            f"product table: need {need} bits for {what} from {low} to {high}, got {bits}; use "
            f"{wider}product_fraction_bits={fraction_bits - (need - bits)} or less"
        )
    return products.astype(np.int64)
