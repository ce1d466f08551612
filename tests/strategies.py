"""Small random things to test with, each determined by a seed."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim_traces.operators import LAYER_KINDS, OPERATORS
from bitpim_traces.records import (
    NETWORK_INPUT,
    REQUANTIZE_MODES,
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
from tests.newer_kinds import NewerKinds, repeats

__all__ = ["KINDS_OF_1_0", "small_trace"]

Array = npt.NDArray[Any]

KINDS_OF_1_0 = tuple(kind for kind, operator in OPERATORS.items() if operator.since == 0)


def small_trace(
    seed: int,
    *,
    mode: str | None = None,
    kinds: Sequence[str] | None = None,
    minor: int = 1,
    n_layers: int = 6,
    n_samples: int = 2,
    bits: tuple[int, int] = (2, 8),
    float_noise: bool = False,
) -> Trace:
    """Build a small valid trace: random graph, shapes, codes, widths and scales.

    Without `mode` and `kinds`, seeds 0..35 meet every pair of a requantize mode (`seed % 4`, one
    mode a network) and a first layer's kind of format 1.0 (`seed % 9`); later layers are of random
    kinds, `minor` of the format at most. `kinds`
    names the kinds of the layers one by one (a kind that does not fit the shape at hand becomes a
    linear after a flatten, or an activation). Codes have `bits[0]..bits[1]` bits. Accumulators
    never overflow and requantized values use the output's range, with some saturation.
    With `float_noise` every layer also carries float tensors; `output_float` is then plain noise.
    """
    rng = np.random.default_rng(seed)
    mode = REQUANTIZE_MODES[seed % len(REQUANTIZE_MODES)] if mode is None else mode
    if kinds is None:
        first = KINDS_OF_1_0[seed % len(KINDS_OF_1_0)]
        known = [kind for kind in LAYER_KINDS if OPERATORS[kind].since <= minor]
        rare = np.array([1.0 if k in ("linear", "flatten", "activation") else 6.0 for k in known])
        later = rng.choice(known, n_layers - 1, p=rare / rare.sum())
        kinds = [first, *(str(k) for k in later)]
    shape: tuple[int, ...] = (
        int(rng.integers(1, 5)),
        int(rng.integers(1, 9)),
        int(rng.integers(1, 9)),
    )
    quantization = _quantization(rng, bits, float(rng.uniform(0.005, 0.1)))
    if kinds[0] == "linear":
        shape = (int(rng.integers(1, 33)),)
    codes = _codes(rng, quantization, (n_samples, *shape))
    samples = Samples(
        codes=TensorRecord.of(codes, axes=axes_of(len(shape) + 1), role="samples"),
        quantization=quantization,
        dataset="random",
    )
    builder = _Builder(rng, mode, bits, samples, n_samples if float_noise else 0)
    for kind in kinds:
        builder.append(kind)
    labels = rng.integers(0, builder.nodes[-1][1][0], n_samples).astype(np.int32)
    samples = replace(samples, labels=TensorRecord.of(labels, axes="N", role="labels", units="1"))
    provenance = {"software": "tests", "parameters": {"kinds": list(kinds)}, "seed": seed}
    return Trace(f"random-{seed}", tuple(builder.layers), samples, provenance)


def _quantization(
    rng: np.random.Generator,
    bits: tuple[int, int],
    scale: float,
    *,
    n_channels: int | None = None,
    symmetric: bool = False,
) -> Quantization:
    width = int(rng.integers(bits[0], bits[1] + 1))
    signed = bool(rng.integers(2)) or (symmetric and width > 1)
    n = 1 if n_channels is None else n_channels
    lowest = -(1 << (width - 1)) if signed else 0
    ends = (lowest, lowest + (1 << width) - 1)
    if symmetric:
        zero_point = np.zeros(n, np.int64)
    elif rng.random() < 0.3:  # one of the ends
        zero_point = rng.choice(np.array(ends, np.int64), n)
    else:
        zero_point = rng.integers(ends[0], ends[1] + 1, n)
    spread = np.ones(1) if n_channels is None else rng.uniform(0.5, 2.0, n)
    axis = None if n_channels is None else 0
    return Quantization(width, signed, scale * spread, zero_point.astype(np.int64), axis)


def _code_dtype(quantization: Quantization) -> np.dtype[Any]:
    width = 8 if quantization.bits <= 8 else 16
    return np.dtype(f"{'int' if quantization.signed else 'uint'}{width}")


def _codes(rng: np.random.Generator, quantization: Quantization, shape: tuple[int, ...]) -> Array:
    codes = rng.integers(quantization.code_min, quantization.code_max + 1, shape)
    return codes.astype(_code_dtype(quantization))


def _fixed_point(factors: Array) -> tuple[Array, Array]:
    """Multiplier in [2^30, 2^31) and shift with factor = multiplier * 2^(shift - 31)."""
    mantissa, exponent = np.frexp(np.asarray(factors, np.float64))
    multiplier = np.rint(mantissa * 2.0**31)
    full = multiplier == 2.0**31
    multiplier = np.where(full, 2.0**30, multiplier)
    return multiplier.astype(np.int32), (exponent + full).astype(np.int32)


def _shifted(factors: Array, multiplier_bits: int, *, common: bool) -> tuple[Array, Array]:
    """Multiplier below 2^multiplier_bits and shift with factor = multiplier / 2^shift, about."""
    shift = multiplier_bits - 1 - np.frexp(np.asarray(factors, np.float64))[1]
    shift = np.clip(shift.min(keepdims=True) if common else shift, 0, 62)
    multiplier = np.rint(factors * 2.0**shift)
    return multiplier.astype(np.int32), shift.astype(np.int32)


def _requantize(mode: str, factors: Array, accumulator_bits: int) -> Requantize:
    if mode == "float_scale_half_even":
        return Requantize(mode, scale=factors.astype(np.float32))
    if mode == "fixed_point_half_away":
        multiplier, shift = _fixed_point(factors)
    else:
        multiplier, shift = _shifted(factors, min(15, 61 - accumulator_bits), common=False)
    return Requantize(mode, multiplier=multiplier, shift=shift)


class _Builder(NewerKinds):
    """Appends layers that fit what is there; every layer reads one or more earlier nodes."""

    def __init__(
        self,
        rng: np.random.Generator,
        mode: str,
        bits: tuple[int, int],
        samples: Samples,
        n_float: int,
    ) -> None:
        self.rng, self.mode, self.bits, self.n_float = rng, mode, bits, n_float
        self.layers: list[LayerRecord] = []
        self.nodes: list[tuple[int, tuple[int, ...], Quantization]] = [
            (NETWORK_INPUT, samples.codes.shape[1:], samples.quantization)
        ]

    def append(self, kind: str) -> None:
        """Add a layer of that kind, or of one that fits, reading the newest node."""
        _, shape, _ = self.nodes[-1]
        flat, rank = len(shape) == 1, OPERATORS[kind].rank
        if kind == "linear" and not flat:
            self._flatten()
        elif flat and kind in ("conv2d", "max_pool2d", "avg_pool2d", "pad"):
            kind = "linear"
        elif rank not in (None, len(shape)):
            self._reshape(rank)
        elif flat and kind == "flatten":
            kind = "activation"
        getattr(self, f"_{kind}")()

    def _quantized(self, scale: float) -> Quantization:
        return _quantization(self.rng, self.bits, scale)

    def _rescaled(self, factor: float, accumulator_bits: int) -> Requantize:
        return _requantize(self.mode, np.array([factor]), accumulator_bits)

    def _push(
        self, kind: str, nodes: Sequence[Any], shape: Any, output: Quantization, **more: Any
    ) -> None:
        index = len(self.layers)
        more.setdefault("clamp", (output.code_min, output.code_max))
        shape = tuple(int(n) for n in shape)
        if self.n_float:
            noise = self.rng.normal(size=(self.n_float, *shape)).astype(np.float32)
            axes = axes_of(len(shape) + 1)
            more["output_float"] = TensorRecord.of(
                noise, axes=axes, role="output_float", units="real"
            )
        layer = LayerRecord(
            index,
            f"{kind}_{index}",
            kind,
            tuple(n[0] for n in nodes),
            tuple(n[1] for n in nodes),
            shape,
            output,
            **more,
        )
        self.layers.append(layer)
        self.nodes.append((index, shape, output))

    def _fused(self, output: Quantization) -> dict[str, Any]:
        """Fused activation and the clamp it means."""
        zero = int(output.zero_point[0])
        low, high = output.code_min, output.code_max
        name = str(self.rng.choice(["none", "relu", "relu6", "clamp"]))
        if name in ("relu", "relu6"):
            low = max(low, zero)
        if name == "relu6":
            high = min(high, zero + round(6.0 / float(output.scale[0])))
        if name == "clamp":
            low, high = sorted(int(v) for v in self.rng.integers(low, high + 1, 2))
        return {"activation": name, "clamp": (low, high)}

    def _geometry(self, shape: tuple[int, ...], kind: str) -> Geometry:
        rng, pool = self.rng, kind != "conv2d"
        while True:
            kernel = (int(rng.integers(1, 5)), int(rng.integers(1, 5)))
            dilation = (int(rng.integers(1, 3)), int(rng.integers(1, 3)))
            stride = (int(rng.integers(1, 4)), int(rng.integers(1, 4)))
            limit = [max(k // 2, 0) + 1 if pool else k + 1 for k in (kernel[0], kernel[1])]
            t, b, le, r = (int(rng.integers(0, limit[i // 2])) for i in range(4))
            geometry = Geometry(
                kernel,
                stride,
                (t, b, le, r),
                (1, 1) if pool else dilation,
                ceil_mode=pool and bool(rng.integers(2)),
                count_include_pad=kind == "avg_pool2d" and bool(rng.integers(2)),
            )
            if min(geometry.output_size(shape[1], shape[2])) > 0:
                return geometry

    def _weighted(self, kind: str, n_out: int, weight_shape: tuple[int, ...], **more: Any) -> None:
        rng = self.rng
        node = self.nodes[-1]
        source = node[2]
        bits = (min(self.bits[0], 8), min(self.bits[1], 12)) if self._narrow else self.bits
        per_channel = n_out if rng.integers(2) else None
        weight_q = _quantization(
            rng,
            bits,
            float(rng.uniform(0.005, 0.05)),
            n_channels=per_channel,
            symmetric=bool(rng.integers(2)),
        )
        weight = _codes(rng, weight_q, weight_shape)
        offset = weight_q.zero_point.reshape(-1, *[1] * (len(weight_shape) - 1))
        centred = weight.astype(np.int64) - offset
        zero = int(source.zero_point[0])
        reach = max(source.code_max - zero, zero - source.code_min)
        l1 = np.abs(centred).reshape(n_out, -1).sum(axis=1)
        bias = None
        if rng.integers(4):
            spread = np.maximum(l1 * reach // 4, 1)
            bias = rng.integers(-spread, spread + 1)
        worst = int((l1 * reach + (0 if bias is None else np.abs(bias))).max())
        needed = max(worst.bit_length() + 1, 8)
        accumulator_bits = 32 if needed <= 32 and rng.integers(2) else needed
        fan_in = int(np.prod(weight_shape[1:]))
        typical = np.maximum(np.sqrt(fan_in) * reach * np.abs(centred).mean() / 2, 1.0)
        output = self._output(source, weight_q, float(typical))
        factors = source.scale[0] * weight_q.scale / output.scale[0]
        factors = np.broadcast_to(factors, (n_out,)) if per_channel else factors
        axes = "OIHW"[: len(weight_shape)]
        wide = np.int64 if accumulator_bits > 32 else np.int32
        more |= self._floats(weight_q, centred, bias, source, axes)
        self._push(
            kind,
            [node],
            more.pop("shape"),
            output,
            requantize=_requantize(self.mode, factors, accumulator_bits),
            accumulator_bits=accumulator_bits,
            weight=TensorRecord.of(weight, axes=axes, role="weight"),
            weight_quantization=weight_q,
            bias=None
            if bias is None
            else TensorRecord.of(bias.astype(wide), axes="O", role="bias"),
            **self._fused(output),
            **more,
        )

    @property
    def _narrow(self) -> bool:  # int32 accumulators: what fixed_point_half_away can take
        return self.mode == "fixed_point_half_away"

    def _output(self, source: Quantization, weight_q: Quantization, typical: float) -> Quantization:
        """Output quantization whose range a typical accumulator fills to about a third."""
        output = _quantization(self.rng, self.bits, 1.0)
        step = source.scale[0] * weight_q.scale.mean() * typical / (1 << output.bits) * 3.0
        scale = np.array([step], np.float64)
        return Quantization(output.bits, output.signed, scale, output.zero_point)

    def _floats(
        self,
        weight_q: Quantization,
        centred: Array,
        bias: Array | None,
        source: Quantization,
        axes: str,
    ) -> dict[str, Any]:
        if not self.n_float:
            return {}
        scale = weight_q.scale.reshape(-1, *[1] * (len(axes) - 1))
        weight = (centred * scale).astype(np.float32)
        floats = {
            "weight_float": TensorRecord.of(weight, axes=axes, role="weight_float", units="real")
        }
        if bias is not None:
            real = (bias * weight_q.scale * source.scale[0]).astype(np.float32)
            floats["bias_float"] = TensorRecord.of(real, axes="O", role="bias_float", units="real")
        return floats

    def _conv2d(self) -> None:
        shape = self.nodes[-1][1]
        channels = shape[0]
        groups = int(self.rng.choice([g for g in range(1, channels + 1) if channels % g == 0]))
        n_out = groups * int(self.rng.integers(1, 4))
        plain = self._geometry(shape, "conv2d")
        geometry = Geometry(plain.kernel, plain.stride, plain.padding, plain.dilation, groups)
        self._weighted(
            "conv2d",
            n_out,
            (n_out, channels // groups, *geometry.kernel),
            geometry=geometry,
            pad_code=int(self.nodes[-1][2].zero_point[0]),
            shape=(n_out, *geometry.output_size(shape[1], shape[2])),
        )

    def _linear(self) -> None:
        (features,) = self.nodes[-1][1]
        n_out = int(self.rng.integers(1, 13))
        self._weighted("linear", n_out, (n_out, features), shape=(n_out,))

    def _max_pool2d(self) -> None:
        node = self.nodes[-1]
        geometry = self._geometry(node[1], "max_pool2d")
        shape = (node[1][0], *geometry.output_size(*node[1][1:]))
        self._push(
            "max_pool2d", [node], shape, node[2], geometry=geometry, pad_code=node[2].code_min
        )

    def _avg_pool2d(self) -> None:
        node = self.nodes[-1]
        if self.rng.integers(3):
            geometry = self._geometry(node[1], "avg_pool2d")
        else:  # global
            geometry = Geometry((node[1][1], node[1][2]))
        output = node[2]
        if self.mode != "fixed_point_half_away":
            spread = float(self.rng.uniform(0.4, 1.2))
            output = _quantization(self.rng, self.bits, float(node[2].scale[0]) * spread)
        n = np.arange(1, geometry.kernel[0] * geometry.kernel[1] + 1)
        factors = node[2].scale[0] / (output.scale[0] * n)
        requantize = (
            Requantize(self.mode)
            if self.mode == "fixed_point_half_away"
            else _requantize(self.mode, factors, 32)
        )
        self._push(
            "avg_pool2d",
            [node],
            (node[1][0], *geometry.output_size(*node[1][1:])),
            output,
            geometry=geometry,
            requantize=requantize,
            pad_code=int(node[2].zero_point[0]),
        )

    def _mates(self, *, same_channels: bool) -> list[Any]:
        newest = self.nodes[-1]
        fits = [
            n
            for n in self.nodes
            if len(n[1]) == len(newest[1])
            and n[1][1:] == newest[1][1:]
            and (n[1][0] == newest[1][0] or not same_channels)
        ]
        count = int(self.rng.integers(1, 3))
        return [newest, *(fits[int(i)] for i in self.rng.integers(0, len(fits), count))]

    def _add(self) -> None:
        nodes = self._mates(same_channels=True)
        newest = nodes[0][1]
        narrower = [n for n in self.nodes if n[1] != newest and repeats(n[1], newest)]
        if narrower and self.rng.integers(2):
            nodes.append(narrower[int(self.rng.integers(len(narrower)))])
        scales = np.array([n[2].scale[0] for n in nodes])
        widest = max(n[2].bits for n in nodes)
        output = _quantization(self.rng, self.bits, 1.0)
        span = float((scales * [1 << n[2].bits for n in nodes]).sum())
        step = np.array([span / (1 << output.bits) / 2])
        output = Quantization(output.bits, output.signed, step, output.zero_point)
        factors = scales / step[0]
        if self.mode == "float_scale_half_even":
            requantize = Requantize(self.mode, scale=factors.astype(np.float32))
        elif self.mode == "fixed_point_half_away":
            left = 20 if widest <= 8 else 13
            top = 2.0 * float(scales.max())
            multiplier, shift = _fixed_point(scales / top)
            out_multiplier, out_shift = _fixed_point(np.array([top / (2.0**left * step[0])]))
            requantize = Requantize(
                self.mode, multiplier, shift, None, int(out_multiplier[0]), int(out_shift[0]), left
            )
        else:
            multiplier, shift = _shifted(factors, 15, common=True)
            requantize = Requantize(self.mode, multiplier, shift)
        self._push("add", nodes, nodes[0][1], output, requantize=requantize, **self._fused(output))

    def _concat(self) -> None:
        nodes = self._mates(same_channels=False)
        axis = 0
        if all(n[1] == nodes[0][1] for n in nodes):
            axis = int(self.rng.integers(len(nodes[0][1])))
        shape = list(nodes[0][1])
        shape[axis] = sum(n[1][axis] for n in nodes)
        output, requantize = nodes[0][2], None
        if any(n[2] is not output for n in nodes):
            output = _quantization(
                self.rng, self.bits, float(output.scale[0]) * float(self.rng.uniform(0.5, 2))
            )
            factors = np.array([n[2].scale[0] for n in nodes]) / output.scale[0]
            requantize = _requantize(self.mode, factors, 32)
        self._push(
            "concat", nodes, shape, output, requantize=requantize, params=Params(concat_axis=axis)
        )

    def _flatten(self) -> None:
        node = self.nodes[-1]
        self._push("flatten", [node], (int(np.prod(node[1])),), node[2])

    def _pad(self) -> None:
        node = self.nodes[-1]
        pads = tuple(int(n) for n in self.rng.integers(0, 3, 6))
        shape = [n + pads[2 * i] + pads[2 * i + 1] for i, n in enumerate(node[1])]
        self._push(
            "pad",
            [node],
            shape,
            node[2],
            params=Params(pads=pads),
            pad_code=int(node[2].zero_point[0]),
        )

    def _activation(self) -> None:
        node = self.nodes[-1]
        if self.rng.integers(2):
            self._push("activation", [node], node[1], node[2], **self._standalone(node[2]))
            return
        name = str(self.rng.choice(["sigmoid", "tanh", "prelu"]))
        source = node[2]
        output = _quantization(self.rng, self.bits, 1.0)
        output = Quantization(
            output.bits, output.signed, np.array([2.0**-output.bits * 2]), output.zero_point
        )
        codes = np.arange(source.code_min, source.code_max + 1)
        real = (codes - source.zero_point[0]) * source.scale[0]
        value = np.tanh(real) if name == "tanh" else (1.0 + np.tanh(real / 2.0)) / 2.0
        if name == "prelu":
            slopes = self.rng.normal(size=(node[1][0], 1))
            value = np.where(real > 0, real, slopes * real)
        table = np.clip(
            np.rint(value / output.scale[0]) + output.zero_point[0],
            output.code_min,
            output.code_max,
        ).astype(_code_dtype(output))
        self._push(
            "activation",
            [node],
            node[1],
            output,
            activation=name,
            table=TensorRecord.of(table, axes="CK"[-table.ndim :], role="table"),
        )

    def _standalone(self, output: Quantization) -> dict[str, Any]:
        while True:
            fused = self._fused(output)
            if fused["activation"] != "none":
                return fused
