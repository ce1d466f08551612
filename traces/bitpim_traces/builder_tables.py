"""Layers whose inputs have codebooks: what a builder adds of product tables, and what it checks."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from bitpim_traces import builder_checks as checks
from bitpim_traces.codebook import Codebook, ProductTable
from bitpim_traces.codebook_rules import check_product_table
from bitpim_traces.errors import TraceDataError
from bitpim_traces.modes import HALF_UP_SHIFT
from bitpim_traces.numbers.accumulator import need_fit
from bitpim_traces.numbers.product_tables import products_of, shares_of, terms_of
from bitpim_traces.operators import OPERATORS
from bitpim_traces.records import LayerRecord, Quantization, Requantize
from bitpim_traces.value_rules import fit_one_fraction, looked_up_span

__all__ = ["need_one_sort", "product_scale", "raw_step", "with_product_table"]


def need_one_sort(where: str, sources: Sequence[Quantization], *others: Quantization) -> bool:
    """Return whether inputs, and what is beside them, have codebooks.

    Raises
    ------
    TraceDataError
        Some have, and some have not.
    """
    having = {q.codebook is not None for q in (*sources, *others)}
    if len(having) > 1:
        raise TraceDataError(
            f"{where}: need codebooks of all inputs and weights or of none, got both; give the "
            "others codebooks, or all of them affine codes"
        )
    return True in having


def raw_step() -> Requantize:
    """Return the step that leaves sums as they are."""
    one = np.ones(1, np.int32)
    return Requantize(HALF_UP_SHIFT.name, multiplier=one, shift=0 * one)


def with_product_table(
    where: str,
    record: LayerRecord,
    sources: Sequence[Quantization],
    table: ProductTable | None,
    step: Requantize | None,
) -> LayerRecord:
    """Give a layer its product table, and its step where its output is affine.

    Without a table the one with exact products is taken. The weight and its bias are in the record.

    Raises
    ------
    TraceDataError
        The table does not fit the codebooks, a sum its accumulator, or sums and values 62 bits.
    """
    operator = OPERATORS[record.kind]
    if not operator.product_rows:
        raise TraceDataError(
            f"{where}: need affine codes, got an input with a codebook; {record.kind} has no table"
        )
    if record.output.codebook is None and not operator.has_weight:
        raise TraceDataError(f"{where}: need an output with a codebook, got affine codes")
    table = _exact(record, sources) if table is None else table
    record = replace(
        record,
        product_table=table,
        requantize=None if record.output.codebook is not None else step or raw_step(),
        pad_code=int(sources[0].zero_point[0]),
    )
    check_product_table(record, sources, checks.raising(where))
    bounds = looked_up_span(record, table, [None] * len(sources))
    need_fit(where, bounds, record.accumulator_bits)
    if not fit_one_fraction(record, table, bounds):
        low, high = int(bounds[0].min()), int(bounds[1].max())
        raise TraceDataError(
            f"{where}: need sums and values within 62 bits at one fraction, got sums from {low} to "
            f"{high} of {table.fraction_bits} fraction bits; use values of about as many"
        )
    if record.requantize is not None:
        if not record.requantize.rule.scales_products:
            mode = record.requantize.mode
            raise TraceDataError(f"{where}: need a mode with shifts for affine output, got {mode}")
        checks.need_product_fit(where, bounds, record.requantize)
    return record


def _exact(record: LayerRecord, sources: Sequence[Quantization]) -> ProductTable:
    books: list[Codebook] = [q.codebook for q in sources if q.codebook is not None]
    rows = OPERATORS[record.kind].product_rows
    if rows == "elements":
        assert record.geometry is not None
        return shares_of(books[0], record.geometry.kernel[0] * record.geometry.kernel[1])
    if rows == "inputs":
        return terms_of(books)
    assert record.weight_quantization is not None
    assert record.weight_quantization.codebook is not None
    return products_of(record.weight_quantization.codebook, books[0])


def product_scale(table: ProductTable) -> npt.NDArray[np.float64]:
    """Return the real number that 1 of a sum stands for, as an array of one."""
    return np.array([2.0**-table.fraction_bits])
