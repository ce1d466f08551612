"""The parts of FORMAT.md that follow from the code: tables, the worked example and its listing.

    PYTHONPATH=.:kernels:traces python -m tests.traces.format_text

writes the tables of layers and operators into it, after an operator's record was added or changed.
"""

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from bitpim_traces.functions import FUNCTIONS
from bitpim_traces.modes import MODES
from bitpim_traces.operators import OPERATORS
from bitpim_traces.records import (
    NETWORK_INPUT,
    Geometry,
    LayerRecord,
    Quantization,
    Requantize,
    Samples,
    TensorRecord,
    Trace,
)
from bitpim_traces.schema import LAYER
from bitpim_traces.schema_forms import Attribute, Dataset, Group

__all__ = ["example_trace", "listing", "table_of", "table_of_operators", "with_tables"]


def _those(member: Attribute | Dataset, members: str) -> str:
    """Name the kinds whose operators have a member; all where it is of every layer."""
    kinds = [kind for kind, operator in OPERATORS.items() if member in getattr(operator, members)]
    return ", ".join(kinds) or "all"


def _attribute_row(attribute: Attribute, layered: bool) -> str:
    form = attribute.form
    if attribute.length:
        form += f"[{attribute.length}]"
    meaning = attribute.meaning
    if len(attribute.choices) == 1:
        meaning += f": `{attribute.choices[0]}`"
    elif attribute.choices:
        meaning += ": " + ", ".join(f"`{c}`" for c in attribute.choices)
    who = f" {_those(attribute, 'attributes')} |" if layered else ""
    return f"| `{attribute.name}` | {form} |{who} {meaning} |"


def _dataset_row(dataset: Dataset, layered: bool) -> str:
    need = "MUST" if dataset.required else "MAY"
    who = f" {_those(dataset, 'datasets')} |" if layered else ""
    cells = (", ".join(dataset.dtypes), " or ".join(dataset.axes), dataset.units, need)
    return f"| `{dataset.name}` | {' | '.join(cells)} |{who} {dataset.meaning} |"


def table_of(group: Group) -> str:
    """Write the tables of a group as FORMAT.md has them; that of a layer with all operators'."""
    layered = group.path == LAYER.path
    of_kinds = list(OPERATORS.values()) if layered else []
    attributes = dict.fromkeys([*group.attributes, *(a for g in of_kinds for a in g.attributes)])
    datasets = dict.fromkeys([*group.datasets, *(d for g in of_kinds for d in g.datasets)])
    lines = []
    if attributes:
        lines += [f"| attribute | form |{' kinds |' if layered else ''} meaning |"]
        lines += ["|---" * (4 if layered else 3) + "|"]
        lines += [_attribute_row(a, layered) for a in attributes]
    if datasets:
        lines += [""] if lines else []
        kinds = " kinds |" if layered else ""
        lines += [f"| dataset | dtype | axes | units | presence |{kinds} meaning |"]
        lines += ["|---" * (7 if layered else 6) + "|"]
        lines += [_dataset_row(d, layered) for d in datasets]
    return "\n".join(lines)


def table_of_operators() -> str:
    """Write the table of section 5.2."""
    lines = [
        "| kind | inputs | output before requantize | `requantize` | activation |",
        "|---|---|---|---|---|",
    ]
    entries = {
        "products": "1 entry or one per output channel",
        "window": "R x S entries, entry n - 1 for n elements",
        "terms": "one entry an input",
        "codes": "one entry an input",
        "accumulated": "1 entry",
    }
    for kind, operator in OPERATORS.items():
        rank = f" of rank {operator.rank}" if operator.rank else ""
        inputs = f"{operator.arity.removeprefix('exactly ')}{rank} {operator.inputs_are}".strip()
        step = f"{operator.requantize.upper()}; {entries[operator.sums]}"
        cells = (
            inputs,
            operator.computes,
            "none" if operator.requantize == "none" else step,
            ", ".join(operator.activations) + ", any function" * operator.tables,
        )
        lines.append(f"| `{kind}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def _codes(values: Any, dtype: str, axes: str, role: str, units: str = "code") -> TensorRecord:
    return TensorRecord.of(np.array(values, dtype), axes=axes, role=role, units=units)


def _quantization(
    bits: int, signed: bool, scale: Any, zero_point: Any, axis: int | None = None
) -> Quantization:
    return Quantization(
        bits, signed, np.array(scale, np.float64), np.array(zero_point, np.int64), axis
    )


def _shifts(mode: str, multiplier: list[int], shift: list[int]) -> Requantize:
    return Requantize(mode, np.array(multiplier, np.int32), np.array(shift, np.int32))


def example_trace() -> Trace:
    """Build the worked example of FORMAT.md section 6."""
    image = [[8, 12, 4, 15], [9, 7, 8, 0], [15, 8, 12, 3], [15, 0, 10, 8]]
    hidden = _quantization(4, False, [0.25], [2])
    conv = LayerRecord(
        0,
        "conv",
        "conv2d",
        (NETWORK_INPUT,),
        ((1, 4, 4),),
        (1, 2, 2),
        hidden,
        geometry=Geometry((2, 2), (2, 2)),
        activation="relu",
        clamp=(2, 15),
        requantize=_shifts("truncate_shift", [1], [3]),
        accumulator_bits=16,
        pad_code=8,
        weight=_codes([[[[1, -2], [3, 0]]]], "int8", "OIHW", "weight"),
        weight_quantization=_quantization(3, True, [0.25], [0]),
        bias=_codes([5], "int32", "O", "bias"),
    )
    flat = LayerRecord(1, "flat", "flatten", (0,), ((1, 2, 2),), (4,), hidden, clamp=(0, 15))
    scores = LayerRecord(
        2,
        "scores",
        "linear",
        (1,),
        ((4,),),
        (2,),
        _quantization(8, True, [0.125], [-1]),
        clamp=(-128, 127),
        requantize=_shifts("half_up_shift", [1, 1], [1, 0]),
        accumulator_bits=16,
        weight=_codes([[1, 1, -1, 2], [0, -3, 2, 1]], "int8", "OI", "weight"),
        weight_quantization=_quantization(3, True, [0.25, 0.5], [0, 0], 0),
        output_float=_codes([[0.125, 1.375]], "float32", "NC", "output_float", "real"),
    )
    samples = Samples(
        _codes([[image]], "uint8", "NCHW", "codes"),
        _quantization(4, False, [0.125], [8]),
        _codes([1], "int32", "N", "labels", "1"),
        "by hand",
    )
    provenance = {"software": {"name": "FORMAT.md"}, "parameters": {}, "seed": None}
    return Trace("example", (conv, flat, scores), samples, provenance)


def listing(path: Path) -> str:
    """List a file in the manner of h5dump, one object a line."""
    lines = []

    def line(name: str, item: Any) -> None:
        shown = {k: v for k, v in item.attrs.items() if k not in ("units", "role", "sha256")}
        attributes = " ".join(f"{k}={_value(v)}" for k, v in sorted(shown.items()))
        name = name if name.startswith("/") else f"/{name}"
        if isinstance(item, h5py.Dataset):
            content = _value(item[0] if item.dtype.kind == "S" else item[...])
            dtype = "text" if item.dtype.kind == "S" else item.dtype.name
            lines.append(f"{name} {dtype}{list(item.shape)} {attributes}: {content}")
        else:
            lines.append(f"{name} {attributes}".rstrip())

    with h5py.File(path) as file:
        line("/", file)
        file.visititems(line)
    return "\n".join(lines)


def _value(value: Any) -> str:
    if isinstance(value, bytes):
        return " ".join(value.decode().split())
    if isinstance(value, np.ndarray):
        return str(value.tolist()).replace(" ", "")
    return str(value)


def table_of_modes() -> str:
    """Write the table of section 5.1."""
    lines = ["| mode | code before the clamp | bounds |", "|---|---|---|"]
    lines += [f"| `{m.name}` | {m.formula} | {m.bounds} |" for m in MODES.values()]
    return "\n".join(lines)


def table_of_functions() -> str:
    """Write the table of section 5.6."""
    lines = ["| name | constants | value |", "|---|---|---|"]
    for function in FUNCTIONS.values():
        constants = ", ".join(function.constants)
        formula = function.formula.replace("|", "\\|")
        lines.append(f"| `{function.name}` | {constants} | {formula} |")
    return "\n".join(lines)


def with_tables(text: str) -> str:
    """Put the tables that operators make in the place of those of a text."""
    made = (table_of_operators(), table_of_modes(), table_of_functions())
    for table in (*table_of(LAYER).split("\n\n"), *made):
        head = table.partition("\n")[0]
        before, found, rest = text.partition(head)
        if not found:
            raise ValueError(f"need a table {head!r}, got none")
        text = before + table + rest[rest.index("\n\n") :]
    return text


if __name__ == "__main__":
    FORMAT = Path(__file__).parents[2] / "traces/FORMAT.md"
    FORMAT.write_text(with_tables(FORMAT.read_text("utf-8")), "utf-8")
