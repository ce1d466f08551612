"""Ranges and what follows from them, worked by hand on streams of a few values.

Observers count in 4,096 bins over -R to R, R the power of two above the largest value. A value
between 1,024 and 2,048 makes R = 2,048, so that bins are one wide and one can count along:

    bins   ... [-2, -1) [-1, 0) [0, 1) [1, 2) ...        values at k + 0.5 are alone in theirs

A range is never wider than the values seen: of positive ones it begins at the least.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from bitpim_traces.network import FloatLayer, FloatNetwork
from bitpim_traces.numbers.affine import up_to_float32
from bitpim_traces.quantize import Observer, Settings, calibrate, quantize_network, requantize_trace
from bitpim_traces.quantize.float_network import to_float_network
from bitpim_traces.quantize.settings import LayerBits
from bitpim_traces.records import NETWORK_INPUT, Geometry, Trace

Values = npt.NDArray[np.float64]
LADDER: Values = np.append(np.arange(99) + 0.5, 1999.5)
"""0.5, 1.5, ..., 98.5 and one far out: a hundred values."""


def observe(method: str, *blocks: Values, **options: Any) -> tuple[float, float]:
    observer = Observer(method, **options)
    for block in blocks:
        observer.update(block)
    return observer.range()


# percentile


@pytest.mark.parametrize(
    ("percentile", "high"),
    [
        (100.0, 1999.5),  # nothing is left out; the bin ends at 2,000, no value does
        (98.0, 99.0),  # one value at each end: 1,999.5; the next is 98.5, in [98, 99)
        (90.0, 95.0),  # five: 1,999.5 and 98.5 to 95.5
        (50.0, 75.0),  # twenty-five: down to 75.5
    ],
)
def test_a_percentile_leaves_half_of_the_rest_out_at_each_end(
    percentile: float, high: float
) -> None:
    assert observe("percentile", LADDER, percentile=percentile) == (0.5, high)
    assert observe("percentile", -LADDER, percentile=percentile) == (-high, -0.5)


def test_both_ends_are_cut_alike() -> None:
    """Two hundred values, 90 %: ten at each end, so 1,999.5 and nine of 98.5 to 90.5."""
    assert observe("percentile", LADDER, -LADDER, percentile=90.0) == (-90.0, 90.0)


def test_blocks_of_samples_are_counted_together() -> None:
    """The first blocks are small, so that bins merge twice before the far value comes."""
    blocks = [LADDER[:1], LADDER[1:20], LADDER[20:99], LADDER[99:]]
    assert observe("percentile", *blocks, percentile=90.0) == (0.5, 95.0)
    assert observe("percentile", *blocks[::-1], percentile=90.0) == (0.5, 95.0)
    assert observe("percentile", *[LADDER] * 3, percentile=90.0) == (0.5, 95.0)


@pytest.mark.parametrize("n_first", [0, 1, 100])
def test_zeros_are_values_wherever_they_come(n_first: int) -> None:
    """A hundred zeros more, and 10 of 200 are left out: down to 90.5, so up to 90."""
    first, later = np.zeros(n_first), np.zeros(100 - n_first)
    assert observe("percentile", first, LADDER, later, percentile=90.0) == (0.0, 90.0)
    first, second = first[: n_first // 2], first[n_first // 2 :]
    assert observe("percentile", first, second, LADDER, later, percentile=90.0) == (0.0, 90.0)


def test_minmax_keeps_the_extremes_of_all_blocks() -> None:
    assert observe("minmax", np.array([-3.0, 1.0]), np.array([5.0]), np.array([-1.0, 2.0])) == (
        -3.0,
        5.0,
    )


# mse


def test_the_least_squared_error_of_one_bit() -> None:
    """One bit is 0 or the top. A hundred values of 1 and one of 2: the top belongs at 1.

    At 1 the error is (2 - 1)^2 = 1; at 2 each 1 would be rounded to 2 or 0, an error of 100.
    """
    values = np.append(np.ones(100), 2.0)
    assert observe("mse", values, bits=1)[1] == pytest.approx(1.0, abs=0.03)
    assert observe("mse", -values, bits=1)[0] == pytest.approx(-1.0, abs=0.03)


def test_the_least_squared_error_of_two_bits() -> None:
    """Codes are thirds of the top. With it at 2 each 1 is off by a third; at 1.5 only the 2 is.

    The least of 100 (2 t / 3 - 1)^2 + (t - 2)^2 is at t = 1.51.
    """
    values = np.append(np.ones(100), 2.0)
    assert observe("mse", values, bits=2)[1] == pytest.approx(1.51, abs=0.02)


@pytest.mark.parametrize("bits", [4, 8, 11])
def test_zeros_have_no_error_and_change_no_range(bits: int) -> None:
    """Real 0 is a code of every range, however many zeros there are."""
    values = np.random.default_rng(1).laplace(size=2000)
    alone = observe("mse", values, bits=bits)
    assert observe("mse", values, np.zeros(3_000_000), bits=bits) == alone
    assert observe("mse", np.zeros(3_000_000), values, bits=bits) == alone


# networks: which samples are seen, and at which width


def wire(*names: str, gain: float = 1.0) -> FloatNetwork:
    """Build a chain of linear layers of one number each."""
    weight = np.array([[gain]], np.float32)
    layers = [FloatLayer(name, "linear", (i - 1,), weight=weight) for i, name in enumerate(names)]
    return FloatNetwork("wire", tuple(layers), (1,))


@pytest.mark.parametrize("far", range(5))
def test_every_sample_is_seen_the_last_partial_batch_too(far: int) -> None:
    """Five samples in batches of two: each is once the farthest."""
    inputs = np.ones((5, 1))
    inputs[far] = 7.0
    ranges = calibrate(wire("a", gain=2.0), inputs, batch=2)
    assert ranges == {NETWORK_INPUT: (1.0, 7.0), 0: (2.0, 14.0)}


def test_ranges_are_observed_at_the_width_of_each_layer() -> None:
    """One bit shrinks to the many values, eight bits keep the far one; so do `output_bits`."""
    inputs = np.append(np.ones(100), 2.0)[:, None]
    network = wire("a", "b")
    fine = calibrate(network, inputs, Settings(calibration="mse"))
    assert all(high > 1.9 for _, high in fine.values())
    coarse = Settings(calibration="mse", output_bits=1)
    tops = {index: high for index, (_, high) in calibrate(network, inputs, coarse).items()}
    assert tops[NETWORK_INPUT] > 1.9 and tops[0] > 1.9
    assert tops[1] == pytest.approx(1.0, abs=0.03)
    own = Settings(calibration="mse", overrides={"a": LayerBits(activation_bits=1)})
    tops = {index: high for index, (_, high) in calibrate(network, inputs, own).items()}
    assert tops[0] == pytest.approx(1.0, abs=0.03)
    assert tops[NETWORK_INPUT] > 1.9 and tops[1] > 1.9


def test_the_percentile_of_the_settings_is_the_observers() -> None:
    settings = Settings(calibration="percentile", percentile=90.0)
    ranges = calibrate(wire("a"), LADDER[:, None], settings)
    assert ranges == {NETWORK_INPUT: (0.5, 95.0), 0: (0.5, 95.0)}


def made(
    network: FloatNetwork, inputs: Values, settings: Settings | None = None, **more: Any
) -> Trace:
    ranges = more.pop("ranges", None) or calibrate(network, inputs, settings)
    return quantize_network(network, ranges, inputs, settings=settings, **more)


def top(trace: Trace, index: int) -> float:
    """Yield the largest real value of a layer's output codes."""
    q = trace.quantization_of(index)
    return float(q.scale[0] * (q.code_max - q.zero_point[0]))


def test_a_trace_is_calibrated_again_on_all_its_samples_up_to_256() -> None:
    """The farthest sample counts where it is the last of three, or the 256th; not the 257th."""
    for n_samples, far, seen in ((3, 2, True), (300, 255, True), (300, 256, False)):
        inputs = np.ones((n_samples, 1))
        inputs[far] = 8.0
        again = requantize_trace(made(wire("a"), inputs))
        assert top(again, 0) == pytest.approx(8.0 if seen else 1.0, rel=0.05), (n_samples, far)


def test_fewer_samples_than_references_asked_for() -> None:
    inputs = np.linspace(0, 1, 3)[:, None]
    for asked, kept in ((32, 3), (2, 2), (0, None)):
        trace = made(wire("a"), inputs, Settings(reference_samples=asked))
        reference = trace.layers[0].output_float
        assert (None if reference is None else reference.shape[0]) == kept
    # asked for one by one, there are as many as samples
    given = made(wire("a"), inputs, references=lambda _: inputs.astype(np.float32))
    assert given.layers[0].output_float is not None
    assert given.layers[0].output_float.read().tolist() == inputs.astype(np.float32).tolist()
    # kept references are too few for the four asked for now: they are computed anew; the last
    # layer, whose answers an accuracy is of, has all six
    inputs = np.linspace(0, 1, 6)[:, None]
    few = made(wire("a", "b"), inputs, Settings(reference_samples=2))
    more = [layer.output_float for layer in few.layers]
    assert [None if one is None else one.shape[0] for one in more] == [2, 2]
    more = [la.output_float for la in requantize_trace(few, Settings(reference_samples=4)).layers]
    assert [None if one is None else one.shape[0] for one in more] == [4, 6]
    (expected,) = to_float_network(few).outputs(inputs).values()
    assert more[1] is not None and np.allclose(more[1].read(), expected, atol=0.01)
    none = requantize_trace(few, Settings(reference_samples=0))
    assert [layer.output_float for layer in none.layers] == [None, None]


def test_a_layer_that_clips_spends_no_code_on_what_it_clips() -> None:
    """Ranges from -4 to 9 behind relu and relu6: 0 to 9 and 0 to 6; -4 to 9 clamped to -1..2."""
    weight = np.ones((1, 1), np.float32)
    for activation, clamp, ends in (
        ("relu", None, (0.0, 9.0)),
        ("relu6", None, (0.0, 6.0)),
        ("clamp", (-1.0, 2.0), (-1.0, 2.0)),
        ("none", None, (-4.0, 9.0)),
    ):
        layer = FloatLayer("a", "linear", (-1,), weight=weight, activation=activation, clamp=clamp)
        network = FloatNetwork("clip", (layer,), (1,))
        ranges = {NETWORK_INPUT: (-4.0, 9.0), 0: (-4.0, 9.0)}
        q = made(network, np.ones((1, 1)), ranges=ranges).layers[0].output
        assert float(q.scale[0]) == pytest.approx((ends[1] - ends[0]) / 255), activation


def test_a_bias_takes_at_most_a_quarter_of_its_accumulator() -> None:
    """Inputs of scale 2, an accumulator of 20 bits, so up to 2^19: 1,000 is at most 2^17 codes.

    So a weight, however small, has a scale of at least 1,000 / (2 x 2^17).
    """
    layer = FloatLayer(
        "a",
        "linear",
        (-1,),
        weight=np.full((1, 1), 1e-6, np.float32),
        bias=np.array([1000.0], np.float32),
    )
    network = FloatNetwork("bias", (layer,), (1,))
    ranges = {NETWORK_INPUT: (0.0, 510.0), 0: (0.0, 1000.0)}
    trace = made(network, np.ones((1, 1)), Settings(accumulator_bits=20), ranges=ranges)
    assert float(trace.samples.quantization.scale[0]) == 2.0
    (record,) = trace.layers
    assert record.weight_quantization is not None and record.bias is not None
    assert float(record.weight_quantization.scale[0]) == up_to_float32(1000 / 2**17 / 2)
    assert record.bias.read().tolist() == [2**17]


# average windows


def test_averages_beside_padding_on_one_side() -> None:
    """A row of four, windows of three two apart, one column of padding on the right alone.

        3  6  9  12 | 0        first window 3 6 9; second 9 12 and the padding

    Counted, the padding makes the second mean 7; left out, it is 10.5.
    """
    inputs = np.array([3.0, 6.0, 9.0, 12.0]).reshape(1, 1, 1, 4)
    for counts, second in ((True, 7.0), (False, 10.5)):
        geometry = Geometry((1, 3), (1, 2), (0, 0, 0, 1), count_include_pad=counts)
        layer = FloatLayer("mean", "avg_pool2d", (-1,), geometry=geometry)
        network = FloatNetwork("mean", (layer,), (1, 1, 4))
        assert network.outputs(inputs)[0].ravel().tolist() == [6.0, second]
        assert calibrate(network, inputs)[0] == (6.0, second)
