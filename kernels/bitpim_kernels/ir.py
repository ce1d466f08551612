"""LLVM emission: what the vector forms of kernels have in common.

Where Numba would not turn a loop into the vector instructions it stands for, a kernel calls a plain
Python function, used as it stands when the kernel runs through ``.py_func``. `instead_of` names
what the compiler puts in its place; `Lanes` and the functions here emit it.
"""

from collections.abc import Callable
from inspect import Parameter, Signature, signature
from typing import Any, TypeVar

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, lower_builtin, overload, type_callable

__all__ = [
    "I64",
    "Lanes",
    "address",
    "constant",
    "index_or_last",
    "instead_of",
    "is_contiguous",
    "operator_of",
    "shape_of",
]

I64 = ir.IntType(64)

_I32 = ir.IntType(32)  # LLVM counts lanes in 32 bits

Rule = TypeVar("Rule", bound=Callable[..., Any])


def instead_of(function: Callable[..., Any]) -> Callable[[Rule], Rule]:
    """Let compiled kernels do what a rule emits in the place of a Python function.

    The rule is called with the Numba types of the arguments. It returns the signature and a
    function of Numba's context, an LLVM builder and the arguments, which emits the result; or None
    where it has nothing for such types.
    """
    names = list(signature(function).parameters)

    def decorate(rule: Rule) -> Rule:
        def form(typing_context: Any, *kinds: Any) -> Any:
            found = rule(*kinds)
            return None if found is None else (found[0], _emitter(rule))

        parameters = [Parameter(name, Parameter.POSITIONAL_OR_KEYWORD) for name in ("_", *names)]
        form.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
        form.__name__ = function.__name__
        # Numba takes parameters from the text of a function
        listed = ", ".join(names)
        scope = {"emitted": intrinsic(form), "rule": rule}
        scope["call"] = eval(f"lambda {listed}: emitted({listed})", scope)  # noqa: S307
        typed = eval(f"lambda {listed}: call if rule({listed}) else None", scope)  # noqa: S307
        overload(function, strict=False)(typed)
        return rule

    return decorate


def operator_of(operation: Callable[..., Any], *classes: type) -> Callable[[Rule], Rule]:
    """Give operands of some classes of Numba types an operator; the rule is as in `instead_of`."""

    def decorate(rule: Rule) -> Rule:
        def typed(*kinds: Any) -> Any:
            found = rule(*kinds)
            return None if found is None else found[0]

        typed.pysig = signature(operation)  # type: ignore[attr-defined]
        type_callable(operation)(lambda context: typed)
        lower_builtin(operation, *classes)(_emitter(rule))
        return rule

    return decorate


def _emitter(rule: Callable[..., Any]) -> Callable[..., Any]:
    """Return what emits a rule's result, in the form Numba calls it."""

    def emit(context: Any, builder: Any, kinds: Any, args: Any) -> Any:
        result = rule(*kinds.args)[1](context, builder, *args)
        return context.get_dummy_value() if result is None else result

    return emit


def is_contiguous(*arrays: Any) -> bool:
    """Return whether types are those of arrays in C order."""
    return all(isinstance(array, types.Array) and array.layout == "C" for array in arrays)


def constant(value: int) -> Any:
    """Return an integer of 64 bits."""
    return ir.Constant(I64, value)


def address(context: Any, builder: Any, kind: Any, array: Any, *index: Any) -> Any:
    """Emit the address of an element of an array of this type."""
    struct = context.make_array(kind)(context, builder, array)
    where = [constant(i) if isinstance(i, int) else i for i in index]
    shape = cgutils.unpack_tuple(builder, struct.shape, kind.ndim)
    strides = cgutils.unpack_tuple(builder, struct.strides, kind.ndim)
    return cgutils.get_item_pointer2(
        context, builder, struct.data, shape, strides, kind.layout, where
    )


def shape_of(context: Any, builder: Any, kind: Any, array: Any) -> list[Any]:
    """Emit the extents of an array of this type."""
    struct = context.make_array(kind)(context, builder, array)
    extents: list[Any] = cgutils.unpack_tuple(builder, struct.shape, kind.ndim)
    return extents


def index_or_last(builder: Any, index: int, n: Any) -> Any:
    """Emit an index, or the last of n: what is done twice there gives the same result twice."""
    found = constant(index)
    inside = builder.icmp_signed("<", found, n)
    return builder.select(inside, found, builder.sub(n, constant(1)))


class Lanes:
    """Emits vectors of `n` integers of `width` bits: one register, or a few side by side."""

    def __init__(self, builder: Any, n: int, width: int) -> None:
        self.builder, self.n = builder, n
        self.element = ir.IntType(width)
        self.vector = ir.VectorType(self.element, n)

    def all(self, value: int) -> Any:
        """Return a vector that holds a known number in every lane."""
        return ir.Constant(self.vector, [value] * self.n)

    def splat(self, value: Any) -> Any:
        """Emit a vector that holds an integer of any width in every lane."""
        nothing = ir.Constant(self.vector, ir.Undefined)
        one = self.builder.insert_element(nothing, self._fitted(value), ir.Constant(_I32, 0))
        order = ir.Constant(ir.VectorType(_I32, self.n), [0] * self.n)
        return self.builder.shuffle_vector(one, nothing, order)

    def _fitted(self, value: Any) -> Any:
        if value.type.width == self.element.width:
            return value
        fit = self.builder.trunc if value.type.width > self.element.width else self.builder.sext
        return fit(value, self.element)

    def of(self, vector: Any) -> Any:
        """Emit as many signed integers of another width in lanes of this one."""
        width = vector.type.element.width
        if width == self.element.width:
            return vector
        fit = self.builder.trunc if width > self.element.width else self.builder.sext
        return fit(vector, self.vector)

    def load(self, place: Any) -> Any:
        """Emit the vector that lies from the address of an element on."""
        place = self.builder.bitcast(place, self.vector.as_pointer())
        return self.builder.load(place, align=self.element.width // 8)

    def store(self, vector: Any, place: Any) -> None:
        """Emit a store of a vector from the address of an element on."""
        place = self.builder.bitcast(place, self.vector.as_pointer())
        self.builder.store(vector, place, align=self.element.width // 8)

    def add_to(self, place: Any, vector: Any) -> None:
        """Emit the addition of a vector to what lies from an address on."""
        self.store(self.builder.add(self.load(place), vector), place)

    def variable(self) -> Any:
        """Emit a place for a vector that changes in a loop; the compiler keeps it in registers."""
        return cgutils.alloca_once(self.builder, self.vector)

    def at_most(self, vector: Any, high: Any) -> Any:
        """Emit the lesser of two vectors, lane by lane."""
        b = self.builder
        return b.select(b.icmp_signed("<", vector, high), vector, high)

    def at_least(self, vector: Any, low: Any) -> Any:
        """Emit the greater of two vectors, lane by lane."""
        b = self.builder
        return b.select(b.icmp_signed(">", vector, low), vector, low)
