"""Which minor version of the format a trace needs: the least, so that older readers take it too."""

from bitpim_traces.file_bounds import MAX_BITS
from bitpim_traces.operators import OPERATORS
from bitpim_traces.records import CLIPS, LayerRecord, Trace

__all__ = ["minor_of"]

_FUNCTIONS_OF_1_0 = (*CLIPS, "sigmoid", "tanh")
_RANKS_OF_1_0 = (1, 3)


def minor_of(trace: Trace) -> int:
    """Return the least minor version that knows all that a trace uses."""
    samples = trace.samples
    if any(layer.clusters is not None for layer in trace.layers):
        return 3
    if any(True for _ in trace.codebooks):
        return 2
    if len(samples.codes.shape) - 1 not in _RANKS_OF_1_0 or samples.quantization.binary:
        return 1
    return max((_minor_of(layer) for layer in trace.layers), default=0)


def _minor_of(layer: LayerRecord) -> int:
    operator = OPERATORS.get(layer.kind)
    if operator is None or operator.since:
        return operator.since if operator else 1
    newer = (
        layer.activation not in _FUNCTIONS_OF_1_0
        or len(layer.output_shape) not in _RANKS_OF_1_0
        or layer.output.bits > MAX_BITS
        or layer.output.binary
        or (layer.weight_quantization is not None and layer.weight_quantization.binary)
        or bool(layer.tensors)
        or (layer.table is not None and len(layer.table.shape) > 1)
        or (operator.sums == "terms" and len(set(layer.input_shapes)) > 1)
    )
    return int(newer)
