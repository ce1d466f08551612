"""Networks of one convolution or linear layer, with everything that matters given."""

from typing import Any

import numpy as np
import numpy.typing as npt

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

__all__ = ["code_array", "codes_of", "one_layer", "quantization"]

ONE = np.ones(1)


def quantization(bits: int, zero_point: Any = 0, *, signed: bool = False) -> Quantization:
    """Codes of a width; several zero points are those of channels."""
    zeros = np.atleast_1d(np.asarray(zero_point, np.int64))
    axis = 0 if zeros.size > 1 else None
    return Quantization(bits, signed, np.ones(zeros.size), zeros, axis)


def code_array(codes: npt.ArrayLike, like: Quantization) -> npt.NDArray[Any]:
    width = 8 if like.bits <= 8 else 16
    return np.asarray(codes).astype(f"{'int' if like.signed else 'uint'}{width}")


def codes_of(rng: np.random.Generator, like: Quantization, shape: tuple[int, ...]) -> Any:
    """Draw codes, the extremes often among them."""
    codes = rng.integers(like.code_min, like.code_max, shape, endpoint=True)
    ends = rng.choice([like.code_min, like.code_max], shape)
    return code_array(np.where(rng.random(shape) < 0.2, ends, codes), like)


def one_layer(
    seed: int,
    image: tuple[int, ...],
    n_filters: int,
    geometry: Geometry | None = None,
    *,
    inputs: Quantization | None = None,
    weights: Quantization | None = None,
    mode: str = "truncate_shift",
    n_samples: int = 1,
    accumulator_bits: int = 32,
    bias: bool = True,
) -> Trace:
    """Build a convolution of images (C, H, W), or a linear layer of vectors (C,)."""
    rng = np.random.default_rng(seed)
    inputs = inputs or quantization(8, 128)
    weights = weights or quantization(8, 0, signed=True)
    groups = geometry.groups if geometry else 1
    kernel = geometry.kernel if geometry else ()
    shape = (n_filters, image[0] // groups, *kernel)
    weight = codes_of(rng, weights, shape)
    centred = weight.reshape(n_filters, -1) - weights.zero_point[:, None]
    reach = max(inputs.code_max - inputs.zero_point[0], inputs.zero_point[0] - inputs.code_min)
    spread = float(np.abs(centred).sum(axis=1).max() * max(int(reach), 1)) + 1
    output = quantization(8, 7, signed=True)
    place = geometry.output_size(image[1], image[2]) if geometry else ()
    offsets = rng.integers(-int(spread) // 8, int(spread) // 8 + 1, n_filters).astype(np.int32)
    layer = LayerRecord(
        0,
        "only",
        "conv2d" if geometry else "linear",
        (NETWORK_INPUT,),
        (image,),
        (n_filters, *place),
        output,
        geometry,
        clamp=(output.code_min, output.code_max),
        requantize=_rule(rng, mode, 512 / spread, n_filters),
        accumulator_bits=accumulator_bits,
        pad_code=int(inputs.zero_point[0]),
        weight=TensorRecord.of(weight, axes="OIHW"[: weight.ndim], role="weight"),
        weight_quantization=weights,
        bias=TensorRecord.of(offsets, axes="O", role="bias") if bias else None,
    )
    codes = codes_of(rng, inputs, (n_samples, *image))
    samples = Samples(
        TensorRecord.of(codes, axes="NCHW"[: codes.ndim], role="samples"), inputs, dataset="random"
    )
    return Trace("one", (layer,), samples, {"software": "tests", "parameters": {}, "seed": seed})


def _rule(rng: np.random.Generator, mode: str, factor: float, n: int) -> Requantize:
    factors = factor * rng.uniform(0.5, 2.0, n)
    if mode == "float_scale_half_even":
        return Requantize(mode, scale=factors.astype(np.float32))
    mantissa, exponent = np.frexp(factors)
    if mode == "fixed_point_half_away":
        multiplier = np.minimum(np.rint(mantissa * 2.0**31), 2.0**31 - 1)
        return Requantize(mode, multiplier.astype(np.int32), exponent.astype(np.int32))
    shift = 10 - exponent
    return Requantize(mode, np.rint(mantissa * 2.0**10).astype(np.int32), shift.astype(np.int32))
