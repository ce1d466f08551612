"""Lane pruning and overlapping against loops over exact fractions, and what is refused."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitpim_traces.errors import TraceDataError
from bitpim_traces.overlap_rules import overlap_conflict
from bitpim_traces.quantize import LanePruning, OverlapPruning
from bitpim_traces.quantize.lanes import choose_lane_masks, lane_norms, retained_energy
from bitpim_traces.quantize.overlap import assign_channels, choose_overlap_masks, part_filters
from tests.naive import lanes as naive

Weight = np.ndarray[Any, np.dtype[np.float32]]


@st.composite
def weights(draw: st.DrawFn, most: int = 7) -> Weight:
    """Weights with many ties and zeros, of convolutions and of linear layers."""
    shape = (draw(st.integers(1, most)), draw(st.integers(1, most)))
    window = draw(st.sampled_from([(), (1, 1), (2, 3)]))
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    levels = draw(st.sampled_from([1, 2, 50]))
    return (rng.integers(-levels, levels + 1, shape + window) * 0.25).astype(np.float32)


def kept_lanes(mask: np.ndarray[Any, Any]) -> set[tuple[int, int]]:
    """Lanes that a mask keeps, each whole or not at all."""
    flat = mask.reshape(*mask.shape[:2], -1)
    assert (flat.min(axis=2) == flat.max(axis=2)).all()
    return {(int(o), int(i)) for o, i in np.argwhere(flat[:, :, 0])}


@given(weights(), st.sampled_from(["l1", "l2"]), st.sampled_from([0.01, 0.2, 0.5, 0.7, 0.9]))
def test_the_weakest_lanes_are_pruned(weight: Weight, norm: str, share: float) -> None:
    n_lanes = weight.shape[0] * weight.shape[1]
    n = round(share * n_lanes)
    settings = LanePruning(share, norm=norm, skip_first=False, linear=True)
    if n == n_lanes:
        with pytest.raises(TraceDataError, match="'conv': need a lane that is left"):
            choose_lane_masks({"conv": weight}, settings)
        return
    masks, (report,) = choose_lane_masks({"conv": weight}, settings)
    every = set(np.ndindex(*weight.shape[:2]))
    assert kept_lanes(masks["conv"].mask) == every - naive.weakest(weight, norm, n)
    assert masks["conv"].mask.shape == weight.shape
    n_each = weight.size // n_lanes
    assert (report.n_lanes, report.n_zero_lanes) == (n_lanes, n)
    assert (report.n_weights, report.n_zero_weights) == (weight.size, n * n_each)
    assert report.n_groups is None and report.sparsity == n / n_lanes
    squares = np.square(weight.astype(np.float64))
    left = float((squares * masks["conv"].mask).sum())
    whole = float(squares.sum())
    assert report.retained_energy == pytest.approx(left / whole if whole else 1.0)


def test_provenance_has_overrides_in_their_order() -> None:
    overrides = {"z": 0.5, "*": 0.25}
    assert LanePruning(overrides=overrides).as_plain()["overrides"] == [["z", 0.5], ["*", 0.25]]
    plain = OverlapPruning(overrides={"z": 2, "a": 3}).as_plain()
    assert (plain["overrides"], plain["group"]) == ([["z", 2], ["a", 3]], 2)


def test_norms_by_hand() -> None:
    weight = np.array([[[[3.0, -4.0]], [[0.0, 0.0]]]], "f4")
    assert lane_norms(weight, "l1").tolist() == [[7.0, 0.0]]
    assert lane_norms(weight, "l2").tolist() == [[5.0, 0.0]]
    assert lane_norms(np.array([[-2.0, 1.0]], "f4")).tolist() == [[2.0, 1.0]]


NETWORK = {
    "conv1": np.full((2, 3, 3, 3), 0.1, "f4"),
    "conv2": np.arange(1, 33, dtype="f4").reshape(4, 8, 1, 1),
    "fc": np.arange(1, 13, dtype="f4").reshape(3, 4),
}


@pytest.mark.parametrize(
    ("settings", "n_pruned"),
    [
        (LanePruning(0.5), {"conv2": 16}),
        (LanePruning(0.5, skip_first=False), {"conv1": 3, "conv2": 16}),
        (LanePruning(0.25, linear=True), {"conv2": 8, "fc": 3}),
        (LanePruning(0.5, overrides={"conv*": 0.25}), {"conv1": 2, "conv2": 8}),
        (LanePruning(0.5, overrides={"conv*": 0.25, "conv2": 0.0}), {"conv1": 2}),
        (LanePruning(0.0, overrides={"fc": 0.25, "f?": 0.5}), {"fc": 6}),
        (LanePruning(0.0052, overrides={"conv1": 0.18}), {"conv1": 1, "conv2": 0}),
    ],
)
def test_shares_go_by_layer(settings: LanePruning, n_pruned: dict[str, int]) -> None:
    masks, reports = choose_lane_masks(NETWORK, settings)
    assert {name: mask.n_zero_kernels for name, mask in masks.items()} == n_pruned
    assert [r.name for r in reports] == list(n_pruned)


def test_lanes_of_all_layers_are_ranked_over_the_mean_of_their_layer() -> None:
    even = np.full((2, 2, 1, 1), 5.0, "f4")  # each lane 1.0 of the mean
    steep = np.array([[10, 20], [30, 100]], "f4").reshape(2, 2, 1, 1)  # 0.25, 0.5, 0.75, 2.5
    convs = {"even": even, "steep": steep}

    def pruned(share: float, **more: Any) -> list[int]:
        settings = LanePruning(share, "network", skip_first=False, **more)
        return [m.n_zero_kernels for m in choose_lane_masks(convs, settings)[0].values()]

    assert pruned(2 / 8) == [0, 2]
    assert pruned(4 / 8) == [1, 3]  # of equal lanes the first is pruned
    assert pruned(4 / 8, largest_share=0.5) == [2, 2]
    assert pruned(2 / 8, overrides={"steep": 0.25}) == [1, 1]  # a quarter of what is ranked
    with pytest.raises(TraceDataError, match="need 6 lanes to prune, got 4 that layers may lose"):
        pruned(6 / 8, largest_share=0.5)
    # every lane is taken where it stands, not only counted
    masks, _ = choose_lane_masks(convs, LanePruning(3 / 8, "network", skip_first=False))
    assert masks["steep"].mask.ravel().tolist() == [0, 0, 0, 1]


@given(
    weights(),
    st.sampled_from(["l1", "l2"]),
    st.integers(1, 4),
    st.sampled_from(["greedy", "consecutive"]),
)
def test_one_filter_of_a_group_keeps_a_channel(
    weight: Weight, norm: str, size: int, partition: str
) -> None:
    values = lane_norms(weight, norm)
    groups = part_filters(values, size, partition=partition)
    sizes = np.bincount(groups)
    assert sizes.max() <= size and len(sizes) == -(-len(groups) // size)
    firsts = [groups.tolist().index(g) for g in range(len(sizes))]
    assert firsts == sorted(firsts)
    for assignment, expected in (("largest", naive.owners), ("balanced", naive.balanced_owners)):
        kept = assign_channels(values, groups, assignment=assignment)
        assert kept_lanes(kept) == expected(weight, norm, groups.tolist())
        assert not naive.conflicts(kept, groups.tolist())


@given(weights(), st.lists(st.integers(0, 3), min_size=7, max_size=7))
def test_a_conflict_is_the_first_of_all(weight: Weight, numbers: list[int]) -> None:
    kept = lane_norms(weight) > 0
    groups = np.array(numbers[: len(kept)], np.int32) * 1000
    found = naive.conflicts(kept, groups.tolist())
    conflict = overlap_conflict(kept, groups)
    assert (conflict is None) == (not found)
    if conflict is not None:
        assert conflict in found and conflict[0] == min(c for c, _, _ in found)


def test_greedy_groups_put_side_by_side_what_does_not_overlap() -> None:
    weight = np.zeros((4, 4, 1, 1), "f4")
    weight[[0, 1], :2], weight[[2, 3], 2:] = 1.0, 1.0  # 0 and 1 collide, as do 2 and 3
    for partition, groups, energy in (
        ("greedy", [0, 1, 0, 1], 1.0),
        ("consecutive", [0, 0, 1, 1], 0.5),
    ):
        settings = OverlapPruning(2, partition=partition, skip_first=False)
        masks, (report,) = choose_overlap_masks({"conv": weight}, settings)
        found = masks["conv"].groups
        assert found is not None and found.dtype == np.int32
        assert found.tolist() == groups
        assert (report.n_groups, report.retained_energy) == (2, energy)


def test_balanced_filters_keep_their_part() -> None:
    weight = np.ones((2, 6, 1, 1), "f4")
    weight[0] = 2.0  # the first filter would take all
    for assignment, n_kept in (("largest", [6, 0]), ("balanced", [3, 3])):
        settings = OverlapPruning(2, assignment, skip_first=False)
        masks, _ = choose_overlap_masks({"conv": weight}, settings)
        assert masks["conv"].mask.sum(axis=(1, 2, 3)).tolist() == n_kept


def test_groups_stay_within_those_of_a_grouped_convolution() -> None:
    weight = np.random.default_rng(0).standard_normal((6, 4, 3, 3)).astype("f4")
    settings = OverlapPruning(2, skip_first=False)
    masks, _ = choose_overlap_masks({"conv": weight}, settings, {"conv": 2})
    groups = masks["conv"].groups
    assert groups is not None
    assert not {*groups[:3].tolist()} & {*groups[3:].tolist()}
    assert len({*groups.tolist()}) == 4


def test_large_layers_are_grouped_by_windows_of_filters() -> None:
    values = np.random.default_rng(0).random((600, 3))
    groups = part_filters(values, 5)
    assert np.bincount(groups).tolist() == [5] * 120
    assert not {*groups[:255].tolist()} & {*groups[255:].tolist()}


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        (OverlapPruning(2), ["conv2"]),
        (OverlapPruning(2, skip_first=False), ["conv1", "conv2"]),
        (OverlapPruning(4, linear=True, skip_first=False), ["conv2", "fc"]),  # conv1 has 3 channels
        (OverlapPruning(2, overrides={"conv1": 3, "conv2": 1, "fc": 2}), ["conv1", "fc"]),
    ],
)
def test_layers_that_overlap(settings: OverlapPruning, names: list[str]) -> None:
    assert list(choose_overlap_masks(NETWORK, settings)[0]) == names


def test_energy_of_what_is_left() -> None:
    weight = np.arange(6, dtype="f4").reshape(3, 2)
    mask = np.array([[1, 1], [1, 0], [0, 1]], np.uint8)
    assert retained_energy(weight, mask) == (0 + 1 + 4 + 25) / 55
    assert retained_energy(0 * weight, mask) == 1.0


WRONG: list[tuple[Any, dict[str, Any], str]] = [
    (LanePruning, {"share": 1.0}, "lanes: need share from 0 to below 1, got 1.0"),
    (LanePruning, {"share": -0.1}, "need share from 0"),
    (LanePruning, {"share": float("nan")}, "need share from 0"),
    (LanePruning, {"norm": "l3"}, "need norm among l1, l2, got 'l3'"),
    (LanePruning, {"rank": "all"}, "need rank among layer, network"),
    (LanePruning, {"overrides": {"fc": 1.5}}, r"need overrides\['fc'\] from 0 to below 1, got 1.5"),
    (LanePruning, {"largest_share": 1.0}, "need largest_share"),
    (OverlapPruning, {"group": 1}, "overlap: need groups of at least 2 filters, got 1"),
    (OverlapPruning, {"assignment": "all"}, "need assignment among largest, balanced"),
    (OverlapPruning, {"partition": "all"}, "need partition among greedy, consecutive"),
    (OverlapPruning, {"overrides": {"fc": 0}}, "groups of at least 1 filter, got 0"),
]


@pytest.mark.parametrize(("settings", "values", "message"), WRONG)
def test_settings_that_are_refused(settings: Any, values: dict[str, Any], message: str) -> None:
    with pytest.raises(TraceDataError, match=message):
        settings(**values)


ONES = np.ones((2, 2, 1, 1), "f4")
REFUSED: list[tuple[Any, dict[str, Weight], str]] = [
    (LanePruning(), {"conv": ONES}, "need a layer to prune, got none of the 1"),
    (LanePruning(overrides={"cnv2": 0.1}), NETWORK, "did you mean 'conv2'"),
    (LanePruning(overrides={"x": 0.1}), NETWORK, "there are conv1, conv2, fc"),
    (LanePruning(0.9), {"a": ONES, "c": ONES}, "'c': need a lane that is left, got all 4 pruned"),
    (LanePruning(0.1), {**NETWORK, "c": ONES * np.float32("nan")}, "'c': need finite weights"),
    (OverlapPruning(9), NETWORK, "need a layer of at least 9 channels"),
    (OverlapPruning(overrides={"fc": 5}), NETWORK, "'fc': need groups of at most 4 filters"),
    (OverlapPruning(overrides={"f": 5}), NETWORK, "did you mean 'fc'"),
    (OverlapPruning(), {**NETWORK, "c": ONES * np.float32("inf")}, "'c': need finite weights"),
    (OverlapPruning(), {**NETWORK, "c": ONES * 0}, "'c': need a weight that is not 0"),
]


@pytest.mark.parametrize(("settings", "weights", "message"), REFUSED)
def test_networks_that_are_refused(settings: Any, weights: dict[str, Weight], message: str) -> None:
    choose: Any = choose_lane_masks if type(settings) is LanePruning else choose_overlap_masks
    with pytest.raises(TraceDataError, match=message):
        choose(weights, settings)
