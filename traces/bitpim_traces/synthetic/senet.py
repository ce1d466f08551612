"""SENet: residual blocks whose channels are gated."""

from bitpim_traces.synthetic.gates import squeeze_excite
from bitpim_traces.synthetic.sketch import LINEAR_GAIN, Sketch

__all__ = ["senet18"]


def senet18(sketch: Sketch, n_classes: int) -> None:
    """For CIFAR-10, as in kuangliu's pytorch-cifar: batch norm and relu come before convolutions.

    The batch norm that begins a block stands behind an add and stays a layer of its own.
    """
    sketch.conv("conv1", (3, 64), 3)
    n_in = 64
    for stage, n_out in enumerate((64, 128, 256, 512), start=1):
        for block in range(2):
            _block(sketch, f"layer{stage}.{block}", n_in, n_out)
            n_in = n_out
    sketch.global_pool("pool")
    sketch.flatten()
    sketch.linear("fc", 512, n_classes, "none")


def _block(sketch: Sketch, name: str, n_in: int, n_out: int) -> None:
    source, stride = sketch.last(), 1 if n_in == n_out else 2
    active = sketch.affine(f"{name}.bn1", "relu")
    if n_in != n_out:
        source = sketch.conv(
            f"{name}.shortcut",
            (n_in, n_out),
            1,
            stride=stride,
            activation="none",
            source=active,
            gain=LINEAR_GAIN,
            offset=None,
        )
    sketch.conv(f"{name}.conv1", (n_in, n_out), 3, stride=stride, source=active)
    sketch.conv(
        f"{name}.conv2",
        (n_out, n_out),
        3,
        activation="none",
        gain=LINEAR_GAIN,
        offset=None,
    )
    gated = squeeze_excite(sketch, name, n_out // 16, "sigmoid")
    sketch.add(f"{name}.add", (gated, source), "none")
