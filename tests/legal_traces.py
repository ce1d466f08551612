"""Random legal traces, drawn from the schema and the rules of FORMAT.md, not from what makers do.

A layer of any kind is drawn with any optional entry, mode, width, sign, zero point and geometry;
what `bitpim_traces.rules` refuses is drawn again. Sums may leave their accumulators: that is legal
until a sample makes them.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim_traces.cluster_rules import zero_weights_of
from bitpim_traces.faults import Fault
from bitpim_traces.masks import check_mask_values
from bitpim_traces.modes import MODES
from bitpim_traces.numbers.affine import code_dtype
from bitpim_traces.operators import LAYER_KINDS, OPERATORS
from bitpim_traces.records import (
    CLUSTER_BOUNDARIES,
    REQUANTIZE_MODES,
    Clusters,
    Geometry,
    LayerRecord,
    Params,
    Quantization,
    Requantize,
    Samples,
    TensorRecord,
    Trace,
    axes_of,
)
from bitpim_traces.rules import check_rules
from tests.legal_newer import NEWER, rescaled

__all__ = ["legal_trace"]

Array = npt.NDArray[Any]
Node = tuple[int, tuple[int, ...], Quantization]

_TRIES = 400


def legal_trace(seed: int, *, widths: Sequence[int] = (1, 2, 4, 8), n_layers: int = 3) -> Trace:
    """Draw a trace of up to `n_layers` layers whose codes have one of these widths.

    The kind of the first layer is that of `seed` modulo their number, where its input allows it.
    """
    rng = np.random.default_rng(seed)
    draw = _Draw(rng, widths)
    kind = LAYER_KINDS[seed % len(LAYER_KINDS)]
    flat = kind == "linear" or (kind not in _IMAGES and rng.random() < 0.3)
    shape = (draw.size(12),) if flat else (draw.size(5), draw.size(7), draw.size(7))
    source = draw.quantization()
    n_samples = int(rng.integers(1, 4))
    codes = TensorRecord.of(
        draw.codes(source, (n_samples, *shape)), axes=axes_of(len(shape) + 1), role="codes"
    )
    dataset = str(rng.choice(["", "drawn"]))
    trace = Trace("legal", (), Samples(codes, source, dataset=dataset), {"seed": seed})
    for _ in range(int(rng.integers(1, n_layers + 1))):
        trace = _with_layer(draw, trace, kind)
        kind = str(rng.choice(LAYER_KINDS))
    if rng.random() < 0.5:
        n_classes = trace.layers[-1].output_shape[0]
        labels = rng.integers(-1, n_classes, n_samples).astype(np.int32)
        record = TensorRecord.of(labels, axes="N", role="labels", units="1")
        trace = replace(trace, samples=replace(trace.samples, labels=record))
    return trace


def _with_layer(draw: "_Draw", trace: Trace, kind: str) -> Trace:
    """Append a layer of this kind, or of one that fits, that breaks no rule."""
    for attempt in range(_TRIES):
        nodes = [
            (i, trace.shape_of(i), trace.quantization_of(i)) for i in range(-1, len(trace.layers))
        ]
        newest = nodes[-1] if attempt < _TRIES // 2 else nodes[draw.below(len(nodes))]
        if kind in _IMAGES and len(newest[1]) != 3:
            kind = "linear" if len(newest[1]) == 1 else "reshape"
        elif kind == "linear" and len(newest[1]) != 1:
            kind = "flatten"
        mates = [newest]
        if kind in ("add", "concat"):
            mates += [nodes[draw.below(len(nodes))] for _ in range(draw.below(3) + (kind == "add"))]
        elif kind == "multiply":
            mates.insert(draw.below(2), nodes[draw.below(len(nodes))])
        layer = _layer(draw, len(trace.layers), kind, mates, trace.n_samples)
        drawn = None if layer is None else replace(trace, layers=(*trace.layers, layer))
        faults: list[Fault] = []
        check_rules(drawn, faults.append)
        if drawn is not None and not faults:
            return drawn
    raise AssertionError(f"no legal {kind} in {_TRIES} tries: {faults}")


class _Draw:
    """Draws numbers, their extremes often among them."""

    def __init__(self, rng: np.random.Generator, widths: Sequence[int]) -> None:
        self.rng, self.widths = rng, widths

    def below(self, n: int) -> int:
        return int(self.rng.integers(n))

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def size(self, most: int) -> int:
        return 1 if self.chance(0.2) else 1 + self.below(most)

    def quantization(self, n_channels: int | None = None) -> Quantization:
        bits, signed = int(self.rng.choice(self.widths)), self.chance(0.5)
        n = n_channels or 1
        one = Quantization(bits, signed, np.ones(n), np.zeros(n, np.int64))
        zeros = self.rng.integers(one.code_min, one.code_max + 1, n)
        if self.chance(0.4):
            usual = 0 if signed else 1 << (bits - 1)
            zeros[:] = self.rng.choice([one.code_min, one.code_max, min(usual, one.code_max)])
        scale = 2.0 ** self.rng.uniform(-9, 3, n)
        return Quantization(bits, signed, scale, zeros, None if n_channels is None else 0)

    def codes(self, like: Quantization, shape: tuple[int, ...], zeros: float = 0.0) -> Array:
        """Codes, with the ends of their range, and this share at the zero point."""
        codes = self.rng.integers(like.code_min, like.code_max + 1, shape)
        ends = self.rng.choice([like.code_min, like.code_max], shape)
        codes = np.where(self.rng.random(shape) < 0.2, ends, codes)
        zero = like.zero_point.reshape(-1, *[1] * (len(shape) - 1))
        return np.where(self.rng.random(shape) < zeros, zero, codes).astype(code_dtype(like))

    def fused(self, kind: str, output: Quantization) -> dict[str, Any]:
        """An activation of those a kind may have, and a clamp that goes with it."""
        names = OPERATORS[kind].activations
        name, zero = str(self.rng.choice(names)), int(output.zero_point[0])
        ends = (output.code_min, output.code_max)
        if OPERATORS[kind].keeps_codes or self.chance(0.3):
            low, high = ends
        else:
            low, high = sorted(int(n) for n in self.rng.integers(ends[0], ends[1] + 1, 2))
        if name in ("relu", "relu6"):
            low, high = max(low, zero), max(high, zero)
        return {"activation": name, "clamp": (low, high)}

    def factors(self, mode: str, n: int, reach: float, output: Quantization) -> dict[str, Any]:
        """Scale factors that spread sums of this reach over the output's codes, or extremes."""
        factor = (1 << output.bits) / max(reach, 1.0) * 2.0 ** self.rng.uniform(-2, 1, n)
        extreme = self.chance(0.15)
        if mode == "float_scale_half_even":
            if extreme:
                factor = self.rng.choice([0.0, 1e-45, 1e-20, 1.0, 1e20, 3e38], n)
            return {"scale": factor.astype(np.float32)}
        mantissa, exponent = np.frexp(factor)
        if mode == "fixed_point_half_away":
            multiplier = np.clip(np.rint(mantissa * 2.0**31), 2**30, 2**31 - 1)
            shift = np.clip(exponent, -31, 30)
            if extreme:
                multiplier = self.rng.choice([0, 2**30, 2**31 - 1], n)
                shift = self.rng.choice([-31, -30, -1, 0, 1, 10, 30], n)
        else:
            bits = self.below(18) + 1
            multiplier, shift = np.rint(mantissa * 2.0**bits), np.clip(bits - exponent, 0, 62)
            if extreme:
                multiplier = self.rng.choice([0, 1, 2**31 - 1], n)
                shift = self.rng.choice([0, 1, 31, 62], n)
        return {"multiplier": multiplier.astype(np.int32), "shift": shift.astype(np.int32)}

    def accumulator_bits(self, reach: int) -> int:
        """Wide enough, just wide enough, too narrow, or any."""
        needed = min(max(reach.bit_length() + 1, 2), 64)
        choice = self.rng.choice(
            [32, 64, needed, max(needed - 1, 2), max(needed - 3, 2)], p=_WIDTHS
        )
        return int(choice) if self.chance(0.9) else 2 + self.below(63)


_WIDTHS = (0.35, 0.2, 0.25, 0.1, 0.1)
_IMAGES = tuple(kind for kind, operator in OPERATORS.items() if operator.rank == 3)


def _reach(source: Quantization) -> int:
    zero = int(source.zero_point[0])
    return max(source.code_max - zero, zero - source.code_min)


def _layer(
    draw: _Draw, index: int, kind: str, nodes: list[Node], n_samples: int
) -> LayerRecord | None:
    """Draw a layer over these nodes; None where it has no output."""
    parts = _KINDS[kind](draw, kind, nodes)
    if parts is None:
        return None
    output = parts.pop("output")
    layer = LayerRecord(
        index,
        f"{kind} {index}",
        kind,
        tuple(node[0] for node in nodes),
        tuple(node[1] for node in nodes),
        parts.pop("shape"),
        output,
        **{
            "accumulator_bits": 2 + draw.below(63),
            "pad_code": draw.below(1000) - 500,
            **draw.fused(kind, output),
            **parts,
        },
    )
    if layer.kind == "activation" and draw.chance(0.4):
        layer = _with_table(draw, layer, nodes[0][2])
    return _with_extras(draw, _with_floats(draw, layer, n_samples))


def _with_table(draw: _Draw, layer: LayerRecord, source: Quantization) -> LayerRecord:
    output = draw.quantization()
    shape: tuple[int, ...] = (1 << source.bits,)
    if draw.chance(0.4):
        shape = (layer.output_shape[0], *shape)
    codes = draw.codes(replace(output, zero_point=np.zeros(1, np.int64)), shape)
    table = TensorRecord.of(codes, axes="CK"[-len(shape) :], role="table")
    clamp, name = (output.code_min, output.code_max), str(draw.rng.choice(["tanh", "any_1"]))
    return replace(layer, output=output, table=table, clamp=clamp, requantize=None, activation=name)


def _with_floats(draw: _Draw, layer: LayerRecord, n_samples: int) -> LayerRecord:
    """Add the float references that a layer may carry."""

    def floats(name: str, shape: tuple[int, ...], axes: str) -> dict[str, Any]:
        values = draw.rng.normal(size=shape).astype(np.float32)
        return {name: TensorRecord.of(values, axes=axes, role=name, units="real")}

    parts: dict[str, Any] = {}
    if draw.chance(0.3):
        shape = (1 + draw.below(n_samples), *layer.output_shape)
        parts |= floats("output_float", shape, axes_of(len(shape)))
    for name in ("weight", "bias"):
        codes = getattr(layer, name)
        if codes is not None and draw.chance(0.3):
            parts |= floats(f"{name}_float", codes.shape, codes.axes)
    tensors = dict(layer.tensors)
    if "values" in tensors and draw.chance(0.5):
        tensors |= floats("values_float", layer.output_shape, tensors["values"].axes)
    if layer.table is not None and draw.chance(0.5):
        shape = (layer.output_shape[0], 2)[-len(layer.table.shape) :]
        tensors |= floats("constants", shape, "CP"[-len(shape) :])
    return replace(layer, tensors=tensors, **parts)


def _clusters(layer: LayerRecord) -> Clusters | None:
    """Put the weights of some layers into clusters, whose order no rule but theirs knows."""
    weight, quantization = layer.weight, layer.weight_quantization
    if weight is None or quantization is None or quantization.binary:
        return None
    rng = np.random.default_rng([layer.index, *weight.shape])  # what else is drawn stays as it was
    adds = ~zero_weights_of(layer)
    count = int(rng.integers(2, 9))
    if rng.random() < 0.5 or np.count_nonzero(adds) < count:
        return None
    index = np.full(weight.shape, count - 1, np.uint8)
    drawn = rng.integers(0, count, np.count_nonzero(adds))
    drawn[rng.permutation(drawn.size)[:count]] = np.arange(count)
    index[adds] = drawn
    record = TensorRecord.of(index, axes=weight.axes, role="index", units="1")
    return Clusters(record, count, "activation_aware", str(rng.choice(CLUSTER_BOUNDARIES)))


def _with_extras(draw: _Draw, layer: LayerRecord) -> LayerRecord:
    """Add tensors that change no output: masks, patterns, and what a maker likes."""
    extra = {}
    if draw.chance(0.2):
        extra["remark"] = TensorRecord.of(np.arange(3.0), axes="K", role="remark", units="1")
    if layer.weight is not None and layer.weight_quantization is not None and draw.chance(0.4):
        codes = layer.weight.read()
        zero = layer.weight_quantization.zero_point.reshape(-1, *[1] * (codes.ndim - 1))
        mask = ((codes != zero) | (draw.rng.random(codes.shape) < 0.3)).astype(np.uint8)
        extra["pruning_mask"] = TensorRecord.of(
            mask, axes=layer.weight.axes, role="pruning_mask", units="1"
        )
        if layer.kind == "conv2d" and codes[0, 0].size <= 32 and draw.chance(0.6):
            bits = mask.reshape(-1, codes[0, 0].size).astype(np.uint64)
            found = np.unique((bits << np.arange(bits.shape[1], dtype=np.uint64)).sum(axis=1))
            patterns = found[found > 0].astype(np.uint32)
            extra["patterns"] = TensorRecord.of(patterns, axes="P", role="patterns", units="1")
    drawn = replace(layer, extra=extra, clusters=_clusters(layer))
    faults: list[Fault] = []
    check_mask_values(drawn, faults.append)
    return layer if faults else drawn


# kinds: the parts of a layer over some nodes


def _conv2d(draw: _Draw, kind: str, nodes: list[Node]) -> dict[str, Any] | None:
    _, (channels, height, width), source = nodes[0]
    divisors = [g for g in range(1, channels + 1) if channels % g == 0]
    groups = int(draw.rng.choice([1, channels, *divisors]))
    geometry = replace(_geometry(draw), groups=groups, ceil_mode=False, count_include_pad=False)
    size = geometry.output_size(height, width)
    if min(size) < 1:
        return None
    n_out = groups * draw.size(3)
    weight = (n_out, channels // groups, *geometry.kernel)
    pad_code = int(source.zero_point[0]) if any(geometry.padding) else draw.below(1000) - 500
    return _weighted(draw, weight, source) | {
        "geometry": geometry,
        "shape": (n_out, *size),
        "pad_code": pad_code,
    }


def _linear(draw: _Draw, kind: str, nodes: list[Node]) -> dict[str, Any]:
    _, (features,), source = nodes[0]
    n_out = draw.size(9)
    return _weighted(draw, (n_out, features), source) | {"shape": (n_out,)}


def _weighted(draw: _Draw, shape: tuple[int, ...], source: Quantization) -> dict[str, Any]:
    n_out = shape[0]
    weights = draw.quantization(n_out if draw.chance(0.5) else None)
    codes = draw.codes(weights, shape, zeros=float(draw.rng.choice([0.0, 0.3, 0.8])))
    if draw.chance(0.1):
        weights = replace(
            weights, bits=2, signed=True, zero_point=0 * weights.zero_point, binary=True
        )
        codes = draw.rng.choice(np.array([-1, 1], np.int8), shape)
    zero = weights.zero_point.reshape(-1, *[1] * (len(shape) - 1))
    l1 = np.abs(codes.astype(np.int64) - zero).reshape(n_out, -1).sum(axis=1)
    reach = int(l1.max()) * _reach(source)
    bias = None
    if draw.chance(0.7):
        spread = 1 + reach // 2
        bias = draw.rng.integers(-spread, spread + 1, n_out)
        reach += int(np.abs(bias).max())
    bits = draw.accumulator_bits(reach)
    held = np.int64 if bits > 32 else np.int32
    if bias is not None and draw.chance(0.1):  # at the ends of what holds it
        ends = np.iinfo(held)
        bias = draw.rng.choice(np.array([ends.min, ends.max, ends.max - 1, 0], np.int64), n_out)
    output, axes = draw.quantization(), "OIHW"[: len(shape)]
    return {
        "weight": TensorRecord.of(codes, axes=axes, role="weight"),
        "weight_quantization": weights,
        "bias": None if bias is None else TensorRecord.of(bias.astype(held), axes="O", role="bias"),
        "accumulator_bits": bits,
        "output": output,
        "requantize": rescaled(draw, output, (1, n_out), reach / 3),
    }


def _geometry(draw: _Draw) -> Geometry:
    def pair(most: int) -> tuple[int, int]:
        return draw.size(most), draw.size(most)

    padding = (draw.below(3), draw.below(3), draw.below(3), draw.below(3))
    return Geometry(
        pair(3),
        pair(3),
        padding if draw.chance(0.6) else (0, 0, 0, 0),
        pair(2),
        ceil_mode=draw.chance(0.4),
        count_include_pad=draw.chance(0.5),
    )


def _pool(draw: _Draw, kind: str, nodes: list[Node]) -> dict[str, Any] | None:
    _, (channels, height, width), source = nodes[0]
    geometry = replace(_geometry(draw), groups=1)
    if draw.chance(0.2):
        geometry = Geometry((height, width))
    if kind == "max_pool2d":
        geometry = replace(geometry, count_include_pad=False)
    size = geometry.output_size(height, width)
    if min(size) < 1:
        return None
    parts: dict[str, Any] = {"geometry": geometry, "shape": (channels, *size)}
    padded = any(geometry.padding) or geometry.ceil_mode
    if kind == "max_pool2d":
        pad_code = source.code_min if padded else draw.below(1000) - 500
        return parts | {"output": source, "pad_code": pad_code}
    n, n_taps = _reach(source), geometry.kernel[0] * geometry.kernel[1]
    output = draw.quantization()
    requantize = rescaled(draw, output, (n_taps,), n * n_taps / 2)
    if requantize.mode == "fixed_point_half_away":
        output, requantize = source, Requantize(requantize.mode)
    return parts | {
        "output": output,
        "requantize": requantize,
        "pad_code": int(source.zero_point[0]) if padded else draw.below(1000) - 500,
        "accumulator_bits": draw.accumulator_bits(n * n_taps),
    }


def _add(draw: _Draw, kind: str, nodes: list[Node]) -> dict[str, Any]:
    output, n = draw.quantization(), len(nodes)
    reach = sum(_reach(source) for _, _, source in nodes)
    mode = str(draw.rng.choice(REQUANTIZE_MODES))
    parts = draw.factors(mode, n, reach, output)
    if MODES[mode].one_shift_for_terms:
        parts["shift"] = parts["shift"][:1]
    more: dict[str, Any] = {}
    if mode == "fixed_point_half_away":
        left = 10 if draw.chance(0.8) else draw.below(31)
        last = draw.factors(mode, 1, float(1 << left), output)
        terms = draw.factors(mode, n, float(1 << output.bits), output)
        parts = terms if draw.chance(0.9) else parts
        more = {
            "left_shift": left,
            "output_multiplier": int(last["multiplier"][0]),
            "output_shift": int(last["shift"][0]),
        }
    shape = tuple(max(lengths) for lengths in zip(*(node[1] for node in nodes), strict=False))
    return {"output": output, "shape": shape, "requantize": Requantize(mode, **parts, **more)}


def _concat(draw: _Draw, kind: str, nodes: list[Node]) -> dict[str, Any]:
    shapes = [shape for _, shape, _ in nodes]
    axis = draw.below(len(shapes[0]))
    shape = list(shapes[0])
    shape[axis] = sum(other[axis] for other in shapes if len(other) > axis)
    parts = _code_by_code(draw, nodes)
    return parts | {"shape": tuple(shape), "params": Params(concat_axis=axis)}


def _activation(draw: _Draw, kind: str, nodes: list[Node]) -> dict[str, Any]:
    return _code_by_code(draw, nodes) | {"shape": nodes[0][1]}


def _code_by_code(draw: _Draw, nodes: list[Node]) -> dict[str, Any]:
    if draw.chance(0.4):
        return {"output": nodes[0][2]}
    output, reach = draw.quantization(), max(_reach(source) for _, _, source in nodes)
    return {"output": output, "requantize": rescaled(draw, output, (len(nodes),), reach)}


def _flatten(draw: _Draw, kind: str, nodes: list[Node]) -> dict[str, Any]:
    return {"output": nodes[0][2], "shape": (int(np.prod(nodes[0][1])),)}


def _pad(draw: _Draw, kind: str, nodes: list[Node]) -> dict[str, Any]:
    _, shape, source = nodes[0]
    pads = tuple(draw.below(3) for _ in range(6))
    padded = tuple(n + pads[2 * i] + pads[2 * i + 1] for i, n in enumerate(shape))
    return {
        "output": source,
        "shape": padded,
        "params": Params(pads=pads),
        "pad_code": int(source.zero_point[0]),
    }


_KINDS: dict[str, Callable[[_Draw, str, list[Node]], dict[str, Any] | None]] = {
    "conv2d": _conv2d,
    "linear": _linear,
    "max_pool2d": _pool,
    "avg_pool2d": _pool,
    "add": _add,
    "concat": _concat,
    "flatten": _flatten,
    "pad": _pad,
    "activation": _activation,
    **NEWER,
}
