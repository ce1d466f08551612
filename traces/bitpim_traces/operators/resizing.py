"""Images of another size: what both ways to resize have in common."""

from bitpim_traces.file_bounds import MAX_AXIS
from bitpim_traces.operators.operator import Described, Shape, Unfit
from bitpim_traces.schema_forms import Attribute

__all__ = ["SIZE", "resized_shape"]

SIZE = Attribute("size", "ints", "rows and columns of the output", length=2)


def resized_shape(layer: Described, image: Shape) -> Shape:
    """Work out the output shape.

    Raises
    ------
    Unfit
        A size is out of bounds.
    """
    size = layer.params.integers("size")
    if not all(1 <= n <= MAX_AXIS for n in size):
        raise Unfit("@size", f"1 to {MAX_AXIS}", size)
    return (image[0], *size)
