"""What is known of a layer while the graph is still being rewritten; no torch, no codes."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from bitpim_traces.errors import TraceDataError
from bitpim_traces.records import Geometry, Params

__all__ = ["SUPPORTED", "Draft", "refuse"]

SUPPORTED = (
    "convolutions over one or two axes, transposed ones too, linear, batch_norm, sums, differences,"
    " products and quotients, functions of one number (relu, silu, gelu ...), pooling, mean, sum, "
    "amax and amin over axes, cat, stack, slices, split, permute, reshape, expand, pad, nearest and"
    " bilinear resizing, dropout, a final softmax"
)


@dataclass(frozen=True, slots=True)
class Draft:
    """One operator as read from the graph; `kind` is a layer kind or one of those below.

    `affine` (weight * x + bias per channel, from batch norm or constants), `expand` (axes of length
    1 repeated), `low_pad` (minus infinity around an image) and `softmax` exist only until
    `rewrites` has folded, collapsed or dropped them. A `reshape` has its shape alone. `low` and
    `high` bound an activation that limits; `inputs` are indices of drafts, NETWORK_INPUT among
    them.
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
    tensors: Mapping[str, npt.NDArray[np.float32]] = field(default_factory=dict)

    @property
    def where(self) -> str:
        """Module path and operator, as messages name them."""
        return f"{self.path or '(root)'}: {self.operator}"


def refuse(where: str, need: str, got: str, remedy: str = "") -> TraceDataError:
    """Make the one error for an operator that a trace cannot hold."""
    hint = remedy or f"a trace can hold: {SUPPORTED}"
    return TraceDataError(f"{where}: need {need}, got {got}; {hint}")
