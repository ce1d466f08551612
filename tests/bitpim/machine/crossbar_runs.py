"""Crossbar machines and networks to run them on, and what has to hold of each run."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from bitpim.machine.machine import LayerRun
from bitpim.machine.registry import make_machine
from bitpim.proof.reference import run_network
from bitpim_traces.masks import LayerMask, masks_from_codes, with_masks
from bitpim_traces.records import Geometry, LayerRecord, TensorRecord, Trace
from tests.naive import crossbar as plain
from tests.naive import crossbar_machine as naive
from tests.one_layer import one_layer, quantization
from tests.strategies import small_trace

__all__ = [
    "NETWORK",
    "Case",
    "assignments",
    "calibrated_scales",
    "cases",
    "check_lossless",
    "check_naive",
    "code_tables",
    "machine",
    "prune",
    "run",
    "total",
]

Counts = Mapping[str, Mapping[str, int]]

PRESETS = {
    "dense_crossbar": "dense_crossbar_8bit",
    "isaac": "isaac_8bit",
    "pattern_crossbar": "pattern_crossbar_8bit",
    "sre": "sre",
}

COUNTING = {"pipelayer": "pipelayer_8bit"}
"""Machines without converters, and a preset of each."""

NETWORK = small_trace(
    57,
    kinds=["conv2d", "max_pool2d", "conv2d", "add", "avg_pool2d", "flatten", "linear"],
    mode="half_up_shift",
    bits=(8, 8),
)
"""Windows of several rows, groups, a residual, pooling."""


def machine(name: str, *assigned: str) -> Any:
    return make_machine(name, (PRESETS | COUNTING)[name], assigned)


def run(
    chosen: Any, trace: Trace, codes: npt.NDArray[Any] | None = None, **how: Any
) -> list[LayerRun]:
    codes = trace.samples.codes.read() if codes is None else codes
    return list(chosen.prepare(trace, **how).run_batch(codes))


def total(parts: Iterable[Counts]) -> dict[str, dict[str, int]]:
    """Add counts phase by phase, event by event; what did not happen is left out."""
    found: dict[str, dict[str, int]] = {}
    for part in parts:
        for phase, events in part.items():
            at = found.setdefault(phase, {})
            for event, count in events.items():
                at[event] = at.get(event, 0) + count
    return {phase: {e: n for e, n in events.items() if n} for phase, events in found.items()}


def check_plan(chosen: Any, trace: Trace, runs: Sequence[LayerRun], n_samples: int) -> None:
    """Reads done and left out add up to the closed form; all else is at most that."""
    plan = chosen.plan(trace)
    for got in runs:
        closed = plan.counts(got.index, n_samples)
        assert got.counts.keys() == closed.keys()
        between = "memory" if chosen.name == "pipelayer" else "buffer"
        assert got.counts[between] == closed[between]
        if "read" in closed and between == "memory":
            read, most = dict(got.counts["read"]), closed["read"]
            read["spike"] = read.get("spike", 0) + read.pop("spike_silent", 0)
            cells = read.pop("spike_cell", 0)
            assert cells <= most.get("spike_cell", 0)
            assert {e: n for e, n in read.items() if n} == {
                e: n for e, n in most.items() if n and e != "spike_cell"
            }
        elif "read" in closed:
            read, most = dict(got.counts["read"]), closed["read"]
            skipped = read.pop("ou_skipped", 0)
            assert read.get("ou_activation", 0) + skipped == most.get("ou_activation", 0)
            assert all(n <= most.get(event, 0) for event, n in read.items())
            if not skipped and chosen.name != "sre":  # which passes over rows, too
                assert read == most


def check_lossless(
    chosen: Any, trace: Trace, *, jobs: int = 1, against_naive: bool = True
) -> list[Counts]:
    """See that both fidelities give the referee's codes and the same counts; yield these."""
    codes = trace.samples.codes.read()
    expected = run_network(trace, codes, keep="all")
    slow = naive.run_network(chosen, trace, codes) if against_naive else {}
    by_fidelity = {}
    for fidelity in ("bit", "integer"):
        runs = run(chosen, trace, fidelity=fidelity, jobs=jobs)
        assert [got.index for got in runs] == list(range(len(trace.layers)))
        for got, layer in zip(runs, trace.layers, strict=True):
            where = (trace.name, layer.name, fidelity)
            assert got.codes.dtype == expected[got.index].dtype, where
            assert np.array_equal(got.codes, expected[got.index]), where
            if against_naive:
                assert np.array_equal(slow[got.index].codes, expected[got.index]), where
                assert got.counts == slow[got.index].counts, where
        check_plan(chosen, trace, runs, len(codes))
        by_fidelity[fidelity] = [got.counts for got in runs]
    assert by_fidelity["bit"] == by_fidelity["integer"]
    return by_fidelity["bit"]


def check_naive(
    chosen: Any, trace: Trace, scales: dict[int, int] | None = None
) -> dict[int, naive.NaiveRun]:
    """See that codes and counts are those of the naive machine; yield its runs."""
    codes = trace.samples.codes.read()
    slow = naive.run_network(chosen, trace, codes, scales)
    runs = run(chosen, trace)
    for got in runs:
        assert np.array_equal(got.codes, slow[got.index].codes), trace.layers[got.index].name
        assert got.counts == slow[got.index].counts, trace.layers[got.index].name
    check_plan(chosen, trace, runs, len(codes))
    return slow


def calibrated_scales(exact: Any, trace: Trace, n_samples: int, coverage: float) -> dict[int, int]:
    """Find the smallest range of each layer that holds so many of its partial sums."""
    seen = naive.run_network(exact, trace, trace.samples.codes.read()[:n_samples])
    return {
        i: _smallest_range(run.partial_sums, coverage)
        for i, run in seen.items()
        if run.partial_sums
    }


def _smallest_range(seen: Counter[int], coverage: float) -> int:
    sums = sorted(abs(partial) for partial in seen.elements())
    return max(1, next(size for n, size in enumerate(sums, 1) if n >= coverage * len(sums)))


# Networks.


def prune(
    trace: Trace,
    seed: int,
    *,
    patterns: Sequence[int] | None = None,
    empty: float = 0.3,
    carry: bool = True,
) -> Trace:
    """Give every conv kernel one of a few masks, or none, and set what it drops to zero.

    `carry` has the trace say so, else only the weights do. Some channels are dropped whole.
    """
    rng = np.random.default_rng(seed)
    layers, masks = [], {}
    for layer in trace.layers:
        if layer.weight is None:
            layers.append(layer)
            continue
        window = layer.geometry.kernel if layer.geometry else (1, 1)
        every = (1 << window[0] * window[1]) - 1
        few = patterns or [1 + int(rng.integers(every)) for _ in range(4)] + [every]
        known = np.unique([code & every for code in few if code & every])
        codes = rng.choice(known, layer.weight.shape[:2])
        codes[rng.random(codes.shape) < empty] = 0
        codes[:, rng.random(codes.shape[1]) < empty / 2] = 0
        mask = masks_from_codes(codes, window).reshape(layer.weight.shape)
        layers.append(_masked(layer, mask))
        has_patterns = layer.geometry is not None and bool(rng.integers(2))
        masks[layer.name] = LayerMask(mask, known.astype(np.uint32) if has_patterns else None)
    pruned = replace(trace, layers=tuple(layers))
    return with_masks(pruned, masks) if carry else pruned


def _masked(layer: LayerRecord, mask: npt.NDArray[np.uint8]) -> LayerRecord:
    assert layer.weight is not None and layer.weight_quantization is not None
    weight = layer.weight.read()
    zero = layer.weight_quantization.zero_point.reshape(-1, *[1] * (weight.ndim - 1))
    kept = np.where(mask, weight, zero).astype(weight.dtype)
    return replace(layer, weight=TensorRecord.of(kept, axes=layer.weight.axes, role="weight"))


class Case(NamedTuple):
    """A network and the settings to run it with."""

    trace: Trace
    assigned: tuple[str, ...]


@st.composite
def code_tables(
    draw: st.DrawFn, bits: int, *, signed: bool, quiet: bool
) -> tuple[list[int], list[int | float | str]]:
    """Draw thresholds and levels of at most so many bits, these as presets spell them.

    With `signed` a threshold is at most 0; with `quiet` a sum of 0 reads as 0.
    """
    low = -60 if signed or draw(st.booleans()) else 0
    found = draw(st.sets(st.integers(low, 60), min_size=1, max_size=(1 << bits) - 1))
    thresholds = sorted(found)
    if signed and thresholds[0] > 0:
        thresholds[0] *= -1
    unit = draw(st.sampled_from([1, 2, 3, 7, 10]))
    n = len(thresholds) + 1
    counts = sorted(draw(st.lists(st.integers(-150, 150), min_size=n, max_size=n)))
    if quiet:
        at_zero = counts[sum(threshold <= 0 for threshold in thresholds)]
        counts = [count - at_zero for count in counts]
    return thresholds, [_spelled(Fraction(count, unit)) for count in counts]


def _spelled(level: Fraction) -> int | float | str:
    if level.denominator == 1:
        return int(level)
    return str(level) if level.denominator in (3, 7) else float(level)


@st.composite
def assignments(draw: st.DrawFn, name: str, *, lossy: bool) -> dict[str, Any]:
    """Draw settings of a machine, small and ragged, except for the bits of weights and inputs."""
    rows, columns = draw(st.integers(1, 40)), draw(st.integers(1, 24))
    if name == "pipelayer":
        return _spiking(draw, rows, columns, lossy=lossy)
    encodings = ["offset", "differential", "differential_paired", "twos_complement"]
    if name in ("dense_crossbar", "isaac"):
        encodings.append("column_flip")
    encoding = draw(st.sampled_from(encodings))
    found = {
        "geometry.array_rows": rows,
        "geometry.array_columns": columns,
        "geometry.ou_rows": draw(st.integers(1, min(rows, 12))),
        "geometry.ou_columns": draw(st.integers(1, columns)),
        "geometry.cell_bits": draw(st.integers(1, 4)),
        "converter.dac_bits": draw(st.integers(1, 3)),
        "converter.adc_model": "exact",
        "numbers.encoding": encoding,
    }
    if lossy:
        models = ["clip", "sign_magnitude", "symmetric"]
        models += ["floor", "round"] * (encoding != "differential_paired")
        if name == "sre":
            models = models[:2]
        model = draw(st.sampled_from([*models, "code_table"]))
        bits = draw(st.integers(2 if model == "sign_magnitude" else 1, 4))
        found["converter.adc_model"], found["converter.adc_bits"] = model, bits
        found["numbers.overflow"] = "saturate"
        if model == "code_table":
            signed, quiet = encoding == "differential_paired", name == "sre" or draw(st.booleans())
            thresholds, levels = draw(code_tables(bits, signed=signed, quiet=quiet))
            found["converter.adc_thresholds"], found["converter.adc_levels"] = thresholds, levels
        elif model != "clip" and draw(st.booleans()):
            found["converter.adc_range"] = "given"
            found["converter.adc_full_scale"] = draw(st.integers(1, 40))
    if name == "sre":
        found["mapping.drop_zero_rows"] = draw(st.booleans())
        found["mapping.pack_active_rows"] = draw(st.booleans())
        found["mapping.column_order"] = draw(st.sampled_from(["weight", "bit_slice"]))
        return found
    found["mapping.row_blocks"] = draw(st.sampled_from(["array", "window"]))
    skips = ["none", "bit_plane", "vector"]
    quiet = found["converter.adc_model"] != "symmetric"
    if found["converter.adc_model"] == "code_table":
        quiet = not plain.code_table(thresholds, levels, 0)
    found["mapping.zero_skip"] = draw(st.sampled_from(skips if quiet else skips[:1]))
    if name == "pattern_crossbar":
        found["mapping.pad_ou_columns"] = draw(st.booleans())
        found["mapping.other_kernels"] = draw(st.sampled_from(["dense", "patterns"]))
    return found


def _spiking(draw: st.DrawFn, rows: int, columns: int, *, lossy: bool) -> dict[str, Any]:
    """Draw settings of a machine with counters; narrow ones saturate."""
    encodings = ["differential", "differential", "offset", "twos_complement", "column_flip"]
    found: dict[str, Any] = {
        "geometry.array_rows": rows,
        "geometry.array_columns": columns,
        "geometry.ou_rows": draw(st.sampled_from([rows, min(rows, 12)])),
        "geometry.ou_columns": draw(st.sampled_from([columns, min(columns, 5)])),
        "geometry.cell_bits": draw(st.integers(1, 4)),
        "memory.cell_bits": draw(st.integers(1, 5)),
        "numbers.encoding": draw(st.sampled_from(encodings)),
    }
    if lossy:
        found["converter.counter_bits"] = draw(st.integers(1, 4))
        found["converter.counter_overflow"] = found["numbers.overflow"] = "saturate"
    return found


@st.composite
def layers(draw: st.DrawFn, *, pruned: bool) -> Trace:
    """Draw one layer: linear, or a convolution of any geometry; codes of any width and sign."""
    bits = draw(st.sampled_from([1, 2, 3, 4, 8, 8, 8, 11, 16]))
    signed = draw(st.booleans())
    low = -(1 << (bits - 1)) if signed else 0
    ends = st.sampled_from([low, low + (1 << bits) - 1]) | st.integers(low, low + (1 << bits) - 1)
    inputs = quantization(bits, draw(ends), signed=signed)
    weight_bits = draw(st.sampled_from([2, 3, 4, 8, 8, 8, 10, 16]))
    weight_signed = draw(st.booleans())
    weight_low = -(1 << (weight_bits - 1)) if weight_signed else 0
    weight_ends = st.sampled_from([0, weight_low, weight_low + (1 << weight_bits) - 1])
    groups = draw(st.sampled_from([1, 1, 1, 2, 3]))
    n_filters = groups * draw(st.integers(1, 3))
    zeros: Any = draw(weight_ends)
    if draw(st.booleans()):
        zeros = draw(st.lists(weight_ends, min_size=n_filters, max_size=n_filters))
    weights = quantization(weight_bits, zeros, signed=weight_signed)
    geometry, image = None, (draw(st.integers(1, 30)),)
    if draw(st.integers(0, 4)) or pruned:
        depth = draw(st.integers(1, 1 if groups == 3 else 3))
        shape = (groups * depth, draw(st.integers(1, 4)), draw(st.integers(1, 4)))
        sides = st.sampled_from([(3, 3)] * 3 + [(1, 1), (2, 3), (5, 5)])
        geometry = Geometry(
            draw(sides),
            (draw(st.integers(1, 3)), draw(st.integers(1, 2))),
            tuple(draw(st.integers(0, 2)) for _ in range(4)),  # type: ignore[arg-type]
            (draw(st.integers(1, 2)), draw(st.integers(1, 2))),
            groups,
        )
        if min(geometry.output_size(*shape[1:])) < 1:  # all that is needed to have a position
            geometry = replace(geometry, padding=(5, 4, 4, 5), stride=(3, 3))
        image = shape  # type: ignore[assignment]
    else:
        n_filters, weights = draw(st.integers(1, 5)), quantization(weight_bits, signed=True)
    wide = bits + weight_bits > 18
    modes = ["truncate_shift", "half_up_shift", "float_scale_half_even"]
    return one_layer(
        draw(st.integers(0, 2**16)),
        image,
        n_filters,
        geometry,
        inputs=inputs,
        weights=weights,
        mode=draw(st.sampled_from(modes if wide else [*modes, "fixed_point_half_away"])),
        n_samples=draw(st.sampled_from([2, 1, 2, 1, 0])),
        accumulator_bits=48 if wide else 32,
        bias=not wide,
    )


@st.composite
def cases(draw: st.DrawFn, name: str, *, lossy: bool = False) -> Case:
    """Draw a network of one layer, and settings that hold it; without `lossy`, no converter."""
    pruned = name in ("pattern_crossbar", "sre")
    trace = draw(layers(pruned=pruned))
    if pruned:
        trace = prune(trace, draw(st.integers(0, 99)), carry=draw(st.booleans()))
    found = draw(assignments(name, lossy=lossy))
    layer = trace.layers[0]
    assert layer.weight_quantization is not None
    bits = layer.weight_quantization.bits
    if bits == 16 and found["numbers.encoding"].startswith("differential"):
        found["numbers.encoding"] = "twos_complement"  # nothing is wide enough
    if found["numbers.encoding"].startswith("differential") or draw(st.booleans()):
        bits = min(16, bits + draw(st.integers(1, 3)))
    found["numbers.weight_bits"] = bits
    input_bits = trace.samples.quantization.bits
    found["numbers.input_bits"] = draw(st.sampled_from(["trace", min(16, input_bits + 3)]))
    return Case(trace, tuple(f"{key}={_toml(value)}" for key, value in found.items()))


def _toml(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
