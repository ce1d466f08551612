"""Masks of pruned networks, read off the exact zeros of their float weights."""

from dataclasses import replace

import numpy as np

from bitpim_traces.errors import TraceDataError
from bitpim_traces.masks import LayerMask, mask_codes, with_masks
from bitpim_traces.records import Trace

__all__ = ["with_pruned_weights"]


def with_pruned_weights(
    trace: Trace, *, n_patterns: int | None = None, n_kept: int | None = None
) -> Trace:
    """Give every layer that has weights its mask: 0 where the float weight is 0.

    With `n_patterns`, pruned convolutions also get the patterns of the network; those that keep
    every weight have none.

    Raises
    ------
    TraceDataError
        A weight of 0 has a code that stands for something else, the network has more than
        `n_patterns` masks, or a pruned conv kernel keeps another number of weights than `n_kept`.
    """
    masks = {
        layer.name: LayerMask((layer.weight_float.read() != 0).astype(np.uint8))
        for layer in trace.layers
        if layer.weight_float is not None
    }
    if n_patterns is not None:
        masks |= _with_patterns(trace, masks, n_patterns, n_kept)
    return with_masks(trace, masks)


def _with_patterns(
    trace: Trace, masks: dict[str, LayerMask], n_patterns: int, n_kept: int | None
) -> dict[str, LayerMask]:
    convolutions = {layer.name for layer in trace.layers if layer.kind == "conv2d"}
    pruned = {n: m for n, m in masks.items() if n in convolutions and not m.mask.all()}
    codes = [mask_codes(layer.mask).ravel() for layer in pruned.values()]
    patterns = np.unique(np.concatenate([np.zeros(1, np.uint32), *codes]))[1:]
    kept = sorted({code.bit_count() for code in patterns.tolist()})
    if patterns.size > n_patterns or (n_kept is not None and kept != [n_kept]):
        raise TraceDataError(
            f"trace {trace.name}: need at most {n_patterns} masks that keep {n_kept} weights, got"
            f" {patterns.size} that keep {', '.join(map(str, kept))}"
        )
    return {name: replace(layer, patterns=patterns) for name, layer in pruned.items()}
