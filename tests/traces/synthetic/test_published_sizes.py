"""Numbers of parameters and of multiply-accumulates are those that the originals are known for.

Trained networks have a scale and a bias of each batch norm, and no bias before it. Here a batch
norm is a bias where it is folded, and scale and bias where it stands alone.
"""

import numpy as np
import pytest

from bitpim_traces.network import FloatLayer, FloatNetwork
from bitpim_traces.synthetic import synthetic_float_network, weightless_network
from bitpim_traces.synthetic.sketch import Outline
from bitpim_traces.synthetic.unet import WIDTHS, unet


def n_numbers(network: FloatNetwork) -> int:
    """Weights and biases as they are here."""
    arrays = [a for layer in network.layers for a in (layer.weight, layer.bias)]
    return sum(a.size for a in arrays if a is not None)


def n_macs(network: FloatNetwork) -> int:
    return sum(
        layer.weight.size * int(np.prod(shape[1:]))
        for layer, shape in zip(network.layers, network.shapes(), strict=True)
        if layer.weight is not None
    )


def n_channels(layers: list[FloatLayer]) -> int:
    return sum(layer.bias.size for layer in layers if layer.bias is not None)


def convolutions(network: FloatNetwork) -> list[FloatLayer]:
    return [layer for layer in network.layers if layer.kind == "conv2d"]


def test_mobilenetv3_small() -> None:
    """2,542,856 parameters in torchvision; 56 M multiply-accumulates in Howard et al., table 3."""
    network = weightless_network("mobilenetv3_small")
    normed = [c for c in convolutions(network) if not c.name.endswith((".fc1", ".fc2"))]
    assert n_numbers(network) + n_channels(normed) == 2_542_856
    assert n_macs(network) == 56_510_400


def test_mobilenetv3_small_worked_by_hand() -> None:
    """The gated block 6: expanded to 240, 5 x 5, squeezed to 64, back to 40, at 14 x 14 pixels."""
    weights = {
        layer.name.removeprefix("block6."): layer.weight.size
        for layer in weightless_network("mobilenetv3_small").layers
        if layer.name.startswith("block6.") and layer.weight is not None
    }
    assert weights == {
        "expand": 40 * 240,
        "depthwise": 240 * 25,
        "fc1": 240 * 64,  # 240 / 4 = 60, rounded to a multiple of 8
        "fc2": 64 * 240,
        "project": 240 * 40,
    }


def test_shufflenetv2() -> None:
    """2,278,604 parameters in torchvision; 146 M operations in Ma et al., table 5.

    These count the pooling after conv1, too: 24 channels of 56 x 56 windows of 9.
    """
    network = weightless_network("shufflenetv2_x1_0")
    assert n_numbers(network) + n_channels(convolutions(network)) == 2_278_604
    assert n_macs(network) == 144_907_992
    assert round((n_macs(network) + 24 * 56 * 56 * 9) / 1e6) == 146


def test_shufflenetv2_worked_by_hand() -> None:
    """Stage 2, 28 x 28 pixels, 58 channels a branch: a first unit, then three like each other."""
    first = 24 * 9 + 24 * 58 + 24 * 58 + 58 * 9 + 58 * 58
    others = 3 * (58 * 58 + 58 * 9 + 58 * 58)
    stage = [
        layer.weight.size
        for layer in weightless_network("shufflenetv2_x1_0").layers
        if layer.name.startswith("stage2.") and layer.weight is not None
    ]
    assert sum(stage) == first + others


def test_channels_are_shuffled() -> None:
    """Channel 2 c is that of the left half, 2 c + 1 that of the right."""
    network = synthetic_float_network("shufflenetv2_x1_0", side=32)
    names = [layer.name for layer in network.layers]
    joined, shuffled = names.index("stage2.0.concat"), names.index("stage2.0.join")
    image = np.random.default_rng(0).standard_normal((1, 3, 32, 32))
    found = network.outputs(image, [joined, shuffled])
    np.testing.assert_array_equal(found[shuffled][:, ::2], found[joined][:, :58])
    np.testing.assert_array_equal(found[shuffled][:, 1::2], found[joined][:, 58:])


def test_senet18() -> None:
    """11,260,354 parameters in kuangliu's pytorch-cifar, counted here by hand.

    A block from n to m channels has convolutions of 9 n m and 9 m m, a shortcut of n m where they
    differ, gates of m / 16, and batch norms of n and m channels; the stem has one of 64.
    """
    expected = 27 * 64 + 2 * 64 + 512 * 10 + 10
    for n, m in (
        (64, 64),
        (64, 64),
        (64, 128),
        (128, 128),
        (128, 256),
        (256, 256),
        (256, 512),
        (512, 512),
    ):
        expected += 9 * n * m + 9 * m * m + (n * m if n != m else 0)
        expected += 2 * (m * m // 16) + m // 16 + m + 2 * n + 2 * m
    assert expected == 11_260_354
    network = weightless_network("senet18")
    folded = [c for c in convolutions(network) if c.name == "conv1" or c.name.endswith(".conv1")]
    assert n_numbers(network) + n_channels(folded) == expected
    assert n_macs(network) == 555_812_864


def test_unet_with_the_widths_of_the_original() -> None:
    """31,037,698 parameters in milesial's Pytorch-UNet of 3 channels and 2 classes.

    5,888 of them are scales of batch norms, which the original of 2015 has not.
    """
    sketch = Outline(np.random.default_rng(0), (3, 64, 64))
    unet(sketch, 2, (64, 128, 256, 512, 1024))
    network = FloatNetwork("unet", tuple(sketch.layers), (3, 64, 64))
    assert n_numbers(network) == 31_037_698 - 5_888


def test_unet_worked_by_hand() -> None:
    """Two convolutions of 3 x 3 a level, one of 2 x 2 a step up, biases all along."""
    a, b, c = WIDTHS
    down = (3 * a + a * a + a * b + b * b + b * c + c * c) * 9 + 2 * (a + b + c)
    up = 4 * (c * b + b * a) + 9 * (c * b + b * b + b * a + a * a) + 3 * (a + b)
    assert n_numbers(weightless_network("unet")) == down + up + 2 * a + 2


def test_a_dilated_image_and_a_window_of_two_are_a_transposed_convolution() -> None:
    """Each pixel is multiplied by the window, turned by half a turn, at its own four places."""
    network = synthetic_float_network("unet", side=8)
    index = [layer.name for layer in network.layers].index("up1.transposed")
    layer, source = network.layers[index], network.layers[index - 1].inputs[0]
    found = network.outputs(np.random.default_rng(1).standard_normal((1, 3, 8, 8)), [source, index])
    assert layer.weight is not None and layer.bias is not None
    expected = np.einsum("ncyx,ocij->noyixj", found[source], layer.weight[:, :, ::-1, ::-1])
    expected = expected.reshape(found[index].shape) + layer.bias[:, None, None]
    np.testing.assert_allclose(found[index], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "layer", "shape"),
    [
        ("mobilenetv3_small", "block1.scale", (16, 56, 56)),
        ("mobilenetv3_small", "conv2.hardswish", (576, 7, 7)),
        ("shufflenetv2_x1_0", "pool1", (24, 56, 56)),
        ("shufflenetv2_x1_0", "stage4.0.concat", (464, 7, 7)),
        ("shufflenetv2_x1_0", "stage4.3.halves", (2, 232, 7, 7)),
        ("senet18", "layer4.1.gate", (512, 1, 1)),
        ("unet", "down3.conv2", (64, 16, 16)),
        ("unet", "up2.dilate", (64, 31, 31)),
        ("unet", "up1.concat", (32, 64, 64)),
        ("unet", "head", (2, 64, 64)),
    ],
)
def test_layer_shapes(name: str, layer: str, shape: tuple[int, ...]) -> None:
    network = weightless_network(name)
    assert network.shapes()[[one.name for one in network.layers].index(layer)] == shape
