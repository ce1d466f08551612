"""Every number that ADC.md states is what the converters do."""

import doctest
import re
from pathlib import Path
from typing import Any

import pytest

from bitpim.arrays.adc import Adc, lossless_bits
from bitpim.config import list_presets
from bitpim.errors import ConfigError

GUIDE = Path(__file__).parents[2] / "bitpim" / "ADC.md"
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


def transfer_rows() -> list[tuple[str, list[int], list[int], tuple[int, int]]]:
    """Each worked row: its label, partial sums, levels, and the least and largest partial sum."""
    found = []
    for before, (head, *rows) in tables():
        if head[0] == "partial sum":
            bounds = re.findall(r"partial sums (-?\d+) to (\d+)", before)[-1]
            sums = [int(cell) for cell in head[1:]]
            least, most = int(bounds[0]), int(bounds[1])
            found += [(row[0], sums, [int(c) for c in row[1:]], (least, most)) for row in rows]
    return found


def test_the_guide_shows_every_model_and_all_kinds_of_ranges() -> None:
    labels = [label for label, *_ in transfer_rows()]
    assert len(labels) == 25
    words = {label.partition(",")[0] for label in labels}
    assert words == {"exact", "clip", "floor", "round", "sign_magnitude", "symmetric"}
    assert sum("range" in label for label in labels) == 4


@pytest.mark.parametrize(("label", "sums", "levels", "bounds"), transfer_rows())
def test_transfer_functions(
    label: str, sums: list[int], levels: list[int], bounds: tuple[int, int]
) -> None:
    match = ROW.match(label)
    assert match is not None
    model: Any = match[1]
    adc = Adc(model, int(match[2]) if match[2] else None, int(match[3]) if match[3] else None)
    table = adc.table(*bounds)
    assert [int(table[s - bounds[0]]) for s in sums] == levels


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
    assert results.attempted >= 10
    assert results.failed == 0


def test_what_the_guide_calls_an_error_is_one() -> None:
    for bits in (0, 17):
        with pytest.raises(ConfigError, match=f"1 to 16 bits, got {bits}"):
            Adc("clip", bits)
    with pytest.raises(ConfigError, match="sign_magnitude needs 2"):
        Adc("sign_magnitude", 1)
    for model in ("floor", "round"):
        signless: Any = model
        with pytest.raises(ConfigError, match="at least 0"):
            Adc(signless, 3).table(-9, 9)
    with pytest.raises(ConfigError, match="clip reads"):
        Adc("clip", 3, 9)


def test_what_the_guide_says_of_differences() -> None:
    assert Adc("clip", 5).is_lossless(-9, 9)
    assert not Adc("clip", 4).is_lossless(-9, 9)
    assert len(set(Adc("sign_magnitude", 3).table(-9, 9).tolist())) == 2**3 - 1
    assert len(set(Adc("symmetric", 3).table(-9, 9).tolist())) == 2**3
    assert Adc("clip", 8).table(0, 384).max() == 255
