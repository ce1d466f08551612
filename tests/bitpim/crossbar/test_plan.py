"""Plans of networks on crossbars: closed forms, tables, placements."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bitpim.crossbar.adc import Adc
from bitpim.crossbar.array import CrossbarGeometry
from bitpim.crossbar.dense_layout import DenseLayout, DenseMapping
from bitpim.crossbar.layer_setup import LayerSetup
from bitpim.crossbar.number_coding import NumberCoding
from bitpim.crossbar.plan import (
    BufferPlan,
    CrossbarPlan,
    WeightedPlan,
    plan_network,
)
from bitpim.crossbar.replication import Stage
from bitpim.crossbar.storage import Stored, buffered
from bitpim.errors import ConfigError, MappingError
from bitpim.machine.registry import load_preset
from bitpim_traces.records import Geometry, TensorRecord
from tests.one_layer import one_layer, quantization

GEOMETRY = CrossbarGeometry(20, 16, 2, 9, 8)


def accesses(n: int) -> Stored:
    return Stored("buffer", {"edram_access_256b": n})


def weighted(**changed: Any) -> WeightedPlan:
    """Two conv groups of 27 rows and 24 columns, 5 positions, 8 slices."""
    mapping = DenseMapping(27, 24, GEOMETRY, 9)
    settings: dict[str, Any] = {
        "index": 1,
        "name": "conv",
        "kind": "conv2d",
        "stored": accesses(3),
        "maps": (mapping, mapping),
        "n_positions": 5,
        "n_slices": 8,
        "adc_width": "5",
        "cells_of_crossbar": 320,
    }
    return WeightedPlan(**(settings | changed))


def test_counts_of_a_worked_example() -> None:
    """Units of 9 x 8: rows 9 + 9 + 2 on the first array, 7 on the second; columns 8 + 8, then 8."""
    n_times = 2 * 5 * 8
    plan = weighted()
    assert plan.counts(2) == {
        "read": {
            "cycles": n_times * 3 * 2,  # the first array has 3 row blocks and 2 widths
            "ou_activation": n_times * 2 * 4 * 3,
            "ou_rows": n_times * 2 * 27 * 3,
            "ou_cols": n_times * 2 * 24 * 4,
            "ou_cells": n_times * 2 * 24 * 27,
            "dac_drive": n_times * 2 * 27 * 3,
            "adc_conv_5": n_times * 2 * 24 * 4,
            "shift_add": n_times * 2 * 24 * 4,
        },
        "buffer": {"cycles": 0, "edram_access_256b": 6},
    }
    assert plan.n_crossbars == 8
    assert plan.utilization == pytest.approx(2 * 27 * 24 / (8 * 320))
    assert plan.index_bits == 0
    assert plan.unskipped(3).cycles.tolist() == [5 * 8 * 6] * 3


def test_counts_are_linear_in_samples_and_empty_without() -> None:
    plan = weighted()
    one, four = plan.counts(1), plan.counts(4)
    for phase, events in four.items():
        assert {event: n // 4 for event, n in events.items()} == one[phase]
        assert all(n % 4 == 0 for n in events.values())
    assert plan.counts(0) == {"read": {"cycles": 0}, "buffer": accesses(0).phases(0)["buffer"]}


def test_copies_share_positions_and_nothing_else() -> None:
    """5 positions: 2 copies take the cycles of 3 of them, 3 those of 2, 5 those of one."""
    one = weighted()
    for n_copies, busiest in ((1, 5), (2, 3), (3, 2), (4, 2), (5, 1)):
        plan = weighted(n_copies=n_copies)
        read, alone = plan.counts(2)["read"], one.counts(2)["read"]
        assert read == alone | {"cycles": 2 * busiest * 8 * 6}
        assert plan.unskipped(3).cycles.tolist() == [busiest * 8 * 6] * 3
        assert (plan.n_crossbars, plan.weight_writes) == (n_copies * 8, n_copies * 2 * 27 * 24)
        assert plan.utilization == one.utilization
        assert plan.stage == one.stage == Stage(5, 8 * 6, 8)


def test_interval_and_latency_of_a_network() -> None:
    layers = (BufferPlan(0, "pool", "max_pool2d", accesses(7)), weighted(), weighted(n_copies=2))
    plan = CrossbarPlan(layers, columns=("copies", "weight_writes"))
    assert (plan.interval_cycles, plan.latency_cycles) == (8 * 48, 8 * 48)
    piped = replace(plan, pipelined=True)
    assert (piped.interval_cycles, piped.latency_cycles) == (5 * 48, 8 * 48)
    assert piped.assumes == "in a pipeline that takes one every 240"
    assert replace(piped, skips=True).assumes == f"that skips nothing {piped.assumes}"
    assert [row["copies"] for row in piped.table()] == [0, 1, 2]
    assert piped.totals() == plan.totals() | {"interval_cycles": 240, "latency_cycles": 384}
    assert piped.totals()["weight_writes"] == 3 * 2 * 27 * 24


def test_table_and_counts_of_a_network() -> None:
    plan = CrossbarPlan((BufferPlan(0, "pool", "max_pool2d", accesses(7)), weighted()))
    pool, conv = plan.table()
    assert (pool["rule"], pool["arrays"], pool["ou_reads"]) == ("", 0, 0)
    assert pool["cycles"] == {"buffer": 0}
    assert (conv["rule"], conv["arrays"], conv["ou_reads"]) == ("dense", 8, 5 * 8 * 24)
    assert conv["cycles"] == {"read": 5 * 8 * 6, "buffer": 0}
    assert pool.keys() == conv.keys()
    assert plan.counts(0, 3) == {"buffer": {"cycles": 0, "edram_access_256b": 21}}
    assert plan.counts(1, 3) == weighted().counts(3)
    assert plan.n_crossbars == 8
    assert plan.assumes == ""
    assert replace(plan, skips=True).assumes == "that skips nothing"


def test_a_weight_that_no_pair_holds_is_refused_before_the_network_runs() -> None:
    trace = one_layer(1, (3,), 2, weights=quantization(8, 0, signed=True))
    (layer,) = trace.layers
    lowest = TensorRecord.of(np.full((2, 3), -128, np.int8), axes="OI", role="weight")
    trace = replace(trace, layers=(replace(layer, weight=lowest),))
    layout = DenseLayout(row_blocks="array", zero_skip="none")
    offset = NumberCoding(GEOMETRY, "offset", "trace", "trace")
    setup = LayerSetup(load_preset("dense_crossbar"), layout, offset, Adc("clip", 5))
    assert plan_network(trace, [setup]).n_crossbars == 1
    with pytest.raises(MappingError, match=r"layer 0 'only' .*need 9 bits for weights"):
        plan_network(trace, [replace(setup, coding=replace(offset, encoding="differential"))])


def test_placements_of_layers_with_weights_only() -> None:
    plan = CrossbarPlan((BufferPlan(0, "pool", "max_pool2d", accesses(7)), weighted()))
    first, second = plan.placements(1)
    assert first.n_crossbars == second.n_crossbars == 4
    assert first.used_cells == 27 * 24
    message = "layer 0 'pool' (max_pool2d): need a layer with weights to show placements, got one"
    with pytest.raises(ConfigError, match=re.escape(message) + ".*name another"):
        plan.placements(0)
    alone = CrossbarPlan(plan.layers[:1])
    with pytest.raises(ConfigError, match=re.escape(message) + ".*leave the plot out"):
        alone.placements(0)


@pytest.mark.parametrize(("bits", "expected"), [(1, 1 + 1), (8, 3 + 1), (16, 6 + 1)])
def test_codes_cross_the_buffer_once(bits: int, expected: int) -> None:
    """96 input codes and 4 x 8 bits of output, in accesses of 256 bits each."""
    geometry = Geometry((4, 4), (4, 4))
    trace = one_layer(
        0, (3, 4, 8), 2, geometry, inputs=quantization(bits, 0), accumulator_bits=40, bias=False
    )
    layer = trace.layers[0]
    assert np.prod(layer.output_shape) == 4
    assert buffered(layer, trace.input_quantizations(layer)) == accesses(expected)
