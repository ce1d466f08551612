"""A neuron of lookup tables, step by step: pairs counted, products added, the nearest searched for.

One array of RAPIDNN is one neuron (RNA): counters of pairs of codes, a crossbar with the products
and the operands made of them, and two memories that are searched, of points and of values. A
neuron of a max pooling enters its candidates, and one of a function has a table of codes.

Source: RAPIDNN (HPCA 2020), as `counted_sums` and `nearest_table` have it.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt

from bitpim.counts import Counts
from bitpim.errors import AccumulatorError, ConfigError, LayoutError, ProgramError
from bitpim.lookup.candidate_rows import CandidateRows
from bitpim.lookup.counted_sums import DIGITS
from bitpim.lookup.nearest_table import MATCH_MODES, NearestTable
from bitpim.lookup.nor_costs import COST_MODES
from bitpim.lookup.operand_words import OperandWords, digit_of
from bitpim.stepped import StateForm, StepForm, need_padding
from bitpim_kernels.layout import pack, unpack, words_for

__all__ = [
    "ADD_LAST",
    "CANDIDATE",
    "COUNT",
    "GIVE_CODE",
    "GIVE_SUM",
    "LEVEL",
    "LOOK_UP",
    "OPERAND",
    "OPERAND_IN",
    "READ_PRODUCT",
    "SEEK_CODE",
    "SEEK_LARGEST",
    "SEEK_POINT",
    "SETTLE_CODE",
    "SETTLE_LARGEST",
    "SETTLE_POINT",
    "STAGE_CODE",
    "STAGE_LARGEST",
    "STAGE_POINT",
    "TERM",
    "VALUE",
    "SteppedRna",
]

Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]
Steps = npt.NDArray[np.int32]

COUNT, READ_PRODUCT, OPERAND, OPERAND_IN, TERM, VALUE, LEVEL, ADD_LAST = range(3072, 3080)
SEEK_POINT, STAGE_POINT, SETTLE_POINT = range(3080, 3083)
SEEK_CODE, STAGE_CODE, SETTLE_CODE = range(3083, 3086)
GIVE_SUM, GIVE_CODE, LOOK_UP, CANDIDATE = range(3086, 3090)
SEEK_LARGEST, STAGE_LARGEST, SETTLE_LARGEST = range(3090, 3093)

_NONE: Final = -1
_ON_POINTS: Final = (SEEK_POINT, STAGE_POINT, SETTLE_POINT)
_ON_VALUES: Final = (SEEK_CODE, STAGE_CODE, SETTLE_CODE)
_ON_CANDIDATES: Final = (CANDIDATE, SEEK_LARGEST, STAGE_LARGEST, SETTLE_LARGEST)
_NUMBER: Final = np.dtype(np.int64)
_LIST: Final = ("digit a of count: where it is 1, product * 2^a is listed as an operand; where it "
                "is -1, its inverse, and one more 1 is missing")  # fmt: skip

_FORMS: Final = (
    StepForm(COUNT, "COUNT", "counter (w, number w of the port) += 1 for each weight code w; none "
             "where the port is -1, none that is full", "in"),
    StepForm(READ_PRODUCT, "READ_PRODUCT", "product, count = those of weight code a, input code b"),
    StepForm(OPERAND, "OPERAND", _LIST),
    StepForm(OPERAND_IN, "OPERAND_IN", "the port is listed as an operand", "in"),
    StepForm(TERM, "TERM", "the product of row a and the port's code is listed as an operand",
             "in"),
    StepForm(VALUE, "VALUE", "sum = value = the product of row a and the port's code", "in"),
    StepForm(LEVEL, "LEVEL", "each three operands become their sum word and their carry word, in "
             "whose lowest place goes a 1 that is missing; nothing where there are fewer"),
    StepForm(ADD_LAST, "ADD_LAST", "sum = value = operands 0 and 1 and what is missing; none is "
             "listed any more"),
    StepForm(SEEK_POINT, "SEEK_POINT", "query = sum; match lines = all rows of points"),
    StepForm(STAGE_POINT, "STAGE_POINT", "match lines = rows of points that stage a leaves up"),
    StepForm(SETTLE_POINT, "SETTLE_POINT", "value = y of the lowest row that is up"),
    StepForm(SEEK_CODE, "SEEK_CODE", "query = value * 2^up within the limits; match lines = all "
             "rows of values"),
    StepForm(STAGE_CODE, "STAGE_CODE", "match lines = rows of values that stage a leaves up"),
    StepForm(SETTLE_CODE, "SETTLE_CODE", "code = the lowest row that is up"),
    StepForm(GIVE_SUM, "GIVE_SUM", "the port = sum", "out"),
    StepForm(GIVE_CODE, "GIVE_CODE", "the port = code", "out"),
    StepForm(LOOK_UP, "LOOK_UP", "code = the product of row a and the port's code", "in"),
    StepForm(CANDIDATE, "CANDIDATE", "the port's code is entered as a candidate, its value beside "
             "it", "in"),
    StepForm(SEEK_LARGEST, "SEEK_LARGEST", "query = the largest number; match lines = all "
             "candidates that are entered"),
    StepForm(STAGE_LARGEST, "STAGE_LARGEST", "match lines = candidates that stage a leaves up"),
    StepForm(SETTLE_LARGEST, "SETTLE_LARGEST", "code = the lowest candidate that is up; none is "
             "entered any more"),
)  # fmt: skip


class SteppedRna:
    """One neuron of lookup tables that takes steps.

    Numbers of the port are int64; one wire for each weight code, and one at least.

    Parameters
    ----------
    parameters : by name, those that the class names
    constants : `products`, a row a weight code and a column an input code, or codes that are
        looked up; `points`, x and y, no rows where there are none; `values` of the codewords, none
        where no code is searched for; `limits`, the least and the largest number that is searched
        for among them

    Raises
    ------
    ConfigError
        They do not go together.
    """

    kind: ClassVar[str] = "rna"
    forms: ClassVar[Mapping[int, StepForm]] = {form.code: form for form in _FORMS}
    parameters: ClassVar[Mapping[str, range | tuple[str, ...]]] = {
        "counter_bits": range(1, 63),
        "digits": DIGITS,
        "n_operands": range(1, 2**20),
        "sum_bits": range(2, 65),
        "cost": tuple(COST_MODES),
        "match": MATCH_MODES,
        "stage_bits": range(1, 65),
        "point_bits": range(1, 65),
        "value_bits": range(1, 65),
        "up": range(64),
        "n_candidates": range(2**20),
    }
    constants: ClassVar[Mapping[str, "np.dtype[Any]"]] = dict.fromkeys(
        ("products", "points", "values", "limits"), _NUMBER
    )

    @classmethod
    def of(cls, parameters: Mapping[str, Any], constants: Mapping[str, Array]) -> "SteppedRna":
        """Make a neuron of parameters and constants as its own are; raises as the class."""
        return cls(parameters, constants)

    def __init__(self, parameters: Mapping[str, Any], constants: Mapping[str, Array]) -> None:
        _need_shapes(constants)
        self.made_of: Mapping[str, int | str] = dict(parameters)
        self.made_with: Mapping[str, Ints] = dict(constants)
        self._products, self._limits = constants["products"], constants["limits"].tolist()
        self._mode = COST_MODES[parameters["cost"]]
        self._points = self._memory(constants["points"][:, 0], parameters["point_bits"])
        self._values = self._memory(constants["values"], parameters["value_bits"])
        if self._points is not None and parameters["point_bits"] < parameters["sum_bits"]:
            raise ConfigError(
                f"rna: need point_bits of {parameters['sum_bits']}, as sums have, or more, got "
                f"{parameters['point_bits']}"
            )
        self._operands = OperandWords(parameters["n_operands"], parameters["sum_bits"])
        self._candidates = CandidateRows(parameters["n_candidates"])
        if self._candidates.n and self._values is None:
            raise ConfigError(f"rna: need values of {self._candidates.n} candidates, got none")
        self.states = self._forms_of_states()
        zeros = {form.name: np.zeros(form.shape, form.stored) for form in self.states}
        self._held = zeros | self._operands.held | self._candidates.held
        self._events: Counter[str] = Counter()
        self._n_steps = 0
        self._reach = self._operand_reach()

    def _memory(self, values: Ints, width: int) -> NearestTable | None:
        """Return the memory of some numbers, None where there are none."""
        if not len(values):
            return None
        match, stage_bits = self.made_of["match"], self.made_of["stage_bits"]
        try:
            return NearestTable(np.ascontiguousarray(values), width, str(match), int(stage_bits))
        except AccumulatorError as error:
            raise ConfigError(f"rna: {error}") from None

    def _forms_of_states(self) -> tuple[StateForm, ...]:
        memories = [memory for memory in (self._points, self._values) if memory is not None]
        self._n_lines = max(1, self._candidates.n, *(memory.n_rows for memory in memories))
        width = max((memory.width for memory in memories), default=1)
        return (
            StateForm("counters", ("weight code", "input code"), self._products.shape, _NUMBER),
            StateForm("product", ("number",), (1,), _NUMBER),
            StateForm("count", ("number",), (1,), _NUMBER),
            *self._operands.forms,
            StateForm("sum", ("number",), (1,), _NUMBER),
            StateForm("value", ("number",), (1,), _NUMBER),
            StateForm("query", ("bit",), (width,)),
            StateForm("match", ("row",), (self._n_lines,)),
            StateForm("code", ("number",), (1,), _NUMBER),
            *self._candidates.forms,
        )

    @property
    def port(self) -> StateForm:
        """One row of the port."""
        return StateForm("port", ("wire",), (len(self._products),), _NUMBER)

    @property
    def counts(self) -> Counts:
        """Events of all steps so far."""
        return Counts(**self._events)

    @property
    def n_listed(self) -> int:
        """Operands that are listed."""
        return int(self._operands.held["listed"][0])

    def n_stages(self, *, points: bool) -> int:
        """Stages of a search of points, or of values; 0 where there is none."""
        memory = self._points if points else self._values
        return 0 if memory is None else memory.n_stages

    def _operand_reach(self) -> Ints:
        """Return one more than the largest a and b of each step, (steps, 2); 0 where it has none.

        -1 stands for a step that it cannot take at all.
        """
        n_weights, n_inputs = self._products.shape
        reach = {
            READ_PRODUCT: (n_weights, n_inputs),
            OPERAND: (64, 0),
            TERM: (n_weights, 0),
            VALUE: (n_weights, 0),
            STAGE_POINT: (self.n_stages(points=True), 0),
            STAGE_CODE: (self.n_stages(points=False), 0),
            LOOK_UP: (n_weights, 0),
            STAGE_LARGEST: (self.n_stages(points=False), 0),
        }
        for codes, there_is in (
            (_ON_POINTS, self._points is not None),
            (_ON_VALUES, self._values is not None),
            (_ON_CANDIDATES, self._candidates.n),
        ):
            if not there_is:
                reach |= dict.fromkeys(codes, (-1, -1))
        return np.array([reach.get(code, (0, 0)) for code in self.forms], np.int64)

    def check(self, steps: Steps, first: int) -> None:
        """Raise ProgramError, naming the step, if the neuron cannot take a step."""
        code = steps[:, 0].astype(np.int64)
        known = (code >= COUNT) & (code <= SETTLE_LARGEST)
        reach = self._reach[np.where(known, code - COUNT, 0)]
        numbers = steps[:, 1:3]
        fits = np.where(reach > 0, (numbers >= 0) & (numbers < reach), numbers == _NONE)
        good = known & (reach >= 0).all(axis=1) & fits.all(axis=1)
        good &= (steps[:, 3] == _NONE) & (steps[:, 4] == 0)
        if not good.all():
            at = int(np.argmin(good))
            raise ProgramError(
                f"step {first + at}: need a step of the array rna on its tables, got "
                f"{tuple(steps[at].tolist())}"
            )

    def check_port(self, rows: Array, first: int) -> None:
        """Accept what wires carry, any number; `run` knows which step takes a row, and checks it.

        Rows that go out hold sums and codes, rows that go in codes and operands.
        """

    def run(self, steps: Steps, port: Array) -> Array:
        """Take steps that were checked; return the port rows with what went out in its place.

        Raises
        ------
        LayoutError
            A row that goes in holds no codes, or more numbers than the step takes.
        ProgramError
            There is no room for an operand or candidate, or no row is up that a search could end
            with.
        AccumulatorError
            A number that is searched for is wider than the words of the memory.
        """
        out, taken = port.copy(), 0
        for number, (code, a, b, _, _) in enumerate(steps.tolist(), self._n_steps):
            uses = self.forms[code].port != "none"
            try:
                if uses:
                    self._through_port(code, a, out[taken])
                else:
                    self._inside(code, a, b)
            except (AccumulatorError, LayoutError, ProgramError) as error:
                raise type(error)(f"step {number}: {error}") from None
            taken += uses
        self._n_steps += len(steps)
        return out

    def _through_port(self, code: int, a: int, row: Ints) -> None:
        """Take a step that uses the port."""
        if code == COUNT:
            self._count(row)
        elif code in (GIVE_SUM, GIVE_CODE):
            row[:] = 0
            row[0] = self._held["sum" if code == GIVE_SUM else "code"][0]
        else:
            self._take_in(code, a, row)

    def _count(self, row: Ints) -> None:
        """Count one tap of each weight code that has one."""
        met = np.flatnonzero(row != _NONE)
        codes = row[met]
        n_codes = self._products.shape[1]
        if np.any((codes < 0) | (codes >= n_codes)):
            raise LayoutError(
                f"COUNT: need input codes 0..{n_codes - 1} through the port, or -1, got others"
            )
        counters, most = self._held["counters"], (1 << int(self.made_of["counter_bits"])) - 1
        counters[met, codes] = np.minimum(counters[met, codes] + 1, most)
        self._events.update(cycles=1, counter_cycle=1, counter_inc=len(met))

    def _take_in(self, code: int, a: int, row: Ints) -> None:
        """Take a number from the port: an operand, or the code of a term or candidate."""
        name, number = self.forms[code].mnemonic, int(row[0])
        if row[1:].any():
            raise LayoutError(f"{name}: need one number through the port, then zeros, got others")
        if code == OPERAND_IN:
            self._list(number)
            return
        table = self.made_with["values"] if code == CANDIDATE else self._products[a]
        if not 0 <= number < len(table):
            raise LayoutError(
                f"{name}: need a code 0..{len(table) - 1} through the port, got {number}"
            )
        if code == CANDIDATE:
            self._candidates.put(number)
        elif code == TERM:
            self._list(int(table[number]))
            self._events.update(value_read=1)
        elif code == LOOK_UP:
            self._held["code"][0] = table[number]
            self._events.update(cycles=1, value_read=1)
        else:
            self._finish(int(table[number]))

    def _list(self, number: int, *, inverted: bool = False) -> None:
        self._operands.put(number, inverted=inverted)
        n_inverted = int(self.made_of["sum_bits"]) if inverted else 0
        self._events.update(operand_write=1, nor_gate_cell=n_inverted, nor_init_cell=n_inverted)

    def _inside(self, code: int, a: int, b: int) -> None:
        """Take a step that does not use the port."""
        held = self._held
        if code == READ_PRODUCT:
            held["product"][0], held["count"][0] = self._products[a, b], held["counters"][a, b]
            self._events.update(product_read=1)
        elif code == OPERAND:
            digit = digit_of(int(held["count"][0]), a, signed=self.made_of["digits"] == "signed")
            if digit:
                self._list(int(held["product"][0]) << a, inverted=digit < 0)
        elif code == LEVEL:
            if n_adders := self._operands.add_level():
                self._events.update(csa_level=1, csa_adder=n_adders)
                self._add(self._mode.level_cycles(), n_adders)
        elif code == ADD_LAST:
            self._finish(self._operands.add_last())
            self._events.update(nor_sum=1)
            self._add(self._mode.add_cycles(int(self.made_of["sum_bits"])), 1)
        else:
            self._search(code, a)

    def _finish(self, total: int) -> None:
        self._held["sum"][0] = self._held["value"][0] = total

    def _add(self, cycles: int, n_adders: int) -> None:
        """Count the gates of adders that work at once."""
        cells = n_adders * int(self.made_of["sum_bits"]) * self._mode.gates
        self._events.update(
            cycles=cycles, nor_cycle=cycles, nor_gate_cell=cells, nor_init_cell=cells
        )

    def _search(self, code: int, a: int) -> None:
        """Take a step of a search, of points, of values or of candidates."""
        memory = self._points if code in _ON_POINTS else self._values
        assert memory is not None
        among = self._candidates if code in _ON_CANDIDATES else None
        if code in (SEEK_POINT, SEEK_CODE, SEEK_LARGEST):
            up = np.ones(memory.n_rows, np.bool_) if among is None else among.lines()
            self._seek(memory, self._sought(code, memory.width), up)
            return
        n_lines = memory.n_rows if among is None else among.n
        here = unpack(self._held["match"], self._n_lines)[:n_lines].astype(np.bool_)
        if not here.any():
            raise ProgramError(
                f"{self.forms[code].mnemonic}: need a row that is up, got none; begin a search"
            )
        if code in (STAGE_POINT, STAGE_CODE, STAGE_LARGEST):
            self._events.update(cycles=1, cam_stage=1, cam_row=int(here.sum()))
            held = None if among is None else among.codes
            self._raise_lines(memory.standing(here, self._held["query"][0], a, held))
            return
        row = int(np.argmax(here))
        self._events.update(cam_survivor=1)
        if code == SETTLE_POINT:
            self._held["value"][0] = self.made_with["points"][row, 1]
        else:
            self._held["code"][0] = row if among is None else among.take(row)

    def _sought(self, code: int, width: int) -> int:
        """Return the number that is searched for."""
        if code == SEEK_POINT:
            return int(self._held["sum"][0])
        if code == SEEK_LARGEST:
            return (1 << (width - 1)) - 1
        low, high = self._limits
        number = int(self._held["value"][0]) << int(self.made_of["up"])
        return int(min(max(number, low), high))

    def _seek(self, memory: NearestTable, number: int, up: npt.NDArray[np.bool_]) -> None:
        half = 1 << (memory.width - 1)
        if not -half <= number < half:
            raise AccumulatorError(
                f"search of the array rna: need a number of {memory.width} bits, got {number}"
            )
        self._held["query"][0] = memory.words(np.array([number], np.int64))[0]
        self._raise_lines(up)
        self._events.update(cam_search=1)

    def _raise_lines(self, up: npt.NDArray[np.bool_]) -> None:
        lines, n_words = self._held["match"], words_for(len(up))
        lines[:n_words], lines[n_words:] = pack(up[None])[0], 0

    def view(self, name: str) -> Array:
        """Return a state as it is now."""
        return self._held[name]

    def load(self, name: str, values: Array) -> None:
        """Set a state."""
        form = next(form for form in self.states if form.name == name)
        need_padding(form, values, f"state {name}")
        most = {
            "counters": (1 << int(self.made_of["counter_bits"])) - 1,
            "count": (1 << int(self.made_of["counter_bits"])) - 1,
            "listed": int(self.made_of["n_operands"]),
            "missing": int(self.made_of["n_operands"]),
            "candidates": len(self.made_with["values"]) - 1,
            "entered": self._candidates.n,
        }.get(name)
        if most is not None and np.any((values < 0) | (values > most)):
            raise LayoutError(f"state {name}: need numbers of 0 to {most}, got others")
        self._held[name][...] = values

    def told(self, step: Sequence[int], names: Mapping[int, str]) -> str:
        """Say what a step does."""
        code, a, b, _, _ = step
        form = self.forms[code]
        given = {
            READ_PRODUCT: f"product, count = those of weight code {a}, input code {b}",
            OPERAND: f"product * 2^{a} is listed as digit {a} of count says",
            TERM: f"the product of row {a} and the port's code is listed as an operand",
            VALUE: f"sum = value = the product of row {a} and the port's code",
            STAGE_POINT: f"match lines = rows of points that stage {a} leaves up",
            STAGE_CODE: f"match lines = rows of values that stage {a} leaves up",
            LOOK_UP: f"code = the product of row {a} and the port's code",
            STAGE_LARGEST: f"match lines = candidates that stage {a} leaves up",
        }
        return f"{form.mnemonic}: {given.get(code, form.meaning)}"


def _need_shapes(constants: Mapping[str, Array]) -> None:
    """Refuse constants of other forms than tables have."""
    shapes = {name: constants[name].shape for name in SteppedRna.constants}
    products, points, values = (shapes[name] for name in ("products", "points", "values"))
    good = {
        "products": len(products) == 2 and min(products) > 0,
        "points": len(points) == 2 and points[1] == 2,
        "values": len(values) == 1,
        "limits": shapes["limits"] == (2,),
    }
    need = {
        "products": "a row a weight code and a column an input code",
        "points": "x and y of each",
        "values": "one axis",
        "limits": "two numbers",
    }
    for name, fits in good.items():
        if not fits:
            raise ConfigError(
                f"rna: constant {name} needs {need[name]}, got the shape {shapes[name]}"
            )
    low, high = constants["limits"].tolist()
    if low > high:
        raise ConfigError(f"rna: constant limits needs the lower first, got {low}, {high}")
