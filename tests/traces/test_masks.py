"""Masks in a trace: codes, round trips, and what the checker lists."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bitpim.proof.reference import run_network
from bitpim_traces import check_trace, open_trace, write_trace
from bitpim_traces.errors import TraceDataError
from bitpim_traces.masks import (
    LayerMask,
    mask_codes,
    masks_from_codes,
    masks_of,
    with_masks,
)
from bitpim_traces.network import FloatLayer, FloatNetwork
from bitpim_traces.quantize import (
    OverlapPruning,
    PatternPruning,
    Settings,
    calibrate,
    quantize_network,
)
from bitpim_traces.records import Geometry, LayerRecord, TensorRecord, Trace
from bitpim_traces.synthetic import synthetic_network

SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 5), st.integers(1, 5))


@given(hnp.arrays(np.uint8, SHAPES, elements=st.integers(0, 1)))
def test_codes_and_masks_are_one_to_one(mask: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
    codes = mask_codes(mask)
    for place in np.ndindex(*codes.shape):
        bits = mask[place].ravel().tolist()
        assert int(codes[place]) == sum(bit << k for k, bit in enumerate(bits))
    window = mask.shape[2], mask.shape[3]
    np.testing.assert_array_equal(masks_from_codes(codes, window), mask)


def test_windows_beyond_a_code_are_refused() -> None:
    assert mask_codes(np.ones((1, 1, 4, 8), np.uint8)).tolist() == [[0xFFFFFFFF]]
    with pytest.raises(TraceDataError, match="window of 1 to 32 positions, got 3 x 11"):
        mask_codes(np.ones((1, 1, 3, 11), np.uint8))
    with pytest.raises(TraceDataError, match="need 4 bits for a window 2 x 2, got 0b10000"):
        masks_from_codes(np.array([3, 16]), (2, 2))


@pytest.fixture(scope="module")
def pruned() -> Trace:
    settings = Settings(weight_scheme="affine")
    return synthetic_network(
        "tiny", 2, n_samples=2, settings=settings, pruning=PatternPruning(3, 2, 0.25)
    )


def test_masks_survive_the_file_and_change_no_output(pruned: Trace, tmp_path: Path) -> None:
    write_trace(pruned, tmp_path / "p.h5")
    assert check_trace(tmp_path / "p.h5", deep=True) == []
    read = open_trace(tmp_path / "p.h5")
    before, after = masks_of(pruned), masks_of(read)
    assert list(after) == ["conv2", "depthwise"]
    for name, mask in after.items():
        assert mask.patterns is not None and before[name].patterns is not None
        np.testing.assert_array_equal(mask.mask, before[name].mask)
        np.testing.assert_array_equal(mask.patterns, before[name].patterns)
        assert mask.mask.dtype == np.uint8
        assert mask.patterns.dtype == np.uint32
    assert after["conv2"].n_zero_kernels == 4
    assert after["conv2"].sparsity == 1 - 12 * 3 / 144
    bare = replace(read, layers=tuple(replace(layer, extra={}) for layer in read.layers))
    codes = read.samples.codes.read()
    with_them, without = (run_network(t, codes, keep="all") for t in (read, bare))
    for index, outputs in with_them.items():
        np.testing.assert_array_equal(outputs, without[index])


def _layer(trace: Trace, name: str = "conv2") -> LayerRecord:
    (layer,) = [layer for layer in trace.layers if layer.name == name]
    return layer


def _with_extra(trace: Trace, name: str, **tensors: Any) -> Trace:
    """Change tensors of a layer's extra; None leaves one out."""
    layer = _layer(trace, name)
    extra = dict(layer.extra)
    for key, values in tensors.items():
        extra.pop(key, None)
        if values is not None:
            extra[key] = TensorRecord.of(values, axes="OIHW"[: values.ndim], role="", units="1")
    layers = list(trace.layers)
    layers[layer.index] = replace(layer, extra=extra)
    return replace(trace, layers=tuple(layers))


def _listed(trace: Trace, folder: Path, deep: bool) -> list[str]:
    write_trace(trace, folder / "broken.h5")
    open_trace(folder / "broken.h5")  # opens nevertheless
    return [str(fault) for fault in check_trace(folder / "broken.h5", deep=deep)]


def test_a_mask_that_disagrees_with_the_weights_is_listed(pruned: Trace, tmp_path: Path) -> None:
    mask = masks_of(pruned)["conv2"].mask.copy()
    o, i = np.argwhere(mask)[5][:2]
    wrong = mask.copy()
    wrong[o, i] = 0  # three weights are not zero there
    listed = _listed(_with_extra(pruned, "conv2", pruning_mask=wrong), tmp_path, deep=True)
    assert len(listed) == 1
    assert listed[0].startswith(
        "/layers/0001/extra/pruning_mask: need weights at their zero point where the mask is 0,"
    )
    first = tuple(int(n) for n in np.argwhere(mask[o, i])[0])
    assert f"at {(int(o), int(i), *first)} and 2 others" in listed[0]
    assert _listed(_with_extra(pruned, "conv2", pruning_mask=wrong), tmp_path, deep=False) == []
    # a kept weight may be at its zero point, if the mask stays a pattern
    free = np.ones_like(mask)
    assert not _listed(
        _with_extra(pruned, "conv2", pruning_mask=free, patterns=None), tmp_path, deep=True
    )


def test_a_mask_that_is_none_of_the_patterns_is_listed(pruned: Trace, tmp_path: Path) -> None:
    mask = masks_of(pruned)["conv2"].mask.copy()
    o, i = np.argwhere(mask_codes(mask) != 0)[0]
    mask[o, i] = 1
    (fault,) = _listed(_with_extra(pruned, "conv2", pruning_mask=mask), tmp_path, deep=True)
    assert fault == (
        "/layers/0001/extra/pruning_mask: need conv kernels whose mask is 0 or one of the"
        f" patterns, got 0b111111111 at {(int(o), int(i))}"
    )


@pytest.mark.parametrize(
    ("patterns", "got"),
    [
        ([7, 3], "7, 3"),
        ([3, 3], "3, 3"),
        ([0, 3], "0, 3"),
        ([3, 512], "3, 512"),
        ([3, 2**32 - 1], "3, 4294967295"),
    ],
)
def test_patterns_are_ascending_codes(
    pruned: Trace, tmp_path: Path, patterns: list[int], got: str
) -> None:
    broken = _with_extra(pruned, "conv2", patterns=np.array(patterns, np.uint32))
    (fault,) = _listed(broken, tmp_path, deep=True)
    assert fault == (
        "/layers/0001/extra/patterns: need ascending codes of 9 bits, none of them 0, got " + got
    )


BYTES = np.zeros((4, 4, 3, 3), np.uint8)
GROUPS = np.zeros(4, np.int32)
FORMS: list[tuple[str, dict[str, Any], str]] = [
    ("conv2", {"pruning_mask": BYTES.astype(np.int8)}, "pruning_mask: need uint8 of (4, 4, 3, 3)"),
    ("conv2", {"pruning_mask": BYTES[:3]}, "got uint8 of (3, 4, 3, 3)"),
    ("conv2", {"pruning_mask": None}, "patterns: need a pruning_mask beside the patterns"),
    ("conv2", {"patterns": np.array([3], np.uint16)}, "patterns: need uint32 along one axis"),
    ("conv2", {"patterns": np.array([[3]], np.uint32)}, "got uint32 of (1, 1)"),
    ("pool1", {"pruning_mask": BYTES}, "need no mask where there is no weight"),
    ("fc", {"patterns": np.array([3], np.uint32)}, "patterns at a conv2d of at most 32 positions"),
    (
        "conv2",
        {"overlap_groups": GROUPS.astype(np.int64)},
        "int32 of (4,), a group for each filter",
    ),
    ("conv2", {"overlap_groups": GROUPS[:3]}, "overlap_groups: need int32 of (4,)"),
    ("fc", {"overlap_groups": GROUPS}, "need a pruning_mask beside the groups, got none"),
    ("pool1", {"overlap_groups": GROUPS}, "need a pruning_mask beside the groups, got none"),
]


@pytest.mark.parametrize(("name", "tensors", "message"), FORMS)
def test_wrong_forms_are_listed_without_reading_values(
    pruned: Trace, tmp_path: Path, name: str, tensors: dict[str, Any], message: str
) -> None:
    broken = _with_extra(pruned, name, **tensors)
    for deep in (False, True):
        (fault,) = _listed(broken, tmp_path, deep=deep)
        assert message in fault


def test_a_mask_is_of_zeros_and_ones(pruned: Trace, tmp_path: Path) -> None:
    mask = masks_of(pruned)["conv2"].mask * np.uint8(2)
    (fault,) = _listed(_with_extra(pruned, "conv2", pruning_mask=mask), tmp_path, deep=True)
    assert "need 0 and 1, got 2" in fault


def test_a_linear_weight_may_have_a_mask(pruned: Trace, tmp_path: Path) -> None:
    weight = _layer(pruned, "fc").weight
    assert weight is not None
    kept = with_masks(pruned, {"fc": LayerMask(np.ones(weight.shape, np.uint8))})
    assert _listed(kept, tmp_path, deep=True) == []
    assert masks_of(kept)["fc"].patterns is None
    assert masks_of(kept)["fc"].sparsity == 0.0


def test_masks_that_do_not_fit_are_not_put_into_a_trace(pruned: Trace) -> None:
    masks = masks_of(pruned)
    free = np.ones_like(masks["conv2"].mask)
    for wrong, message in (
        ({"conv9": masks["conv2"]}, "need masks of its layers, got 'conv9'"),
        ({"fc": masks["conv2"]}, "layer 11 'fc': need a mask with axes OI"),
        ({"depthwise": masks["conv2"]}, r"need uint8 of \(9, 1, 3, 3\)"),
        ({"conv2": LayerMask(1 - free)}, "set masked weights to zero, or mend the mask"),
        ({"conv2": LayerMask(free, masks["conv2"].patterns)}, "one of the patterns, got 0b1"),
    ):
        with pytest.raises(TraceDataError, match=message):
            with_masks(pruned, wrong)


def test_empty_patterns_mean_that_nothing_is_kept(tmp_path: Path) -> None:
    trace = synthetic_network("tiny", 0, pruning=PatternPruning(zero_kernel_share=1.0))
    assert _listed(trace, tmp_path, deep=True) == []
    mask = masks_of(open_trace(tmp_path / "broken.h5"))["conv2"]
    assert mask.patterns is not None and mask.patterns.shape == (0,)
    assert mask.sparsity == 1.0


# --- groups of filters that share lanes


@pytest.fixture(scope="module")
def overlapped() -> Trace:
    pruning = OverlapPruning(2, skip_first=False, overrides={"depthwise": 1})
    return synthetic_network("tiny", 2, n_samples=2, pruning=pruning)


def test_groups_survive_the_file(overlapped: Trace, tmp_path: Path) -> None:
    assert _listed(overlapped, tmp_path, deep=True) == []
    before, after = masks_of(overlapped), masks_of(open_trace(tmp_path / "broken.h5"))
    assert list(after) == ["conv1", "conv2", "conv3"]
    for name, mask in after.items():
        assert mask.groups is not None and mask.groups.dtype == np.int32
        assert mask.groups.tolist() == np.asarray(before[name].groups).tolist()
        lanes = np.asarray(mask.mask.any(axis=(2, 3)))
        for group in set(mask.groups.tolist()):
            assert lanes[mask.groups == group].sum(axis=0).max() == 1


def test_filters_of_a_group_that_share_a_channel_are_listed(
    overlapped: Trace, tmp_path: Path
) -> None:
    """The fault names the channel and both filters; with disjoint groups there is none."""
    mask = masks_of(overlapped)["conv2"]
    groups = np.asarray(mask.groups).copy()
    one, other = (int(m) for m in np.flatnonzero(groups == groups[0])[:2])
    lanes = np.asarray(mask.mask.any(axis=(2, 3)))
    channel = int(np.flatnonzero(lanes[one])[0])
    wider = mask.mask.copy()
    wider[other, channel] = 1
    broken = _with_extra(overlapped, "conv2", pruning_mask=wider)
    assert _listed(broken, tmp_path, deep=False) == []
    (fault,) = _listed(broken, tmp_path, deep=True)
    assert fault == (
        "/layers/0001/extra/overlap_groups: need groups whose filters keep no channel in common,"
        f" got channel {channel} kept by filters {one} and {other} of group {groups[0]}"
    )
    with pytest.raises(TraceDataError, match=f"filters {one} and {other} of group {groups[0]}"):
        with_masks(overlapped, {"conv2": LayerMask(wider, groups=mask.groups)})
    groups[other] = 77
    assert _listed(_with_extra(broken, "conv2", overlap_groups=groups), tmp_path, deep=True) == []


def test_groups_are_not_negative(overlapped: Trace, tmp_path: Path) -> None:
    groups = np.asarray(masks_of(overlapped)["conv2"].groups) - 1
    broken = _with_extra(overlapped, "conv2", overlap_groups=groups.astype(np.int32))
    (fault,) = _listed(broken, tmp_path, deep=True)
    assert fault.endswith("overlap_groups: need groups from 0, got -1")


def test_groups_lie_within_a_conv_group(overlapped: Trace, tmp_path: Path) -> None:
    """Depthwise filters read a channel each: a group of two would read two."""
    shape = (9, 1, 3, 3)
    ones, groups = np.ones(shape, np.uint8), np.arange(9, dtype=np.int32)
    fine = _with_extra(overlapped, "depthwise", pruning_mask=ones, overlap_groups=groups)
    assert _listed(fine, tmp_path, deep=True) == []
    groups[5] = 3
    broken = _with_extra(overlapped, "depthwise", pruning_mask=ones, overlap_groups=groups)
    (fault,) = _listed(broken, tmp_path, deep=True)
    assert fault.endswith("within one conv group, got group 3 in conv groups 3 and 5")


def test_channels_and_filters_of_a_grouped_convolution_are_those_of_the_layer() -> None:
    """Filters 3 and 4 are of the second conv group, whose channel 1 is channel 3 of the input."""
    weight = np.ones((6, 2, 1, 1), "f4")
    window = Geometry((1, 1), groups=2)
    network = FloatNetwork("g", (FloatLayer("conv", "conv2d", (-1,), window, weight),), (4, 2, 2))
    images = np.ones((1, 4, 2, 2), "f4")
    trace = quantize_network(network, calibrate(network, images), images)
    mask, groups = np.ones(weight.shape, np.uint8), np.arange(6, dtype=np.int32)
    mask[4, 0], groups[4] = 0, 3
    pruned = replace(
        trace.layers[0], weight=TensorRecord.of(mask.astype(np.int8), axes="OIHW", role="weight")
    )
    message = "channel 3 kept by filters 3 and 4 of group 3"
    with pytest.raises(TraceDataError, match=message):
        with_masks(replace(trace, layers=(pruned,)), {"conv": LayerMask(mask, groups=groups)})


def test_a_new_mask_takes_the_place_of_all_of_the_old_one(overlapped: Trace) -> None:
    free = LayerMask(masks_of(overlapped)["conv2"].mask)
    assert masks_of(with_masks(overlapped, {"conv2": free}))["conv2"].groups is None
