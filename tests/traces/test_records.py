"""Window arithmetic against PyTorch, and code ranges."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitpim_traces.errors import TraceDataError
from bitpim_traces.records import Geometry, Limits, Quantization, TensorRecord
from tests.strategies import small_trace

small = st.integers(1, 9)


@settings(max_examples=200, deadline=None)
@given(st.tuples(small, small), st.tuples(small, small), st.data())
def test_pool_output_size_is_torch_s(
    image: tuple[int, int], kernel: tuple[int, int], data: st.DataObject
) -> None:
    torch = pytest.importorskip("torch")
    stride = data.draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    pad = tuple(data.draw(st.integers(0, k // 2)) for k in kernel)
    dilation = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    ceil_mode = data.draw(st.booleans())
    window = Geometry(
        kernel, stride, (pad[0], pad[0], pad[1], pad[1]), dilation, ceil_mode=ceil_mode
    )
    size = window.output_size(*image)
    try:
        out = torch.nn.functional.max_pool2d(
            torch.zeros(1, 1, *image), kernel, stride, pad, dilation, ceil_mode
        )
    except RuntimeError:
        assert min(size) < 1
    else:
        assert size == tuple(out.shape[2:])


@settings(max_examples=200, deadline=None)
@given(st.tuples(small, small), st.tuples(small, small), st.data())
def test_conv_output_size_is_torch_s(
    image: tuple[int, int], kernel: tuple[int, int], data: st.DataObject
) -> None:
    torch = pytest.importorskip("torch")
    stride = data.draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    dilation = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    top, bottom, left, right = data.draw(st.tuples(*[st.integers(0, 4)] * 4))
    window = Geometry(kernel, stride, (top, bottom, left, right), dilation)
    size = window.output_size(*image)
    padded = torch.nn.functional.pad(torch.zeros(1, 1, *image), (left, right, top, bottom))
    try:
        out = torch.nn.functional.conv2d(
            padded, torch.zeros(1, 1, *kernel), stride=stride, dilation=dilation
        )
    except RuntimeError:
        assert min(size) < 1
    else:
        assert size == tuple(out.shape[2:])


@pytest.mark.parametrize(
    ("bits", "signed", "low", "high"),
    [(1, False, 0, 1), (1, True, -1, 0), (8, True, -128, 127), (16, False, 0, 65535)],
)
def test_code_range(bits: int, signed: bool, low: int, high: int) -> None:
    quantization = Quantization(bits, signed, np.ones(1), np.zeros(1, np.int64))
    assert (quantization.code_min, quantization.code_max) == (low, high)


def test_tensor_record_reads_ranges_of_the_first_axis() -> None:
    values = np.arange(12, dtype=np.int16).reshape(4, 3)[:, ::-1]
    record = TensorRecord.of(values, axes="NC", role="any")
    np.testing.assert_array_equal(record.read(), values)
    np.testing.assert_array_equal(record.read(1, 3), values[1:3])
    assert record.read(2, 2).shape == (0, 3)


def three_bits(values: list[list[int]]) -> TensorRecord:
    """Return signed codes of 3 bits, -4 to 3."""
    quantization = Quantization(3, True, np.ones(1), np.zeros(1, np.int64))
    return quantization.limited(
        TensorRecord.of(np.array(values, np.int8), axes="OI", role="weight"), "here"
    )


def test_values_beyond_their_limits_are_named_with_their_place() -> None:
    assert three_bits([[-4, 3], [0, 1]]).read().tolist() == [[-4, 3], [0, 1]]
    for value in (-5, 4):
        wrong = three_bits([[0, 0], [0, 0], [1, value]])
        assert wrong.read(0, 2).tolist() == [[0, 0], [0, 0]]
        assert wrong.load(0, 3)[2, 1] == value
        message = rf"here: need signed 3-bit codes -4\.\.3, got {value} at \(2, 1\); make"
        for start in (0, 1, 2):
            with pytest.raises(TraceDataError, match=message):
                wrong.read(start)


def test_limits_want_integers_and_nothing_of_no_values() -> None:
    limits = Limits("here", "codes", 0, 7)
    limits.check(np.zeros((0, 3), np.int8))
    limits.check(np.array([7, 0], np.uint64))
    with pytest.raises(TraceDataError, match=r"need integers, codes 0\.\.7, got float64"):
        limits.check(np.zeros(3))


def test_every_tensor_of_codes_has_the_limits_of_its_quantization() -> None:
    trace = small_trace(3, kinds=["conv2d", "flatten", "linear"], bits=(5, 5))
    for tensor in (trace.samples.codes, *(trace.layers[i].weight for i in (0, 2))):
        assert tensor is not None and tensor.limits is not None
        assert tensor.limits.highest - tensor.limits.lowest == 31
    narrow = Quantization(2, True, np.ones(1), np.zeros(1, np.int64))
    layer = replace(trace.layers[2], weight_quantization=narrow)
    assert layer.weight is not None and layer.weight.limits is not None
    assert layer.weight.limits[2:] == (-2, 1)
    assert "layer 2" in layer.weight.limits.where and "weight" in layer.weight.limits.where
    table = replace(layer, table=three_bits([[0]]), output=narrow).table
    assert table is not None and table.limits is not None and table.limits[2:] == (-2, 1)


def test_labels_are_classes_of_the_last_layer() -> None:
    trace = small_trace(3, kinds=["linear"])
    n_classes = trace.layers[0].output_shape[0]
    for label, is_right in ((-1, True), (n_classes - 1, True), (-2, False), (n_classes, False)):
        labels = np.array([0, label], np.int32)
        record = TensorRecord.of(labels, axes="N", role="labels", units="1")
        labelled = replace(trace, samples=replace(trace.samples, labels=record))
        assert labelled.samples.labels is not None
        if is_right:
            assert labelled.samples.labels.read().tolist() == labels.tolist()
            continue
        with pytest.raises(
            TraceDataError, match=rf"labels: need classes, .* got {label} at \(1,\)"
        ):
            labelled.samples.labels.read()
