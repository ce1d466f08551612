"""A function of one input: clipping, or a table of codes."""

from collections.abc import Sequence

from bitpim_traces.operators.operator import Described, FloatArray, Operator, RealLayer, Shape
from bitpim_traces.schema_forms import CODES, Dataset


def _shape(layer: Described, inputs: Sequence[Shape]) -> Shape:
    return inputs[0]


def _forward(layer: RealLayer, inputs: Sequence[FloatArray]) -> FloatArray:
    return inputs[0]


OPERATOR = Operator(
    kind="activation",
    computes="relu, relu6, clamp: the code, or `q - z_in` requantized; sigmoid, tanh: "
    "`table[q - code_min of the input]`, never requantized",
    shape=_shape,
    forward=_forward,
    datasets=(
        Dataset(
            "table",
            CODES,
            ("K",),
            "code",
            "output code by (input code - code_min); sigmoid and tanh only",
            required=False,
        ),
    ),
    activations=("relu", "relu6", "clamp", "sigmoid", "tanh"),
    requantize="may",
)
