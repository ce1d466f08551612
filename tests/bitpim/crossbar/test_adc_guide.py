"""Every number that ADC.md states is what the converters do."""

import doctest
import re
import shlex
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import pytest

from bitpim.crossbar.adc import Adc, CodeTable, adc_models, lossless_bits
from bitpim.errors import ConfigError
from bitpim.machine.registry import list_presets, make_machine

GUIDE = Path(__file__).parents[3] / "bitpim" / "crossbar" / "ADC.md"
TEXT = GUIDE.read_text("utf-8")
ROW = re.compile(r"(\w+)(?:, (\d+) bits?)?(?:, range (\d+))?$")
Cells = list[str]


def tables() -> list[tuple[str, list[Cells]]]:
    """Each table's rows of cells, with all the text before it."""
    found: list[tuple[str, list[Cells]]] = []
    for block in re.finditer(r"(?:^\|.*\n)+", TEXT, re.M):
        rows = [[c.strip() for c in line.strip("|").split("|")] for line in block[0].splitlines()]
        found.append((TEXT[: block.start()], [rows[0], *rows[2:]]))
    return found


@dataclass
class Worked:
    """A worked row: its label, step, partial sums and readings; and their levels, if shown."""

    label: str
    bounds: tuple[int, int]
    step: Fraction
    sums: list[int]
    readings: list[int]
    code_table: CodeTable | None
    levels: list[float] | None = None


def code_table_of(text: str) -> CodeTable:
    """The last thresholds and levels that a text states."""
    thresholds, levels = re.findall(
        r"thresholds ([-\d, ]+) and levels\s([^.]*(?:\.\d[^.]*)*)\.", text
    )[-1]
    given = [level.strip(' "') for level in levels.split(",")]
    return CodeTable.of([int(sum_) for sum_ in thresholds.split(",")], given)


def transfer_rows() -> list[Worked]:
    found: list[Worked] = []
    for before, (head, *rows) in tables():
        if head[0] != "partial sum":
            continue
        bounds = re.findall(r"partial sums (-?\d+) to (\d+)", before)[-1]
        for label, step, *cells in rows:
            if label == "= levels":
                found[-1].levels = [float(cell) for cell in cells]
                continue
            ends = int(bounds[0]), int(bounds[1])
            sums, readings = ([int(cell) for cell in line] for line in (head[2:], cells))
            table = code_table_of(before) if label.startswith("code_table") else None
            found.append(Worked(label, ends, Fraction(step), sums, readings, table))
    return found


def test_the_guide_shows_every_model_and_all_kinds_of_ranges() -> None:
    labels = [row.label for row in transfer_rows()]
    assert len(labels) == 27
    assert {label.partition(",")[0] for label in labels} == set(adc_models())
    assert sum("range" in label for label in labels) == 4


@pytest.mark.parametrize("row", transfer_rows(), ids=lambda row: row.label)
def test_transfer_functions(row: Worked) -> None:
    match = ROW.match(row.label)
    assert match is not None
    bits, full_scale = (int(text) if text else None for text in match.groups()[1:])
    adc = Adc(match[1], bits, full_scale, row.code_table)
    table = adc.table(*row.bounds)
    assert [int(table[s - row.bounds[0]]) for s in row.sums] == row.readings
    assert adc.step(*row.bounds) == row.step
    assert (row.levels is None) == (row.step == 1)
    if row.levels is not None:
        assert [round(float(r * row.step), 2) for r in row.readings] == row.levels


def test_the_steps_of_the_models() -> None:
    """As the table of models gives them, for 5 bits and a range of 100 levels."""
    (_, *rows) = next(rows for _, rows in tables() if rows[0] == ["model", "reading", "step"])
    found = {}
    for names, _, step in rows:
        if step == "1 / common denominator of the levels":
            codes = CodeTable.of([1], [0, "5/6"])
            assert names == "`code_table`"
            assert Adc("code_table", 5, code_table=codes).step(0, 100) == Fraction(1, 6)
            continue
        divisor = {"1": 1, "range / (2^B - 1)": 31, "range / (2^(B-1) - 1)": 15}[step]
        for name in re.findall(r"`(\w+)`", names):
            found[name] = Fraction(1) if divisor == 1 else Fraction(100, divisor)
    assert {*found, "code_table"} == set(adc_models())
    for model in found:
        adc = Adc(model, None if model == "exact" else 5)
        least = 0 if model in ("floor", "round") else -100
        assert adc.step(least, 100) == found[model]
        assert abs(adc.table(least, 100)[-1]) * found[model] == (15 if model == "clip" else 100)


def test_lossless_bits() -> None:
    (head, *rows) = next(rows for _, rows in tables() if rows[0][0] == "rows in one read")
    assert head[:5] == ["rows in one read", "cell bits", "DAC bits", "largest sum", "lossless bits"]
    assert len(rows) == 7
    for row in rows:
        n_rows, cell_bits, dac_bits, largest, bits = (int(cell) for cell in row[:5])
        assert largest == n_rows * (2**cell_bits - 1) * (2**dac_bits - 1)
        assert lossless_bits(n_rows, cell_bits, dac_bits) == bits
        assert Adc("clip", bits).is_lossless(0, largest)
        assert not Adc("clip", bits - 1).is_lossless(0, largest)
        assert set(re.findall(r"preset `(\w+)`", row[5])) <= set(list_presets())


def test_the_examples_run() -> None:
    results = doctest.testfile(str(GUIDE), module_relative=False, encoding="utf-8")
    assert results.attempted >= 20
    assert results.failed == 0


def test_what_the_guide_calls_an_error_is_one() -> None:
    for bits in (0, 17):
        with pytest.raises(ConfigError, match=f"1 to 16 bits, got {bits}"):
            Adc("clip", bits)
    with pytest.raises(ConfigError, match="sign_magnitude needs 2"):
        Adc("sign_magnitude", 1)
    unsigned = CodeTable.of([1, 2, 5, 7], range(5))
    for adc in (Adc("floor", 3), Adc("round", 3), Adc("code_table", 3, code_table=unsigned)):
        with pytest.raises(ConfigError, match="at least 0"):
            adc.table(-9, 9)
    with pytest.raises(ConfigError, match="code_table needs 3 to 16 bits, got 2"):
        Adc("code_table", 2, code_table=unsigned)
    with pytest.raises(ConfigError, match="clip reads"):
        Adc("clip", 3, 9)


def test_what_the_guide_says_of_differences() -> None:
    assert Adc("clip", 5).is_lossless(-9, 9)
    assert not Adc("clip", 4).is_lossless(-9, 9)
    assert len(set(Adc("sign_magnitude", 3).table(-9, 9).tolist())) == 2**3 - 1
    assert len(set(Adc("symmetric", 3).table(-9, 9).tolist())) == 2**3
    assert Adc("clip", 8).table(0, 384).max() == 255


def test_the_command_lines_of_the_guide_are_accepted() -> None:
    text = TEXT.replace("\\\n", "")
    lines = re.findall(r"^    bitpim (?:config show|replay \S+) (.*)", text, re.M)
    assert len(lines) == 4
    for line in lines:
        words = shlex.split(line)
        name = words[words.index("-m") + 1] if "-m" in words else words[0]
        preset = words[words.index("-p") + 1] if "-p" in words else None
        assigned = [words[i + 1] for i, word in enumerate(words) if word == "--set"]
        assert make_machine(name, preset, assigned).name == name
