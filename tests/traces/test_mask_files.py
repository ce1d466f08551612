"""Masks of any pruner from an .npz: round trips, names, and each thing that is wrong."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitpim_traces.errors import TraceDataError, TraceError
from bitpim_traces.mask_files import read_masks, write_masks
from bitpim_traces.masks import LayerMask, masks_of
from bitpim_traces.quantize import LanePruning, OverlapPruning, PatternPruning
from bitpim_traces.synthetic import synthetic_network

SHAPES = {"features.0": (2, 3, 1, 1), "fc": (2, 4)}
MASK = np.array([[1, 0, 1], [0, 1, 0]], np.uint8).reshape(2, 3, 1, 1)


def saved(folder: Path, **arrays: Any) -> str:
    np.savez(folder / "m.npz", **{name.replace("__", "."): a for name, a in arrays.items()})
    return str(folder / "m.npz")


@pytest.mark.parametrize("pruning", [PatternPruning(3, 2), LanePruning(), OverlapPruning(3)])
def test_masks_of_a_trace_come_back(pruning: Any, tmp_path: Path) -> None:
    trace = synthetic_network("tiny", 1, pruning=pruning)
    before = masks_of(trace)
    write_masks(before, tmp_path / "m.npz")
    shapes = {r.name: r.weight.shape for r in trace.layers if r.weight is not None}
    after, source = read_masks(str(tmp_path / "m.npz"), shapes)
    assert list(after) == list(before)
    for name, mask in after.items():
        for member in ("mask", "patterns", "groups"):
            one, other = getattr(before[name], member), getattr(mask, member)
            assert (one is None) == (other is None)
            if one is not None:
                assert other.dtype == one.dtype
                np.testing.assert_array_equal(one, other)
    # the same masks, the same bytes
    write_masks(after, tmp_path / "n.npz")
    assert (tmp_path / "m.npz").read_bytes() == (tmp_path / "n.npz").read_bytes()
    assert source == {
        "file": "m.npz",
        "sha256": read_masks(str(tmp_path / "n.npz"), shapes)[1]["sha256"],
    }
    with pytest.raises(TraceError, match="exists; --overwrite replaces it"):
        write_masks(after, tmp_path / "n.npz")
    with pytest.raises(TraceError, match="cannot be written"):
        write_masks(after, tmp_path / "no" / "n.npz")


@pytest.mark.parametrize("dtype", ["?", "i1", "u1", "i8", "f4", "f8"])
def test_names_are_those_of_layers_or_parameters(dtype: str, tmp_path: Path) -> None:
    groups = np.array([7, 7], np.int64)
    for name in ("features.0", "features.0.weight"):
        path = saved(tmp_path, **{name: MASK.astype(dtype), f"{name}.overlap_groups": groups})
        masks, _ = read_masks(path, SHAPES)
        assert list(masks) == ["features.0"]
        np.testing.assert_array_equal(masks["features.0"].mask, MASK)
        assert masks["features.0"].mask.dtype == np.uint8
        assert np.asarray(masks["features.0"].groups).tolist() == [7, 7]
        assert np.asarray(masks["features.0"].groups).dtype == np.int32
        # and of shapes by parameter, as a module has them
        by_parameter, _ = read_masks(path, {f"{n}.weight": s for n, s in SHAPES.items()})
        assert list(by_parameter) == ["features.0.weight"]


def test_a_fortran_mask_is_read_as_it_is(tmp_path: Path) -> None:
    path = saved(tmp_path, fc=np.asfortranarray([[1, 0, 0, 0], [0, 1, 1, 1]]))
    assert read_masks(path, SHAPES)[0]["fc"].mask.tolist() == [[1, 0, 0, 0], [0, 1, 1, 1]]


GROUPS = np.zeros(2, np.int32)
BOTH = np.ones((2, 4), np.uint8)
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"features__1": MASK}, "got 'features.1'; did you mean 'features.0'"),
    ({"zzz": MASK}, "got 'zzz'; weights there are features.0, fc"),
    ({"zzz__overlap_groups": GROUPS}, "got 'zzz.overlap_groups'"),
    ({"fc": BOTH[:, :3]}, r"'fc': need a mask of shape \(2, 4\), as the weight has, got \(2, 3\)"),
    ({"fc": BOTH.T}, r"'fc': need a mask of shape \(2, 4\)"),
    ({"fc": BOTH * 2}, r"'fc': need 0 \(pruned\) and 1 \(kept\) alone, got 2 at \(0, 0\)"),
    ({"fc": BOTH - np.array([0, 0, 0, 1.5])}, r"got -0.5 at \(0, 3\)"),
    ({"fc": BOTH * np.nan}, r"got nan at \(0, 0\)"),
    ({"fc": BOTH, "fc__weight": BOTH}, "need one array for layer 'fc', got 'fc' and 'fc.weight'"),
    ({"fc__overlap_groups": GROUPS}, "need a mask of layer 'fc' beside 'fc.overlap_groups'"),
    (
        {"fc": BOTH, "fc__overlap_groups": GROUPS[:1]},
        r"'fc.overlap_groups': need integers of shape",
    ),
    ({"fc": BOTH, "fc__overlap_groups": GROUPS * 1.0}, "'fc.overlap_groups': need integers"),
    ({"fc": BOTH, "fc__overlap_groups": GROUPS - 1}, "need groups from 0 to 2147483647, got -1"),
    ({"fc": BOTH, "fc__overlap_groups": np.array([0, 2**31])}, "got 2147483648"),
    ({"fc": BOTH, "fc__overlap_groups": GROUPS}, "channel 0 kept by filters 0 and 1 of group 0"),
    ({"fc": BOTH, "fc__patterns": GROUPS}, "'fc.patterns': need codes of patterns, uint32"),
    ({}, "need an array for each layer with a mask, got none"),
    ({"fc": np.array(["a"])}, "need .npz or .npy of plain arrays"),
    ({"fc": np.zeros(10**5)}, "more than"),
]


@pytest.mark.parametrize(("arrays", "message"), WRONG)
def test_what_is_wrong_is_said_of_its_entry(
    arrays: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = saved(tmp_path, **arrays)
    with pytest.raises(TraceDataError, match=message) as caught:
        read_masks(path, SHAPES)
    assert str(caught.value).startswith(path) and "\n" not in str(caught.value)


def test_objects_are_not_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "m.npz", fc=np.array([{}], object))
    with pytest.raises(TraceDataError, match="of plain arrays"):
        read_masks(str(tmp_path / "m.npz"), SHAPES)
    with pytest.raises(TraceDataError, match="of plain arrays"):
        read_masks(str(tmp_path / "none.npz"), SHAPES)


def test_groups_of_a_mask_that_does_not_overlap(tmp_path: Path) -> None:
    mask = LayerMask(MASK, groups=np.zeros(2, np.int32))
    write_masks({"features.0": mask}, tmp_path / "m.npz")
    assert read_masks(str(tmp_path / "m.npz"), SHAPES)[0]["features.0"].groups is not None
