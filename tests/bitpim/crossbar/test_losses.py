"""Which settings may take a machine away from the referee."""

import pytest
from hypothesis import event, given, settings

from bitpim.machine.registry import make_machine
from tests.bitpim.machine.crossbar_runs import COUNTING, PRESETS, Case, cases, machine, run


@pytest.mark.parametrize("name", ["neural_cache", *PRESETS, *COUNTING])
def test_machines_as_they_come_lose_nothing(name: str) -> None:
    assert make_machine(name).losses() is None
    assert make_machine(name, (PRESETS | COUNTING).get(name)).losses() is None


@pytest.mark.parametrize(
    ("name", "assigned", "words"),
    [
        ("dense_crossbar", ["adc_bits=4"], "clip of 4 bits, partial sums 0 to 27 of OUs of 9 rows"),
        ("sre", ["adc_bits=1"], "clip of 1 bit, partial sums 0 to 48"),
        ("isaac", ["adc_bits=7"], "clip of 7 bits, partial sums 0 to 192"),
        (
            "dense_crossbar",
            ["adc_model=floor", "adc_range=given", "adc_full_scale=20"],
            "floor of 5 bits, range 20 given",
        ),
        ("dense_crossbar", ["adc_model=round", "adc_range=calibrated"], "range calibrated"),
    ],
)
def test_a_lossy_converter_is_described(name: str, assigned: list[str], words: str) -> None:
    described = machine(name, *(f"converter.{text}" for text in assigned)).losses()
    assert described is not None and words in described


def test_pairs_of_cells_reach_as_far_below_zero() -> None:
    pairs = "numbers.encoding=differential_paired"
    described = machine("dense_crossbar", pairs, "converter.adc_bits=5").losses()
    assert described is not None and "partial sums -27 to 27 of OUs of 9 rows" in described
    assert machine("dense_crossbar", pairs, "converter.adc_bits=6").losses() is None


@pytest.mark.parametrize("assigned", ["adc_model=exact", "adc_bits=5", "adc_model=floor"])
def test_enough_bits_lose_nothing(assigned: str) -> None:
    assert machine("dense_crossbar", f"converter.{assigned}").losses() is None


def test_complemented_columns_leave_the_range_as_it_is() -> None:
    """Of sums up to 3 they yield 0 and 1; two bits around zero resolve a range of 1, not of 3."""
    one = ("array_rows=1", "array_columns=1", "ou_rows=1", "ou_columns=1", "cell_bits=1")
    chosen = machine(
        "dense_crossbar",
        *(f"geometry.{setting}" for setting in one),
        "converter.dac_bits=2",
        "converter.adc_model=symmetric",
        "converter.adc_bits=2",
        "numbers.encoding=column_flip",
        "numbers.weight_bits=2",
    )
    assert chosen.losses() is not None


@pytest.mark.parametrize("name", ["dense_crossbar", "sre"])
def test_what_loses_nothing_by_setting_runs_at_integer_fidelity(name: str) -> None:
    @settings(max_examples=40)
    @given(cases(name, lossy=True))
    def check(case: Case) -> None:
        chosen = machine(name, *case.assigned)
        lossless = chosen.losses() is None
        event(f"lossless {lossless}")
        if lossless:  # an error tells of a reader that may lose something
            run(chosen, case.trace, case.trace.samples.codes.read(0, 1), fidelity="integer")

    check()
