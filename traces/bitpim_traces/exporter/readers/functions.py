"""Functions of one activation: those that limit it, and all others, which become tables."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim_traces.exporter.calls import Call, Reader, Value, as_float64
from bitpim_traces.exporter.drafts import Draft, refuse

__all__ = ["READERS"]

_SELU = (1.6732632423543772, 1.0507009873554805, 1.0)
"""Alpha and scale of selu, whose unit it is (Klambauer et al., 2017)."""


def _limit(low: float, high: float) -> Reader:
    def read(call: Call) -> Draft:
        return _limited(call, low, high)

    return read


def _limited(call: Call, low: float, high: float) -> Draft:
    if not low < high:
        raise refuse(call.where, "a lower bound below the upper", f"[{low}, {high}]")
    return call.draft("activation", call.first(), activation="clamp", low=low, high=high)


def read_clamp(call: Call) -> Draft:
    """Read clamp, clip, clamp_min, clamp_max and hardtanh."""
    bounds = []
    for names, missing in ((("min", "min_val"), -math.inf), (("max", "max_val"), math.inf)):
        given = next((call.arguments[n] for n in names if call.arguments.get(n) is not None), None)
        array = np.asarray(missing) if given is None else _bound(call, given)
        bounds.append(float(array.reshape(-1)[0]))
    return _limited(call, bounds[0], bounds[1])


def _bound(call: Call, given: Any) -> npt.NDArray[np.float64]:
    if isinstance(given, Value) or (array := as_float64(given)).size != 1:
        raise refuse(call.where, "bounds that are numbers", "bounds that are tensors")
    return array


def _table(call: Call, name: str, *constants: float) -> Draft:
    tensors = {}
    if constants:
        tensors["constants"] = np.array(constants, np.float32)
    return call.draft("activation", call.first(), activation=name, tensors=tensors)


def _named(name: str, *arguments: str) -> Reader:
    """Read a function whose constants are these arguments of the call."""

    def read(call: Call) -> Draft:
        return _table(call, name, *(float(call.arguments[a]) for a in arguments))

    return read


def _read_gelu(call: Call) -> Draft:
    tanh = call.arguments.get("approximate", "none") == "tanh"
    return _table(call, "gelu_tanh" if tanh else "gelu")


def _read_prelu(call: Call) -> Draft:
    """Read prelu, of one slope or one a channel."""
    slopes = call.constant("weight")
    assert slopes is not None
    if slopes.size == 1:
        return _table(call, "leaky_relu", float(slopes.reshape(-1)[0]))
    tensors = {"constants": slopes.reshape(-1, 1).astype(np.float32)}
    return call.draft("activation", call.first(), activation="prelu", tensors=tensors)


def _read_rrelu(call: Call) -> Draft:
    """Read rrelu in evaluation: the mean of its slopes."""
    if call.arguments.get("training"):
        raise refuse(call.where, "rrelu in evaluation", "random slopes", "export in eval mode")
    slopes = float(call.arguments["lower"]), float(call.arguments["upper"])
    return _table(call, "leaky_relu", sum(slopes) / 2)


def _read_power(call: Call) -> Draft:
    exponent = call.arguments["exponent"]
    if isinstance(exponent, Value) or (array := as_float64(exponent)).size != 1:
        raise refuse(call.where, "a number as exponent", "a tensor")
    if not isinstance(call.arguments["self"], Value):
        raise refuse(call.where, "a base computed from the network input", "a constant")
    return _table(call, "power", float(array.reshape(-1)[0]))


def read_softmax(call: Call) -> Draft:
    """Read a softmax over classes, which `rewrites` drops at the very end of the network."""
    source = call.first()
    axis = int(call.arguments["dim"]) % (len(source.shape) + 1)
    if axis != 1:
        raise refuse(call.where, "a softmax over axis 1", f"axis {axis}")
    return call.draft("softmax", source)


_PLAIN = (
    "abs",
    "cos",
    "erf",
    "exp",
    "hardsigmoid",
    "hardswish",
    "log",
    "log_sigmoid",
    "mish",
    "reciprocal",
    "rsqrt",
    "sigmoid",
    "sign",
    "silu",
    "sin",
    "sqrt",
    "tanh",
)
"""Functions without constants, which PyTorch and a trace name alike."""


def _in_place(name: str, read: Reader) -> dict[str, Reader]:
    return dict.fromkeys((name, f"{name}_"), read)


READERS: dict[str, Reader] = {
    **_in_place("relu", _limit(0.0, math.inf)),
    **_in_place("relu6", _limit(0.0, 6.0)),
    **_in_place("clamp", read_clamp),
    **_in_place("clip", read_clamp),
    **_in_place("clamp_min", read_clamp),
    **_in_place("clamp_max", read_clamp),
    **_in_place("hardtanh", read_clamp),
    **{key: read for name in _PLAIN for key, read in _in_place(name, _named(name)).items()},
    "log_sigmoid_forward": _named("log_sigmoid"),
    "sgn": _named("sign"),
    "absolute": _named("abs"),
    **_in_place("elu", _named("elu", "alpha", "scale", "input_scale")),
    **_in_place("selu", lambda call: _table(call, "elu", *_SELU)),
    **_in_place("celu", _named("celu", "alpha")),
    **_in_place("leaky_relu", _named("leaky_relu", "negative_slope")),
    **_in_place("threshold", _named("threshold", "threshold", "value")),
    **_in_place("square", lambda call: _table(call, "power", 2.0)),
    **_in_place("rrelu", _read_rrelu),
    "rrelu_with_noise": _read_rrelu,
    "softplus": _named("softplus", "beta", "threshold"),
    "gelu": _read_gelu,
    **dict.fromkeys(("prelu", "_prelu_kernel"), _read_prelu),
    **_in_place("pow", _read_power),
    **dict.fromkeys(("softmax", "_softmax", "log_softmax", "_log_softmax"), read_softmax),
}
