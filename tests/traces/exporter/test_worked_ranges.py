"""Which samples decide a range, and what a range is taken of, on modules of one weight."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("torch")

import torch
from torch import nn
from torch.nn import functional as f

from bitpim_traces.exporter import CALIBRATION_SAMPLES, Floats, calibrate, export, read_network
from bitpim_traces.exporter.forward import torch_forward
from bitpim_traces.quantize import LayerBits, Settings
from bitpim_traces.records import Trace
from tests.traces.exporter.modules import Forward, seeded

Array = npt.NDArray[np.float32]


def double() -> nn.Module:
    """A linear layer that doubles its only input."""
    layer = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        layer.weight.fill_(2.0)
    return nn.Sequential(layer).eval()


def with_far(n_samples: int, far: int) -> Array:
    """Samples of 1, and one of 8."""
    x = np.ones((n_samples, 1), np.float32)
    x[far] = 8.0
    return x


def tops(trace: Trace) -> list[float]:
    """Yield the largest real value of the codes of the input and of each layer."""
    quantizations = [trace.samples.quantization, *(layer.output for layer in trace.layers)]
    return [float(q.scale[0] * (q.code_max - q.zero_point[0])) for q in quantizations]


@pytest.mark.parametrize(("far", "seen"), [(0, True), (3, True), (4, False)])
def test_as_many_samples_as_asked_for_are_seen(far: int, seen: bool) -> None:
    """Of six samples the first four calibrate: the fourth is among them, the fifth is not."""
    top = 8.0 if seen else 1.0
    trace = export(double(), with_far(6, far), calibration=4)
    assert tops(trace) == pytest.approx([top, 2 * top], rel=0.01)


def test_without_a_number_the_first_256_are_seen_or_all_of_fewer() -> None:
    assert CALIBRATION_SAMPLES == 256
    for n_samples, far, top in ((6, 5, 8.0), (300, 255, 8.0), (300, 256, 1.0)):
        trace = export(double(), with_far(n_samples, far))
        assert tops(trace) == pytest.approx([top, 2 * top], rel=0.01), (n_samples, far)
    parameters: Any = export(double(), with_far(6, 5)).provenance["parameters"]
    assert parameters["calibration_samples"] == 6


@pytest.mark.parametrize("far", range(5))
def test_every_batch_is_seen_the_last_partial_one_too(
    far: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibrate, "batch_of", lambda _: 2)
    network = read_network(double(), (1,))[0]
    ranges = calibrate.observe_ranges(network, Floats(with_far(5, far)), Settings())
    assert ranges == {-1: (1.0, 8.0), 0: (2.0, 16.0)}
    for asked, kept in ((9, 5), (3, 3)):
        references = calibrate.references_of(network, Floats(with_far(5, far)), asked)
        assert references[0].ravel().tolist() == [2 * x for x in with_far(kept + 5, far)[:kept, 0]]


def test_ranges_are_observed_at_the_width_of_each_layer() -> None:
    """A hundred values of 1 and one of 2: one bit keeps the many, eight bits the far one too."""
    network = read_network(nn.Sequential(double(), double()).eval(), (1,))[0]
    x = Floats(np.append(np.ones(100), 2.0).astype(np.float32)[:, None])

    def ends(**settings: Any) -> list[float]:
        ranges = calibrate.observe_ranges(network, x, Settings(calibration="mse", **settings))
        return [ranges[index][1] for index in (-1, 0, 1)]

    assert ends() == pytest.approx([2, 4, 8], rel=0.02)
    assert ends(output_bits=1) == pytest.approx([2, 4, 4], rel=0.05)
    first = {network.layers[0].name: LayerBits(activation_bits=1)}
    assert ends(overrides=first) == pytest.approx([2, 2, 8], rel=0.05)


def test_an_activation_is_not_lifted_over_a_pool_whose_input_is_read_elsewhere() -> None:
    """The relu behind the maximum limits what the maximum gives, not what the average reads.

        conv -+- maximum - relu -+- add
              +- average --------+

    Lifted, it could not become one with the conv: it would clip four times as many values.
    """
    module = seeded(
        Forward(
            lambda m, x: f.relu(f.max_pool2d(y := m.c(x), 2)) + f.avg_pool2d(y, 2),
            c=nn.Conv2d(1, 2, 1),
        )
    )
    network = read_network(module, (1, 4, 4))[0]
    by_kind = {layer.kind: index for index, layer in enumerate(network.layers)}
    reads = {kind: network.layers[index].inputs for kind, index in by_kind.items()}
    assert reads["max_pool2d"] == reads["avg_pool2d"] == (by_kind["conv2d"],)
    assert reads["activation"] == (by_kind["max_pool2d"],)
    assert network.layers[by_kind["conv2d"]].activation == "none"
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(8, 1, 4, 4)).astype(np.float32))
    with torch.no_grad():
        expected = module(x).numpy()
    found = torch_forward(network, x)[len(network.layers) - 1].numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    # and codes: the conv keeps its negative half, which the average needs
    trace = export(module, x.numpy())
    conv = next(layer for layer in trace.layers if layer.kind == "conv2d")
    assert conv.output.zero_point[0] > 0 and conv.clamp == (0, 255)


def test_padding_of_a_pool_stays_on_its_side() -> None:
    """One column on the right, counted or not: rows 3 6 9 12 in windows of three two apart.

    ceil_mode reaches beyond the image without counting what is there.
    """
    x = torch.tensor([3.0, 6.0, 9.0, 12.0]).reshape(1, 1, 1, 4)
    for ceil, padding, include, means in (
        (True, 0, True, [6.0, 10.5]),
        (False, 1, True, [3.0, 9.0]),
        (False, 1, False, [4.5, 9.0]),
        (True, 1, True, [3.0, 9.0, 6.0]),
        (True, 1, False, [4.5, 9.0, 12.0]),
    ):
        module = nn.AvgPool2d(
            (1, 3), (1, 2), (0, padding), ceil_mode=ceil, count_include_pad=include
        )
        network = read_network(module, (1, 1, 4))[0]
        assert network.outputs(x.numpy())[0].ravel().tolist() == means
        assert module(x).ravel().tolist() == means
