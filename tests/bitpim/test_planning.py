"""A plan as rows and text; what it is of, `tests/bitpim/test_face.py` tells."""

from types import SimpleNamespace
from typing import Any

from bitpim.config import PresetLabel
from bitpim.planning import Plan
from tests.strategies import small_trace

ROWS = [
    {"index": 0, "name": "a", "arrays": 3, "utilization": 0.25, "cycles": {"x": 1, "y": 20}},
    {"index": 1, "name": "b", "arrays": 4, "utilization": 0.5, "cycles": {"y": 300}},
]


def plan() -> Plan:
    network: Any = SimpleNamespace(
        table=lambda: ROWS, totals=lambda: {"arrays": 7}, assumes="of any content"
    )
    return Plan(small_trace(1), "toy", PresetLabel("p", {"part.key": 6}), network)


def test_the_foot_of_a_plan_adds_phases_and_leaves_shares_alone() -> None:
    """Utilization is in per cent; cycles of a phase are those of all layers that have it."""
    heading, gap, *lines = (" ".join(line.split()) for line in plan().lines())
    assert heading.endswith(
        "on toy, preset p with part.key=6; cycles of one sample of any content, by phase"
    )
    assert (gap, lines) == (
        "",
        [
            "index name arrays utilization % x y cycles",
            "0 a 3 25 1 20 21",
            "1 b 4 50 - 300 300",
            "all 7 1 320 321",
        ],
    )


def test_records_have_a_column_for_each_phase_of_any_layer() -> None:
    first, second = plan().table()
    assert first.keys() == second.keys()
    assert (first["cycles.x"], second["cycles.x"], second["cycles.y"]) == (1, 0, 300)
    assert (second["settings"], second["utilization"]) == ("part.key=6", 0.5)
