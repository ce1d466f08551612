"""Points of an activation by table: few, and dense where the function moves or bends."""

from collections.abc import Callable
from math import ldexp

import numpy as np
import numpy.typing as npt

from bitpim_traces.codebook import Codebook

__all__ = ["activation_points"]

Ints = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]

_N_STEPS = 4096


def activation_points(
    compute: Callable[[Reals], Reals],
    ends: tuple[float, float],
    n_points: int,
    *,
    fraction_bits: int,
    output: Codebook,
) -> Ints:
    """Choose the points (x, y) of a function between two ends, both of which are points.

    Half of the points are spread so that y changes as much from each to the next, half so that the
    square root of the change of slope does. x has `fraction_bits`, y those of the output's values;
    both are rounded to nearest. There are fewer where some would be equal, but two at least. Where
    the function has no value y is 0, where it is infinite the end of y's width.

    Shapes
    ------
    result : (n_points, 2) at most
    """
    x = np.linspace(*ends, _N_STEPS + 1)
    y = np.nan_to_num(compute(x), nan=0.0, posinf=0.0, neginf=0.0)
    rises = np.diff(y)
    bends = np.abs(np.diff(rises, prepend=rises[:1], append=rises[-1:]))
    weights = _shared(np.abs(rises)) + _shared(np.sqrt((bends[:-1] + bends[1:]) / 2))
    reached = np.concatenate([[0.0], np.cumsum(weights if weights.any() else weights + 1)])
    chosen = np.interp(np.linspace(0, reached[-1], n_points), reached, x)
    chosen[[0, -1]] = ends
    fixed = np.unique(np.rint(chosen * ldexp(1.0, fraction_bits)).astype(np.int64))
    if len(fixed) == 1:
        fixed = np.append(fixed, fixed + 1)
    limit = 1 << (output.value_bits - 1)
    real: Reals = np.ldexp(fixed.astype(np.float64), -fraction_bits)
    with np.errstate(over="ignore"):
        values = compute(real) * ldexp(1.0, output.fraction_bits)
    held = np.rint(np.clip(np.nan_to_num(values, nan=0.0), -limit, limit - 1)).astype(np.int64)
    return np.stack([fixed, held], axis=1)


def _shared(weights: Reals) -> Reals:
    """Scale weights to a sum of 1, or of 0 where there are none."""
    total = weights.sum()
    return weights / total if total > 0 else weights
