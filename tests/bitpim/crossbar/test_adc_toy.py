"""ADC models of one's own: a class in this file, found by name, touches no other file."""

import ast
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import bitpim
from bitpim.crossbar.adc import Adc, AdcModel, Sizes, adc_models, calibrate, either, model_named
from bitpim.crossbar.adc import model as registry
from bitpim.crossbar.adc.model import Ints
from bitpim.crossbar.adc.ranged import RangedModel
from bitpim.errors import ConfigError
from bitpim.machine.registry import json_schema
from tests.bitpim.machine.crossbar_runs import (
    NETWORK,
    PRESETS,
    calibrated_scales,
    check_naive,
    machine,
    prune,
)
from tests.naive import crossbar as naive

SMALL = ("geometry.ou_rows=7", "numbers.weight_bits=9", "numbers.overflow=saturate")
Level = int | Fraction


@pytest.fixture(autouse=True)
def toys(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two models, known to these tests only, and to the naive machine by a reading each."""
    monkeypatch.setattr(registry, "_models", dict(registry._models))

    class Logarithmic(AdcModel):
        """0, and the power of two at or below the sum, limited to the codes there are."""

        name = "logarithmic"
        reads_below_zero = False

        def readings(self, sums: Ints, sizes: Sizes) -> Ints:
            top = min((1 << sizes.bits) - 2, 30)
            exponents = np.floor(np.log2(np.maximum(sums, 1))).astype(np.int64)
            return np.where(sums == 0, 0, 1 << np.minimum(exponents, top))

        def step(self, sizes: Sizes) -> Fraction:
            return Fraction(1)

    class Ceiling(RangedModel):
        """The code at or above, over a range."""

        name = "ceiling"
        reads_below_zero = False

        def top(self, bits: int) -> int:
            return (1 << bits) - 1

        def spread(self, sums: Ints, scale: int, top: int) -> Ints:
            return -(-sums * top // scale)

    known = naive.adc

    def read(model: str, bits: int, scale: int, y: int, signed: bool) -> Level:
        if model == "logarithmic":
            return max((1 << k for k in range(2**bits - 1) if 1 << k <= y), default=0)
        if model == "ceiling":
            step = max(Fraction(1), Fraction(scale, 2**bits - 1))
            return -(-min(y, scale) // step) * step
        return known(model, bits, scale, y, signed)

    monkeypatch.setattr(naive, "adc", read)
    yield


def test_a_toy_reads_as_it_says() -> None:
    assert Adc("logarithmic", 2).table(0, 9).tolist() == [0, 1, 2, 2, 4, 4, 4, 4, 4, 4]
    assert Adc("logarithmic", 3).table(0, 9).tolist() == [0, 1, 2, 2, 4, 4, 4, 4, 8, 8]
    assert Adc("ceiling", 2).table(0, 9).tolist() == [0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert Adc("ceiling", 2).step(0, 9) == 3
    assert calibrate(Adc("ceiling", 2), np.array([5, 1, 0, 1]), 0) == Adc("ceiling", 2, 3)


@pytest.mark.parametrize("name", PRESETS)
def test_a_toy_runs_in_every_machine_as_a_naive_one(name: str) -> None:
    lossy = ("converter.adc_model=logarithmic", "converter.adc_bits=2")
    chosen = machine(name, *SMALL, *lossy)
    assert "ADC logarithmic of 2 bits" in (chosen.losses() or "")
    check_naive(chosen, NETWORK)


@pytest.mark.parametrize("name", ["dense_crossbar", "pattern_crossbar"])
def test_a_toy_with_a_range_takes_all_kinds_of_ranges(name: str) -> None:
    lossy = (*SMALL, "converter.adc_model=ceiling", "converter.adc_bits=3")
    check_naive(machine(name, *lossy), NETWORK)
    given = ("converter.adc_range=given", "converter.adc_full_scale=11")
    check_naive(machine(name, *lossy, *given), NETWORK)
    calibrated = ("converter.adc_range=calibrated", "converter.calibration_samples=1")
    exact = machine(name, *SMALL, "converter.adc_model=exact")
    scales = calibrated_scales(exact, NETWORK, 1, 1.0)
    check_naive(machine(name, *lossy, *calibrated), NETWORK, scales)


@pytest.mark.parametrize("model", ["ceiling", "logarithmic"])
def test_blocks_read_as_whole_windows_keep_the_range_of_their_unit(model: str) -> None:
    """Patterns of two rows lie in OUs of three; windows of up to nine rows are read at once."""
    pruned = prune(NETWORK, 3, patterns=[0b1, 0b11, 0b101])
    lossy = (*SMALL, "geometry.ou_rows=3", f"converter.adc_model={model}", "converter.adc_bits=2")
    check_naive(machine("pattern_crossbar", *lossy), pruned)


def test_settings_schema_and_messages_know_a_toy() -> None:
    model = json_schema("sre")["properties"]["converter"]["properties"]["adc_model"]
    assert model["properties"]["value"]["enum"] == list(adc_models())
    assert {"ceiling", "logarithmic"} < set(adc_models())
    for assigned, said in (
        (["converter.adc_model=logarithm"], "floor, logarithmic, round"),
        (
            ["converter.adc_model=logarithmic", "converter.adc_range=given"],
            "got given; ceiling, floor, round, sign_magnitude and symmetric take other ranges",
        ),
        (
            ["converter.adc_model=ceiling", "numbers.encoding=differential_paired", SMALL[1]],
            "adc_model ceiling reads no partial sums below 0, .* of clip, code_table .*, sign_mag",
        ),
    ):
        with pytest.raises(ConfigError, match=said):
            machine("dense_crossbar", *assigned)
    with pytest.raises(ConfigError, match="logarithmic has a range of its own, got full_scale 9"):
        Adc("logarithmic", 3, 9)
    with pytest.raises(ConfigError, match="calibrate: need a model with a range, got logarithmic"):
        calibrate(Adc("logarithmic", 3), np.ones(9, np.int64), 0)


def test_a_name_belongs_to_one_model() -> None:
    with pytest.raises(ConfigError, match=r"'clip': need one of that name, got .*models\.clip\.Cl"):

        class Another(AdcModel):
            name = "clip"

    assert model_named("clip").__class__.__name__ == "Clip"
    for word in ("Clip", "two words", "", "1bit"):
        with pytest.raises(ConfigError, match="need a name of small letters, digits and _"):
            type("Misnamed", (AdcModel,), {"name": word})
    for _ in range(2):  # as a module that is loaded again defines it

        class Again(AdcModel):
            name = "again"

    with pytest.raises(ConfigError, match="'again': need readings and step, got none"):
        Adc("again", 3)


def test_a_model_with_a_range_is_asked_for_its_top_and_spread() -> None:
    class Unfinished(RangedModel):
        name = "unfinished"

    with pytest.raises(ConfigError, match="'unfinished': need spread and top, got none"):
        Adc("unfinished", 3)


def test_names_as_a_sentence_lists_them() -> None:
    assert either(["a", "b", "c"]) == "a, b or c"
    assert either(["a", "b"], "and") == "a and b"
    assert either(["a"]) == "a"
    assert either([]) == "none"


def test_a_model_lies_in_one_file_and_no_list_names_it() -> None:
    """Words in code, not in prose; `exact` is what no converter is called everywhere."""
    root = Path(bitpim.__file__).parent
    own = root / "crossbar" / "adc" / "models"
    defined = [node for path in own.glob("*.py") for node in words(path)]
    names = {name for name in adc_models() if name not in ("ceiling", "logarithmic")}
    assert names <= set(defined)
    wing = [*(root / "crossbar").rglob("*.py"), *(root / "machine").glob("*.py")]
    elsewhere = {(path.name, word) for path in wing if path.parent != own for word in words(path)}
    bench = root.parent / "bench" / "adc_accuracy.py"
    elsewhere |= {(bench.name, word) for word in words(bench) if word != "clip"}  # what it measures
    assert not {(file, word) for file, word in elsewhere if word in names - {"exact"}}


def words(path: Path) -> list[str]:
    nodes = ast.walk(ast.parse(path.read_text("utf-8")))
    return [n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)]
