"""Functions of one number that a trace may compute by a table, by their names in files.

A trace may name others: its table says what they are. Only whoever computes in real numbers (float
references, another quantization) needs the function itself.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim_traces.errors import TraceDataError
from bitpim_traces.records import CLIPS

__all__ = ["FUNCTIONS", "Function", "function_named", "is_function"]

Reals = npt.NDArray[np.floating[Any]]

_MOST_LETTERS = 64


@dataclass(frozen=True, slots=True)
class Function:
    """A function; `compute` takes float32 or float64 numbers, and its constants after them.

    Attributes
    ----------
    formula : in words, `x` the number
    constants : names of its constants, one number each, or one a channel
    ends : least and greatest value, infinite where there is none
    """

    name: str
    formula: str
    compute: Callable[..., Reals]
    constants: tuple[str, ...] = ()
    ends: tuple[float, float] = (-math.inf, math.inf)

    @property
    def is_bounded(self) -> bool:
        """Whether its values have both ends, which its codes then cover."""
        return math.isfinite(self.ends[0]) and math.isfinite(self.ends[1])

    def of(self, x: Reals, constants: Reals | None) -> Reals:
        """Compute it of numbers whose channels are on axis 1, in their precision.

        Where it is infinite or has no value the result is infinite or NaN.

        Shapes
        ------
        x : (N, C, ...);  constants : (P,), (C, P), or None without any
        """
        given = np.zeros(0) if constants is None else constants
        if given.ndim not in (1, 2) or given.shape[-1] != len(self.constants):
            raise TraceDataError(
                f"function {self.name}: need the constants {', '.join(self.constants) or '(none)'},"
                f" got numbers of shape {given.shape}"
            )
        spread = (given.shape[:1] if given.ndim == 2 else (1,)) + (1,) * (x.ndim - 2)
        numbers = [given[..., k].reshape(spread).astype(x.dtype) for k in range(given.shape[-1])]
        with np.errstate(all="ignore"):
            found: Reals = self.compute(x, *numbers).astype(x.dtype, copy=False)
        return found


def _sigmoid(x: Reals) -> Reals:
    e = np.exp(-np.abs(x))  # of a number that is not positive: no overflow at either end
    one = x.dtype.type(1)
    return np.divide(np.where(x >= 0, one, e), one + e)


def _erf(x: Reals) -> Reals:
    found: Reals = np.vectorize(math.erf, otypes=[np.float64])(x)
    return found


def _gelu(x: Reals) -> Reals:
    found: Reals = 0.5 * x * (1 + _erf(x / math.sqrt(2)))
    return found


def _gelu_tanh(x: Reals) -> Reals:
    found: Reals = 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return found


def _elu(x: Reals, alpha: Reals, scale: Reals, input_scale: Reals) -> Reals:
    found: Reals = scale * np.where(x > 0, x, alpha * np.expm1(input_scale * np.minimum(x, 0)))
    return found


def _softplus(x: Reals, beta: Reals, threshold: Reals) -> Reals:
    return np.where(beta * x > threshold, x, np.logaddexp(0, beta * x) / beta)


def _power(x: Reals, exponent: Reals) -> Reals:
    found: Reals = np.power(x, exponent)
    return found


def _hardsigmoid(x: Reals) -> Reals:
    return np.clip(x + 3, 0, 6) / 6


def _leaky(x: Reals, slope: Reals) -> Reals:
    return np.where(x >= 0, x, slope * x)


def _threshold(x: Reals, least: Reals, value: Reals) -> Reals:
    return np.where(x > least, x, value)


FUNCTIONS: dict[str, Function] = {
    found.name: found
    for found in (
        Function("abs", "|x|", np.abs, ends=(0.0, math.inf)),
        Function("celu", "max(x, 0) + min(alpha (e^(x / alpha) - 1), 0)",
                 lambda x, a: np.maximum(x, 0) + a * np.expm1(np.minimum(x, 0) / a), ("alpha",)),
        Function("cos", "cos x", np.cos, ends=(-1.0, 1.0)),
        Function("elu", "scale x if x > 0, else scale alpha (e^(input_scale x) - 1)", _elu,
                 ("alpha", "scale", "input_scale")),
        Function("erf", "the error function of x", _erf, ends=(-1.0, 1.0)),
        Function("exp", "e^x", np.exp, ends=(0.0, math.inf)),
        Function("gelu", "x (1 + erf(x / sqrt 2)) / 2", _gelu),
        Function("gelu_tanh", "x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2", _gelu_tanh),
        Function("hardsigmoid", "min(max(x + 3, 0), 6) / 6", _hardsigmoid, ends=(0.0, 1.0)),
        Function("hardswish", "x min(max(x + 3, 0), 6) / 6", lambda x: x * _hardsigmoid(x)),
        Function("leaky_relu", "x if x >= 0, else slope x", _leaky, ("slope",)),
        Function("log", "ln x", np.log),
        Function("log_sigmoid", "ln(1 / (1 + e^-x))", lambda x: -np.logaddexp(0, -x),
                 ends=(-math.inf, 0.0)),
        Function("mish", "x tanh(ln(1 + e^x))", lambda x: x * np.tanh(np.logaddexp(0, x))),
        Function("power", "x^exponent", _power, ("exponent",)),
        Function("prelu", "x if x >= 0, else slope x", _leaky, ("slope",)),
        Function("reciprocal", "1 / x", lambda x: 1 / x),
        Function("rsqrt", "1 / sqrt x", lambda x: 1 / np.sqrt(x), ends=(0.0, math.inf)),
        Function("sigmoid", "1 / (1 + e^-x)", _sigmoid, ends=(0.0, 1.0)),
        Function("sign", "1 if x > 0, 0 if x = 0, else -1", np.sign, ends=(-1.0, 1.0)),
        Function("silu", "x / (1 + e^-x)", lambda x: x * _sigmoid(x)),
        Function("sin", "sin x", np.sin, ends=(-1.0, 1.0)),
        Function("softplus", "ln(1 + e^(beta x)) / beta; x where beta x > threshold", _softplus,
                 ("beta", "threshold"), (0.0, math.inf)),
        Function("sqrt", "sqrt x", np.sqrt, ends=(0.0, math.inf)),
        Function("tanh", "tanh x", np.tanh, ends=(-1.0, 1.0)),
        Function("threshold", "x if x > least, else value", _threshold, ("least", "value")),
    )
}  # fmt: skip
"""The functions whose real values are known here."""


def is_function(name: str) -> bool:
    """Tell whether a name may stand for a function: a small word, and none that clips."""
    return (
        0 < len(name) <= _MOST_LETTERS
        and name.isascii()
        and name.isidentifier()
        and name == name.lower()
        and name not in CLIPS
    )


def function_named(where: str, name: str) -> Function:
    """Return the function of a name.

    Raises
    ------
    TraceDataError
        Its real values are not known here.
    """
    if name not in FUNCTIONS:
        raise TraceDataError(
            f"{where}: need a function whose real values are known, {', '.join(FUNCTIONS)}, got"
            f" {name!r}; give its table of codes, or export the network again"
        )
    return FUNCTIONS[name]
