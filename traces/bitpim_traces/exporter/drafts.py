"""What is known of a layer while the graph is still being rewritten; no torch, no codes."""

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from bitpim_traces.errors import TraceDataError
from bitpim_traces.records import Geometry, Params

__all__ = ["SUPPORTED", "Draft", "refuse"]

SUPPORTED = (
    "conv2d, linear, batch_norm, affine by constants, relu, relu6, hardtanh, clamp, sigmoid, tanh, "
    "max_pool2d, avg_pool2d, adaptive pooling with equal windows, mean or amax over rows and "
    "columns, add, cat, flatten, zero pad, x[:, :, ::s, ::t], dropout, a final softmax"
)


@dataclass(frozen=True, slots=True)
class Draft:
    """One operator as read from the graph; `kind` is a layer kind or one of the three below.

    `affine` (weight * x + bias per channel, from batch norm or constants), `reshape` and `softmax`
    exist only until `rewrites` has folded, collapsed or dropped them. `low` and `high` bound an
    activation that limits; `inputs` are indices of drafts, NETWORK_INPUT among them.
    """

    kind: str
    inputs: tuple[int, ...]
    shape: tuple[int, ...]  # without the batch axis
    path: str  # of the module that called the operator
    operator: str  # as PyTorch names it, for messages
    owned: bool = False  # the module is a PyTorch layer that does just this
    geometry: Geometry | None = None
    weight: npt.NDArray[np.float64] | None = None
    bias: npt.NDArray[np.float64] | None = None
    activation: str = "none"
    low: float = -math.inf
    high: float = math.inf
    params: Params = field(default_factory=Params)

    @property
    def where(self) -> str:
        """Module path and operator, as messages name them."""
        return f"{self.path or '(root)'}: {self.operator}"


def refuse(where: str, need: str, got: str, remedy: str = "") -> TraceDataError:
    """Make the one error for an operator that a trace cannot hold."""
    hint = remedy or f"a trace can hold: {SUPPORTED}"
    return TraceDataError(f"{where}: need {need}, got {got}; {hint}")
