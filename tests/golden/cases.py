"""Layers with inputs that independent runtimes can run too, made from a seed, and their storage."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim_traces.records import (
    Geometry,
    LayerRecord,
    Params,
    Quantization,
    Requantize,
    TensorRecord,
)

__all__ = [
    "Case",
    "add_case",
    "avg_pool_case",
    "concat_case",
    "conv_case",
    "linear_case",
    "load_cases",
    "max_pool_case",
    "quantize_multiplier",
    "save_cases",
]

Array = npt.NDArray[Any]
FLOAT, FIXED = "float_scale_half_even", "fixed_point_half_away"


@dataclass(frozen=True, slots=True)
class Case:
    """One layer, the codes it reads (batch first) and their quantizations."""

    layer: LayerRecord
    inputs: tuple[Array, ...]
    quantizations: tuple[Quantization, ...]


def quantize_multiplier(factor: float) -> tuple[int, int]:
    """Yield (multiplier, shift) of a real factor, as TFLite prepares it."""
    mantissa, exponent = math.frexp(factor)
    multiplier = math.floor(mantissa * 2.0**31 + 0.5)
    if multiplier == 1 << 31:
        multiplier, exponent = multiplier // 2, exponent + 1
    return multiplier, exponent


def conv_case(
    rng: np.random.Generator,
    mode: str,
    geometry: Geometry,
    shape: tuple[int, int, int],
    n_out: int,
    *,
    signed: bool,
    weight_signed: bool = True,
    per_channel: bool = True,
) -> Case:
    """Make a convolution; `shape` is (channels, height, width)."""
    wide = (n_out, shape[0] // geometry.groups, *geometry.kernel)
    out = (n_out, *geometry.output_size(*shape[1:]))
    return _weighted(
        rng, mode, "conv2d", shape, out, wide, signed, weight_signed, per_channel, geometry=geometry
    )


def linear_case(
    rng: np.random.Generator,
    mode: str,
    n_in: int,
    n_out: int,
    *,
    signed: bool,
    weight_signed: bool = True,
) -> Case:
    """Make a fully connected layer, quantized per tensor."""
    return _weighted(
        rng, mode, "linear", (n_in,), (n_out,), (n_out, n_in), signed, weight_signed, False
    )


def add_case(rng: np.random.Generator, mode: str, shape: tuple[int, ...], *, signed: bool) -> Case:
    """Make an addition of two inputs of different quantization."""
    quants = tuple(_quantization(rng, _scale(rng, 0.01, 0.2), signed) for _ in range(2))
    scales = [float(quant.scale[0]) for quant in quants]
    output = _quantization(rng, _near(rng, max(scales) * 1.2), signed)
    if mode == FLOAT:
        ratio = np.array(scales, np.float32) / np.float32(output.scale[0])
        rule = Requantize(mode, scale=ratio)
    else:
        top = 2 * max(scales)
        multiplier, shift = zip(
            *(quantize_multiplier(scale / top) for scale in scales), strict=True
        )
        last = quantize_multiplier(top / ((1 << 20) * float(output.scale[0])))
        rule = Requantize(
            mode,
            np.array(multiplier, np.int32),
            np.array(shift, np.int32),
            None,
            last[0],
            last[1],
            20,
        )
    inputs = tuple(_codes(rng, quant, (2, *shape)) for quant in quants)
    layer = _layer("add", (shape, shape), shape, output, rule)
    return Case(layer, inputs, quants)


def avg_pool_case(
    rng: np.random.Generator,
    mode: str,
    geometry: Geometry,
    shape: tuple[int, int, int],
    *,
    signed: bool,
) -> Case:
    """Make an average pooling; the float mode rescales, the fixed-point mode does not."""
    source = _quantization(rng, _scale(rng, 0.01, 0.2), signed)
    inner = source.code_min + rng.integers(90, 166, 1)  # averages stay away from the ends
    source = replace(source, zero_point=inner)
    output, rule = source, Requantize(mode)
    if mode == FLOAT:
        output = _quantization(rng, _near(rng, float(source.scale[0]) * 0.5), signed)
        ratio = float(source.scale[0]) / float(output.scale[0])
        middle = source.code_min + 127.5  # of the codes, so of their averages
        centre = middle - (middle - int(source.zero_point[0])) * ratio
        zero = np.clip([round(centre)], source.code_min, source.code_max)
        output = replace(output, zero_point=zero.astype(np.int64))
        n = np.arange(1, geometry.kernel[0] * geometry.kernel[1] + 1, dtype=np.float32)
        scale = np.float32(source.scale[0]) / (np.float32(output.scale[0]) * n)
        rule = Requantize(mode, scale=scale)
    out = (shape[0], *geometry.output_size(*shape[1:]))
    layer = _layer(
        "avg_pool2d",
        (shape,),
        out,
        output,
        rule,
        geometry=geometry,
        pad_code=int(source.zero_point[0]),
    )
    return Case(layer, (_codes(rng, source, (2, *shape)),), (source,))


def max_pool_case(
    rng: np.random.Generator, geometry: Geometry, shape: tuple[int, int, int], *, signed: bool
) -> Case:
    """Make a maximum pooling."""
    source = _quantization(rng, _scale(rng, 0.01, 0.2), signed)
    out = (shape[0], *geometry.output_size(*shape[1:]))
    layer = _layer(
        "max_pool2d", (shape,), out, source, None, geometry=geometry, pad_code=source.code_min
    )
    return Case(layer, (_codes(rng, source, (2, *shape)),), (source,))


def concat_case(rng: np.random.Generator, axis: int, *, signed: bool) -> Case:
    """Make a concatenation of two inputs of equal quantization."""
    source = _quantization(rng, _scale(rng, 0.01, 0.2), signed)
    shapes = [[3, 4, 5], [3, 4, 5]]
    shapes[1][axis] = 2
    out = [3, 4, 5]
    out[axis] += 2
    layer = _layer(
        "concat",
        tuple(tuple(s) for s in shapes),
        tuple(out),
        source,
        None,
        params=Params(concat_axis=axis),
    )
    inputs = tuple(_codes(rng, source, (2, *shape)) for shape in shapes)
    return Case(layer, inputs, (source, source))


def _weighted(
    rng: np.random.Generator,
    mode: str,
    kind: str,
    shape: tuple[int, ...],
    out: tuple[int, ...],
    weight_shape: tuple[int, ...],
    signed: bool,
    weight_signed: bool,
    per_channel: bool,
    **more: Any,
) -> Case:
    source = _quantization(rng, _scale(rng, 0.01, 0.2), signed)
    n = out[0] if per_channel else 1
    scale = np.array([_scale(rng, 0.005, 0.05) for _ in range(n)])
    zero = np.zeros(n, np.int64) if weight_signed else np.full(n, rng.integers(100, 156))
    weight_q = Quantization(
        8, weight_signed, scale, zero.astype(np.int64), 0 if per_channel else None
    )
    weight = np.maximum(_codes(rng, weight_q, weight_shape), -127 if weight_signed else 0)
    fan_in = int(np.prod(weight_shape[1:]))
    step = float(source.scale[0]) * float(scale.mean()) * math.sqrt(fan_in) * 5500 / 50
    output = _quantization(rng, _near(rng, step), signed)
    if rng.integers(2):  # else most codes are at one end, which is worth a case as well
        output = replace(output, zero_point=output.code_min + rng.integers(64, 192, 1))
    if mode == FLOAT:
        product = np.float32(source.scale[0]) * scale.astype(np.float32)
        rule = Requantize(mode, scale=product / np.float32(output.scale[0]))
    else:
        factors = source.scale[0] * scale / output.scale[0]
        multiplier, shift = zip(*(quantize_multiplier(float(v)) for v in factors), strict=True)
        rule = Requantize(mode, np.array(multiplier, np.int32), np.array(shift, np.int32))
    bias = rng.integers(-3000, 3000, out[0]).astype(np.int32)
    layer = _layer(
        kind,
        (shape,),
        out,
        output,
        rule,
        pad_code=int(source.zero_point[0]),
        weight=TensorRecord.of(weight, axes="OIHW"[: weight.ndim], role="weight"),
        weight_quantization=weight_q,
        bias=TensorRecord.of(bias, axes="O", role="bias"),
        **more,
    )
    return Case(layer, (_codes(rng, source, (2, *shape)),), (source,))


def _layer(
    kind: str,
    shapes: Any,
    out: tuple[int, ...],
    output: Quantization,
    rule: Requantize | None,
    **more: Any,
) -> LayerRecord:
    sources = tuple(range(-1, len(shapes) - 1))
    return LayerRecord(
        0,
        kind,
        kind,
        sources,
        shapes,
        out,
        output,
        requantize=rule,
        clamp=(output.code_min, output.code_max),
        **more,
    )


def _scale(rng: np.random.Generator, low: float, high: float) -> float:
    return _near(rng, float(np.exp(rng.uniform(np.log(low), np.log(high)))))


def _near(rng: np.random.Generator, scale: float) -> float:
    """Yield a float32 scale about that large; half of them powers of two, so that ties occur."""
    return float(np.float32(2.0 ** round(math.log2(scale)) if rng.integers(2) else scale))


def _quantization(rng: np.random.Generator, scale: float, signed: bool) -> Quantization:
    lowest = -128 if signed else 0
    inner = int(rng.integers(lowest, lowest + 256))
    zero = int(rng.choice([lowest, lowest + 255, inner, inner, inner, inner]))
    return Quantization(8, signed, np.array([scale]), np.array([zero]))


def _codes(rng: np.random.Generator, quant: Quantization, shape: Any) -> Array:
    dtype = np.int8 if quant.signed else np.uint8
    return rng.integers(quant.code_min, quant.code_max + 1, tuple(shape)).astype(dtype)


# --- storage: codes under "<name>/<field>", the rest as JSON under "<name>/case"


def save_cases(path: Path, cases: Mapping[str, Case], outputs: Mapping[str, Array]) -> None:
    """Write cases with the outputs some runtime gave them."""
    held: dict[str, Array] = {}
    for name, case in cases.items():
        layer = case.layer
        plain = {
            "kind": layer.kind,
            "out": layer.output_shape,
            "pad_code": layer.pad_code,
            "concat_axis": layer.params.get("concat_axis", 0),
            "clamp": layer.clamp,
            "activation": layer.activation,
            "requantize": _plain(layer.requantize),
            "geometry": _plain(layer.geometry),
            "output": _plain(layer.output),
            "sources": [_plain(quantization) for quantization in case.quantizations],
            "weight_quantization": _plain(layer.weight_quantization),
        }
        held[f"{name}/case"] = np.array(json.dumps(plain))
        held[f"{name}/output"] = outputs[name]
        held |= {f"{name}/input{i}": codes for i, codes in enumerate(case.inputs)}
        for field in ("weight", "bias"):
            if getattr(layer, field) is not None:
                held[f"{name}/{field}"] = getattr(layer, field).read()
    np.savez_compressed(path, **held)  # type: ignore[arg-type]


def load_cases(path: Path) -> dict[str, tuple[Case, Array]]:
    """Read cases and outputs."""
    with np.load(path) as held:
        names = [key.removesuffix("/case") for key in held.files if key.endswith("/case")]
        return {name: _load_case(held, name) for name in names}


def _plain(record: Any) -> dict[str, Any] | None:
    if record is None:
        return None
    fields = asdict(record)
    return {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in fields.items()}


def _load_quantization(plain: dict[str, Any]) -> Quantization:
    scale, zero = np.array(plain["scale"], np.float64), np.array(plain["zero_point"], np.int64)
    return Quantization(plain["bits"], plain["signed"], scale, zero, plain["axis"])


def _load_requantize(plain: dict[str, Any]) -> Requantize:
    dtypes = {"multiplier": np.int32, "shift": np.int32, "scale": np.float32}
    arrays = {k: np.array(plain[k], d) for k, d in dtypes.items() if plain[k] is not None}
    return Requantize(**{**plain, **arrays})


def _load_case(held: Any, name: str) -> tuple[Case, Array]:
    plain = json.loads(str(held[f"{name}/case"]))
    sources = tuple(_load_quantization(source) for source in plain["sources"])
    inputs = tuple(held[f"{name}/input{i}"] for i in range(len(sources)))
    more: dict[str, Any] = {}
    if plain["requantize"] is not None:
        more["requantize"] = _load_requantize(plain["requantize"])
    if plain["geometry"] is not None:
        fields: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in plain["geometry"].items()
        }
        more["geometry"] = Geometry(**fields)
    for field in ("weight", "bias"):
        if f"{name}/{field}" in held.files:
            values = held[f"{name}/{field}"]
            more[field] = TensorRecord.of(values, axes="OIHW"[: values.ndim], role=field)
    if plain["weight_quantization"] is not None:
        more["weight_quantization"] = _load_quantization(plain["weight_quantization"])
    layer = LayerRecord(
        0,
        name,
        plain["kind"],
        tuple(range(-1, len(inputs) - 1)),
        tuple(codes.shape[1:] for codes in inputs),
        tuple(plain["out"]),
        _load_quantization(plain["output"]),
        clamp=tuple(plain["clamp"]),
        activation=plain["activation"],
        pad_code=plain["pad_code"],
        params=Params(concat_axis=plain["concat_axis"]) if plain["kind"] == "concat" else Params(),
        **more,
    )
    return Case(layer, inputs, sources), held[f"{name}/output"]
