"""Training on with clustered weights, and the codebooks that come of it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from bitpim.proof.reference import run_network
from bitpim_traces.codebook import Codebook
from bitpim_traces.errors import TraceDataError
from bitpim_traces.exporter import (
    Floats,
    Pixels,
    Retrained,
    Retraining,
    Training,
    accuracy_of,
    coded_accuracy,
    export_codebooks,
    finetune,
    read_network,
    retrain,
    torch_forward,
)
from bitpim_traces.exporter.clustered import ClusteredLayer
from bitpim_traces.exporter.coded_forward import Rounding, coded_forward
from bitpim_traces.network import FloatLayer, FloatNetwork
from bitpim_traces.numbers.affine import decode, encode
from bitpim_traces.quantize import CodebookSettings, LayerCodes, quantize_codebooks
from bitpim_traces.records import Geometry, Params, Quantization, Trace
from tests.traces.exporter.modules import pictures, small_classifier

FEW = CodebookSettings(weight_codes=4, input_codes=2, reference_samples=0)
"""Few enough to cost accuracy."""

TEST = pictures(200, 9)
TAUGHT = pictures(256, 0)


@pytest.fixture(scope="module")
def module() -> torch.nn.Module:
    """A trained module."""
    made = small_classifier()
    finetune(made, *TAUGHT, {}, Training(epochs=6, learning_rate=0.1))
    assert accuracy_of(made, *TEST) > 0.95
    return made


@pytest.fixture(scope="module")
def network(module: torch.nn.Module) -> FloatNetwork:
    """The network of the trained module."""
    return read_network(module, (1, 8, 8))[0]


def images_of(pixels: Pixels) -> Any:
    return pixels.read(0, len(pixels.images))


def traced(
    network: FloatNetwork, settings: CodebookSettings = FEW, found: Retrained | None = None
) -> Trace:
    test, labels = TEST
    return quantize_codebooks(
        network if found is None else found.network,
        images_of(test),
        codebooks=None if found is None else found.codebooks,
        labels=labels,
        settings=settings,
        calibration=images_of(TAUGHT[0]),
    )


def right_share(trace: Trace) -> float:
    (codes,) = run_network(trace, trace.samples.codes.read()).values()
    return float((codes.argmax(axis=1) == TEST[1]).mean())


def test_training_wins_back_what_few_codes_cost(network: FloatNetwork) -> None:
    before = right_share(traced(network))
    settings = Retraining(epochs=4, learning_rate=0.03)
    found = retrain(network, *TAUGHT, FEW, settings, evaluation=TEST)
    after = right_share(traced(network, FEW, found))
    assert before < found.float_accuracy - 0.1
    assert after > before + 0.05
    assert found.accuracies[0] == before
    # what was measured in float32 is what the integers of the trace give
    assert found.accuracies[found.epoch] == max(found.accuracies) == after
    assert found.n_steps == (len(found.accuracies) - 1) * 4


def test_the_network_that_comes_back_is_clustered_and_no_weight_moves(
    network: FloatNetwork,
) -> None:
    settings = replace(FEW, weight_codes=8, overrides={"10": LayerCodes(weight_codes=16)})
    found = retrain(
        network, *TAUGHT, settings, Retraining(epochs=2, learning_rate=0.02, recluster_every=3)
    )
    trace = traced(network, settings, found)
    sizes = []
    for layer, given, first in zip(trace.layers, found.network.layers, network.layers, strict=True):
        if layer.weight is None:
            continue
        assert layer.weight_quantization is not None and given.weight is not None
        stored = decode(layer.weight.read(), layer.weight_quantization)
        np.testing.assert_array_equal(stored, given.weight)
        sizes.append(len(np.unique(given.weight)))
        assert first.weight is not None and first.bias is not None and given.bias is not None
        assert not np.array_equal(given.weight, first.weight)
        assert not np.array_equal(given.bias, first.bias)
    assert sizes[:2] == [8, 8]
    assert 8 < sizes[2] <= 16


def test_what_is_measured_before_training_is_what_the_trace_gives(network: FloatNetwork) -> None:
    for settings in (FEW, replace(FEW, weight_codes=16, input_codes=4, calibration_samples=100)):
        found = coded_accuracy(network, *TEST, settings, calibration=TAUGHT[0].images)
        assert found == right_share(traced(network, settings))


def test_the_seed_decides_the_weights(network: FloatNetwork) -> None:
    def weights(seed: int) -> list[Any]:
        torch.manual_seed(np.random.default_rng().integers(1000))
        settings = Retraining(epochs=1, learning_rate=0.01, seed=seed)
        made = retrain(network, *TAUGHT, FEW, settings, evaluation=pictures(8, 1)).network
        return [layer.weight for layer in made.layers if layer.weight is not None]

    one = weights(1)
    assert all(np.array_equal(a, b) for a, b in zip(one, weights(1), strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(one, weights(2), strict=True))


def test_training_ends_when_the_error_is_small_enough(network: FloatNetwork) -> None:
    seen: list[tuple[str, int, int]] = []

    def watch(*said: Any) -> None:
        seen.append(said)

    enough = Retraining(epochs=3, delta=0.99)
    found = retrain(network, *TAUGHT, FEW, enough, progress=watch)
    assert (found.epoch, found.n_steps, len(found.accuracies), seen) == (0, 0, 1, [])
    capped = Retraining(epochs=1, learning_rate=0.0)
    found = retrain(network, *TAUGHT, FEW, capped, progress=watch)
    assert found.n_steps == 4
    assert seen == [("re-training", n, 256) for n in (64, 128, 192, 256)]
    assert found.accuracies[0] == found.accuracies[1]


def test_the_best_epoch_is_kept(network: FloatNetwork) -> None:
    wrong = (TAUGHT[0], (TAUGHT[1] + 1) % 4)  # to be learned all too well
    found = retrain(network, *wrong, FEW, Retraining(epochs=2, learning_rate=0.1), evaluation=TEST)
    assert found.accuracies[-1] < found.accuracies[found.epoch] == max(found.accuracies)
    assert len(found.accuracies) == 3
    assert right_share(traced(network, FEW, found)) == max(found.accuracies)


def test_an_export_is_as_right_as_it_says(module: torch.nn.Module) -> None:
    images, labels = TAUGHT
    trace = export_codebooks(
        module,
        Pixels(images.images[:100], images.mean, images.std),
        labels=labels[:100],
        settings=replace(FEW, reference_samples=3),
        calibration=images.images,
        retraining=Retraining(epochs=2, learning_rate=0.03),
        taught=(images.images, labels),
    )
    # activations keep the codebooks of the network before it was trained
    before = traced(read_network(module, (1, 8, 8))[0])
    for layer, other in zip(trace.layers[:-1], before.layers[:-1], strict=True):
        assert layer.output.codebook is not None
        assert layer.output.codebook.same_as(other.output.codebook)
    noted = trace.provenance["retrain"]
    assert noted["accuracies"][0] < 0.8 < noted["accuracies"][noted["epoch"]]
    codes = encode(images_of(images), trace.samples.quantization)
    (found,) = run_network(trace, codes).values()
    assert float((found.argmax(axis=1) == labels).mean()) == noted["accuracies"][noted["epoch"]]
    assert trace.layers[0].output_float is not None and trace.layers[0].output_float.shape[0] == 3
    np.testing.assert_array_equal(trace.samples.codes.read(), codes[:100])
    with pytest.raises(TraceDataError, match="need samples and labels to train on, got none"):
        export_codebooks(module, images, settings=FEW, retraining=Retraining())


# --- the parts


def clustered_layer(seed: int = 0, n: int = 40) -> ClusteredLayer:
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(4, n // 4)).astype(np.float32)
    bias = np.zeros(4, np.float32)
    return ClusteredLayer(0, FloatLayer("a", "linear", (-1,), weight=weight, bias=bias), 3, 16)


def test_the_gradient_of_a_value_is_the_sum_of_those_of_its_weights() -> None:
    layer = clustered_layer()
    gradient = torch.from_numpy(np.random.default_rng(1).normal(size=(4, 10)).astype(np.float32))
    torch.autograd.backward((layer.weight * gradient).sum())
    layer.spread_gradients()
    assert layer.values.grad is not None
    flat, codes = gradient.numpy().ravel(), layer.codes.numpy()
    for code in range(8):
        wanted = 0.0 if code == layer.zero_code else flat[codes == code].sum()
        assert float(layer.values.grad[code]) == pytest.approx(wanted, abs=1e-5)
    assert layer.weight.grad is None
    shadow = layer.shadow.grad
    assert shadow is not None
    np.testing.assert_allclose(shadow, gradient / gradient.square().mean().sqrt(), rtol=1e-6)


def test_weights_that_are_clustered_again_without_training_stay() -> None:
    layer = clustered_layer()
    before = layer.weight.detach().clone()
    layer.cluster_again()
    assert torch.equal(layer.weight, before)


def test_clustering_twice_is_clustering_once() -> None:
    layer = clustered_layer()
    with torch.no_grad():
        layer.shadow += (
            0.2 * torch.from_numpy(np.random.default_rng(2).normal(size=(4, 10))).float()
        )
    layer.cluster_again()
    codes, shadow = layer.codes.clone(), layer.shadow.clone()
    layer.cluster_again()
    assert torch.equal(layer.codes, codes)
    torch.testing.assert_close(layer.shadow, shadow)


def test_clustering_again_takes_the_value_nearest_to_the_shadow() -> None:
    layer = clustered_layer()
    low, high = (layer.zero_code + 1) % 8, (layer.zero_code + 2) % 8
    with torch.no_grad():
        members = torch.nonzero(layer.codes == low).ravel()
        moved = members[0]
        layer.shadow.view(-1)[moved] = layer.values[high]
        layer.shadow.view(-1)[members[1:]] -= (
            (layer.values[high] - layer.values[low]) / (len(members) - 1) / 50
        )
        layer.cluster_again()
    assert layer.codes[moved] == high
    # values that all moved alike take their shadows along: no weight changes sides
    codes = layer.codes.clone()
    with torch.no_grad():
        shift = torch.full_like(layer.values, 0.5)
        shift[: layer.zero_code + 1] = 0
        layer.values += shift
        layer.cluster_again()
    above = codes > layer.zero_code
    assert torch.equal(layer.codes[above], codes[above])


def test_value_0_is_held() -> None:
    layer = clustered_layer()
    zero = layer.codes == layer.zero_code
    torch.autograd.backward(layer.weight.sum())
    layer.spread_gradients()
    torch.optim.Adam([layer.values], 0.1).step()
    layer.put_weights()
    assert not layer.weight.detach().ravel()[zero].any()
    assert layer.weight.detach().ravel()[~zero].all()


def test_rounding_takes_the_nearest_value_of_two_the_lower_and_lets_gradients_pass() -> None:
    rng = np.random.default_rng(0)
    codebook = Codebook(np.array([-5, -1, 0, 2, 9]), 2, 8)
    grid = np.concatenate([np.arange(-30, 50) / 8, rng.normal(size=100)]).astype(np.float32)
    x = torch.from_numpy(grid).requires_grad_(True)
    y = Rounding(codebook)(x)
    quantization = Quantization.of_codebook(codebook)
    wanted = decode(encode(grid, quantization), quantization)
    np.testing.assert_array_equal(y.detach().numpy(), wanted)
    torch.autograd.backward((y * torch.arange(len(grid))).sum())
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy(), np.arange(len(grid)))


def moving_network() -> FloatNetwork:
    """Layers of each sort: that only move values, that PyTorch lacks, that branch."""
    rng = np.random.default_rng(3)

    def weight(*shape: int) -> Any:
        return rng.normal(size=shape, scale=0.5).astype(np.float32)

    def moved(name: str, kind: str, *inputs: int, **params: Any) -> FloatLayer:
        return FloatLayer(name, kind, inputs, params=Params(params))

    window = Geometry((3, 3), padding=(1, 1, 1, 1))
    layers = (
        FloatLayer("a", "conv2d", (-1,), window, weight(4, 2, 3, 3), weight(4), "relu"),
        moved("b", "slice", 0, starts=(0, 0, 1), stops=(4, 6, 5), steps=(1, 2, 1)),
        moved("c", "permute", 1, axes=(0, 2, 1)),
        moved("d", "pad", 2, pads=(0, 0, 1, 0, 0, 2)),
        FloatLayer("e", "activation", (3,), activation="softplus", tensors={
            "constants": np.array([1.0, 20.0], np.float32)
        }),
        FloatLayer("f", "conv2d", (4,), window, weight(4, 4, 3, 3), None, "clamp", (-1.0, 1.5)),
        FloatLayer("g", "add", (4, 5)),
        moved("h", "concat", 6, 3, concat_axis=0),
        FloatLayer("i", "avg_pool2d", (7,), Geometry((5, 5))),
        moved("j", "flatten", 8),
        FloatLayer("k", "linear", (9,), weight=weight(3, 8)),
    )  # fmt: skip
    return FloatNetwork("moving", layers, (2, 6, 5))


def test_without_codebooks_the_forward_is_that_of_the_float_network() -> None:
    network = moving_network()
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(3, 2, 6, 5)).astype(np.float32))
    (wanted,) = torch_forward(network, x).values()
    torch.testing.assert_close(coded_forward(network, x, {}), wanted, rtol=1e-5, atol=1e-5)


def test_gradients_are_slopes() -> None:
    network = moving_network()
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 2, 6, 5)).astype(np.float32))
    first = network.layers[0].weight
    assert first is not None

    def total(weight: torch.Tensor) -> torch.Tensor:
        scores = torch.tensor([1.0, -2.0, 3.0])
        return (coded_forward(network, x, {}, {0: weight}) * scores).sum()

    leaf = torch.from_numpy(first.copy()).requires_grad_(True)
    torch.autograd.backward(total(leaf))
    assert leaf.grad is not None
    for place in ((0, 0, 1, 1), (3, 1, 0, 2)):
        step = torch.zeros_like(leaf)
        step[place] = 1e-3
        with torch.no_grad():
            slope = float(total(leaf + step) - total(leaf - step)) / 2e-3
        assert float(leaf.grad[place]) == pytest.approx(slope, rel=0.05, abs=0.02)


def test_networks_with_branches_and_moves_are_trained() -> None:
    rng = np.random.default_rng(5)
    samples, labels = rng.normal(size=(24, 2, 6, 5)).astype(np.float32), np.arange(24) % 3
    for relu in ("comparator", "table"):
        settings = replace(FEW, weight_codes=8, relu=relu)
        found = retrain(moving_network(), samples, labels, settings, Retraining(epochs=1))
        held = found.codebooks
        assert set(held) >= {"input", "a", "f", "g"}
        trace = quantize_codebooks(found.network, samples, settings=settings, codebooks=held)
        assert held["a"].same_as(trace.layers[0].output.codebook)
        for layer, given in zip(trace.layers, found.network.layers, strict=False):
            if layer.weight is not None and layer.weight_quantization is not None:
                stored = decode(layer.weight.read(), layer.weight_quantization)
                np.testing.assert_array_equal(stored, given.weight)


# --- what is refused


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (x, None), "need an array `labels` beside the images, got none"),
        (lambda x, y: (x, y[:-1]), "need samples with a label each, got 256 samples"),
        (lambda x, y: (replace(x, images=x.images[:0]), y[:0]), "got 0 samples"),
        (lambda x, y: (x, y + 1), "for classes up to 4, got .4. from network"),
        (lambda x, y: (x, y - 1), "classes from 0 on"),
        (lambda x, y: (replace(x, images=x.images[..., :7]), y), r"need samples of shape .1, 8, 8"),
    ],
)
def test_samples_and_labels_that_do_not_fit_are_refused(
    network: FloatNetwork, change: Callable[..., Any], message: str
) -> None:
    with pytest.raises(TraceDataError, match=f"retrain: .*{message}"):
        samples, labels = change(*TAUGHT)
        retrain(network, samples, labels, FEW)


def test_training_that_diverges_is_an_error(network: FloatNetwork) -> None:
    message = r"retrain: need (a finite loss|finite weights), got .* in step \d+ of 16; lower the"
    with pytest.raises(TraceDataError, match=message):
        retrain(network, *TAUGHT, FEW, Retraining(learning_rate=1e30))


def test_weights_and_samples_that_are_not_finite_are_refused(network: FloatNetwork) -> None:
    images, labels = images_of(TAUGHT[0]), TAUGHT[1]
    images[3, 0, 2, 2] = np.nan
    with pytest.raises(TraceDataError, match="need finite values, got NaN or infinity"):
        retrain(network, Floats(images), labels, FEW)
    weight = network.layers[0].weight
    assert weight is not None
    spoiled = replace(network.layers[0], weight=np.full_like(weight, np.inf))
    broken = replace(network, layers=(spoiled, *network.layers[1:]))
    with pytest.raises(TraceDataError, match="layer 0 '0' weight: need finite values"):
        retrain(broken, *TAUGHT, FEW)


def test_networks_without_weights_or_gradient_are_refused() -> None:
    flat = FloatLayer("flat", "flatten", (-1,))
    bare = FloatNetwork("bare", (flat,), (1, 2, 2))
    samples, labels = np.ones((4, 1, 2, 2), np.float32), np.arange(4) % 2
    with pytest.raises(TraceDataError, match="need layers with weights in network bare"):
        retrain(bare, samples, labels, FEW)
    gate = FloatLayer("gate", "multiply", (-1, -1))
    with pytest.raises(TraceDataError, match="need kinds that tables compute"):
        retrain(
            FloatNetwork("gated", (gate, replace(flat, inputs=(0,))), (1, 2, 2)), samples, labels
        )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": -1}, "need epochs of at least 0, got -1"),
        ({"batch": 1}, "need batch of at least 2, got 1"),
        ({"seed": -1}, "need seed of at least 0"),
        ({"recluster_every": -1}, "need recluster_every of at least 0"),
        ({"learning_rate": float("nan")}, "need learning_rate from 0"),
        ({"delta": 1.0}, "need delta from 0 to below 1, got 1.0"),
    ],
)
def test_retraining_out_of_range_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(TraceDataError, match=f"retraining: {message}"):
        Retraining(**values)
