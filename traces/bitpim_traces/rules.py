"""Rules that tie the numbers of a trace together, by the records alone: no file, no tensor read.

The writer refuses what breaks them, the reader too, and `check` lists every break.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

from bitpim_traces.cluster_rules import check_clusters
from bitpim_traces.codebook_rules import (
    are_in_order,
    check_codebook,
    check_product_table,
    codebooks_fault,
)
from bitpim_traces.faults import Fault, Report, shown
from bitpim_traces.file_bounds import MAX_AXIS, MAX_BITS, MAX_RANK, MAX_VALUES
from bitpim_traces.functions import is_function
from bitpim_traces.modes import MODES
from bitpim_traces.numbers.affine import code_dtype, same_quantization
from bitpim_traces.operators import OPERATORS, Operator, Unfit
from bitpim_traces.records import (
    CLIPS,
    NETWORK_INPUT,
    LayerRecord,
    Quantization,
    Requantize,
    Trace,
)

__all__ = ["check_derived", "check_rules"]

_MAX_SUM_BITS = 64
"""Width of the widest accumulator, and of output codes that are one."""

Say = Callable[[str, str, object], None]
"""Reports a data fault: member of the layer, need, got."""


def check_rules(trace: Trace | None, report: Report) -> None:
    """Check everything that does not need the values of large tensors.

    Layers that are missing (they could not be made) are skipped, and so are rules that need them.
    """
    if trace is None:
        return
    _Rules(trace, report).check()


def check_derived(trace: Trace, as_read: Trace | None, report: Report) -> None:
    """Check what records say beside the file: a reader works out input shapes from the edges."""
    found = {} if as_read is None else {layer.index: layer for layer in as_read.layers}
    for index, layer in enumerate(trace.layers):
        where = f"/layers/{index:04d}"
        if layer.index != index:
            report(Fault(where, f"index {index}", str(layer.index), "data"))
        elif index in found and layer.input_shapes != found[index].input_shapes:
            need = f"input_shapes {found[index].input_shapes}"
            report(Fault(f"{where}@inputs", need, shown(layer.input_shapes), "data"))


class _Rules:
    def __init__(self, trace: Trace, report: Report) -> None:
        self.trace, self.report = trace, report
        self.layers = {layer.index: layer for layer in trace.layers}

    def check(self) -> None:
        self._samples()
        names: dict[str, int] = {}
        for layer in self.trace.layers:
            say = self._say(f"/layers/{layer.index:04d}")
            if not layer.name or names.setdefault(layer.name, layer.index) != layer.index:
                say("@name", "a unique name", layer.name)
            self._layer(layer, say)

    def _say(self, path: str) -> Say:
        def say(member: str, need: str, got: object) -> None:
            slash = "" if not member or member.startswith("@") else "/"
            text = got if isinstance(got, str) else shown(got)
            self.report(Fault(f"{path}{slash}{member}", need, text, "data"))

        return say

    def _samples(self) -> None:
        samples, say = self.trace.samples, self._say("/samples")
        _check_quantization(samples.quantization, "quantization", None, say)
        need = code_dtype(samples.quantization).name
        if samples.codes.dtype.name != need:
            say("codes", f"dtype {need}", samples.codes.dtype.name)
        _check_shape(samples.codes.shape[1:], "codes", say)
        if samples.labels is not None and samples.labels.shape != samples.codes.shape[:1]:
            say("labels", "one label a sample", samples.labels.shape)

    def _layer(self, layer: LayerRecord, say: Say) -> None:
        _check_quantization(layer.output, "output", None, say, _most_bits(layer))
        _check_shape(layer.output_shape, "@output_shape", say)
        if not 2 <= layer.accumulator_bits <= _MAX_SUM_BITS:
            say("@accumulator_bits", f"2 to {_MAX_SUM_BITS}", layer.accumulator_bits)
        _check_members(layer, say)
        _check_binary(layer, say)
        _check_clamp(layer, say)
        _check_float(layer, self.trace.n_samples, say)
        check_clusters(layer, say)
        if not self._edges(layer, say):
            return
        inputs = [self._quantization_of(i) for i in layer.inputs]
        if not self._shapes(layer, say):
            return
        if layer.requantize is not None and layer.requantize.mode not in MODES:
            say("requantize@mode", f"one of {', '.join(MODES)}", layer.requantize.mode)
            return
        if OPERATORS[layer.kind].has_weight:
            _check_weights(layer, say)
        if all(q is not None for q in inputs):
            known = [q for q in inputs if q is not None]
            _check_padding_code(layer, known[0], say)
            fault = codebooks_fault(layer, known)
            if fault is not None:
                say(*fault)
                return
            _check_quantizations(layer, known, say)
            tables_of = (*known, layer.weight_quantization, layer.output)
            if layer.product_table is not None and are_in_order(tables_of):
                check_product_table(layer, known, say)
        if layer.requantize is not None:
            _check_requantize(layer, layer.requantize, say)

    def _quantization_of(self, index: int) -> Quantization | None:
        if index == NETWORK_INPUT:
            return self.trace.samples.quantization
        return self.layers[index].output if index in self.layers else None

    def _edges(self, layer: LayerRecord, say: Say) -> bool:
        if not all(NETWORK_INPUT <= i < layer.index for i in layer.inputs):
            say("@inputs", "layers before this one, or -1", layer.inputs)
            return False
        known = (self._quantization_of(i) for i in layer.inputs)
        widest = max((q.bits for q in known if q is not None), default=0)
        if widest > MAX_BITS:
            say("@inputs", f"layers whose codes have at most {MAX_BITS} bits", f"{widest} bits")
            return False
        operator = OPERATORS[layer.kind]
        if not operator.takes(len(layer.inputs)):
            say("@inputs", f"{operator.arity} for {layer.kind}", layer.inputs)
            return False
        return True

    def _shapes(self, layer: LayerRecord, say: Say) -> bool:
        actual = tuple(
            self.trace.samples.codes.shape[1:]
            if i == NETWORK_INPUT
            else (self.layers[i].output_shape if i in self.layers else shape)
            for i, shape in zip(layer.inputs, layer.input_shapes, strict=False)
        )
        if actual != layer.input_shapes:
            say("@inputs", f"input shapes {actual}", layer.input_shapes)
            return False
        try:
            need = OPERATORS[layer.kind].output_shape(layer, layer.input_shapes)
        except Unfit as unfit:
            say(unfit.member, unfit.need, unfit.got)
            return False
        if need != layer.output_shape:
            say("@output_shape", shown(need), layer.output_shape)
            return False
        return True


def _most_bits(layer: LayerRecord) -> int:
    """Yield how wide output codes may be: those of sums of products as wide as accumulators."""
    step = layer.requantize
    raw = step is not None and step.mode in MODES and step.rule.scales_products
    wide = raw and OPERATORS[layer.kind].has_weight
    return max(MAX_BITS, min(layer.accumulator_bits, _MAX_SUM_BITS)) if wide else MAX_BITS


def _check_quantization(
    quantization: Quantization,
    member: str,
    n_channels: int | None,
    say: Say,
    most_bits: int = MAX_BITS,
) -> None:
    """Check widths, scales and zero points; `n_channels` None: per tensor only."""
    if quantization.codebook is not None:
        check_codebook(quantization, member, say)
        return
    if not 1 <= quantization.bits <= most_bits:
        say(f"{member}@bits", f"1 to {most_bits}", quantization.bits)
        return
    if quantization.bits > MAX_BITS and not quantization.signed:
        say(f"{member}@signed", f"1 for more than {MAX_BITS} bits", 0)
        return
    shape = quantization.scale.shape
    per_channel = n_channels is not None and quantization.axis == 0
    need = (n_channels,) if per_channel else (1,)
    if not per_channel and quantization.axis is not None:
        axes = "-1 (per tensor) or 0 (per output channel)" if n_channels is not None else "-1"
        say(f"{member}@axis", axes, quantization.axis)
    elif shape != need or quantization.zero_point.shape != need:
        got = f"{shape} and {quantization.zero_point.shape}"
        say(member, f"scale and zero_point of shape {need}", got)
    elif quantization.binary and (
        (quantization.bits, quantization.signed) != (2, True) or quantization.zero_point.any()
    ):
        say(member, "signed codes of 2 bits around 0 where they are -1 and 1", "others")
    elif not (np.isfinite(quantization.scale).all() and (quantization.scale > 0).all()):
        say(f"{member}/scale", "finite numbers above 0", quantization.scale.tolist())
    elif (quantization.zero_point < quantization.code_min).any() or (
        quantization.zero_point > quantization.code_max
    ).any():
        ends = f"{quantization.code_min} to {quantization.code_max}"
        say(f"{member}/zero_point", ends, quantization.zero_point.tolist())


def _check_shape(shape: tuple[int, ...], member: str, say: Say) -> None:
    if not 1 <= len(shape) <= MAX_RANK or not all(1 <= n <= MAX_AXIS for n in shape):
        need = f"a shape of 1 to {MAX_RANK} axes without the sample axis, no axis empty"
        say(member, need, shape)
    elif math.prod(shape) > MAX_VALUES:
        say(member, f"a shape of at most {MAX_VALUES} values", shape)


def _check_members(layer: LayerRecord, say: Say) -> None:
    """Check which optional members a kind has."""
    operator = OPERATORS[layer.kind]
    if operator.has_weight != (layer.weight_quantization is not None):
        need = f"a group for {_those('has_weight')}, and only there"
        say("weight_quantization", need, layer.kind)
    tabled = operator.is_table(layer.activation)
    has = layer.requantize is not None
    must_have = operator.requantize == "must" and layer.product_table is None
    if (must_have and not has) or (has and (operator.requantize == "none" or tabled)):
        must, may = (_those("requantize", word) for word in ("must", "may"))
        say("requantize", f"a group for {must}; perhaps for {may}", layer.kind)
    if tabled != (layer.table is not None):
        say("table", "a table for a function, and only there", layer.activation)
    allowed = ", ".join(operator.activations)
    if tabled and not is_function(layer.activation):
        say("@activation", f"one of {allowed}, or a function's small name", layer.activation)
    elif _has_points(layer) and not (is_function(layer.activation) or layer.activation in CLIPS):
        say("@activation", "a function's small name where there are points", layer.activation)
    elif not (tabled or _has_points(layer)) and layer.activation not in operator.activations:
        say("@activation", f"one of {allowed} for {layer.kind}", layer.activation)
    known = {dataset.name for dataset in operator.datasets}
    for name in set(layer.tensors) - known:
        say(name, f"only what {layer.kind} has", "another dataset")
    if not tabled and "constants" in layer.tensors:
        say("constants", "none where there is no function", layer.activation)


def _has_points(layer: LayerRecord) -> bool:
    return layer.product_table is not None and layer.product_table.points is not None


def _those(name: str, value: object = True) -> str:
    """Name the kinds whose operators have something."""
    return ", ".join(kind for kind, found in OPERATORS.items() if getattr(found, name) == value)


def _check_clamp(layer: LayerRecord, say: Say) -> None:
    low, high = layer.clamp
    output = layer.output
    if not 1 <= output.bits <= _most_bits(layer):
        return  # reported with the quantization
    if not output.code_min <= low <= high <= output.code_max:
        say("@clamp", f"lowest <= highest within {output.code_min}..{output.code_max}", layer.clamp)
    elif _never_clamps(OPERATORS[layer.kind]) and (low, high) != (output.code_min, output.code_max):
        say("@clamp", f"the whole code range for {layer.kind}", layer.clamp)
    elif layer.activation in ("relu", "relu6") and low < output.zero_point.reshape(-1)[:1].sum():
        say("@clamp", f"lowest at or above the zero point for {layer.activation}", layer.clamp)


def _check_binary(layer: LayerRecord, say: Say) -> None:
    """Check that codes of -1 and 1 come of what makes no others."""
    operator, output = OPERATORS[layer.kind], layer.output
    if not output.binary:
        return
    moved = operator.keeps_codes and operator.pads_with != "zero point"
    joined = layer.kind == "concat" and layer.requantize is None
    whole = layer.clamp == (output.code_min, output.code_max)
    made = layer.table is not None or operator.fixed or moved or joined
    if not (made and whole):
        need = "0 or 1: codes of -1 and 1 come of tables, constants and moves alone"
        say("output@signed", need, layer.kind)


def _never_clamps(operator: Operator) -> bool:
    return operator.keeps_codes or operator.fixed


def _check_float(layer: LayerRecord, n_samples: int, say: Say) -> None:
    reference = layer.output_float
    if reference is not None and (
        reference.shape[1:] != layer.output_shape or reference.shape[0] > n_samples
    ):
        need = f"at most {n_samples} samples of shape {layer.output_shape}"
        say("output_float", need, reference.shape)
    for name in ("weight", "bias"):
        codes, real = getattr(layer, name), getattr(layer, f"{name}_float")
        if codes is not None and real is not None and codes.shape != real.shape:
            say(f"{name}_float", f"shape {codes.shape}", real.shape)
    values, real = (layer.tensors.get(name) for name in ("values", "values_float"))
    if values is not None and real is not None and values.shape != real.shape:
        say("values_float", f"shape {values.shape}", real.shape)


def _check_weights(layer: LayerRecord, say: Say) -> None:
    weight, quantization = layer.weight, layer.weight_quantization
    if weight is None or quantization is None:
        return
    _check_quantization(quantization, "weight_quantization", weight.shape[0], say)
    held = code_dtype(quantization).name
    if 1 <= quantization.bits <= 16 and weight.dtype.name != held:
        say("weight", f"dtype {held}", weight.dtype.name)
    wide = "int64" if layer.accumulator_bits > 32 else "int32"
    if layer.bias is not None and (
        layer.bias.shape != weight.shape[:1] or layer.bias.dtype.name != wide
    ):
        got = f"{layer.bias.dtype.name} of shape {layer.bias.shape}"
        say("bias", f"{wide} of shape {weight.shape[:1]}", got)


def _check_padding_code(layer: LayerRecord, source: Quantization, say: Say) -> None:
    window = layer.geometry
    operator = OPERATORS[layer.kind]
    padded = operator.pads_with is not None and (
        window is None or any(window.padding) or window.ceil_mode
    )
    if not padded or not 1 <= source.bits <= 16 or source.zero_point.shape != (1,):
        return
    lowest = operator.pads_with == "lowest code"
    need = source.code_min if lowest else int(source.zero_point[0])
    if layer.pad_code != need:
        say("@pad_code", f"{need}, the input's {operator.pads_with}", layer.pad_code)


def _check_quantizations(layer: LayerRecord, inputs: Sequence[Quantization], say: Say) -> None:
    """Check kinds whose output codes mean what the input codes mean; and tables."""
    step, operator = layer.requantize, OPERATORS[layer.kind]
    if step is None:
        numbers = layer.table is not None or layer.product_table is not None
        bare = operator.requantize == "may" and not numbers
    else:
        bare = _is_plain_mean(operator, step)
    same = operator.keeps_codes or bare
    if same and not all(same_quantization(q, layer.output) for q in inputs):
        say("output", "the quantization of every input", "another")
    dtype = code_dtype(layer.output).name
    if layer.table is not None:
        entries = inputs[0].code_max - inputs[0].code_min + 1 if 1 <= inputs[0].bits <= 16 else 0
        shapes = ((entries,), (layer.output_shape[0], entries))
        if layer.table.shape not in shapes or layer.table.dtype.name != dtype:
            got = f"{layer.table.shape} of {layer.table.dtype.name}"
            say("table", f"{entries} entries of {dtype}, or such a row a channel", got)
    values = layer.tensors.get("values")
    if values is not None and values.dtype.name != dtype:
        say("values", f"dtype {dtype}", values.dtype.name)


def _check_requantize(layer: LayerRecord, requantize: Requantize, say: Say) -> None:
    """Check which arrays a mode has, how many entries, and their ranges."""
    mode, operator = requantize.rule, OPERATORS[layer.kind]
    bare = _is_plain_mean(operator, requantize)
    lengths = operator.n_entries(layer, len(layer.inputs))
    common = operator.sums == "terms" and mode.one_shift_for_terms
    for name in ("multiplier", "shift", "scale"):
        values = getattr(requantize, name)
        wanted = not bare and (name == "scale") == mode.is_float
        if wanted != (values is not None):
            need = "an array" if wanted else "no array"
            say(f"requantize/{name}", f"{need} for {mode.name} of {layer.kind}", "the contrary")
            return
        if wanted:
            allowed = (1,) if common and name == "shift" else lengths
            if values.ndim != 1 or values.size not in allowed:
                say(f"requantize/{name}", f"{' or '.join(map(str, allowed))} entries", values.shape)
                return
    if not mode.is_float and not bare and not common:
        assert requantize.multiplier is not None
        assert requantize.shift is not None
        if requantize.multiplier.shape != requantize.shift.shape:
            say("requantize/shift", "as many entries as multiplier", requantize.shift.shape)
            return
    _check_factors(layer, requantize, say)


def _is_plain_mean(operator: Operator, step: Requantize) -> bool:
    """Tell whether raw codes are averaged, without any factor."""
    return operator.sums == "window" and step.rule.divides


def _check_factors(layer: LayerRecord, requantize: Requantize, say: Say) -> None:
    mode, multipliers, shifts = requantize.rule, requantize.multiplier, requantize.shift
    if requantize.scale is not None and not (
        np.isfinite(requantize.scale).all() and (requantize.scale >= 0).all()
    ):
        say("requantize/scale", "finite numbers that are not negative", requantize.scale.tolist())
    factors = f"{mode.least_multiplier} to {mode.most_multiplier}, or 0"
    places = f"{mode.least_shift} to {mode.most_shift}"
    if multipliers is not None and not all(
        mode.takes(int(m), mode.least_shift) for m in multipliers
    ):
        say("requantize/multiplier", factors, multipliers.tolist())
    if shifts is not None and not all(mode.takes(0, int(s)) for s in shifts):
        say("requantize/shift", places, shifts.tolist())
    output_step = (requantize.output_multiplier, requantize.output_shift, requantize.left_shift)
    if mode.rounds_terms and OPERATORS[layer.kind].sums == "terms":
        if not mode.takes(*output_step[:2]) or not 0 <= output_step[2] <= 30:
            need = f"multiplier {factors}, shift {places}, left_shift 0 to 30"
            say("requantize@output_multiplier", need, output_step)
    elif output_step != (0, 0, 0):
        say("requantize@output_multiplier", "0, 0, 0: only a fixed-point add has it", output_step)
