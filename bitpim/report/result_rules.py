"""What the values of a result must be: ranges, and what must agree.

Functions ending in `_of` take values of JSON apart and raise ValueError, TypeError or KeyError;
those that begin with `check_` report faults.
"""

from collections.abc import Mapping, Sequence
from math import inf
from typing import Any

import numpy as np

from bitpim.cost.model import CYCLES
from bitpim.cost.tables import parse_prices
from bitpim.errors import ConfigError
from bitpim.legend import Legend
from bitpim.report.figures import ERROR_COLUMNS, ErrorFigures, LayerFigures
from bitpim.report.result_records import LayerResult
from bitpim_traces.faults import Fault, Report, shown
from bitpim_traces.file_bounds import MAX_LAYERS

__all__ = [
    "check_figures",
    "check_layers",
    "check_legend",
    "check_prices",
    "check_values",
    "figures_of",
    "plan_of",
    "provenance_of",
    "texts_of",
]

_MOST_PJ = 1e60
"""Energy of a phase: what it takes to add up those of all layers and stay finite."""
_CLOCKS_GHZ = (1e-12, 1e12)
_PLAN_COUNTS = ("arrays", "lanes", "passes")
_SHARES = ("top1_agreement", "accuracy")


def provenance_of(content: Any) -> dict[str, Any]:
    """Need an object."""
    if not isinstance(content, dict):
        raise TypeError("not an object")
    return content


def texts_of(content: Any) -> dict[str, str]:
    """Need an object of texts."""
    if not all(isinstance(value, str) for value in provenance_of(content).values()):
        raise TypeError("a value is not a text")
    return provenance_of(content)


def plan_of(content: Any) -> dict[str, int | float | str | bool]:
    """Need an object of scalars, those that reports show among them being numbers."""
    plan = provenance_of(content)
    if not all(isinstance(value, bool | int | float | str) for value in plan.values()):
        raise TypeError("a value is not a scalar")
    for key in _PLAN_COUNTS:
        if _count(plan.get(key, 0)) < 0:
            raise ValueError(f"{key} is below 0")
    if _number(plan.get("utilization", 0)) < 0:
        raise ValueError("utilization is below 0")
    return plan


def figures_of(content: Any) -> ErrorFigures:
    """Make error figures."""
    layers = tuple(
        LayerFigures(
            _count(row["index"]),
            _text(row["name"]),
            _count(row["n_samples"]),
            *(_number(row[key]) for key in ("max_abs", "relative_l2", "sqnr_db")),
        )
        for row in content["layers"]
    )
    shares = [None if content[k] is None else _number(content[k]) for k in _SHARES]
    n_compared, n_labelled = _count(content["n_compared"]), _count(content["n_labelled"])
    in_float = content.get("float_accuracy")  # which runs of earlier versions do not state
    known = _count(content.get("n_float_labelled", 0)), in_float and _number(in_float)
    return ErrorFigures(layers, n_compared, shares[0], n_labelled, shares[1], *known)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"not a number: {value!r}")
    return float(value)


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"not an integer: {value!r}")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"not a text: {value!r}")
    return value


def check_values(path: str, group: Mapping[str, Any], n_samples: int, report: Report) -> None:
    """Check the numbers of one layer."""
    for name in ("counts", "cycles"):
        if group[name].min(initial=0) < 0:
            report(Fault(f"{path}/{name}", "counts of at least 0", "a negative one"))
    rows = group["error_rows"]
    if rows.shape[1] != len(ERROR_COLUMNS) or len(rows) > n_samples:
        need = f"shape (at most {n_samples}, {len(ERROR_COLUMNS)})"
        report(Fault(f"{path}/error_rows", need, f"{rows.shape}"))
    limits = {"error_rows": np.finfo(np.float64).max, "energy_pj": _MOST_PJ}
    for name, most in limits.items():
        values = group.get(name)
        # Said so that NaN is refused too.
        if values is not None and not ((values >= 0) & (values <= most)).all():
            report(Fault(f"{path}/{name}", f"finite numbers from 0 to {most:g}", "others"))


def check_layers(layers: Sequence[LayerResult], report: Report) -> None:
    """Check that layers come once, in the order of the trace."""
    before = -1
    names: set[str] = set()
    for position, layer in enumerate(layers):
        path = f"/layers/{position:04d}"
        if not before < layer.index < MAX_LAYERS:
            need = f"indices that ascend, below {MAX_LAYERS}"
            report(Fault(f"{path}@index", need, f"{layer.index} after {before}"))
        if layer.name in names:
            report(Fault(f"{path}@name", "different names of layers", shown(layer.name)))
        names.add(layer.name)
        before = layer.index


def check_figures(
    figures: ErrorFigures, layers: Sequence[LayerResult], n_samples: int, report: Report
) -> None:
    """Check error figures against the layers and samples they are of."""
    names = {layer.index: layer.name for layer in layers}
    before = -1
    for row in figures.layers:
        good = (
            before < row.index
            and names.get(row.index) == row.name
            and 0 <= row.n_samples <= n_samples
            and 0 <= row.max_abs < inf
            and row.relative_l2 >= 0
            and row.sqnr_db == row.sqnr_db
        )
        if not good:
            need = "figures that a layer of this run can have, each layer once"
            report(Fault("/figures@figures", need, shown(row)))
        before = row.index
    pairs = (
        (figures.n_compared, figures.top1_agreement),
        (figures.n_labelled, figures.accuracy),
        (figures.n_float_labelled, figures.float_accuracy),
    )
    for n, share in pairs:
        if not 0 <= n <= n_samples or not (share is None or 0 <= share <= 1):
            need = f"shares from 0 to 1, of at most {n_samples} samples"
            report(Fault("/figures@figures", need, f"{share} of {n}"))


def check_legend(legend: Legend, report: Report) -> None:
    """Check that the clock is one by which times stay finite."""
    low, high = _CLOCKS_GHZ
    if legend.clock_ghz is not None and not low <= legend.clock_ghz <= high:
        report(Fault("/@legend", f"a clock of {low:g} to {high:g} GHz", f"{legend.clock_ghz}"))


def check_prices(name: str, text: str, layers: Sequence[LayerResult], report: Report) -> None:
    """Check that the price table is one, bears its name, and prices all that was counted."""
    try:
        table = parse_prices(text)
    except ConfigError as error:
        report(Fault("/prices@table", "a price table", shown(str(error))))
        return
    if table.name != name:
        report(Fault("/prices@name", f"the table's name {shown(table.name)}", shown(name)))
    counted = {event for layer in layers for event in layer.events()} - {CYCLES}
    for event in sorted(counted - set(table.events)):
        report(Fault("/prices@table", "a price of each event counted", f"none of {shown(event)}"))
