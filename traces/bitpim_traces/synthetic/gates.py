"""Squeeze and excitation: each channel is weighted by what all channels are on average."""

from bitpim_traces.synthetic.sketch import LINEAR_GAIN, Sketch

__all__ = ["GATED_SHARE", "squeeze_excite"]

GATED_SHARE = 0.5
"""What a gate leaves of its channel on average: it lies about the middle of 0 to 1."""

_SQUEEZED_GAIN, _SQUEEZED_OFFSET = 0.5, 0.5
"""Of the few channels in between: they are small, so that gates lie about the middle, and their
bias keeps some of them above 0.
"""


def squeeze_excite(sketch: Sketch, name: str, n_squeezed: int, gate: str) -> int:
    """Append a gate over the last layer: pooling, two convolutions, a function, a product."""
    source, n_channels = sketch.last(), sketch.shape()[0]
    sketch.global_pool(f"{name}.squeeze")
    sketch.conv(
        f"{name}.fc1", (n_channels, n_squeezed), 1, gain=_SQUEEZED_GAIN, offset=_SQUEEZED_OFFSET
    )
    sketch.conv(f"{name}.fc2", (n_squeezed, n_channels), 1, activation="none", gain=LINEAR_GAIN)
    excited = sketch.function(f"{name}.gate", gate)
    return sketch.multiply(f"{name}.scale", (source, excited))
