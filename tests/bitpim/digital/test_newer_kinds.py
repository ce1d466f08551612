"""The digital side of newer kinds at their ends: sums beyond their integers, tables, odd sizes."""

from typing import Any

import numpy as np
import pytest

from bitpim.digital.layers import prepare_layer
from bitpim.errors import AccumulatorError
from bitpim.proof.reference import run_layer
from bitpim_traces.records import LayerRecord, Params, Quantization, Requantize, TensorRecord


def quantization(bits: int, *, signed: bool = False, zero: int = 0) -> Quantization:
    return Quantization(bits, signed, np.ones(1), np.array([zero], np.int64))


def layer_of(kind: str, shapes: list[tuple[int, ...]], out: tuple[int, ...], **more: Any) -> Any:
    output = more.pop("output", quantization(8))
    clamp = (output.code_min, output.code_max)
    inputs = (-1,) * len(shapes)
    return LayerRecord(0, "it", kind, inputs, tuple(shapes), out, output, clamp=clamp, **more)


def fixed(shift: int) -> Requantize:
    """The mode whose sums must fit 32 bits."""
    multiplier, shifts = np.array([1 << 30], np.int32), np.array([shift], np.int32)
    return Requantize("fixed_point_half_away", multiplier, shifts)


@pytest.mark.parametrize(
    ("codes", "zeros"),
    [((65535, 65535), (0, 0)), ((0, 65535), (65535, 0)), ((32769, 65535), (0, 0))],
)
def test_products_beyond_32_bits_are_refused_alike(
    codes: tuple[int, int], zeros: tuple[int, int]
) -> None:
    layer = layer_of("multiply", [(3,), (1,)], (3,), requantize=fixed(-20))
    quants = [quantization(16, zero=zero) for zero in zeros]
    prepared = prepare_layer(layer, quants)
    assert prepared.may_overflow
    fine = [np.full((2, 3), z + 1 - 2 * (z > 0), np.uint16) for z in zeros[:1]]
    fine.append(np.full((2, 1), zeros[1] + 1, np.uint16))
    np.testing.assert_array_equal(prepared.run(fine), run_layer(layer, fine, quants))
    beyond = [np.full((1, 3), codes[0], np.uint16), np.full((1, 1), codes[1], np.uint16)]
    with pytest.raises(AccumulatorError, match=r"layer 0 'it' \(multiply\)"):
        prepared.run(beyond)
    with pytest.raises(AccumulatorError, match=r"layer 0 'it' \(multiply\)"):
        run_layer(layer, beyond, quants)


@pytest.mark.parametrize("code", [0, 65535])
def test_means_of_pixels_beyond_32_bits_are_refused_alike(code: int) -> None:
    params = Params(size=(3, 5), align_corners=0, share_bits=10)
    layer = layer_of(
        "resize_bilinear", [(2, 2, 2)], (2, 3, 5), params=params, requantize=fixed(-20)
    )
    quants = [quantization(16, zero=30000)]
    codes = np.full((1, 2, 2, 2), 30000, np.uint16)
    prepared = prepare_layer(layer, quants)
    np.testing.assert_array_equal(prepared.run([codes]), run_layer(layer, [codes], quants))
    codes[0, 1, 1, 1] = code
    with pytest.raises(AccumulatorError, match=r"\(resize_bilinear\)"):
        prepared.run([codes])
    with pytest.raises(AccumulatorError, match=r"\(resize_bilinear\)"):
        run_layer(layer, [codes], quants)


@pytest.mark.parametrize("shape", [(3,), (3, 2), (3, 2, 5), (3, 2, 1, 4), (3, 1, 2, 2, 2)])
@pytest.mark.parametrize("signed", [False, True])
def test_each_channel_reads_its_own_row(shape: tuple[int, ...], signed: bool) -> None:
    rng = np.random.default_rng(0)
    source, output = quantization(5, signed=signed), quantization(8, signed=True)
    rows = rng.integers(-128, 128, (3, 32)).astype(np.int8)
    table = TensorRecord.of(rows, axes="CK", role="table")
    layer = layer_of("activation", [shape], shape, output=output, activation="own", table=table)
    codes = rng.integers(source.code_min, source.code_max + 1, (4, *shape))
    codes = codes.astype(np.int8 if signed else np.uint8)
    found = prepare_layer(layer, [source]).run([codes])
    for channel in range(3):
        need = rows[channel][codes[:, channel].astype(int) - source.code_min]
        np.testing.assert_array_equal(found[:, channel], need)
    np.testing.assert_array_equal(found, run_layer(layer, [codes], [source]))
