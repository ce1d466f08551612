"""A function of one input: clipping, or any other by a table of codes."""

from collections.abc import Sequence

from bitpim_traces.functions import function_named
from bitpim_traces.operators.operator import (
    Described,
    FloatArray,
    Operator,
    RealLayer,
    Shape,
    Unfit,
)
from bitpim_traces.records import CLIPS
from bitpim_traces.schema_forms import CODES, Dataset


def _shape(layer: Described, inputs: Sequence[Shape]) -> Shape:
    constants = layer.tensors.get("constants")
    if constants is not None and len(constants.shape) == 2 and constants.shape[0] != inputs[0][0]:
        need = f"constants of each of {inputs[0][0]} channels"
        raise Unfit("constants", need, f"shape {constants.shape}")
    return inputs[0]


def _forward(layer: RealLayer, inputs: Sequence[FloatArray]) -> FloatArray:
    if layer.activation in CLIPS:
        return inputs[0]
    function = function_named(f"activation {layer.activation}", layer.activation)
    found: FloatArray = function.of(inputs[0], layer.tensors.get("constants"))
    return found


OPERATOR = Operator(
    kind="activation",
    computes="relu, relu6, clamp: the code, or `q - z_in` requantized; any function else: "
    "`table[q - code_min of the input]`, of the channel's own row if there are rows, never "
    "requantized",
    shape=_shape,
    forward=_forward,
    datasets=(
        Dataset(
            "table",
            CODES,
            ("K", "CK"),
            "code",
            "output code by (input code - code_min), or such a row a channel; of a function only",
            required=False,
        ),
        Dataset(
            "constants",
            ("float32",),
            ("P", "CP"),
            "real",
            "constants of the function, of all channels or of each",
            required=False,
        ),
    ),
    activations=("relu", "relu6", "clamp"),
    tables=True,
    requantize="may",
)
