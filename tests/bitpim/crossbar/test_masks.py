from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bitpim.crossbar.masks import kept_positions, layer_masks
from bitpim.errors import MappingError, TraceDataError
from bitpim_traces.masks import LayerMask, with_masks
from bitpim_traces.records import Geometry, LayerRecord, TensorRecord, Trace
from tests.one_layer import one_layer, quantization

SHAPES = st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(1, 5), st.integers(1, 5))
KEPT = hnp.arrays(np.uint8, SHAPES, elements=st.integers(0, 1))


def pruned(kept: npt.NDArray[np.uint8], zero_point: int = 3, seed: int = 0) -> Trace:
    """A layer whose weights are at their zero point where they are not kept."""
    n_outputs, n_channels, *window = kept.shape
    geometry = Geometry((window[0], window[1])) if window else None
    image = (n_channels, *window) if window else (n_channels,)
    trace = one_layer(seed, image, n_outputs, geometry, weights=quantization(4, zero_point))
    weight = trace.layers[0].weight
    assert weight is not None
    codes = np.where(kept == 0, zero_point, weight.read()).astype(np.uint8)
    layer = replace(trace.layers[0], weight=TensorRecord.of(codes, axes=weight.axes, role="weight"))
    return replace(trace, layers=(layer, *trace.layers[1:]))


def naive_codes(kept: npt.NDArray[np.bool_]) -> list[list[int]]:
    return [
        [sum(1 << k for k, keeps in enumerate(kernel.ravel()) if keeps) for kernel in output]
        for output in kept
    ]


def weights_of(layer: LayerRecord) -> npt.NDArray[np.uint8]:
    assert layer.weight is not None
    return layer.weight.read()


@given(KEPT, st.integers(0, 15))
def test_masks_come_from_the_weights_where_no_mask_is_given(
    kept: npt.NDArray[np.uint8], zero_point: int
) -> None:
    layer = pruned(kept, zero_point).layers[0]
    nonzero = weights_of(layer) != zero_point
    found = layer_masks(layer)
    assert found.codes.dtype == np.uint64 and found.codes.tolist() == naive_codes(nonzero)
    assert found.patterns.tolist() == sorted(set(found.codes.ravel().tolist()) - {0})
    positions = kept_positions(found.codes, found.n_positions)
    assert np.array_equal(positions, nonzero.reshape(*nonzero.shape[:2], -1))


def test_each_output_has_its_own_zero_point() -> None:
    layer = pruned(np.ones((2, 3, 2, 2), np.uint8)).layers[0]
    assert layer.weight is not None and layer.weight_quantization is not None
    zeros = np.array([3, 5])
    codes = np.full((2, 3, 2, 2), 4, np.uint8)
    codes[0, 1, 0, 0], codes[0, 1, 0, 1] = 3, 5
    codes[1, 2, 1, 1], codes[1, 2, 1, 0] = 3, 5
    given = replace(layer.weight_quantization, zero_point=zeros, scale=np.ones(2), axis=0)
    weight = TensorRecord.of(codes, axes="OIHW", role="weight")
    found = layer_masks(replace(layer, weight=weight, weight_quantization=given))
    assert found.codes.tolist() == [[15, 14, 15], [15, 15, 11]]


@given(KEPT)
def test_a_given_mask_keeps_weights_that_are_zero(kept: npt.NDArray[np.uint8]) -> None:
    patterns = np.unique(np.array(naive_codes(kept != 0), np.uint32))
    patterns = np.union1d(patterns[patterns != 0], np.uint32(1))  # one may be in no kernel
    trace = with_masks(pruned(kept), {pruned(kept).layers[0].name: LayerMask(kept, patterns)})
    found = layer_masks(trace.layers[0])
    assert found.codes.tolist() == naive_codes(kept != 0)
    assert found.patterns.tolist() == patterns.tolist()


def test_features_of_a_linear_layer_are_channels() -> None:
    kept = np.array([[1, 0, 1], [0, 0, 1]], np.uint8)
    layer = pruned(kept).layers[0]
    found = layer_masks(layer)
    assert found.codes.tolist() == (weights_of(layer) != 3).astype(int).tolist()
    assert found.n_positions == 1


def with_extra(layer: LayerRecord, **tensors: npt.NDArray[np.integer]) -> LayerRecord:
    axes = {"pruning_mask": "OIHW", "patterns": "P"}
    extra = {
        name: TensorRecord.of(values, axes=axes[name], role=name)
        for name, values in tensors.items()
    }
    return replace(layer, extra=extra)


def test_a_mask_that_disagrees_and_patterns_that_do_not_cover_are_refused() -> None:
    kept = np.ones((2, 1, 3, 3), np.uint8)
    layer = pruned(kept).layers[0]
    weights = weights_of(layer)
    assert weights[1, 0, 2, 2] != 3  # so that dropping it is wrong
    kept[1, 0, 2, 2] = 0
    with pytest.raises(TraceDataError, match=r"layer 0 .*zero point where the mask is 0.*disagree"):
        layer_masks(with_extra(layer, pruning_mask=kept))
    kept[1, 0, 2, 2] = 1
    patterns = np.array([0b11], np.uint32)
    with pytest.raises(TraceDataError, match=r"layer 0 .*0 or one of the patterns"):
        layer_masks(with_extra(layer, pruning_mask=kept, patterns=patterns))
    with pytest.raises(TraceDataError, match="pruning_mask"):
        layer_masks(with_extra(layer, pruning_mask=kept[:, :, :2]))


def test_layers_without_masks_are_refused() -> None:
    trace = one_layer(0, (1, 5, 7), 1, Geometry((5, 7)))
    with pytest.raises(
        MappingError,
        match=r"at most 32 positions .* 5 x 7; use `--set mapping.other_kernels=dense`",
    ):
        layer_masks(trace.layers[0])
    with pytest.raises(MappingError, match="need a layer with weights"):
        layer_masks(replace(trace.layers[0], weight=None))
