"""Pruning a module, training on with held masks, and the trace that comes of it."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from torch import nn
from torch.nn import functional

from bitpim.proof.reference import run_network
from bitpim_traces.errors import TraceDataError
from bitpim_traces.exporter import (
    Training,
    accuracy_of,
    export,
    finetune,
    hold_masks,
    prune_module,
)
from bitpim_traces.masks import LayerMask, masks_of
from bitpim_traces.numbers.affine import decode
from bitpim_traces.quantize import LayerPruning, PatternPruning, Settings
from bitpim_traces.quantize.pattern import PrunedLayer
from tests.traces.exporter.modules import Forward, SmallResidual, pictures, seeded, small_classifier

TIGHT = PatternPruning(kept=2, n_patterns=2, zero_kernel_share=0.3)


@pytest.fixture(scope="module")
def trained() -> dict[str, Any]:
    """Weights of a trained small module; an empty set of masks trains without any."""
    module = small_classifier()
    finetune(module, *pictures(256, 0), {}, Training(epochs=8, learning_rate=0.1))
    return dict(module.state_dict())


def fresh(trained: dict[str, Any]) -> nn.Sequential:
    module = small_classifier()
    module.load_state_dict(trained)
    return module


def test_training_wins_back_what_pruning_costs(trained: dict[str, Any]) -> None:
    module, test = fresh(trained), pictures(200, 9)
    dense = accuracy_of(module, *test)
    pruned = prune_module(module, TIGHT)
    assert accuracy_of(module, *test) < dense - 0.1
    found = finetune(
        module,
        *pictures(256, 0),
        pruned.masks,
        Training(epochs=4, learning_rate=0.05),
        evaluation=test,
    )
    assert found.accuracy_before < dense - 0.1
    assert found.accuracy_after > found.accuracy_before + 0.1
    assert found.loss_after < 0.7 * found.loss_before
    assert found.n_steps == 4 * 4
    assert found.accuracy_after == accuracy_of(module, *test)
    assert list(pruned.masks) == ["4.weight"]
    assert_held(module, pruned.masks)


def weight_of(module: nn.Sequential) -> torch.Tensor:
    """Weight of the convolution that is pruned."""
    convolution = module[4]
    assert isinstance(convolution, nn.Conv2d)
    return convolution.weight


def assert_held(module: nn.Module, masks: dict[str, LayerMask]) -> None:
    parameters = dict(module.named_parameters())
    for name, mask in masks.items():
        values = parameters[name].detach().numpy()
        assert not values[mask.mask == 0].any()
        assert values[mask.mask == 1].all()


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_masks_are_held_after_every_step_and_all_else_moves(
    trained: dict[str, Any], optimizer: str
) -> None:
    module = fresh(trained)
    masks = prune_module(module, TIGHT).masks
    with torch.no_grad():
        weight_of(module).add_(0.01)  # the masks come first
    seen = []

    def watch(doing: str, done: int, total: int) -> None:
        assert_held(module, masks)
        assert module[1].training  # batch norm learns
        seen.append((doing, done, total))

    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    settings = Training(epochs=2, batch=50, optimizer=optimizer, learning_rate=0.01)
    finetune(module, *pictures(101, 1), masks, settings, progress=watch)
    # batches of 34, 34 and 33: none of a single sample
    assert [done for _, done, _ in seen] == [34, 68, 101, 135, 169, 202]
    assert {(doing, total) for doing, _, total in seen} == {("fine-tuning", 202)}
    for name, tensor in module.state_dict().items():
        assert not torch.equal(tensor, before[name]), name


def test_no_batch_is_a_single_sample(trained: dict[str, Any]) -> None:
    module, seen = fresh(trained), []
    finetune(
        module,
        *pictures(5, 1),
        {},
        Training(batch=2, learning_rate=0.001),
        progress=lambda _, done, __: seen.append(done),
    )
    assert seen == [3, 5]


def test_the_seed_decides_the_weights(trained: dict[str, Any]) -> None:
    def weights(seed: int) -> list[Any]:
        module = fresh(trained)
        torch.manual_seed(np.random.default_rng().integers(1000))
        settings = Training(learning_rate=0.05, seed=seed)
        finetune(module, *pictures(96, 0), prune_module(module, TIGHT).masks, settings)
        return list(module.state_dict().values())

    first = weights(3)
    assert all(torch.equal(a, b) for a, b in zip(first, weights(3), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first, weights(4), strict=True))


def test_a_module_gets_its_modes_gradients_and_random_numbers_back(
    trained: dict[str, Any],
) -> None:
    module = fresh(trained)
    module.eval()
    module[1].train()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    with torch.no_grad():
        finetune(module, *pictures(16, 0), {})
    assert torch.equal(torch.rand(3), expected)
    assert [part.training for part in module] == [k == 1 for k in range(11)]
    assert all(p.grad is None for p in module.parameters())


def test_an_interruption_leaves_no_masked_weight(trained: dict[str, Any]) -> None:
    module = fresh(trained)
    masks = prune_module(module, TIGHT).masks

    def stop(*_: object) -> None:
        weight_of(module).data.add_(1.0)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finetune(module, *pictures(16, 0), masks, progress=stop)
    assert_held(module, masks)


def test_training_that_diverges_is_an_error_and_masks_hold(trained: dict[str, Any]) -> None:
    module = fresh(trained)
    masks = prune_module(module, TIGHT).masks
    wild = Training(epochs=9, learning_rate=1e30, momentum=0)
    with pytest.raises(TraceDataError, match=r"need a finite loss, got (nan|inf) in step \d+"):
        finetune(module, *pictures(64, 0), masks, wild)
    values = weight_of(module).detach().numpy()
    assert (values[masks["4.weight"].mask == 0] == 0).all()


def test_no_epoch_only_measures(trained: dict[str, Any]) -> None:
    module = fresh(trained)
    found = finetune(module, *pictures(64, 0), {}, Training(epochs=0))
    assert found.n_steps == 0
    assert (found.accuracy_before, found.loss_before) == (found.accuracy_after, found.loss_after)
    assert all(torch.equal(a, b) for a, b in zip(
        module.state_dict().values(), trained.values(), strict=True
    ))  # fmt: skip


# --- into a trace


def test_masks_reach_the_trace_with_the_weights(trained: dict[str, Any]) -> None:
    module = fresh(trained)
    pruned = prune_module(module, TIGHT)
    finetune(module, *pictures(128, 0), pruned.masks)
    test, labels = pictures(40, 9)
    trace = export(
        module,
        test,
        labels=labels,
        settings=Settings(weight_scheme="affine"),
        masks=pruned.masks,
    )
    found = masks_of(trace)
    assert list(found) == ["4"]
    np.testing.assert_array_equal(found["4"].mask, pruned.masks["4.weight"].mask)
    assert found["4"].patterns is not None
    (layer,) = pruned.layers
    assert isinstance(layer, PrunedLayer)
    assert found["4"].patterns.tolist() == layer.patterns.tolist()
    assert found["4"].sparsity == layer.sparsity
    # the batch norm folded into the weight moved no zero, and the answers are the module's
    (codes,) = run_network(trace, trace.samples.codes.read()).values()
    answers = decode(codes, trace.layers[-1].output).argmax(1)
    right = float((answers == labels).mean())
    assert right == pytest.approx(accuracy_of(module, test, labels), abs=0.06)


def test_a_module_called_twice_has_its_mask_twice() -> None:
    conv = nn.Conv2d(3, 3, 3, padding=1)
    module = seeded(Forward(lambda m, x: m.conv(torch.relu(m.conv(x))), conv=conv))
    pruned = prune_module(module, PatternPruning(skip_first=False))
    trace = export(module, np.ones((2, 3, 5, 5), np.float32), masks=pruned.masks)
    assert list(masks_of(trace)) == ["conv", "conv_2"]


def test_a_parameter_used_by_a_function_is_found() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(2, 3, 3, 3))

        def forward(self, x: Any) -> Any:
            return functional.conv2d(x, self.weight)

    module = Forward(lambda m, x: m.own(m.conv(x)), own=Own(), conv=nn.Conv2d(3, 3, 3))
    mask = LayerMask(np.tile(np.eye(3, dtype=np.uint8), (2, 3, 1, 1)))
    hold_masks(module, {"own.weight": mask})
    samples = np.ones((2, 3, 7, 7), np.float32)
    (name,) = masks_of(export(module, samples, masks={"own.weight": mask}))
    assert name.startswith("own.")
    alone = Own()
    hold_masks(alone, {"weight": mask})
    assert len(masks_of(export(alone, samples, masks={"weight": mask}))) == 1


def test_a_residual_network_is_pruned_by_paths() -> None:
    module = seeded(SmallResidual())
    own = {"block.conv2": LayerPruning(kept=1)}
    pruned = prune_module(module, PatternPruning(overrides=own))
    assert list(pruned.masks) == ["block.conv1.weight", "block.conv2.weight"]
    assert [layer.sparsity for layer in pruned.layers] == pytest.approx([5 / 9, 8 / 9])
    samples = np.random.default_rng(0).normal(size=(3, 3, 8, 8)).astype(np.float32)
    assert list(masks_of(export(module, samples, masks=pruned.masks))) == [
        "block.conv1",
        "block.conv2",
    ]


# --- what is refused


def test_masks_that_do_not_fit_are_refused(trained: dict[str, Any]) -> None:
    module, some = fresh(trained), pictures(8, 0)
    mask = prune_module(module, TIGHT).masks["4.weight"]
    for wrong, message in (
        ({"5.wait": mask}, "need parameters of Sequential, got '5.wait'"),
        (
            {"0.weight": mask},
            r"'0.weight': need a mask of shape \(6, 1, 3, 3\), got \(8, 6, 3, 3\)",
        ),
    ):
        with pytest.raises(TraceDataError, match=message):
            finetune(module, *some, wrong)
    with pytest.raises(TraceDataError, match=r"need a layer whose weight is the .*'9.weight'"):
        export(module, some[0], masks={"9.weight": mask})
    full = LayerMask(1 - mask.mask)
    with pytest.raises(TraceDataError, match="need weights at their zero point"):
        export(module, some[0], masks={"4.weight": full})
    with pytest.raises(TraceDataError, match="need a 3 x 3 convolution to prune, got 0"):
        prune_module(nn.Linear(3, 4))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros(7, int), "8 samples and labels of shape"),
        (np.full(8, -1), "classes from 0 on"),
        (np.zeros(8), "got float64"),
        (np.full(8, 4), "for classes up to 4, got"),
    ],
)
def test_labels_that_do_not_fit_are_refused(
    trained: dict[str, Any], labels: Any, message: str
) -> None:
    with pytest.raises(TraceDataError, match=message):
        finetune(fresh(trained), pictures(8, 0)[0], labels, {})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": -1}, "need epochs of at least 0, got -1"),
        ({"batch": 1}, "need batch of at least 2, got 1"),
        ({"seed": -1}, "need seed of at least 0"),
        ({"optimizer": "lbfgs"}, "need optimizer among sgd, adam, got 'lbfgs'"),
        ({"learning_rate": float("nan")}, "need learning_rate from 0"),
        ({"momentum": 1.0}, "need momentum from 0 to below 1, got 1.0"),
    ],
)
def test_training_out_of_range_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(TraceDataError, match=f"training: {message}"):
        Training(**values)
