"""Convolutions and linear layers laid out in lanes, by the filter groups that a rule yields."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bitpim import programs
from bitpim.digital.requantize import mode_of
from bitpim.errors import MappingError
from bitpim.programs.program import Field
from bitpim.sram.conv_plan import ConvPlan, EpiloguePlan, GroupPlan, WindowSum
from bitpim.sram.costs import masked_costs, step_costs
from bitpim.sram.filter_groups import FilterGroup, LaneSums, need_bits, sum_widths
from bitpim.sram.lane_programs import WindowCorrection, epilogue_program
from bitpim.sram.requantize_rule import need_host, requantize_rule
from bitpim.sram.rules import ConvRule
from bitpim.sram.settings import CacheSettings
from bitpim.sram.transposed import LaneLayout
from bitpim.sram.weighted_layer import WeightedLayer
from bitpim_traces.records import LayerRecord, Quantization

__all__ = ["plan_conv"]

Int64 = npt.NDArray[np.int64]


def plan_conv(
    record: LayerRecord, quantization: Quantization, settings: CacheSettings, rule: ConvRule
) -> ConvPlan:
    """Lay out a layer with weights whose input has this quantization.

    Raises
    ------
    MappingError
        It does not fit the arrays; or the rule forgets a filter, or a weight that is not at its
        zero point.
    AccumulatorError
        A sum in the lanes may exceed its rows.
    """
    layer = WeightedLayer.of(record, quantization, settings)
    groups = tuple(rule.filter_groups(layer))
    _check_filters(layer, groups)
    _check_left_out(layer, groups)
    windows, window_of = _windows(layer, groups)
    return ConvPlan(
        record.index,
        record.name,
        record.kind,
        settings,
        layer.shape,
        layer.inputs.bits,
        record.output.bits,
        record.accumulator_bits,
        tuple(_group_plan(layer, group) for group in groups),
        windows,
        window_of,
    )


def _check_filters(layer: WeightedLayer, groups: Sequence[FilterGroup]) -> None:
    """Raise unless the groups hold each filter of the layer once, in order."""
    held = np.concatenate([group.filters for group in groups]) if groups else np.empty(0, np.int64)
    ascending = all(group.filters.size and (np.diff(group.filters) > 0).all() for group in groups)
    if not ascending or not np.array_equal(np.sort(held), np.arange(layer.shape.out_channels)):
        got = "; ".join(", ".join(map(str, group.filters[:8])) for group in groups)
        raise MappingError(
            f"{layer.where}: need groups of ascending filters that hold each of "
            f"{layer.shape.out_channels} once, got {got or 'none'}; mend the rule of the machine"
        )
    for group in groups:
        _check_entries(layer, group)
        _check_owners(layer, group)


def _check_entries(layer: WeightedLayer, group: FilterGroup) -> None:
    """Raise where lanes ask for what no window has, or zero points are not one a filter."""
    beyond = group.layout.entries[group.layout.entries >= layer.shape.n_entries]
    if beyond.size or group.zeros.shape != group.filters.shape or (group.zeros < 0).any():
        raise MappingError(
            f"{layer.where}: need entries below {layer.shape.n_entries} and a zero point of at "
            f"least 0 for each of {group.filters.size} filters, got entries {beyond.tolist()} and "
            f"zero points {group.zeros.tolist()}; mend the rule of the machine"
        )
    lists = None if group.lists is None else group.lists.kept.shape
    if lists not in (None, (group.filters.size, layer.shape.in_channels)):
        raise MappingError(
            f"{layer.where}: need a list of {layer.shape.in_channels} channels for each of "
            f"{group.filters.size} filters, got {lists}; mend the rule of the machine"
        )


def _check_owners(layer: WeightedLayer, group: FilterGroup) -> None:
    """Raise unless a filter owns lanes of one set, and a set serves one conv group.

    One reduction finds one sum, and lanes take the inputs of one conv group.
    """
    if group.owners is None:
        return
    if group.owners.shape[1:] != (group.layout.n_used,):
        raise MappingError(
            f"{layer.where}: need an owner for each of {group.layout.n_used} lanes, got "
            f"{group.owners.shape}; mend the rule of the machine"
        )
    seen: set[int] = set()
    for lanes in group.owners:
        owners = np.unique(lanes[lanes >= 0])
        known = owners.size == 0 or owners[-1] < group.filters.size
        filters = group.filters[owners].tolist() if known else owners.tolist()
        conv_groups = set(layer.conv_group_of(np.array(filters, np.int64)).tolist())
        if not known or len(conv_groups) > 1 or seen & set(filters):
            raise MappingError(
                f"{layer.where}: need lanes shared by filters of one conv group that own no other "
                f"lanes, got filters {filters}; mend the rule of the machine"
            )
        seen |= set(filters)


def _check_left_out(layer: WeightedLayer, groups: Sequence[FilterGroup]) -> None:
    """Raise where a filter leaves out a weight that is not at its zero point.

    Weights are read only where some are left out.
    """
    n_weights = sum(group.n_weights for group in groups)
    if n_weights == layer.shape.n_weights:
        return
    kept = layer.kept()
    for group in groups:
        lost = kept[group.filters] & ~group.used(layer.shape.n_entries)
        for position, entry in np.argwhere(lost)[:1]:
            channel, tap = divmod(int(entry), layer.shape.n_taps)
            raise MappingError(
                f"{layer.where}: need a lane for every weight away from the zero point, got none "
                f"for filter {group.filters[position]}, channel {channel}, tap {tap}; mend the "
                "rule of the machine"
            )


# window sums


def _windows(
    layer: WeightedLayer, groups: Sequence[FilterGroup]
) -> tuple[tuple[WindowSum, ...], Int64]:
    """Yield the window sums, and which of them each filter needs.

    Filters of any group that use the same entries share a sum; the first group says how they lie in
    lanes. A group whose filters have entries of their own sums them as it sums products.
    """
    shared: dict[bytes, int] = {}
    makers: list[FilterGroup] = []
    window_of = np.full(layer.shape.out_channels, -1, np.int64)
    for group in groups:
        if not _corrects(group):
            continue
        place = len(makers)
        if group.owners is None and group.lists is None:
            place = shared.setdefault(group.layout.entries.tobytes(), place)
        if place == len(makers):
            makers.append(group)
        window_of[group.filters] = place
    windows = tuple(
        _window_sum(layer, group, _n_window_sets(layer, group, np.flatnonzero(window_of == place)))
        for place, group in enumerate(makers)
    )
    return windows, window_of


def _corrects(group: FilterGroup) -> bool:
    """Tell whether a zero point times a window's sum is left in the sums of a group."""
    return bool(group.zeros.any() and group.n_weights)


def _n_window_sets(layer: WeightedLayer, group: FilterGroup, filters: Int64) -> int:
    """Sets of lanes in which a position's windows are summed for these filters."""
    conv_groups = layer.conv_group_of(filters)
    if group.lists is not None:
        return group.lists.n_lists(conv_groups)
    return np.unique(conv_groups).size if group.owners is None else group.n_lane_sets


def _window_sum(layer: WeightedLayer, group: FilterGroup, n_sets: int) -> WindowSum:
    """Sum the entries of windows where a group's lanes have them, without weights."""
    settings, tap, layout = layer.settings, group.sums.tap, group.layout
    sum_bits, levels, final_bits = sum_widths(settings.mapping, layout.n_levels)
    largest = layer.inputs.code_max
    lane = layout.taps_per_lane * largest
    need_bits(layer.where, lane, sum_bits, "mapping.partial_sum_bits")
    need_bits(
        layer.where, layout.entries.size * largest, final_bits, "mapping.reduction_fixed_bits"
    )
    x, total = tap.field("x"), Field("sum", tap.field("sum").start, sum_bits)
    costs = step_costs(
        settings.timing,
        input_bits=layer.inputs.bits,
        weight_bits=layer.weights.bits,
        sum_bits=sum_bits,
        level_bits=levels,
    )
    if group.masks:
        costs = masked_costs(costs, group.masks, [*levels, sum_bits][0])
    sums = LaneSums(
        layout,
        programs.accumulate(x, total, n_rows=settings.geometry.array_rows),
        final_bits,
        group.sums.rows,
        costs,
    )
    return WindowSum(sums, n_sets, _window_bits(layer, layout), group.masks)


def _window_bits(layer: WeightedLayer, layout: LaneLayout) -> int:
    return int(layout.entries.size * layer.inputs.code_max).bit_length()


# what follows the sums of a group


def _group_plan(layer: WeightedLayer, group: FilterGroup) -> GroupPlan:
    correction = _correction(group, _window_bits(layer, group.layout))
    epilogue = _epilogue(layer, group, correction)
    return GroupPlan(group, _n_streamed(layer, group), correction, epilogue)


def _n_streamed(layer: WeightedLayer, group: FilterGroup) -> int:
    """Entries of all windows of a position that a group needs."""
    conv_groups = layer.conv_group_of(group.filters)
    if group.lists is not None:
        return group.lists.n_streamed(conv_groups)
    return group.layout.entries.size * np.unique(conv_groups).size


def _correction(group: FilterGroup, window_bits: int) -> WindowCorrection | None:
    if not _corrects(group):
        return None
    zeros = {int(zero) for zero in group.zeros}
    zero = min(zeros)
    if len(zeros) == 1 and zero & (zero - 1) == 0:
        return WindowCorrection(window_bits, zero.bit_length() - 1, 0)
    return WindowCorrection(window_bits, None, max(zeros).bit_length())


def _epilogue(
    layer: WeightedLayer, group: FilterGroup, correction: WindowCorrection | None
) -> tuple[EpiloguePlan, ...]:
    """Part the filters of a group by shift: lanes in lock step shift alike."""
    record, settings = layer.record, layer.settings
    if mode_of(record).is_float:
        need_host(record, settings)
        return ()
    step = record.requantize
    assert step is not None and step.multiplier is not None and step.shift is not None
    shifts = np.broadcast_to(step.shift, (layer.shape.out_channels,))[group.filters]
    bits = max(int(step.multiplier.max()).bit_length(), 1)
    parts = []
    for shift in np.unique(shifts):
        filters = group.filters[shifts == shift]
        rule = requantize_rule(record, int(filters[0]), multiplier_bits=bits)
        program = epilogue_program(
            group.sums.final_bits,
            record.accumulator_bits,
            correction,
            rule,
            settings.geometry.array_rows,
        )
        parts.append(EpiloguePlan(filters, program))
    return tuple(parts)
