"""Networks made of a name and a seed: float networks, outlines, and quantized traces."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bitpim_traces.errors import TraceDataError
from bitpim_traces.masks import LayerMask, with_masks
from bitpim_traces.network import FloatNetwork
from bitpim_traces.provenance import make_provenance
from bitpim_traces.quantize.assemble import quantize_network
from bitpim_traces.quantize.observers import calibrate
from bitpim_traces.quantize.prune import Pruning, prune_network, pruning_as_plain
from bitpim_traces.quantize.settings import Settings
from bitpim_traces.records import Trace
from bitpim_traces.synthetic.images import synthetic_images
from bitpim_traces.synthetic.registry import shape_named
from bitpim_traces.synthetic.sketch import Outline, Sketch

__all__ = ["synthetic_float_network", "synthetic_network", "weightless_network"]

_N_CALIBRATION = 4
"""Images of their own that ranges are observed on, beside the samples."""


def synthetic_float_network(name: str, seed: int = 0, *, side: int | None = None) -> FloatNetwork:
    """Make a float network with random weights.

    Images are square, `side` pixels high and wide; without it, as large as the network's own.

    Raises
    ------
    TraceDataError
        The name is unknown, or the network does not fit images of that side.
    """
    return _made(name, Sketch, seed, side)


def weightless_network(name: str, *, side: int | None = None) -> FloatNetwork:
    """Make the layers of a synthetic network, at once: its weights are zeros without memory.

    Shapes and windows are all there, so that masks may be drawn and layers laid out.

    Raises
    ------
    TraceDataError
        As for `synthetic_float_network`.
    """
    return _made(name, Outline, 0, side)


def _made(name: str, kind: type[Sketch], seed: int, side: int | None) -> FloatNetwork:
    shape = shape_named(name)
    channels, *size = shape.input_shape
    height, width = size if side is None else (side, side)
    sketch = kind(np.random.default_rng([seed, 1]), (channels, height, width))
    shape.make(sketch, shape.n_classes)
    return FloatNetwork(name, tuple(sketch.layers), sketch.input_shape)


def _pruned(
    network: FloatNetwork, pruning: Pruning | Sequence[Pruning]
) -> tuple[FloatNetwork, dict[str, LayerMask]]:
    """Prune a network; what is left of a weight is enlarged to its old energy, so values last."""
    pruned, masks, reports = prune_network(network, pruning)
    gains = {r.name: 1.0 / math.sqrt(r.retained_energy) for r in reports if r.retained_energy}
    layers = [
        replace(layer, weight=layer.weight * np.float32(gains[layer.name]))
        if layer.name in gains and layer.weight is not None
        else layer
        for layer in pruned.layers
    ]
    return FloatNetwork(network.name, tuple(layers), network.input_shape), masks


def synthetic_network(
    name: str,
    seed: int = 0,
    *,
    n_samples: int = 1,
    side: int | None = None,
    settings: Settings | None = None,
    pruning: Pruning | Sequence[Pruning] | None = None,
) -> Trace:
    """Make a quantized network with random weights and random images.

    Labels are the float network's own answers, so top-1 agreement can be read as accuracy; where
    these are images there are none. `side` is as for `synthetic_float_network`. With
    `pruning` (one way, or several in turn) layers are pruned and the trace carries their masks; the
    weights left are enlarged to the energy of all, so that values neither die out nor explode.

    Raises
    ------
    TraceDataError
        As for `synthetic_float_network`, n_samples is below 1, or there is nothing to prune.
    """
    if n_samples < 1:
        raise TraceDataError(f"synthetic network: need at least 1 sample, got {n_samples}")
    settings = settings or Settings()
    network, masks = synthetic_float_network(name, seed, side=side), dict[str, LayerMask]()
    parameters: dict[str, object] = {"name": name, "n_samples": n_samples}
    if side is not None:
        parameters["side"] = side
    if pruning is not None:
        network, masks = _pruned(network, pruning)
        parameters["prune"] = pruning_as_plain(pruning)
    images = synthetic_images(n_samples + _N_CALIBRATION, network.input_shape, seed)
    ranges = calibrate(network, images, settings, batch=2)
    samples = images[:n_samples]
    answers = network.outputs(samples, batch=2)[len(network.layers) - 1]
    trace = quantize_network(
        network,
        ranges,
        samples,
        labels=answers.argmax(axis=1) if answers.ndim == 2 else None,
        settings=settings,
        provenance=make_provenance("synthetic_network", parameters, seed=seed),
        dataset="synthetic",
    )
    return with_masks(trace, masks)
