"""Every operator the exporter reads, against PyTorch; what it cannot read, by its message."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from torch import nn
from torch.nn import functional as f

from bitpim_traces.errors import TraceDataError
from bitpim_traces.exporter import read_network, torch_forward
from bitpim_traces.network import FloatNetwork
from tests.traces.exporter.modules import (
    Branches,
    Forward,
    InvertedResidual,
    SmallResidual,
    seeded,
)

IMAGE = (4, 9, 7)


def simple(run: Callable[[torch.Tensor], Any], **parts: nn.Module) -> nn.Module:
    """A module of one function; it ends in something a trace can hold."""
    return Forward(lambda _, x: run(x), **parts)


def conv(*args: Any, **options: Any) -> nn.Module:
    return nn.Conv2d(4, *args, **options)


def chain(*parts: nn.Module) -> nn.Module:
    return nn.Sequential(*parts)


# name: (module, kinds of the layers it must become)
CASES: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "conv": (lambda: conv(5, 3), "conv2d"),
    "conv without bias": (lambda: conv(5, (3, 2), bias=False), "conv2d"),
    "conv stride, padding, dilation": (
        lambda: conv(5, 3, stride=(2, 1), padding=(1, 3), dilation=(1, 2)),
        "conv2d",
    ),
    "conv groups": (lambda: conv(6, 3, groups=2), "conv2d"),
    "conv depthwise": (lambda: conv(8, 3, padding=1, groups=4), "conv2d"),
    "conv same": (lambda: conv(5, (4, 3), padding="same"), "conv2d"),
    "conv same dilated": (lambda: conv(5, (2, 4), padding="same", dilation=(3, 1)), "conv2d"),
    "conv valid": (lambda: conv(5, 3, padding="valid"), "conv2d"),
    "one pixel left": (lambda: conv(5, (9, 7)), "conv2d"),
    "batch norm before a linear layer": (
        lambda: chain(
            nn.Flatten(), nn.Linear(252, 6), nn.ReLU(), nn.BatchNorm1d(6), nn.Linear(6, 3)
        ),
        "flatten linear linear",
    ),
    "batch norm before a linear layer without bias": (
        lambda: chain(nn.Flatten(), nn.BatchNorm1d(252), nn.Linear(252, 3, bias=False)),
        "flatten linear",
    ),
    "batch norm before a convolution": (
        lambda: chain(conv(6, 3), nn.ReLU(), nn.BatchNorm2d(6), nn.Conv2d(6, 4, 3, groups=2)),
        "conv2d conv2d",
    ),
    "batch norm before a depthwise convolution": (
        lambda: chain(nn.ReLU(), nn.BatchNorm2d(4), conv(8, 3, groups=4)),
        "activation conv2d",
    ),
    "factor before a padded convolution": (
        lambda: Forward(lambda m, x: m.c(x.relu() * torch.tensor(3.0)), c=conv(5, 3, padding=1)),
        "activation conv2d",
    ),
    "batch norm before a padded convolution": (
        lambda: chain(nn.ReLU(), nn.BatchNorm2d(4), conv(5, 3, padding=1)),
        "activation conv2d conv2d",
    ),
    "batch norm that two read": (
        lambda: Forward(
            lambda m, x: m.a(y := m.n(x.relu())) + m.b(y),
            n=nn.BatchNorm2d(4),
            a=conv(5, 1),
            b=conv(5, 1),
        ),
        "activation conv2d conv2d conv2d add",
    ),
    "split into one piece": (
        lambda: simple(lambda x: torch.split(x, 4, 1)[0].relu()),
        "activation",
    ),
    "chunk into one piece": (lambda: simple(lambda x: x.chunk(1, 1)[0].relu()), "activation"),
    "zeros padded on four sides": (
        lambda: Forward(lambda m, x: m.c(f.pad(x, (0, 1, 2, 3))), c=conv(5, 3, padding=1)),
        "conv2d",
    ),
    "ZeroPad2d, strided": (
        lambda: chain(nn.ZeroPad2d((0, 1, 0, 1)), conv(5, 3, stride=2)),
        "conv2d",
    ),
    "pad read twice": (
        lambda: Forward(
            lambda m, x: m.c(p := f.pad(x, (1, 1, 1, 1))).mean((2, 3)) + p.mean((2, 3)),
            c=conv(4, 1),
        ),
        "pad conv2d avg_pool2d flatten avg_pool2d flatten add",
    ),
    "channels padded": (
        lambda: Forward(lambda m, x: m.c(f.pad(x, (1, 0, 0, 0, 2, 1))), c=nn.Conv2d(7, 5, 1)),
        "pad conv2d",
    ),
    "conv bn": (lambda: chain(conv(5, 3, bias=False), nn.BatchNorm2d(5)), "conv2d"),
    "conv bn relu": (
        lambda: chain(conv(5, 3), nn.BatchNorm2d(5), nn.ReLU(inplace=True)),
        "conv2d",
    ),
    "bn without weights": (lambda: chain(conv(5, 3), nn.BatchNorm2d(5, affine=False)), "conv2d"),
    "bn twice": (lambda: chain(conv(5, 3), nn.BatchNorm2d(5), nn.BatchNorm2d(5)), "conv2d"),
    "bn first": (lambda: chain(nn.BatchNorm2d(4), conv(5, 3, padding=1)), "conv2d conv2d"),
    "relu bn": (lambda: chain(conv(5, 3), nn.ReLU(), nn.BatchNorm2d(5)), "conv2d conv2d"),
    "conv read beside its bn": (
        lambda: Forward(lambda m, x: m.b(y := m.c(x)) + y, c=conv(5, 3), b=nn.BatchNorm2d(5)),
        "conv2d conv2d add",
    ),
    "linear bn1d": (
        lambda: chain(nn.Flatten(), nn.Linear(252, 5), nn.BatchNorm1d(5), nn.ReLU()),
        "flatten linear",
    ),
    "linear without bias": (
        lambda: chain(nn.Flatten(), nn.Linear(252, 5, bias=False)),
        "flatten linear",
    ),
    "matmul": (
        lambda: simple(lambda x: x.flatten(1) @ torch.linspace(-1, 1, 756).reshape(252, 3)),
        "flatten linear",
    ),
    "normalization inside": (
        lambda: Forward(
            lambda m, x: m.c((x - torch.tensor([1.0, 2, 3, 4])[:, None, None]) / 0.5), c=conv(5, 3)
        ),
        "conv2d",
    ),
    "constants around a conv": (
        lambda: Forward(lambda m, x: 1.0 - m.c(x) * 2.0 + 3.0, c=conv(5, 3)),
        "conv2d",
    ),
    "weights normalized": (
        lambda: nn.utils.parametrizations.weight_norm(conv(5, 3)),
        "conv2d",
    ),
    "dropout, identity, contiguous": (
        lambda: Forward(
            lambda m, x: m.i(m.d(m.c(x)).contiguous()).clone().detach(),
            c=conv(5, 3),
            d=nn.Dropout2d(),
            i=nn.Identity(),
        ),
        "conv2d",
    ),
    "relu alone": (lambda: nn.ReLU(), "activation"),
    "relu6, hardtanh, clamps": (
        lambda: simple(lambda x: f.hardtanh(f.relu6(x * 4), 0.5, 3).clamp(min=1).clamp_max(2)),
        "conv2d",
    ),
    "clamp below": (lambda: Forward(lambda m, x: m.c(x).clip(max=0.2), c=conv(5, 3)), "conv2d"),
    "activation read twice": (
        lambda: Forward(lambda m, x: torch.relu(y := m.c(x)) + y, c=conv(5, 3)),
        "conv2d activation add",
    ),
    "in place relu of a value read later": (
        lambda: Forward(lambda m, x: (y := m.c(x), y.relu_(), y + y)[2], c=conv(4, 3)),
        "conv2d add",
    ),
    "sigmoid": (lambda: chain(conv(5, 3), nn.Sigmoid()), "conv2d activation"),
    "tanh": (lambda: chain(conv(5, 3), nn.Tanh()), "conv2d activation"),
    "max pool": (lambda: nn.MaxPool2d(2), "max_pool2d"),
    "max pool padded, dilated, ceil": (
        lambda: nn.MaxPool2d((3, 2), stride=2, padding=1, dilation=(1, 2), ceil_mode=True),
        "max_pool2d",
    ),
    "relu behind max pool": (
        lambda: Forward(lambda m, x: f.relu(f.max_pool2d(m.c(x), 2)), c=conv(5, 3)),
        "conv2d max_pool2d",
    ),
    "relu behind max pool read twice": (
        lambda: Forward(
            lambda m, x: f.relu(p := f.max_pool2d(m.c(x), 2)) + p,
            c=conv(5, 3),
        ),
        "conv2d max_pool2d activation add",
    ),
    "max pool with indices": (
        lambda: simple(lambda x: f.max_pool2d(x, 3, return_indices=True)[0]),
        "max_pool2d",
    ),
    "average pool": (lambda: nn.AvgPool2d((3, 2)), "avg_pool2d"),
    "average pool ceil, padding counts": (
        lambda: nn.AvgPool2d(3, stride=2, padding=1, ceil_mode=True),
        "avg_pool2d",
    ),
    "average pool ceil, padding does not count": (
        lambda: nn.AvgPool2d((3, 4), 3, padding=1, ceil_mode=True, count_include_pad=False),
        "avg_pool2d",
    ),
    "adaptive average": (lambda: nn.AdaptiveAvgPool2d((3, 7)), "avg_pool2d"),
    "adaptive average, squeezed": (
        lambda: simple(lambda x: f.adaptive_avg_pool2d(x, 1).squeeze(-1).squeeze(-1)),
        "avg_pool2d flatten",
    ),
    "adaptive average, indexed": (
        lambda: simple(lambda x: f.adaptive_avg_pool2d(x, 1)[:, :, 0, 0]),
        "avg_pool2d flatten",
    ),
    "mean": (lambda: simple(lambda x: x.mean((-1, -2))), "avg_pool2d flatten"),
    "mean kept": (lambda: simple(lambda x: x.mean([2, 3], keepdim=True)), "avg_pool2d"),
    "adaptive maximum": (lambda: nn.AdaptiveMaxPool2d(1), "max_pool2d"),
    "amax": (lambda: simple(lambda x: x.amax((2, 3))), "max_pool2d flatten"),
    "add": (lambda: Forward(lambda m, x: m.c(x) + x, c=conv(4, 1)), "conv2d add"),
    "add in place": (
        lambda: Forward(lambda m, x: m.c(x).add_(x).relu_(), c=conv(4, 1)),
        "conv2d add",
    ),
    "add to itself": (lambda: simple(lambda x: x + x), "add"),
    "concat": (
        lambda: Forward(lambda m, x: torch.cat([m.c(x), x, x], 1), c=conv(3, 1)),
        "conv2d concat",
    ),
    "concat of rows": (
        lambda: simple(lambda x: torch.cat([x, x[:, :, ::2]], -2)),
        "max_pool2d concat",
    ),
    "concat of one": (lambda: chain(simple(lambda x: torch.cat([x], 1)), conv(5, 3)), "conv2d"),
    "view": (lambda: simple(lambda x: torch.relu(x).view(x.size(0), -1)), "activation flatten"),
    "reshape there and back": (
        lambda: Forward(lambda m, x: m.c(x.flatten(1).reshape(-1, 4, 9, 7)), c=conv(5, 3)),
        "conv2d",
    ),
    "strided slice": (lambda: simple(lambda x: x[:, :, ::2, ::3]), "max_pool2d"),
    "strided slice of columns": (lambda: simple(lambda x: x[..., ::4]), "max_pool2d"),
    "log_softmax at the end": (
        lambda: Forward(lambda m, x: f.log_softmax(m.c(x).flatten(1), 1), c=conv(5, (9, 7))),
        "conv2d flatten",
    ),
    "softmax at the end": (
        lambda: chain(nn.Flatten(), nn.Linear(252, 5), nn.Softmax(-1)),
        "flatten linear",
    ),
    "module used twice": (
        lambda: Forward(lambda m, x: m.c(m.c(x)), c=conv(4, 3)),
        "conv2d conv2d",
    ),
    "dead code": (lambda: Forward(lambda m, x: (m.c(x), m.c(x))[1], c=conv(4, 3)), "conv2d"),
    "shortcut A": (
        SmallResidual,
        "conv2d conv2d conv2d max_pool2d pad add avg_pool2d flatten linear",
    ),
    "inverted residual": (InvertedResidual, "conv2d conv2d conv2d add"),
    "branches": (Branches, "conv2d conv2d conv2d concat conv2d avg_pool2d flatten"),
}


def shape_for(module: nn.Module) -> tuple[int, ...]:
    return (3, 8, 8) if isinstance(module, (SmallResidual, Branches)) else IMAGE


def images(shape: tuple[int, ...], n: int = 3) -> torch.Tensor:
    return torch.randn((n, *shape), generator=torch.Generator().manual_seed(1))


def assert_equal(network: FloatNetwork, module: nn.Module, softmax: str) -> None:
    x = images(network.input_shape)
    last = len(network.layers) - 1
    with torch.no_grad():
        expected = module(x.clone())
    found = torch_forward(network, x)[last]
    in_numpy = network.outputs(x.numpy())[last]
    if softmax:
        in_numpy = getattr(torch, softmax)(torch.from_numpy(in_numpy), 1).numpy()
        found = getattr(torch, softmax)(found, 1)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(in_numpy, expected.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_operator_equals_pytorch(name: str) -> None:
    make, kinds = CASES[name]
    module = seeded(make())
    network, softmax = read_network(module, shape_for(module))
    assert " ".join(layer.kind for layer in network.layers) == kinds
    assert len({layer.name for layer in network.layers}) == len(network.layers)
    assert_equal(network, module, softmax)


# where the core set has other names than torch.export
DECOMPOSED = (
    "conv same",
    "conv bn relu",
    "linear bn1d",
    "linear without bias",
    "matmul",
    "relu6, hardtanh, clamps",
    "max pool padded, dilated, ceil",
    "adaptive average, indexed",
    "constants around a conv",
    "dropout, identity, contiguous",
    "softmax at the end",
    "shortcut A",
)


@pytest.mark.parametrize("name", DECOMPOSED)
def test_core_names_are_read_alike(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make, kinds = CASES[name]
    module = seeded(make())
    whole = torch.export.ExportedProgram.run_decompositions
    seen: set[str] = set()

    def decompose(program: Any, _: dict[Any, Any]) -> Any:
        found = whole(program)
        seen.update(str(node.target) for node in found.graph.nodes)
        return found

    monkeypatch.setattr(torch.export.ExportedProgram, "run_decompositions", decompose)
    network, softmax = read_network(module, shape_for(module))
    assert not seen & {"aten.conv2d.default", "aten.linear.default", "aten.max_pool2d.default"}
    assert " ".join(layer.kind for layer in network.layers) == kinds
    assert_equal(network, module, softmax)


def test_a_bare_layer_is_named_after_its_operator() -> None:
    for module, name in ((conv(5, 3), "conv2d"), (nn.MaxPool2d(2), "max_pool2d")):
        (layer,) = read_network(seeded(module), IMAGE)[0].layers
        assert layer.name == name


def test_a_shortcut_becomes_pooling_and_padding() -> None:
    network, _ = read_network(seeded(SmallResidual()), (3, 8, 8), name="small")
    assert [layer.name for layer in network.layers] == [
        "stem.0",
        "block.conv1",
        "block.conv2",
        "block.slice",
        "block.pad",
        "block.add",
        "avg_pool2d",
        "flatten",
        "linear",
    ]
    assert network.layers[3].geometry is not None
    assert network.layers[3].geometry.kernel == (1, 1)
    assert network.layers[3].geometry.stride == (2, 2)
    assert network.layers[4].params.integers("pads") == (4, 4, 0, 0, 0, 0)
    assert [layer.activation for layer in network.layers][:6] == [
        "relu",
        "relu",
        "none",
        "none",
        "none",
        "relu",
    ]


def test_padding_folds_exactly_where_sides_differ() -> None:
    network, _ = read_network(seeded(CASES["zeros padded on four sides"][0]()), IMAGE)
    assert network.layers[0].geometry is not None
    assert network.layers[0].geometry.padding == (3, 4, 1, 2)


def test_batch_norm_folds_into_what_the_formula_says() -> None:
    module = seeded(nn.Sequential(nn.Conv2d(4, 5, 3), nn.BatchNorm2d(5, eps=0.01)))
    found, _ = read_network(module, IMAGE)
    assert isinstance(module, nn.Sequential)
    conv2d, norm = module[0], module[1]
    assert isinstance(conv2d, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None and norm.running_var is not None
    assert conv2d.bias is not None
    factor = norm.weight.double() / torch.sqrt(norm.running_var.double() + 0.01)
    weight = conv2d.weight.double() * factor[:, None, None, None]
    bias = (conv2d.bias.double() - norm.running_mean.double()) * factor + norm.bias.double()
    layer = found.layers[0]
    assert layer.weight is not None and layer.bias is not None
    np.testing.assert_array_equal(layer.weight, weight.detach().float().numpy())
    np.testing.assert_allclose(layer.bias, bias.detach().numpy(), rtol=1e-6, atol=1e-7)


def test_training_mode_is_given_back() -> None:
    module = nn.Sequential(nn.Conv2d(4, 5, 3), nn.BatchNorm2d(5), nn.Dropout())
    module[1].eval()
    module[0].train()
    modes = [part.training for part in module.modules()]
    read_network(module, IMAGE)
    assert [part.training for part in module.modules()] == modes
    with pytest.raises(TraceDataError):
        read_network(nn.Sequential(module, nn.LayerNorm(5)), IMAGE)
    assert [part.training for part in module.modules()] == modes


def test_wide_floats_and_flat_inputs() -> None:
    module = seeded(nn.Sequential(nn.Linear(5, 3), nn.ReLU(), nn.Linear(3, 2))).double()
    network, _ = read_network(module, (5,))
    assert [layer.activation for layer in network.layers] == ["relu", "none"]
    assert network.layers[0].weight is not None
    assert network.layers[0].weight.dtype == np.float32


class Deep(nn.Module):
    """An operator deep inside named modules."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([nn.Conv2d(4, 4, 3), part])

    def forward(self, x: torch.Tensor) -> Any:
        for block in self.blocks:
            x = block(x)
        return x


REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "unknown operator": (
        lambda: Deep(nn.GroupNorm(2, 4)),
        r"blocks\.1: aten\.(native_)?group_norm.*cannot be represented.*supported: convolutions",
    ),
    "operator of a function": (
        lambda: simple(lambda x: x.cumsum(1)),
        r"\(root\): aten\.cumsum\.default",
    ),
    "batch statistics": (
        lambda: chain(conv(4, 3), nn.BatchNorm2d(4, track_running_stats=False)),
        r"1: .*batch_norm.*running statistics",
    ),
    "own divisor": (lambda: nn.AvgPool2d(2, divisor_override=3), "divisor_override = 3"),
    "unequal windows": (lambda: nn.AdaptiveAvgPool2d(2), r"\(2, 2\) of 9 x 7"),
    "indices used": (
        lambda: simple(lambda x: f.max_pool2d(x, 2, return_indices=True)[1]),
        "output 1 used",
    ),
    "view across samples": (lambda: simple(lambda x: x.view(1, -1)), "batch as first axis"),
    "bounds upside down": (lambda: simple(lambda x: x.clamp(2, 1)), "lower bound"),
    "bounds that are tensors": (
        lambda: simple(lambda x: torch.clamp(x, x.mean(), x.amax())),
        r"\(root\): ",
    ),
    "softmax inside": (
        lambda: chain(nn.Flatten(), nn.Softmax(1), nn.Linear(252, 2)),
        r"1: aten\._?softmax.*very end",
    ),
    "softmax over pixels": (lambda: nn.Softmax(3), "axis 3"),
    "dropout that is always on": (
        lambda: simple(lambda x: f.dropout(x, 0.5, training=True)),
        r"dropout|rand|bernoulli",
    ),
    "classes": (lambda: simple(lambda x: x.flatten(1).argmax(1)), "aten.argmax"),
    "integers": (lambda: simple(lambda x: x.flatten(1).to(torch.int32)), r"aten\._?to"),
    "two outputs": (lambda: simple(lambda x: (x.relu(), x.sigmoid())), "one output tensor, got 2"),
    "nothing": (nn.Identity, "at least one operator"),
    "a constant": (lambda: simple(lambda x: torch.ones(2, 3)), "at least one operator|batch"),
    "concat of the batch": (lambda: simple(lambda x: torch.cat([x, x])), "batch"),
    "samples of another shape": (
        lambda: Deep(nn.Conv2d(3, 4, 1)),
        r"samples that the module takes, got RuntimeError: .* in blocks\.1 for .*\[2, 4, 9, 7\]",
    ),
    "control flow": (lambda: simple(lambda x: x if x.sum() > 0 else -x), "torch.export"),
    "two inputs": (lambda: nn.Bilinear(4, 4, 2), r"Bilinear.*one input"),
    "not a number": (
        lambda: simple(lambda x: x.relu() * torch.tensor(float("nan"))),
        "finite weights",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_trace_cannot_hold_is_one_error(name: str) -> None:
    make, said = REFUSED[name]
    with pytest.raises(TraceDataError) as caught:
        read_network(seeded(make()), IMAGE)
    message = str(caught.value)
    assert re.search(said, message), message
    assert "\n" not in message


def test_pytorch_says_nothing_of_its_own(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(TraceDataError, match="control flow"):
        read_network(simple(lambda x: x if x.sum() > 0 else -x), IMAGE)
    read_network(seeded(SmallResidual()), (3, 8, 8))
    assert capfd.readouterr() == ("", "")
