"""Element-wise operators of several inputs: axes of length 1 are repeated, as in NumPy."""

from collections.abc import Sequence

from bitpim_traces.operators.operator import Described, Shape, Unfit

__all__ = ["BROADCAST", "broadcast_shape"]

BROADCAST = "of one rank; where lengths differ each is the greatest or 1, which is repeated"


def broadcast_shape(layer: Described, inputs: Sequence[Shape]) -> Shape:
    """Work out the shape of an element-wise operator's output.

    Raises
    ------
    Unfit
        Ranks differ, or lengths of which one is neither the greatest nor 1.
    """
    one_rank = len({len(shape) for shape in inputs}) == 1
    found = tuple(max(lengths) for lengths in zip(*inputs, strict=one_rank))
    if not one_rank or any(
        n not in (1, most) for shape in inputs for n, most in zip(shape, found, strict=True)
    ):
        raise Unfit("@inputs", f"inputs {BROADCAST}", tuple(inputs))
    return found
