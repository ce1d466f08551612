"""NOR programs in many lanes, and against functions."""

import random
import zlib
from pathlib import Path

import numpy as np
import pytest

from bitpim.errors import MismatchError, ProgramError
from bitpim.programs.nor_files import NorFile, nor_program
from bitpim.proof import program_runs
from bitpim.proof.lane_inputs import all_combinations, given_inputs, random_inputs
from bitpim.proof.netlist import read_netlist
from bitpim.proof.program_runs import check_program, read_reference, run_program
from bitpim.proof.word_functions import read_functions
from tests.mutants.nor_files import mutate
from tests.nor_texts import adder

FUNCTION = "sum = a ^ b ^ c; carry = a & b | a & c | b & c; no_carry = ~(a & b | a & c | b & c)"
WORDS = "bits(sum, carry) = a + b + c; no_carry = a + b + c < 2"
NETLIST = """module adder(a, b, c, sum, carry, no_carry);
input a, b, c; output sum, carry, no_carry; wire t0, t1, t2, t3, u1, u2, u3;
nor2 g0(.a(a), .b(b), .O(t0)); nor2 g1(.a(a), .b(t0), .O(t1)); nor2 g2(.a(b), .b(t0), .O(t2));
nor2 g3(.a(t1), .b(t2), .O(t3)); nor2 g4(.a(t3), .b(c), .O(u1)); nor2 g5(.a(t3), .b(u1), .O(u2));
nor2 g6(.a(u1), .b(c), .O(u3)); nor2 g7(.a(u3), .b(u2), .O(sum));
nor2 g8(.a(t0), .b(u1), .O(carry)); inv1 g9(.a(carry), .O(no_carry)); endmodule"""


def read(text: str) -> NorFile:
    return nor_program(text.encode(), "f")


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program_runs, "BLOCK_LANES", 128)
    monkeypatch.setattr(program_runs, "CHECKED_LANES", 128)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("n_lanes", [1, 63, 64, 127, 128, 129, 1000])
def test_outputs_are_those_of_all_lanes_whatever_the_blocks(n_lanes: int) -> None:
    rng = np.random.default_rng(3)
    a, b, c = (rng.integers(0, 2, n_lanes, dtype=np.uint8) for _ in range(3))
    told: list[tuple[int, int]] = []
    given = random_inputs(3, n_lanes, 3)
    outputs = run_program(read(adder()), given, progress=lambda *of: told.append(of))
    total = a + b + c
    expected = [total % 2, total // 2, 1 - total // 2]
    assert np.array_equal(outputs.bits(), np.array(expected) == 1)
    joined = b"".join(np.packbits(bits, bitorder="little").tobytes() for bits in expected)
    assert outputs.crc32 == zlib.crc32(joined)
    assert [done for done, _ in told] == [*range(128, n_lanes, 128), n_lanes]
    if n_lanes > 200:
        assert np.array_equal(outputs.bits(64, 200), np.array(expected)[:, 64:200] == 1)


def test_a_long_row_takes_fewer_lanes_at_once() -> None:
    text = adder().replace("M7", "M65535").replace("Row size: 8", "Row size: 65536")
    told: list[tuple[int, int]] = []
    given = random_inputs(3, 10_000, 3)
    outputs = run_program(read(text), given, progress=lambda *of: told.append(of))
    assert told == [(8192, 10_000), (10_000, 10_000)]
    assert outputs.crc32 == run_program(read(adder()), given).crc32


@pytest.mark.parametrize("text", [FUNCTION, WORDS, NETLIST])
def test_an_adder_equals_what_it_adds(text: str, tmp_path: Path) -> None:
    path = tmp_path / "reference"
    path.write_text(text)
    named = {str(path): str(path)} | ({} if text == NETLIST else {text: "the function"})
    for against, name in named.items():
        found = check_program(read(adder()), "f", read_reference(against), all_combinations(3))
        assert (found.wrong, found.n_lanes, found.n_outputs, found.against) == ((), 8, 3, name)
        found.require_equal()


@pytest.mark.usefixtures("small_blocks")
def test_wrong_outputs_are_exactly_those_that_differ() -> None:
    broken = read(adder().replace("T12: M5 = nor2 {M7,M3}", "T12: M5 = nor2 {M7,M1}"))
    rng = np.random.default_rng(0)
    a, b, c = (rng.integers(0, 2, 300, dtype=np.uint8) for _ in range(3))
    right, got = (a + b + c) // 2, (a | b) & ~b & 1
    found = check_program(broken, "prog", read_reference(FUNCTION), random_inputs(3, 300, 0))
    assert [(w.name, w.cell) for w in found.wrong] == [("carry", 5), ("no_carry", 6)]
    lane = int(np.argmax(right != got))
    first = found.wrong[0]
    assert (first.n_lanes, first.lane) == (int((right != got).sum()), lane)
    assert first.inputs == {"a": a[lane], "b": b[lane], "c": c[lane]}
    assert (first.got, first.expected) == (got[lane], right[lane])
    assert (found.wrong[1].got, found.wrong[1].expected) == (1 - got[lane], 1 - right[lane])
    said = f"prog: 2 of 3 outputs differ from the function; .* carry, cell 5, in {first.n_lanes}"
    with pytest.raises(MismatchError, match=said):
        found.require_equal()


@pytest.mark.usefixtures("small_blocks")
def test_the_first_wrong_lane_may_be_of_any_block() -> None:
    only = "sum = where(a & b & c, 0, a ^ b ^ c); carry = (a + b + c) // 2; no_carry = ~carry"
    bits = {"a": [0] * 290 + [1] * 10, "b": [0] * 290 + [1] * 10, "c": [0] * 295 + [1] * 5}
    given = given_inputs({name: np.array(row) for name, row in bits.items()}, list("abc"), "g")
    found = check_program(read(adder()), "f", read_reference(only), given)
    assert [(w.name, w.n_lanes, w.lane, w.got) for w in found.wrong] == [("sum", 5, 295, 1)]


@pytest.mark.usefixtures("small_blocks")
def test_wrong_outputs_are_listed_in_their_order_whichever_is_wrong_first() -> None:
    only = "sum = where(a & b & c, 0, a ^ b ^ c); carry = (a + b + c) // 2; no_carry = carry"
    bits = {name: np.array([0] * 290 + [1] * 10) for name in "abc"}
    given = given_inputs(bits, list("abc"), "g")
    found = check_program(read(adder()), "f", read_reference(only), given)
    assert [(w.name, w.n_lanes, w.lane) for w in found.wrong] == [
        ("sum", 10, 290),
        ("no_carry", 300, 0),
    ]


@pytest.mark.usefixtures("small_blocks")
def test_a_function_without_answer_names_the_lane_of_all_of_them() -> None:
    function = read_reference(f"{WORDS} * (1 // (2 - a - b))")
    bits = {name: np.array([0] * 290 + [1] * 10) for name in "abc"}
    with pytest.raises(ProgramError, match="got zero in lane 290;"):
        check_program(read(adder()), "f", function, given_inputs(bits, list("abc"), "g"))


@pytest.mark.parametrize(
    ("against", "said"),
    [
        (
            "sum = a ^ b ^ c",
            "the function: need every output of the program, got nothing for carry",
        ),
        (FUNCTION.replace("carry", "carri"), "the function: need every output .* for carry"),
        (FUNCTION.replace("a ^", "d ^"), "the function: reads d, which is no input"),
        (FUNCTION + "; x = a", "the function: assigns x, which is no output"),
        (NETLIST.replace("no_carry", "nc").replace("\n", " "), None),
    ],
)
def test_ports_have_to_agree(against: str, said: str | None, tmp_path: Path) -> None:
    if said is None:
        (tmp_path / "n.v").write_text(against)
        against, said = str(tmp_path / "n.v"), "n.v: need output no_carry of the program, got none"
    with pytest.raises(ProgramError, match=said):
        check_program(read(adder()), "f", read_reference(against), all_combinations(3))


def test_references_that_are_none_are_refused(tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    for against, said in (
        ("absent.v", "absent.v: need a netlist, a file of functions or `name = expression`"),
        (str(tmp_path), "need a netlist, .*a folder"),
        (str(tmp_path / "bytes"), "need UTF-8 text, got other bytes"),
        ("a =", "the function, line 1: need an expression"),
    ):
        with pytest.raises(ProgramError, match=said):
            read_reference(against)


def test_a_long_function_in_one_argument_is_no_file_name() -> None:
    names = ", ".join(f"a{i}" for i in range(2000))
    assert len(read_reference(f"x = bits({names}) == 0").inputs) == 2000


@pytest.mark.parametrize("text", [FUNCTION, WORDS, NETLIST])
def test_mutated_references_are_refused_in_one_line_or_answer(text: str) -> None:
    wanted = ("sum", "carry", "no_carry")
    values = {name: np.arange(8) >> i & 1 == 1 for i, name in enumerate("abc")}
    n_refused = 0
    for seed in range(300):
        mutant = mutate(text.encode(), random.Random(seed)).decode("utf-8", "replace")
        try:
            reference = (
                read_netlist(mutant, "f") if text == NETLIST else read_functions(mutant, "f")
            )
            reference.check_ports(("a", "b", "c"), wanted)
            found = reference.evaluate(values, wanted, 8)
            assert all(bits.shape == (8,) and bits.dtype == np.bool_ for bits in found.values())
        except ProgramError as error:
            assert "\n" not in str(error) and len(str(error)) < 400
            n_refused += 1
    assert 150 < n_refused < 300
