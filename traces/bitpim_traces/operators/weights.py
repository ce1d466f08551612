"""Weights and biases: what convolutions and linear layers have in common."""

from bitpim_traces.operators.operator import Described, Shape, Unfit
from bitpim_traces.schema_forms import CODES, Dataset

__all__ = ["WEIGHTS", "need_weight"]

WEIGHTS = (
    Dataset("weight", CODES, ("OIHW", "OI"), "code", "weight codes"),
    Dataset(
        "bias",
        ("int32", "int64"),
        ("O",),
        "code",
        "bias at scale input x weight; int64 if accumulator_bits > 32",
        required=False,
    ),
    Dataset(
        "weight_float",
        ("float32",),
        ("OIHW", "OI"),
        "real",
        "weights before quantization",
        required=False,
    ),
    Dataset("bias_float", ("float32",), ("O",), "real", "bias before quantization", required=False),
)


def need_weight(layer: Described, shape: Shape) -> int:
    """Check a weight against the shape it needs after its outputs; return the number of outputs.

    Raises
    ------
    Unfit
        There is no weight, or it or its bias has another shape.
    """
    weight = layer.weight
    if weight is None:
        raise Unfit("weight", "a weight", "nothing")
    n_outputs = weight.shape[0] if weight.shape else 0
    if n_outputs < 1 or weight.shape[1:] != shape:
        raise Unfit("weight", f"shape {(max(n_outputs, 1), *shape)}", weight.shape)
    if layer.bias is not None and layer.bias.shape != (n_outputs,):
        raise Unfit("bias", f"shape {(n_outputs,)}", layer.bias.shape)
    return n_outputs
