"""Training in sight of codes: what the forward pass sees, what is left, what the trace has."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from torch import nn

from bitpim.proof.reference import run_network
from bitpim_traces.errors import TraceDataError
from bitpim_traces.exporter import (
    Pixels,
    Training,
    accuracy_of,
    export,
    finetune,
    prune_module,
    read_network,
    train_on_codes,
)
from bitpim_traces.exporter.calibrate import observe_ranges
from bitpim_traces.exporter.coded_network import AffineRounding
from bitpim_traces.exporter.coded_weights import coded_values
from bitpim_traces.numbers.affine import choose_quantization, decode, encode
from bitpim_traces.quantize import LayerBits, Settings, quantize_network
from bitpim_traces.quantize.lanes import LanePruning
from bitpim_traces.records import NETWORK_INPUT, Trace
from tests.traces.exporter.modules import pictures, small_classifier, weight_at

FEW = Settings(
    weight_values="ternary", overrides={"0": LayerBits(weight_bits=5, weight_values="codes")}
)
SHORT = Training(epochs=3, learning_rate=0.05, batch=32)


@pytest.fixture(scope="module")
def trained() -> dict[str, Any]:
    module = small_classifier()
    finetune(module, *pictures(256, 0), {}, Training(epochs=8, learning_rate=0.1))
    return dict(module.state_dict())


def fresh(trained: dict[str, Any]) -> nn.Sequential:
    module = small_classifier()
    module.load_state_dict(trained)
    return module


def levels(weight: torch.Tensor) -> int:
    """Most magnitudes above 0 that one channel's weights have."""
    rows = weight.detach().abs().reshape(len(weight), -1)
    return max(len(set(row[row > 0].tolist())) for row in rows)


def test_a_step_sees_coded_weights_and_moves_real_ones(trained: dict[str, Any]) -> None:
    module, seen = fresh(trained), []
    module[4].register_forward_hook(
        lambda part, *_: seen.append(levels(part.get_parameter("weight")))
    )
    real: list[int] = []
    finetune(
        module,
        *pictures(64, 0),
        {},
        SHORT,
        settings=FEW,
        progress=lambda *_: real.append(levels(weight_at(module, "4"))),
    )
    assert set(seen) == {1}
    assert min(real) > 10
    assert levels(weight_at(module, "4")) == 1
    assert 1 < levels(weight_at(module, "0")) <= 15  # 5 bits of its own


def test_the_gradient_of_the_codes_moves_the_weights_behind_them() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(2, 2, bias=False))
    with torch.no_grad():
        weight_at(module, "1").copy_(torch.tensor([[0.9, 0.2], [-0.5, 0.1]]))
    coded = torch.tensor([[0.9, 0.0], [-0.5, 0.0]])
    x, label = np.array([[2.0, 1.0], [2.0, 1.0]], np.float32), np.array([0, 0])
    share = torch.softmax(coded @ torch.tensor([2.0, 1.0]), 0)
    gradient = torch.outer(share - torch.tensor([1.0, 0.0]), torch.tensor([2.0, 1.0]))
    expected = torch.tensor([[0.9, 0.2], [-0.5, 0.1]]) - 0.5 * gradient
    still = Training(learning_rate=0.5, momentum=0.0, weight_decay=0.0)
    after: list[torch.Tensor] = []
    finetune(
        module,
        x,
        label,
        {},
        still,
        settings=Settings(weight_values="ternary"),
        progress=lambda *_: after.append(weight_at(module, "1").detach().clone()),
    )
    torch.testing.assert_close(after[0], expected)


def test_the_trace_has_the_codes_that_training_saw(trained: dict[str, Any]) -> None:
    module, test = fresh(trained), pictures(128, 9)
    found = finetune(module, *pictures(256, 0), {}, SHORT, settings=FEW, evaluation=test)
    assert found.loss_after < 0.4 * found.loss_before
    assert found.accuracy_after == accuracy_of(module, *test)
    for path in ("0", "4", "10"):
        weight = weight_at(module, path).detach().numpy()
        np.testing.assert_allclose(coded_values(weight, FEW, path), weight, rtol=1e-6)
    trace = export(module, test[0], labels=test[1], settings=FEW)
    for layer in trace.layers:
        if layer.weight is not None and layer.weight_quantization is not None:
            real = decode(layer.weight.read(), layer.weight_quantization)
            assert layer.weight_float is not None
            np.testing.assert_allclose(real, layer.weight_float.read(), rtol=1e-6)
    (codes,) = run_network(trace, trace.samples.codes.read(0, 128)).values()
    assert abs(float((codes.argmax(1) == test[1]).mean()) - found.accuracy_after) < 0.05


def test_pruned_weights_stay_zero_among_codes(trained: dict[str, Any]) -> None:
    module = fresh(trained)
    masks = prune_module(module, LanePruning(share=0.5)).masks
    finetune(module, *pictures(64, 0), masks, SHORT, settings=Settings(weight_bits=3))
    mask = masks["4.weight"].mask
    assert not weight_at(module, "4").detach().numpy()[mask == 0].any()
    trace = export(module, pictures(8, 0)[0], masks=masks, settings=Settings(weight_bits=3))
    assert trace.n_samples == 8


def test_a_failing_step_leaves_real_weights(trained: dict[str, Any]) -> None:
    module = fresh(trained)

    def stop(part: nn.Module, *_: Any) -> None:
        if part.training:
            raise KeyboardInterrupt

    handle = module[10].register_forward_hook(stop)
    with pytest.raises(KeyboardInterrupt):
        finetune(module, *pictures(16, 0), {}, settings=FEW)
    handle.remove()
    assert torch.equal(weight_at(module, "4"), trained["4.weight"])


def test_one_scale_a_tensor_is_refused(trained: dict[str, Any]) -> None:
    with pytest.raises(TraceDataError, match="need per_channel to train on codes"):
        finetune(fresh(trained), *pictures(16, 0), {}, settings=Settings(per_channel=False))
    with pytest.raises(TraceDataError, match="layers with weights to train on codes of, got none"):
        finetune(nn.BatchNorm2d(1), *pictures(16, 0), {}, settings=FEW)


@pytest.mark.parametrize("distilled", [0.0, 1.0])
def test_a_teacher_is_asked_as_far_as_the_settings_say(
    trained: dict[str, Any], distilled: float
) -> None:
    """All labels say class 0; the teacher knows better."""
    module, (images, labels) = small_classifier(), pictures(128, 0)
    settings = replace(SHORT, distilled=distilled, epochs=6)
    finetune(module, images, 0 * labels, {}, settings, teacher=fresh(trained))
    right = accuracy_of(module, images, labels)
    assert right > 0.6 if distilled else right < 0.5


def test_a_missing_teacher_is_said(trained: dict[str, Any]) -> None:
    with pytest.raises(TraceDataError, match="need a teacher"):
        finetune(fresh(trained), *pictures(16, 0), {}, Training(distilled=0.5))


def test_images_are_mirrored_and_shifted_as_drawn() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    image = np.arange(1, 13, dtype=np.float32).reshape(1, 1, 3, 4)
    images, seen = np.repeat(image, 64, axis=0), []
    module[0].register_forward_hook(lambda _, given, __: seen.append(given[0].numpy().copy()))
    labels = np.zeros(64, int)
    settings = Training(batch=64, learning_rate=0.0, mirror=True, shift=1)
    finetune(module, images, labels, {}, settings, evaluation=(images[:2], labels[:2]))
    wide = np.pad(image[0, 0], 1)
    every = {
        side[top : top + 3, left : left + 4].tobytes()
        for side in (wide, wide[:, ::-1])
        for top in range(3)
        for left in range(3)
    }
    (batch,) = [one for one in seen if len(one) == 64]
    assert {one[0].tobytes() for one in batch} <= every
    assert len({one.tobytes() for one in batch}) > 9
    assert images.tobytes() == np.repeat(image, 64, axis=0).tobytes()


def test_what_cannot_be_shifted_is_refused(trained: dict[str, Any]) -> None:
    with pytest.raises(TraceDataError, match="shift below the 8 pixels"):
        finetune(fresh(trained), *pictures(16, 0), {}, Training(shift=8))
    line = nn.Sequential(nn.Linear(3, 2))
    with pytest.raises(TraceDataError, match="need images N x C x H x W"):
        finetune(line, np.ones((4, 3), "f4"), np.zeros(4, int), {}, Training(mirror=True))


# --- activations, too


def loss_of(trace: Trace, labels: np.ndarray[Any, Any]) -> float:
    """Mean cross entropy of what a trace's codes answer to its samples."""
    (codes,) = run_network(trace, trace.samples.codes.read()).values()
    logits = torch.from_numpy(decode(codes, trace.layers[-1].output))
    return float(nn.functional.cross_entropy(logits, torch.from_numpy(labels)))


def test_rounding_is_that_of_codes_and_the_gradient_stops_at_the_ends() -> None:
    quantization = choose_quantization(-1.3, 2.9, bits=4)
    rounding = AffineRounding(quantization)
    values = np.random.default_rng(0).uniform(-3, 5, 500).astype(np.float32)
    x = torch.from_numpy(values).requires_grad_(True)
    found = rounding(x)
    expected = decode(encode(values, quantization), quantization)
    np.testing.assert_allclose(found.detach().numpy(), expected, atol=1e-6)
    found.sum().backward()  # type: ignore[no-untyped-call]
    scale, zero = float(quantization.scale[0]), int(quantization.zero_point[0])
    inside = (values / scale > -zero) & (values / scale < 15 - zero)
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), inside)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("float_scale_half_even", [-2, -2, 0, 0, 2]),
        ("half_up_shift", [-2, -1, 0, 1, 2]),
        ("fixed_point_half_away", [-3, -2, -1, 1, 2]),
        ("truncate_shift", [-3, -2, -1, 0, 1]),
    ],
)
def test_sums_are_rounded_as_the_mode_rounds(mode: str, expected: list[int]) -> None:
    quantization = choose_quantization(-4.0, 3.0, bits=3)
    rounding = AffineRounding(quantization, mode)
    found = rounding(torch.tensor([-2.5, -1.5, -0.5, 0.5, 1.5]))
    assert found.tolist() == expected


@pytest.mark.parametrize("mode", ["half_up_shift", "truncate_shift"])
def test_training_on_codes_is_right_as_often_as_the_trace(
    trained: dict[str, Any], mode: str
) -> None:
    module, test, taught = fresh(trained), pictures(256, 9), pictures(256, 0)
    bits: dict[str, Any] = {"weight_bits": 3, "activation_bits": 2, "output_bits": 8}
    settings = Settings(**bits, reference_samples=0, requantize=mode)
    network, _ = read_network(module, (1, 8, 8))
    ranges = observe_ranges(network, taught[0], settings)
    fine = replace(SHORT, learning_rate=0.02, epochs=5)
    found = train_on_codes(network, *taught, ranges, settings, fine, evaluation=test)
    measured = found.measured
    assert measured.loss_after < 0.6 * measured.loss_before
    samples = test[0].read(0, 256)
    trace = quantize_network(found.network, ranges, samples, settings=settings)
    (codes,) = run_network(trace, trace.samples.codes.read(0, 256)).values()
    assert abs(float((codes.argmax(1) == test[1]).mean()) - measured.accuracy_after) < 0.03
    assert loss_of(trace, test[1]) == pytest.approx(measured.loss_after, rel=0.01)
    before = quantize_network(network, ranges, samples, settings=settings)
    for layer, old in zip(trace.layers, before.layers, strict=True):
        np.testing.assert_array_equal(layer.output.scale, old.output.scale)


def test_folded_pixels_train_as_the_network_takes_them() -> None:
    images = Pixels(np.full((4, 1, 1, 1), 128, np.uint8), (0.5,), (0.25,), fold=True)
    module = nn.Sequential(nn.Flatten(), nn.Linear(1, 2))
    with torch.no_grad():
        weight_at(module, "1").copy_(torch.tensor([[3.0], [-3.0]]))
    network, _ = read_network(module, (1, 1, 1))
    ranges = {NETWORK_INPUT: (0.0, 1.0), 0: (0.0, 1.0), 1: (-8.0, 8.0)}
    still = Training(learning_rate=0.0)
    found = train_on_codes(network, images, np.ones(4, int), ranges, training=still)
    (given,) = found.network.outputs(np.full((1, 1, 1, 1), 128 / 255, np.float32)).values()
    logits = torch.from_numpy(given[0])
    assert found.measured.loss_after == pytest.approx(
        float(nn.functional.cross_entropy(logits, torch.tensor(1))), abs=0.1
    )


def test_masks_of_layers_hold_on_codes(trained: dict[str, Any]) -> None:
    module, taught = fresh(trained), pictures(64, 0)
    masks = {"4": prune_module(module, LanePruning(share=0.5)).masks["4.weight"]}
    network, _ = read_network(module, (1, 8, 8))
    settings = Settings(activation_bits=4)
    ranges = observe_ranges(network, taught[0], settings)
    found = train_on_codes(network, *taught, ranges, settings, SHORT, masks=masks).network
    (weight,) = [layer.weight for layer in found.layers if layer.name == "4"]
    assert weight is not None
    assert not weight[masks["4"].mask == 0].any()
    assert np.count_nonzero(weight) > 100
    with pytest.raises(TraceDataError, match=r"layers with weights of network .*, got '5'"):
        train_on_codes(network, *taught, ranges, settings, masks={"5": masks["4"]})


def test_an_export_trains_on_codes_first(trained: dict[str, Any]) -> None:
    module, test, taught = fresh(trained), pictures(256, 9), pictures(128, 0)
    settings = Settings(weight_bits=3, activation_bits=2, output_bits=8)
    fine = replace(SHORT, learning_rate=0.02, epochs=5)
    masks = prune_module(module, LanePruning(share=0.3)).masks
    given: dict[str, Any] = {"labels": test[1], "settings": settings, "masks": masks}
    trace = export(module, test[0], **given, taught=taught, training=fine)
    told = trace.provenance["train_on_codes"]
    assert (told["epochs"], told["n_samples"]) == (5, 128)
    assert told["loss_after"] < 0.6 * told["loss_before"]
    assert loss_of(trace, test[1]) == pytest.approx(told["loss_after"], rel=0.01)
    untrained = export(module, test[0], **given)
    assert loss_of(untrained, test[1]) == pytest.approx(told["loss_before"], rel=0.01)
