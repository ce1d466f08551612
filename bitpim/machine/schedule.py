"""Layers in order: each runs once its inputs are there; codes are kept no longer than needed."""

from collections.abc import Callable, Iterator, Sequence

from bitpim.machine.machine import Codes
from bitpim_traces.records import NETWORK_INPUT, LayerRecord, Trace

__all__ = ["run_layers"]


def run_layers(
    trace: Trace,
    codes: Codes,
    run: Callable[[LayerRecord, Sequence[Codes]], Codes],
) -> Iterator[tuple[LayerRecord, Codes]]:
    """Run input codes through all layers; yield each with its output codes.

    Raises
    ------
    TraceDataError
        An input code is beyond its declared width.
    """
    trace.samples.codes.check(codes)
    last_use = {i: layer.index for layer in trace.layers for i in layer.inputs}
    held: dict[int, Codes] = {NETWORK_INPUT: codes}
    for layer in trace.layers:
        out = run(layer, [held[i] for i in layer.inputs])
        held[layer.index] = out
        for i in set(layer.inputs):
            if last_use[i] == layer.index:
                del held[i]
        yield layer, out
