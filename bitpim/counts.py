"""Counts: how often each physical act happened. Exact integers, never prices.

Source: the events Neural Cache and its successors charge.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from bitpim.errors import AccumulatorError, ConfigError

__all__ = [
    "CAM_EVENTS",
    "CROSSBAR_EVENTS",
    "EVENTS",
    "NOR_EVENTS",
    "RNA_EVENTS",
    "SPIKE_EVENTS",
    "SRAM_EVENTS",
    "Counts",
    "define_events",
]

SRAM_EVENTS: Final[Mapping[str, str]] = {
    "cycles": "array cycles in lock step, whatever the number of arrays: time, not work",
    "sram_compute_cycle": "one array activates one or two rows, computes and writes back",
    "sram_access_cycle": "one array reads or writes one row plainly: load, store, column move",
    "tag_load": "a compute cycle that loads the tag latch",
    "tag_store": "a compute cycle that stores the tag latch to a row",
    "carry_reset": "a compute cycle that sets or resets the carry latch",
    "carry_store": "a compute cycle that stores the carry latch to a row",
    "tmu_row": "one row through a transpose memory unit",
    "bus_byte": "one byte over the bus of a cache slice",
    "dram_byte": "one byte from or to DRAM",
    "gather_row": "one row through the block that coalesces inputs",
    "masked_reduction": "one reduction of the lanes that a mask selects",
    "mac_exec": "one multiply-accumulate of the network, executed in a lane",
}
"""What compute SRAM and the cache around it count."""

CROSSBAR_EVENTS: Final[Mapping[str, str]] = {
    "ou_activation": "one operation unit of one crossbar is read for one input slice",
    "ou_skipped": "such a read left out because all its inputs are zero",
    "ou_rows": "one wordline opened in one read of an operation unit",
    "ou_cols": "one column sensed in one read of an operation unit",
    "ou_cells": "one cell crossed in one read of an operation unit: its rows times its columns",
    "dac_drive": "one DAC drives one wordline for one read",
    "shift_add": "one converted partial sum shifted and added",
    "accum_scatter": "one sum sent to the accumulator that a stored output index names",
    "index_read_bit": "one bit of a stored index read",
    "edram_access_256b": "one 256-bit access of the buffer that holds codes between layers",
    "crossbar_read": "a whole crossbar multiplies a vector, by rows or transposed, unconverted",
    "crossbar_update": "a whole crossbar takes one outer-product update",
    **{f"adc_conv_{width}": f"one conversion, ADC of {width} bits" for width in range(1, 17)},
    "adc_conv_exact": "one partial sum taken as it is, by an ideal converter that has no price",
}
"""What crossbars and their converters count."""

SPIKE_EVENTS: Final[Mapping[str, str]] = {
    "spike_read": "one crossbar takes one step of the spike trains of all its rows in use",
    "spike": "one spike on one wordline of one crossbar: an input bit of 1",
    "spike_silent": "one wordline of one crossbar without a spike in a step: an input bit of 0",
    "spike_cell": "one cell that a spike crosses",
    "if_count": "one column's integrate-and-fire circuit counts, in one step of a spike train",
    "reram_read": "one cell of an array that holds codes is read",
    "reram_write": "one cell is written",
}
"""What crossbars count that take spike trains and hand on counts; sums are shifted and added as
others are."""

NOR_EVENTS: Final[Mapping[str, str]] = {
    "nor_step": "one step of one array of stateful logic, in all its lanes: a gate or an INIT",
    "nor_gate": "a step that is a gate: NOT, or NOR of two cells or more",
    "nor_init": "a step that sets cells, however many",
    "nor_init_cell": "one cell of a lane that such a step sets",
}
"""What logic inside memory counts."""

CAM_EVENTS: Final[Mapping[str, str]] = {
    "cam_search": "one query put to one CAM",
    "cam_stage": "one stage of a search: the bits that are compared at a time",
    "cam_row": "one row precharged for one stage of a search",
    "cam_survivor": "one row that a search leaves standing: a match, or a winner",
    "cam_discharge": "one match line that falls in one stage: its row differs from the query there",
    "cam_toggle": "one column whose search lines change from a query to the next",
}
"""What memories that are searched count."""

RNA_EVENTS: Final[Mapping[str, str]] = {
    "counter_cycle": "one cycle in which the counters of one neuron count",
    "counter_inc": "one pair of codes counted: one tap of one neuron",
    "product_read": "one product of a pair of codes, met once or more, read from a neuron's table",
    "value_read": "one value of a code read from a neuron's table: a term, or a function's",
    "operand_write": "one operand written to be added: a product, shifted to the place of a digit",
    "csa_level": "one level of the tree of carry-save adders of one neuron",
    "csa_adder": "one 3:2 carry-save adder of such a level, on all bits of a sum",
    "nor_sum": "one sum of products finished: the last addition of one neuron",
    "nor_cycle": "one cycle in which one neuron adds by stateful logic",
    "nor_gate_cell": "one cell of an adder that a gate of stateful logic drives",
    "code_bit": "one bit of a code sent to the neurons that read it",
    "table_write_bit": "one bit written to fill the tables of a neuron",
}
"""What machines of lookup tables count, beside logic inside memory and searches."""

_EVENTS: dict[str, str] = {
    **SRAM_EVENTS,
    **CROSSBAR_EVENTS,
    **SPIKE_EVENTS,
    **NOR_EVENTS,
    **CAM_EVENTS,
    **RNA_EVENTS,
}

EVENTS: Final[Mapping[str, str]] = MappingProxyType(_EVENTS)
"""Every event an array may count, and what one of it is."""

_LIMIT = 2**63


def define_events(events: Mapping[str, str]) -> None:
    """Let arrays of another kind count their own events; each with what one of it is.

    Raises
    ------
    ConfigError
        A name is no word that may be counted by, or means something else already.
    """
    for name, meaning in events.items():
        if not name.isidentifier() or not meaning:
            raise ConfigError(
                f"event {name!r}: need a word of letters, digits and _, and what one of it is, got "
                f"{meaning!r}"
            )
        if _EVENTS.get(name, meaning) != meaning:
            raise ConfigError(
                f"event {name!r}: means {_EVENTS[name]!r} already, got {meaning!r}; choose another "
                "name"
            )
    _EVENTS.update(events)


class Counts(Mapping[str, int]):
    """Frozen event counts; an event that did not happen counts 0.

    Add two with ``+``, repeat with ``* n``. Equal when every event is equal.

    Raises
    ------
    ConfigError
        An event is unknown or its count negative.
    AccumulatorError
        A count does not fit int64.
    """

    __slots__ = ("_by_event",)

    def __init__(self, **by_event: int) -> None:
        for event, count in by_event.items():
            if event not in EVENTS:
                raise ConfigError(
                    f"Counts: need one of {', '.join(EVENTS)}, got {event!r}; name it with "
                    "define_events"
                )
            if count < 0:
                raise ConfigError(f"Counts: {event} needs a count >= 0, got {count}")
            if count >= _LIMIT:
                raise AccumulatorError(
                    f"Counts: {event} needs a count below 2^63, got {count}; count fewer samples"
                )
        self._by_event = {event: int(count) for event, count in by_event.items() if count}

    def __getitem__(self, event: str) -> int:
        if event not in EVENTS:
            raise KeyError(event)
        return self._by_event.get(event, 0)

    def __iter__(self) -> Iterator[str]:
        return iter(EVENTS)

    def __len__(self) -> int:
        return len(EVENTS)

    def __add__(self, other: "Counts") -> "Counts":
        if not isinstance(other, Counts):
            return NotImplemented
        mine, theirs = self._by_event, other._by_event
        return Counts(**mine | {event: n + mine.get(event, 0) for event, n in theirs.items()})

    def __mul__(self, times: int) -> "Counts":
        if not isinstance(times, int):
            return NotImplemented
        return Counts(**{event: count * times for event, count in self._by_event.items()})

    __rmul__ = __mul__

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Counts):
            return NotImplemented
        return self._by_event == other._by_event

    def __hash__(self) -> int:
        return hash(frozenset(self._by_event.items()))

    def __repr__(self) -> str:
        inside = ", ".join(f"{event}={self[event]}" for event in EVENTS if self[event])
        return f"Counts({inside})"

    def on_arrays(self, n_arrays: int) -> "Counts":
        """Return the counts of arrays in lock step: the work of all, the cycles of one."""
        by_event = {event: count * n_arrays for event, count in self._by_event.items()}
        return Counts(**(by_event | {"cycles": self["cycles"]}))

    def to_dict(self) -> dict[str, int]:
        """Return the events that happened, in the order of `EVENTS`."""
        return {event: self[event] for event in EVENTS if self[event]}
