"""Window arithmetic against PyTorch, and code ranges."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitpim_traces.records import Geometry, Quantization, TensorRecord

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
