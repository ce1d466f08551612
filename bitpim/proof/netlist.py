"""A structural netlist of NOR gates, evaluated gate by gate in plain NumPy.

Verilog as mappers take it: one module of one-bit ports, wires, and instances of nor2, nor3, nor4,
inv1, buf, one and zero in any order, `nor2 g2(.a(x), .b(y), .O(z));`. Escaped names and comments
are read; what else Verilog has is refused.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bitpim.errors import ProgramError

__all__ = ["Netlist", "is_netlist", "read_netlist"]

Bits = npt.NDArray[np.bool_]

_PINS = {
    "inv1": "a",
    "buf": "a",
    "nor2": "ab",
    "nor3": "abc",
    "nor4": "abcd",
    "one": "",
    "zero": "",
}
_TOKEN = re.compile(r"\\[^\s]+|[A-Za-z_][\w$]*|[(),;.]", re.ASCII)
_BETWEEN = re.compile(r"\s+|//[^\n]*|/\*.*?\*/", re.DOTALL)
_WORDS = ("module", "endmodule", "input", "output", "wire")
_MARKS = "(),;."


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    line: int

    @property
    def is_name(self) -> bool:
        return self.text not in _WORDS and self.text not in _MARKS


@dataclass(frozen=True, slots=True)
class _Gate:
    kind: str
    sources: tuple[str, ...]
    output: str
    line: int


@dataclass(frozen=True, slots=True)
class Netlist:
    """A netlist whose gates stand in an order in which each has its inputs.

    Attributes
    ----------
    name : of its file, for errors
    inputs, outputs : names of the ports, in the order of the file
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    gates: tuple[_Gate, ...]

    def check_ports(self, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> None:
        """Raise ProgramError unless the ports are exactly these."""
        for what, need, got in (
            ("input", set(inputs), set(self.inputs)),
            ("output", set(outputs), set(self.outputs)),
        ):
            if missing := sorted(need - got):
                raise ProgramError(
                    f"{self.name}: need {what} {missing[0]} of the program, got none"
                )
            if extra := sorted(got - need):
                raise ProgramError(f"{self.name}: has {what} {extra[0]}, which the program lacks")

    def evaluate(
        self, values: Mapping[str, Bits], outputs: tuple[str, ...], n_lanes: int, start: int = 0
    ) -> dict[str, Bits]:
        """Return outputs for values of the inputs, a bit a lane; `start` numbers the first.

        Shapes
        ------
        values: (n_lanes,) bool each, and so are the outputs
        """
        nets = dict(values)
        for gate in self.gates:
            nets[gate.output] = _output_of(gate, nets, n_lanes)
        return {name: nets[name] for name in outputs}


def _output_of(gate: _Gate, nets: Mapping[str, Bits], n_lanes: int) -> Bits:
    if gate.kind in ("one", "zero"):
        return np.full(n_lanes, gate.kind == "one")
    first, *others = (nets[source] for source in gate.sources)
    if gate.kind == "buf":
        return first
    for other in others:
        first = first | other
    return ~first


def is_netlist(text: str) -> bool:
    """Whether a text begins as a netlist does."""
    start = 0
    while found := _BETWEEN.match(text, start):
        start = found.end()
    return re.match(r"module\b", text[start : start + 7]) is not None


def read_netlist(text: str, file: str) -> Netlist:
    """Read a netlist.

    Raises
    ------
    ProgramError
        It is none of this kind, a gate is unknown, a net is driven twice or not at all, or gates
        wait for each other; one error that names the line.
    """
    return _Reader(text, file).netlist()


class _Reader:
    """A netlist, token by token."""

    def __init__(self, text: str, file: str) -> None:
        self.file = file
        self.tokens = self._split(text)
        self.at = 0
        self.declared: dict[str, str] = {}
        self.gates: list[_Gate] = []
        self.instances: set[str] = set()

    def netlist(self) -> Netlist:
        self._need("module")
        self._name()
        ports = self._listed("(", ")")
        self._need(";")
        while (token := self._next("endmodule")).text != "endmodule":
            if token.text in ("input", "output", "wire"):
                self._declare(token)
            else:
                self._instance(token)
        if self.at < len(self.tokens):
            raise self._fault(self.tokens[self.at].line, "need nothing after endmodule, got more")
        inputs, outputs = (
            tuple(net for net in self.declared if self.declared[net] == kind)
            for kind in ("input", "output")
        )
        twice = len(set(ports)) != len(ports)
        if twice or set(ports) != {*inputs, *outputs}:
            off = next(iter({*ports} ^ {*inputs, *outputs}), "one twice")
            raise self._fault(1, f"need the ports of the module declared once each, got {off}")
        return Netlist(self.file, inputs, outputs, self._in_order(inputs, outputs))

    def _split(self, text: str) -> list[_Token]:
        tokens, at, line = [], 0, 1
        while at < len(text):
            found = _BETWEEN.match(text, at)
            if found is None:
                found = _TOKEN.match(text, at)
                if found is None:
                    got = text[at : at + 12]
                    raise self._fault(line, f"need names, ports and instances, got {got!r}")
                tokens.append(_Token(found[0].removeprefix("\\"), line))
            line += found[0].count("\n")
            at = found.end()
        return tokens

    def _fault(self, line: int, said: str) -> ProgramError:
        return ProgramError(f"{self.file}, line {line}: {said}")

    def _next(self, need: str) -> _Token:
        if self.at >= len(self.tokens):
            line = self.tokens[-1].line if self.tokens else 1
            raise self._fault(line, f"need {need}, got the end; the file may be cut short")
        self.at += 1
        return self.tokens[self.at - 1]

    def _need(self, text: str) -> None:
        token = self._next(text)
        if token.text != text:
            raise self._fault(token.line, f"need {text}, got {token.text}")

    def _name(self) -> str:
        token = self._next("a name")
        if not token.is_name:
            raise self._fault(token.line, f"need a name, got {token.text}")
        return token.text

    def _listed(self, begin: str, end: str) -> list[str]:
        """Read names by commas up to a mark."""
        if begin:
            self._need(begin)
        names = [self._name()]
        while (token := self._next(end)).text == ",":
            names.append(self._name())
        if token.text != end:
            raise self._fault(token.line, f"need , or {end} after a name, got {token.text}")
        return names

    def _declare(self, kind: _Token) -> None:
        for name in self._listed("", ";"):
            if name in self.declared:
                raise self._fault(kind.line, f"need each net declared once, got {name} twice")
            self.declared[name] = kind.text

    def _instance(self, kind: _Token) -> None:
        pins = _PINS.get(kind.text)
        if pins is None:
            known = ", ".join(_PINS)
            raise self._fault(kind.line, f"need one of {known}, got {kind.text}")
        name = self._name()
        if name in self.instances:
            raise self._fault(kind.line, f"need instances of different names, got {name} twice")
        self.instances.add(name)
        self._need("(")
        found: dict[str, str] = {}
        while True:
            self._need(".")
            pin = self._name()
            net = self._listed("(", ")")
            if pin not in (*pins, "O") or pin in found or len(net) != 1:
                need = ", ".join((*pins, "O"))
                raise self._fault(kind.line, f"need pins {need} of {kind.text} once, got {pin}")
            found[pin] = net[0]
            token = self._next(")")
            if token.text == ")":
                break
            if token.text != ",":
                raise self._fault(token.line, f"need , or ) after a pin, got {token.text}")
        self._need(";")
        if missing := [pin for pin in (*pins, "O") if pin not in found]:
            raise self._fault(kind.line, f"need pin {missing[0]} of {kind.text}, got none")
        for net_name in found.values():
            if net_name not in self.declared:
                raise self._fault(kind.line, f"need a declared net, got {net_name}")
        sources = tuple(found[pin] for pin in pins)
        self.gates.append(_Gate(kind.text, sources, found["O"], kind.line))

    def _in_order(self, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> tuple[_Gate, ...]:
        """Return the gates so that each stands behind those it reads."""
        driver: dict[str, _Gate] = {}
        for gate in self.gates:
            if gate.output in driver or self.declared[gate.output] == "input":
                before = driver.get(gate.output)
                by = f"line {before.line}" if before else "an input"
                raise self._fault(gate.line, f"need a net driven once, {gate.output} is by {by}")
            driver[gate.output] = gate
        readers: dict[str, list[_Gate]] = {}
        waits: dict[str, int] = {}
        for gate in self.gates:
            for source in gate.sources:
                if source not in driver and self.declared[source] != "input":
                    raise self._fault(gate.line, f"need a net that is driven, got {source}")
            awaited = [source for source in gate.sources if source in driver]
            waits[gate.output] = len(awaited)
            for source in awaited:
                readers.setdefault(source, []).append(gate)
        if undriven := [net for net in outputs if net not in driver]:
            raise self._fault(1, f"need every output driven, got nothing that drives {undriven[0]}")
        ready = [gate for gate in self.gates if not waits[gate.output]]
        for gate in ready:  # grows as it goes
            for reader in readers.get(gate.output, ()):
                waits[reader.output] -= 1
                if not waits[reader.output]:
                    ready.append(reader)
        if len(ready) < len(self.gates):
            stuck = next(gate for gate in self.gates if waits[gate.output])
            raise self._fault(stuck.line, f"need no loop, got {stuck.output} that waits for itself")
        return tuple(ready)
