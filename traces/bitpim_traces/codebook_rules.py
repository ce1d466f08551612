"""What codebooks and product tables have to be, by themselves and beside each other."""

from collections.abc import Callable, Sequence

import numpy as np

from bitpim_traces.codebook import Codebook, ProductTable
from bitpim_traces.errors import TraceDataError
from bitpim_traces.numbers.product_tables import products_of, shares_of, terms_of
from bitpim_traces.operators import OPERATORS
from bitpim_traces.records import LayerRecord, Quantization

__all__ = ["check_codebook", "check_product_table", "codebooks_fault", "made_again"]

Say = Callable[[str, str, object], None]

_MOST_CODES = 1 << 16
_VALUE_BITS = range(2, 33)
_FRACTION_BITS = range(-64, 65)


def check_codebook(quantization: Quantization, member: str, say: Say) -> None:
    """Check the quantization of a codebook."""
    codebook = quantization.codebook
    assert codebook is not None
    values = codebook.values
    if values.ndim != 1 or not 2 <= values.size <= _MOST_CODES:
        say(f"{member}/values", f"2 to {_MOST_CODES} values", values.shape)
        return
    if codebook.value_bits not in _VALUE_BITS or codebook.fraction_bits not in _FRACTION_BITS:
        got = f"{codebook.value_bits} and {codebook.fraction_bits}"
        say(f"{member}/values", "value_bits 2 to 32 and fraction_bits -64 to 64", got)
        return
    limit = 1 << (codebook.value_bits - 1)
    if int(values.min()) < -limit or int(values.max()) >= limit:
        got = f"{int(values.min())}..{int(values.max())}"
        say(f"{member}/values", f"signed {codebook.value_bits}-bit values", got)
    elif not (values[1:] > values[:-1]).all():
        say(f"{member}/values", "values that rise, no two equal", values.tolist())
    elif not (values == 0).any():
        say(f"{member}/values", "0 among them", values.tolist())
    else:
        _check_levels(codebook, member, say)
        _check_beside(quantization, codebook, member, say)


def are_in_order(quantizations: Sequence[Quantization | None]) -> bool:
    """Say whether all codebooks among some quantizations keep their rules."""
    faults: list[str] = []
    for quantization in quantizations:
        if quantization is not None and quantization.codebook is not None:
            check_codebook(quantization, "", lambda member, *_: faults.append(member))
    return not faults


def _check_levels(codebook: Codebook, member: str, say: Say) -> None:
    levels, where = codebook.levels, f"{member}/levels"
    if levels is None:
        return
    if levels.ndim != 2 or not levels.shape[0] or levels.shape[1] != codebook.n_codes:
        say(where, f"rows of {codebook.n_codes} values", levels.shape)
        return
    limit = 1 << (codebook.value_bits - 1)
    if int(levels.min()) < -limit or int(levels.max()) >= limit:
        say(where, f"signed {codebook.value_bits}-bit values", "others")
        return
    steps = np.diff(levels, axis=1)
    if (steps < 0).any():
        say(where, "rows that never fall", "one that does")
    elif levels[:, codebook.zero_code].any():
        say(where, "0 above value 0", levels[:, codebook.zero_code].tolist())
    elif ((steps[:-1] > 0) & (steps[1:] == 0)).any():
        say(where, "one ancestor above each value of a row", "two")


def _check_beside(quantization: Quantization, codebook: Codebook, member: str, say: Say) -> None:
    """Check what is affine in a quantization against its codebook."""
    got = (quantization.bits, quantization.signed, quantization.axis, quantization.binary)
    need = (codebook.bits, False, None, False)
    if got != need:
        say(f"{member}@bits", f"{codebook.bits} bits, unsigned, axis -1 for its values", got[0])
    elif quantization.scale.tolist() != [codebook.scale]:
        need_scale = f"[{codebook.scale}], that of its values"
        say(f"{member}/scale", need_scale, quantization.scale.tolist())
    elif quantization.zero_point.tolist() != [codebook.zero_code]:
        need_code = f"[{codebook.zero_code}], the code of value 0"
        say(f"{member}/zero_point", need_code, quantization.zero_point.tolist())


def codebooks_fault(
    layer: LayerRecord, inputs: Sequence[Quantization]
) -> tuple[str, str, object] | None:
    """Tell where a layer mixes codebooks with affine codes: member, need, got; None if nowhere."""
    operator = OPERATORS[layer.kind]
    of_inputs = [q.codebook is not None for q in inputs]
    if operator.fixed or layer.table is not None:
        return None  # codes of their own
    if operator.keeps_codes or (layer.requantize is None and layer.product_table is None):
        if operator.requantize == "must" and any(of_inputs):
            return _missing(layer)
        return None  # the output's quantization is that of the inputs: the rules say so
    if layer.product_table is None:
        return _affine_fault(layer, any(of_inputs))
    if not operator.product_rows:
        return "product_table", f"none for {layer.kind}", "one"
    if not all(of_inputs):
        return "product_table", "codebooks of all inputs", "affine codes"
    weight = layer.weight_quantization
    if operator.has_weight and (weight is None or weight.codebook is None):
        return "weight_quantization", "a codebook, as the input has", "affine codes"
    if layer.output.codebook is None and not operator.has_weight:
        return "output", f"a codebook for {layer.kind} of codebooks", "affine codes"
    if (layer.output.codebook is None) != (layer.requantize is not None):
        return "requantize", "a step where the output is affine, and only there", "the contrary"
    if layer.requantize is not None and not layer.requantize.rule.scales_products:
        return "requantize@mode", "a mode with shifts beside a product table", layer.requantize.mode
    return None


def _missing(layer: LayerRecord) -> tuple[str, str, object]:
    if OPERATORS[layer.kind].product_rows:
        return "product_table", "one where inputs have codebooks", "nothing"
    return "@inputs", f"affine codes for {layer.kind}", "codebooks"


def _affine_fault(layer: LayerRecord, codebooks: bool) -> tuple[str, str, object] | None:
    weight = layer.weight_quantization
    if codebooks:
        return _missing(layer)
    if weight is not None and weight.codebook is not None:
        return "weight_quantization", "affine codes, as the input has", "a codebook"
    if layer.output.codebook is not None:
        return "output", "affine codes behind a requantize step", "a codebook"
    return None


def check_product_table(layer: LayerRecord, inputs: Sequence[Quantization], say: Say) -> None:
    """Check the product table of a layer whose codebooks are in order."""
    table = layer.product_table
    assert table is not None
    if table.bits not in range(2, 63) or table.fraction_bits not in range(-128, 129):
        got = f"{table.bits} and {table.fraction_bits}"
        say("product_table@bits", "bits 2 to 62 and fraction_bits -128 to 128", got)
        return
    shape = _shape_of(layer, inputs)
    if table.products.shape != shape:  # before anything of that size is made
        say("product_table/products", f"shape {shape}", table.products.shape)
        return
    try:
        need = made_again(layer, inputs, table)
    except TraceDataError as error:
        say("product_table", "products of the codebooks", str(error))
        return
    if not np.array_equal(table.products, need.products):
        row, column = np.argwhere(table.products != need.products)[0]
        what = f"{int(need.products[row, column])} in row {row}, column {column}, by the codebooks"
        say("product_table/products", what, int(table.products[row, column]))
    _check_points(layer, table, say)


def _shape_of(layer: LayerRecord, inputs: Sequence[Quantization]) -> tuple[int, int]:
    """Return rows and columns of a layer's products."""
    rows, n_codes = OPERATORS[layer.kind].product_rows, [q.code_max + 1 for q in inputs]
    if rows == "weight codes":
        assert layer.weight_quantization is not None
        return layer.weight_quantization.code_max + 1, n_codes[0]
    if rows == "elements":
        assert layer.geometry is not None
        return layer.geometry.kernel[0] * layer.geometry.kernel[1], n_codes[0]
    return len(inputs), max(n_codes)


def made_again(
    layer: LayerRecord, inputs: Sequence[Quantization], table: ProductTable
) -> ProductTable:
    """Make the table of a layer again from its codebooks, with the same fraction and width."""
    books = [q.codebook for q in inputs if q.codebook is not None]
    rows, form = OPERATORS[layer.kind].product_rows, (table.fraction_bits, table.bits)
    if rows == "weight codes":
        assert layer.weight_quantization is not None
        weight = layer.weight_quantization.codebook
        assert weight is not None
        return products_of(weight, books[0], fraction_bits=form[0], bits=form[1])
    if rows == "elements":
        assert layer.geometry is not None
        n = layer.geometry.kernel[0] * layer.geometry.kernel[1]
        return shares_of(books[0], n, fraction_bits=form[0], bits=form[1])
    return terms_of(books, fraction_bits=form[0], bits=form[1])


def _check_points(layer: LayerRecord, table: ProductTable, say: Say) -> None:
    points, where = table.points, "product_table/points"
    if points is None:
        return
    if layer.output.codebook is None:
        say(where, "points where the output has a codebook", "affine codes")
    elif points.ndim != 2 or points.shape[0] < 2 or points.shape[1] != 2:
        say(where, "2 points or more of x and y", points.shape)
    elif not (points[1:, 0] > points[:-1, 0]).all():
        say(where, "x that rises", points[:, 0].tolist())
    elif np.abs(points).max() >= 1 << 61 or points.min() == np.iinfo(np.int64).min:
        say(where, "x and y within 62 bits", "others")
