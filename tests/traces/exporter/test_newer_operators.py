"""What trace 1.1 lets the exporter read, each operator against PyTorch in real numbers."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from torch import nn
from torch.nn import functional as f

from bitpim_traces.errors import TraceDataError
from bitpim_traces.exporter import export, read_network, torch_forward
from tests.traces.exporter.modules import Forward, seeded

Run = Callable[[torch.Tensor], Any]
IMAGE = (4, 6, 5)
LINE = (4, 9)


def of(run: Run) -> Callable[[], nn.Module]:
    """A module of one function."""
    return lambda: Forward(lambda _, x: run(x))


def conv_of(run: Run) -> Callable[[], nn.Module]:
    """A convolution, and a function of what it yields."""
    return lambda: Forward(lambda m, x: run(m.c(x)), c=nn.Conv2d(4, 4, 3, padding=1))


def chain(*parts: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(*(part() for part in parts))


def functions(x: torch.Tensor) -> torch.Tensor:
    """Many functions of one number, of numbers for which each has a value."""
    y = f.silu(x) + f.hardswish(x) + f.hardsigmoid(x) + f.gelu(x) + f.gelu(x, approximate="tanh")
    y = y + f.elu(x, 0.7) + f.selu(x) + f.celu(x, 1.3) + f.leaky_relu(x, 0.2) + f.mish(x)
    y = y + f.softplus(x, 2, 1) + f.logsigmoid(x)
    y = y + f.threshold(x, 0.2, -1.5) + x.sign() + x.abs() + x.sin() + x.cos() + x.exp() + x**3
    positive = x.abs() + 0.5
    return y + positive.sqrt() + positive.rsqrt() + positive.log() + positive**0.7 + torch.erf(x)


CASES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], str]] = {
    "functions of one number": (of(functions), (3, 2, 2), ""),
    "softsign and tanhshrink": (of(lambda x: f.softsign(x) + f.tanhshrink(x)), (5,), ""),
    "prelu of one slope": (chain(nn.PReLU), IMAGE, "activation"),
    "prelu by channel": (chain(lambda: nn.PReLU(4)), IMAGE, "activation"),
    "prelu by channel of a line": (chain(lambda: nn.PReLU(4)), (4,), "activation"),
    "rrelu": (chain(nn.RReLU), IMAGE, "activation"),
    "squeeze and excite": (
        conv_of(lambda x: x * torch.sigmoid(x.mean((2, 3), keepdim=True))),
        IMAGE,
        "conv2d avg_pool2d activation multiply",
    ),
    "gate by a view": (
        conv_of(lambda x: x * x.mean((2, 3)).sigmoid()[:, :, None, None]),
        IMAGE,
        "conv2d avg_pool2d activation multiply",
    ),
    "gate by expand": (
        conv_of(lambda x: x * x.mean((2, 3)).sigmoid().view(-1, 4, 1, 1).expand_as(x)),
        IMAGE,
        "conv2d avg_pool2d activation multiply",
    ),
    "product and relu": (of(lambda x: (x * x.sin()).relu()), IMAGE, "activation multiply"),
    "sum over lengths": (
        of(lambda x: x.relu() + x.mean(1, keepdim=True)),
        IMAGE,
        "activation permute reshape avg_pool2d reshape add",
    ),
    "difference": (of(lambda x: x - x.relu() - 2.0), IMAGE, "activation conv2d add conv2d"),
    "scaled addend": (of(lambda x: torch.add(x, x.relu(), alpha=-2)), IMAGE, ""),
    "constant minus": (of(lambda x: torch.rsub(x.relu(), 1.5, alpha=2)), IMAGE, ""),
    "quotient": (of(lambda x: x / (x.abs() + 1)), IMAGE, ""),
    "constant over": (of(lambda x: 2.0 / (x.abs() + 1)), (7,), ""),
    "constants by row": (
        of(lambda x: torch.arange(5.0) * x + torch.arange(6.0)[:, None]),
        IMAGE,
        "constant multiply constant add",
    ),
    "constant image": (
        of(lambda x: x + torch.arange(120.0).reshape(4, 6, 5) / 50),
        IMAGE,
        "constant add",
    ),
    "over a constant": (of(lambda x: x / torch.arange(1.0, 6.0)), IMAGE, "constant multiply"),
    "coordinates": (
        of(
            lambda x: torch.cat(
                [x, torch.linspace(-1, 1, 30).reshape(1, 1, 6, 5).expand(2, -1, -1, -1)], 1
            )
        ),
        IMAGE,
        "constant concat",
    ),
    "zeros of its shape": (
        of(lambda x: torch.cat([x.relu(), torch.zeros_like(x)], 1)),
        IMAGE,
        "activation constant concat",
    ),
    "negative joined": (
        of(lambda x: torch.cat([x, -x], 1).relu()),
        IMAGE,
        "conv2d concat activation",
    ),
    "addcmul": (of(lambda x: torch.addcmul(x, x.sin(), x.cos(), value=0.5)), IMAGE, ""),
    "split in two": (
        of(lambda x: torch.cat([(p := torch.split(x, 2, 1))[1], p[0].relu()], 1)),
        IMAGE,
        "slice slice activation concat",
    ),
    "split in three": (
        of(lambda x: torch.split(x, [1, 2, 1], 1)[1].relu()),
        IMAGE,
        "slice activation",
    ),
    "chunks": (of(lambda x: x.chunk(3, 2)[1] + x.chunk(3, 2)[2]), IMAGE, "slice slice add"),
    "unbound": (of(lambda x: sum(x.unbind(1))), IMAGE, ""),
    "cropped": (of(lambda x: x[:, 1:, 2:-1, ::2].relu()), IMAGE, ""),
    "slices of slices": (of(lambda x: x[:, :, 1::2][:, :, 1:][:, 1:3]), IMAGE, "slice"),
    "one pixel": (of(lambda x: x[:, :, 2, -1]), IMAGE, "slice flatten"),
    "narrow": (of(lambda x: x.narrow(1, 1, 2)), IMAGE, "slice"),
    "cropped by padding": (of(lambda x: f.pad(x, (-1, 2, 0, -2))), IMAGE, "slice pad"),
    "rolled": (of(lambda x: x.roll((1, -2), (2, 3))), IMAGE, ""),
    "two expanded alike": (
        of(lambda x: x.amax(2, keepdim=True).expand_as(x) * x.mean(2, keepdim=True).expand_as(x)),
        IMAGE,
        "",
    ),
    "a sum, and all its inputs, expanded": (
        of(lambda x: (e := x.mean(2, keepdim=True).expand_as(x)) + x + e.relu()),
        IMAGE,
        "",
    ),
    "a constant like an activation": (
        of(lambda x: x * torch.arange(4)[:, None, None].type_as(x).expand_as(x)),
        IMAGE,
        "conv2d",
    ),
    "repeated": (of(lambda x: x.repeat(1, 2, 1, 3)), IMAGE, "concat concat"),
    "expanded": (of(lambda x: x.expand(-1, 3, 4).relu()), (1, 4), "concat activation"),
    "stacked": (of(lambda x: torch.stack([x, x.relu()], 2)), IMAGE, ""),
    "channels last": (
        of(lambda x: x.permute(0, 2, 3, 1).relu()),
        IMAGE,
        "activation permute",
    ),
    "shuffled by hand": (
        conv_of(lambda x: x.view(-1, 2, 2, 6, 5).transpose(1, 2).reshape(-1, 4, 6, 5).relu()),
        IMAGE,
        "conv2d reshape permute reshape",
    ),
    "ChannelShuffle": (chain(lambda: nn.ChannelShuffle(2)), IMAGE, "reshape permute reshape"),
    "PixelShuffle": (chain(lambda: nn.PixelShuffle(2)), IMAGE, "reshape permute reshape"),
    "PixelUnshuffle": (chain(lambda: nn.PixelUnshuffle(2)), (2, 4, 6), "reshape permute reshape"),
    "axes moved": (of(lambda x: x.movedim(1, -1).swapaxes(1, 2).relu()), IMAGE, ""),
    "there and back": (
        of(lambda x: x.permute(0, 2, 3, 1).relu().permute(0, 3, 1, 2)),
        IMAGE,
        "activation",
    ),
    "tokens": (
        chain(lambda: nn.Linear(9, 6), nn.GELU, lambda: nn.Linear(6, 9)),
        LINE,
        "",
    ),
    "linear over rows": (chain(lambda: nn.Linear(5, 3)), IMAGE, ""),
    "constant matrix on the left": (
        of(lambda x: torch.arange(12.0).reshape(3, 4) @ x),
        LINE,
        "reshape conv2d reshape",
    ),
    "constant matrix on the right": (of(lambda x: x @ torch.arange(18.0).reshape(9, 2)), LINE, ""),
    "nearest by two": (of(lambda x: f.interpolate(x, scale_factor=2)), IMAGE, "resize_nearest"),
    "nearest to a size": (of(lambda x: f.interpolate(x, size=(7, 13))), IMAGE, "resize_nearest"),
    "nearest of centres": (
        of(lambda x: f.interpolate(x, size=(4, 3), mode="nearest-exact")),
        IMAGE,
        "resize_nearest",
    ),
    "bilinear by two": (
        of(lambda x: f.interpolate(x, scale_factor=2, mode="bilinear")),
        IMAGE,
        "resize_bilinear",
    ),
    "bilinear with corners": (
        of(lambda x: f.interpolate(x, size=(4, 9), mode="bilinear", align_corners=True)),
        IMAGE,
        "resize_bilinear",
    ),
    "linear of a line": (
        of(lambda x: f.interpolate(x, size=20, mode="linear")),
        LINE,
        "reshape resize_bilinear reshape",
    ),
    "nearest of a line": (
        of(lambda x: f.interpolate(x, size=20)),
        LINE,
        "reshape resize_nearest reshape",
    ),
    "mean over channels": (of(lambda x: x.mean(1, keepdim=True)), IMAGE, ""),
    "mean over columns": (of(lambda x: x.mean(3)), IMAGE, "reshape avg_pool2d reshape"),
    "sum over an axis": (of(lambda x: x.sum(2)), IMAGE, "permute reshape conv2d reshape"),
    "sum of all": (of(lambda x: x.sum((1, 2, 3))[:, None]), IMAGE, ""),
    "largest over channels": (of(lambda x: x.amax(1)), IMAGE, ""),
    "largest with its index": (of(lambda x: x.max(1)[0]), IMAGE, ""),
    "least over columns": (of(lambda x: x.amin(3)), IMAGE, ""),
    "larger of two": (of(lambda x: torch.maximum(x, x.sin())), IMAGE, ""),
    "smaller of two": (of(lambda x: torch.minimum(x, x.sin())), IMAGE, ""),
    "transposed": (chain(lambda: nn.ConvTranspose2d(4, 3, 3)), IMAGE, "conv2d"),
    "transposed by two": (
        chain(lambda: nn.ConvTranspose2d(4, 6, (4, 3), stride=2, padding=1, groups=2)),
        IMAGE,
        "dilate conv2d",
    ),
    "transposed, padded, dilated": (
        chain(
            lambda: nn.ConvTranspose2d(
                4, 3, 3, stride=(2, 3), padding=2, output_padding=(1, 2), dilation=2, bias=False
            )
        ),
        IMAGE,
        "dilate conv2d",
    ),
    "transposed and cropped": (
        chain(lambda: nn.ConvTranspose2d(4, 3, 2, stride=3, padding=2)),
        IMAGE,
        "dilate slice conv2d",
    ),
    "transposed of a line": (
        chain(lambda: nn.ConvTranspose1d(4, 3, 4, stride=2, padding=1)),
        LINE,
        "reshape dilate conv2d reshape",
    ),
    "convolution of a line": (
        chain(
            lambda: nn.Conv1d(4, 6, 3, stride=2, padding=2, dilation=2, groups=2),
            lambda: nn.BatchNorm1d(6),
            nn.ReLU,
            lambda: nn.Conv1d(6, 2, 2),
        ),
        LINE,
        "reshape conv2d conv2d reshape",
    ),
    "convolution 'same' of a line": (
        chain(lambda: nn.Conv1d(4, 3, 4, padding="same")),
        LINE,
        "reshape conv2d reshape",
    ),
    "pooling of a line": (
        chain(
            lambda: nn.MaxPool1d(2, 1, padding=1),
            lambda: nn.AvgPool1d(3, 2, padding=1),
            lambda: nn.AdaptiveAvgPool1d(1),
        ),
        LINE,
        "reshape max_pool2d avg_pool2d avg_pool2d reshape",
    ),
    "mirrored border": (
        chain(lambda: nn.Conv2d(4, 3, 3, padding=(1, 2), padding_mode="reflect")),
        IMAGE,
        "extend conv2d",
    ),
    "repeated border": (chain(lambda: nn.ReplicationPad2d((1, 2, 3, 0))), IMAGE, "extend"),
    "border of the other side": (
        chain(lambda: nn.Conv2d(4, 3, 3, padding=2, padding_mode="circular")),
        IMAGE,
        "extend conv2d",
    ),
    "mirrored line": (chain(lambda: nn.ReflectionPad1d(2)), LINE, "reshape extend reshape"),
    "border of ones": (of(lambda x: f.pad(x, (1, 0, 2, 0), value=1.0)), IMAGE, "pad constant add"),
    "border of minus infinity": (
        of(lambda x: f.max_pool2d(f.pad(x, (0, 1, 0, 1), value=-torch.inf), 3, 2)),
        IMAGE,
        "max_pool2d",
    ),
    "batch norm of a flat view": (
        chain(nn.Flatten, lambda: nn.BatchNorm1d(120)),
        IMAGE,
        "",
    ),
    "batch norm of a line": (chain(nn.ReLU, lambda: nn.BatchNorm1d(4)), LINE, ""),
}


@pytest.mark.parametrize("name", CASES)
def test_operator_equals_pytorch(name: str) -> None:
    make, shape, kinds = CASES[name]
    module = seeded(make())
    network, _ = read_network(module, shape)
    if kinds:
        assert " ".join(layer.kind for layer in network.layers) == kinds
    assert len({layer.name for layer in network.layers}) == len(network.layers)
    x = torch.randn((2, *shape), generator=torch.Generator().manual_seed(1))
    last = len(network.layers) - 1
    with torch.no_grad():
        expected = module(x.clone())
    torch.testing.assert_close(torch_forward(network, x)[last], expected, rtol=1e-4, atol=1e-5)
    in_numpy = network.outputs(x.numpy())[last]
    np.testing.assert_allclose(in_numpy, expected.numpy(), rtol=1e-4, atol=1e-5)


REFUSED: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], str]] = {
    "a part of the batch": (conv_of(lambda x: x[:2]), IMAGE, "all samples of a batch"),
    "one number on the way": (of(lambda x: x.mean((1, 2, 3)) * 2), IMAGE, "at least one axis"),
    "bicubic": (of(lambda x: f.interpolate(x, size=8, mode="bicubic")), IMAGE, "bicubic"),
    "odd scale factor": (
        of(lambda x: f.interpolate(x, scale_factor=1.5)),
        (1, 3, 5),
        "whole pixels.*recompute_scale_factor",
    ),
    "enlarged beyond float32": (
        of(lambda x: f.interpolate(x, size=(246, 5))),
        IMAGE,
        r"6 to 246, where it takes \d+ for place \d+",
    ),
    "product of two matrices": (of(lambda x: x @ x.transpose(1, 2)), LINE, "two activations"),
    "batch moved": (of(lambda x: x.transpose(0, 1)), (2, 3), "batch"),
    "all rolled": (of(lambda x: x.roll(1)), LINE, "give dims"),
    "batch rolled": (of(lambda x: x.roll(1, 0)), LINE, "other than the batch"),
    "mean of the batch": (of(lambda x: x + x.mean(0, keepdim=True)), LINE, "batch"),
    "nothing left": (of(lambda x: f.pad(x, (-3, -3))), IMAGE, "at least one element|length"),
    "fewer axes": (of(lambda x: x + x.mean((1, 3))), (4, 2, 2), "as many axes"),
    "border of minus infinity, not pooled": (
        of(lambda x: f.pad(x, (1, 1), value=-torch.inf).relu()),
        IMAGE,
        "max pooling only",
    ),
    "border of minus infinity at the end": (
        of(lambda x: f.pad(x, (1, 1), value=-torch.inf)),
        IMAGE,
        "max pooling only",
    ),
    "windows that begin in such a border": (
        of(lambda x: f.max_pool2d(f.pad(x, (0, 2, 0, 2), value=-torch.inf), 3, 3, ceil_mode=True)),
        IMAGE,
        "before padding with -inf ends.*leave out ceil_mode",
    ),
    "constants by sample": (
        of(lambda x: x * torch.tensor([1.0, 2.0])[:, None]),
        (3,),
        "alike for all samples",
    ),
    "layer norm": (chain(lambda: nn.LayerNorm(9)), LINE, "layer_norm"),
    "group norm": (chain(lambda: nn.GroupNorm(2, 4)), IMAGE, "group_norm"),
    "random slopes": (of(lambda x: f.rrelu(x, training=True)), IMAGE, "rrelu|random|bernoulli"),
}


def exported(run: Run, n: int = 3) -> Any:
    module = seeded(conv_of(run)())
    return export(module, np.random.default_rng(0).standard_normal((n, *IMAGE), dtype=np.float32))


def test_one_number_a_sample_is_an_axis_of_one() -> None:
    trace = exported(lambda x: x.mean((1, 2, 3)))
    assert trace.layers[-1].output_shape == (1,)
    assert exported(lambda x: x.amax((2, 3))[:, 0]).layers[-1].output_shape == (1,)


def test_clamps_that_do_not_meet_leave_one_number() -> None:
    trace = exported(lambda x: x.clamp(2, 3).clamp(0, 1))
    reference = trace.layers[-1].output_float
    assert reference is not None
    assert (reference.read() == 1).all()


class Counts(nn.Module):
    """Changes its own buffer whenever it runs."""

    def __init__(self, used: bool) -> None:
        super().__init__()
        self.c, self.used = nn.Conv2d(4, 4, 1), used
        self.register_buffer("n", torch.ones(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n = self.get_buffer("n").add_(1)
        y: torch.Tensor = self.c(x)
        return y * n if self.used else y


def test_numbers_that_every_run_changes_are_refused() -> None:
    read_network(Counts(False), IMAGE)
    with pytest.raises(TraceDataError, match=r"aten\.mul.*each run changes \(n\)"):
        read_network(Counts(True), IMAGE)


def test_what_a_module_does_wrong_is_not_called_a_defect() -> None:
    with pytest.raises(TraceDataError, match="finite outputs of the module"):
        exported(lambda x: x.log())
    with pytest.raises(TraceDataError, match="depends on how many there are"):
        exported(lambda x: x if x.shape[0] == 2 else x * 2)
    for n in (3, 5):
        with pytest.raises(TraceDataError, match=r"any number of samples|batch as first axis"):
            exported(lambda x: x.reshape(2, -1), n)


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_place_is_one_error(name: str) -> None:
    make, shape, said = REFUSED[name]
    with pytest.raises(TraceDataError, match=said) as caught:
        read_network(seeded(make()), shape)
    assert "\n" not in str(caught.value)
