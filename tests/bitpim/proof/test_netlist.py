"""Netlists of NOR gates, and what is wrong with those that break the rules."""

import numpy as np
import pytest

from bitpim.errors import ProgramError
from bitpim.proof.netlist import is_netlist, read_netlist

A, B, C = (np.arange(8) >> bit & 1 == 1 for bit in range(3))

ADDER = """
// a full adder; instances in no order
module \\adder.blif ( a, b, c, s , \\co[1] );
  input a, b,
        c;  /* two
  lines */
  output s, \\co[1] ;
  wire t0, t1, t2, t3, u1, u2, u3;
  nor2 g8(.a(u2), .O(s), .b(u3));
  nor2 g0(.a(a), .b(b), .O(t0));
  nor2 g1(.a(a), .b(t0), .O(t1));
  nor2 g2(.a(b), .b(t0), .O(t2));
  nor2 g4(.a(t3), .b(c), .O(u1));
  nor2 g9(.a(t0), .b(u1), .O(\\co[1] ));
  nor2 g3(.a(t1), .b(t2), .O(t3));
  nor2 g5(.a(t3), .b(u1), .O(u2));
  nor2 g6(.a(u1), .b(c), .O(u3));
endmodule
"""


def evaluate(text: str, n_lanes: int = 8) -> dict[str, list[int]]:
    netlist = read_netlist(text, "f")
    values = dict(zip(netlist.inputs, (A, B, C), strict=False))
    found = netlist.evaluate(values, netlist.outputs, n_lanes)
    return {name: bits.astype(int).tolist() for name, bits in found.items()}


def test_a_full_adder_adds() -> None:
    netlist = read_netlist(ADDER, "f")
    assert (netlist.inputs, netlist.outputs) == (("a", "b", "c"), ("s", "co[1]"))
    total = A.astype(int) + B + C
    assert evaluate(ADDER) == {"s": (total % 2).tolist(), "co[1]": (total // 2).tolist()}


def test_every_gate_does_what_it_is() -> None:
    text = """module m(a, b, c, n, i, f, o, z, w, x);
    input a, b, c; output n, i, f, o, z, w, x;
    nor2 g1(.a(a), .b(b), .O(n)); inv1 g2(.a(a), .O(i)); buf g3(.a(b), .O(f));
    one g4(.O(o)); zero g5(.O(z)); nor3 g6(.a(a), .b(b), .c(c), .O(w));
    nor4 g7(.a(z), .b(z), .c(c), .d(z), .O(x)); endmodule"""
    assert evaluate(text) == {
        "n": (~(A | B)).astype(int).tolist(),
        "i": (~A).astype(int).tolist(),
        "f": B.astype(int).tolist(),
        "o": [1] * 8,
        "z": [0] * 8,
        "w": (~(A | B | C)).astype(int).tolist(),
        "x": (~C).astype(int).tolist(),
    }


def test_netlists_are_told_from_functions() -> None:
    assert is_netlist(ADDER) and is_netlist("/* x */ // y\n module m")
    assert not is_netlist("module_out = a") and not is_netlist("// module m\nx = a")


GOOD = "module m(a, b, y);\ninput a, b;\noutput y;\nwire t;\n"
ONE, TWO = "nor2 g(.a(a), .b(b), .O(t));\n", "inv1 h(.a(t), .O(y));\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD + ONE + TWO, "line 6: need endmodule, got the end; the file may be cut short"),
        (GOOD + ONE + TWO + "endmodule\nmodule", "line 8: need nothing after endmodule"),
        (GOOD + "nand2 g(.a(a), .b(b), .O(t));", "line 5: need one of inv1, buf, nor2, .*nand2"),
        (GOOD + "assign t = a;", "line 5: need names, ports and instances, got '= a;'"),
        (GOOD.replace("wire t", "wire [3:0] t"), "line 4: need names, .*got '.3:0. t;"),
        (
            GOOD + ONE + ONE.replace("g", "k") + TWO + "endmodule",
            "line 6: .*driven once, t is by line 5",
        ),
        (
            GOOD + ONE + TWO + "inv1 k(.a(t), .O(a)); endmodule",
            "line 7: .*driven once, a is by an input",
        ),
        (GOOD + TWO + "endmodule", "line 5: need a net that is driven, got t"),
        (GOOD + ONE + "endmodule", "line 1: need every output driven, got nothing that drives y"),
        (
            GOOD + ONE.replace("b(b)", "b(y)") + TWO + "endmodule",
            "line 5: need no loop, got t that",
        ),
        (
            GOOD + ONE.replace("b(b)", "b(t)") + TWO + "endmodule",
            "line 5: need no loop, got t that",
        ),
        (
            GOOD + ONE.replace(".b(b)", ".a(b)") + TWO + "endmodule",
            "line 5: need pins a, b, O of nor2 once, got a",
        ),
        (
            GOOD + ONE.replace(".b(b)", ".c(b)") + TWO + "endmodule",
            "line 5: need pins a, b, O of nor2 once, got c",
        ),
        (
            GOOD + ONE.replace(".b(b), ", "") + TWO + "endmodule",
            "line 5: need pin b of nor2, got none",
        ),
        (GOOD + ONE.replace("(b)", "(b, a)") + TWO + "endmodule", "line 5: need pins"),
        (
            GOOD + ONE.replace("(b)", "(x)") + TWO + "endmodule",
            "line 5: need a declared net, got x",
        ),
        (
            GOOD + ONE + TWO.replace("h", "g") + "endmodule",
            "line 6: need instances of different names, got g",
        ),
        (
            GOOD.replace("wire t", "wire t, a") + ONE + TWO + "endmodule",
            "line 4: need each net declared once, got a",
        ),
        (
            GOOD.replace("(a, b, y)", "(a, b)") + ONE + TWO + "endmodule",
            "line 1: need the ports .*, got y",
        ),
        (
            GOOD.replace("(a, b, y)", "(a, b, y, q)") + ONE + TWO + "endmodule",
            "line 1: need the ports .*, got q",
        ),
        (
            GOOD.replace("(a, b, y)", "(a, b, y, y)") + ONE + TWO + "endmodule",
            "line 1: need the ports .*, got one twice",
        ),
        ("module", "line 1: need a name, got the end"),
        ("module m(a b);", "line 1: need , or . after a name, got b"),
        ("module m(a,);", "line 1: need a name, got ."),
        ("module input(a);", "line 1: need a name, got input"),
        ("module m(a);\ninput a;\n/* open", "line 3: need names"),
    ],
)
def test_faults_name_their_line(text: str, said: str) -> None:
    with pytest.raises(ProgramError, match=f"^f, {said}") as found:
        read_netlist(text, "f")
    assert "\n" not in str(found.value)


def test_ports_have_to_be_those_of_the_program() -> None:
    netlist = read_netlist(GOOD + ONE + TWO + "endmodule", "f")
    netlist.check_ports(("b", "a"), ("y",))
    for inputs, outputs, said in (
        (("a",), ("y",), "f: has input b, which the program lacks"),
        (("a", "b", "c"), ("y",), "f: need input c of the program, got none"),
        (("a", "b"), (), "f: has output y, which the program lacks"),
        (("a", "b"), ("y", "z"), "f: need output z of the program, got none"),
    ):
        with pytest.raises(ProgramError, match=said):
            netlist.check_ports(inputs, outputs)


def test_a_long_chain_in_the_wrong_order_takes_no_time_and_no_stack() -> None:
    n = 5_000
    gates = [f"inv1 g{i}(.a(n{i}), .O(n{i + 1}));" for i in reversed(range(n))]
    wires = ", ".join(f"n{i}" for i in range(1, n))
    text = f"module m(n0, n{n}); input n0; output n{n}; wire {wires};" + "\n".join(gates)
    netlist = read_netlist(text + "endmodule", "f")
    assert np.array_equal(netlist.evaluate({"n0": A}, (f"n{n}",), 8)[f"n{n}"], A)
