"""Networks keep every bit: whoever made a trace by name and seed can make it again."""

import hashlib

import pytest

from bitpim_traces.network import FloatNetwork
from bitpim_traces.synthetic import NAMES, synthetic_float_network, weightless_network

LAYERS = {
    "alexnet": "3586e579cd41c8c6",
    "vgg16": "f5926ec98a3bfaae",
    "vgg16_cifar": "42efa3c65815ecde",
    "resnet18": "43348000d9308ba3",
    "resnet20": "030ae5bfc91b34cf",
    "senet18": "3f1399fa3226ffd0",
    "lenet5": "1ccfcdacb61ba544",
    "mobilenet": "487777e2c487b582",
    "mobilenetv3_small": "b36ca7a4a1f36df3",
    "shufflenetv2_x1_0": "786ce1880421f7f2",
    "unet": "f8ec97e72a6f4d83",
    "tiny": "7eb2294e409fde93",
}
WEIGHTS = {
    ("vgg16_cifar", 0): "47ab77af36bbb2f9",
    ("resnet18", 0): "231d76cced9a9174",
    ("resnet20", 0): "569f9a2cd62fd0f3",
    ("senet18", 0): "08b274f864876350",
    ("lenet5", 0): "12495e0325800f37",
    ("mobilenet", 0): "0eb8ba60452a980e",
    ("mobilenetv3_small", 0): "5db9244d0cf2cb04",
    ("shufflenetv2_x1_0", 0): "f858b45e99f34ca9",
    ("unet", 0): "aff2a613a380af2a",
    ("tiny", 0): "47a014c92a4f1789",
    ("tiny", 7): "f82db039c802aae7",
    ("resnet20", 3): "8f5c8fd82129e8f7",
}


def digest_of_layers(network: FloatNetwork) -> str:
    """Digest of what layers there are, and of the shapes of their weights."""
    digest = hashlib.sha256()
    for layer in network.layers:
        window = layer.geometry
        numbers = window and (window.kernel, window.stride, window.padding, window.groups)
        shapes = [None if a is None else a.shape for a in (layer.weight, layer.bias)]
        members = (layer.inputs, layer.activation, numbers, dict(layer.params), shapes)
        digest.update(repr((layer.name, layer.kind, *members)).encode())
    return digest.hexdigest()[:16]


def digest_of_weights(network: FloatNetwork) -> str:
    digest = hashlib.sha256()
    for layer in network.layers:
        for values in (layer.weight, layer.bias):
            digest.update(b"" if values is None else values.astype("<f4").tobytes())
    return digest.hexdigest()[:16]


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name: str) -> None:
    assert digest_of_layers(weightless_network(name)) == LAYERS[name]


@pytest.mark.parametrize(("name", "seed"), WEIGHTS)
def test_weights(name: str, seed: int) -> None:
    assert digest_of_weights(synthetic_float_network(name, seed)) == WEIGHTS[name, seed]


def test_every_network_stands() -> None:
    assert set(LAYERS) == set(NAMES)
