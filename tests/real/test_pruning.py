"""One-shot pattern pruning of a real network, and what a short fine-tuning wins back."""

from pathlib import Path

import numpy as np
import pytest

pytestmark = [pytest.mark.real, pytest.mark.slow]

N_TRAINING, N_TEST, N_SAMPLES = 2_000, 1_000, 100


def test_the_patterns_of_a_pruned_network_are_found_again(real_data: Path) -> None:
    from bitpim_traces.quantize.pattern import PatternPruning, choose_masks

    with np.load(real_data / "vgg16q_pattern4of9_cifar10.npz") as found:
        weights = {key: found[key] for key in found.files if found[key].ndim == 4}
    masks, reports = choose_masks(weights, PatternPruning(scope="network"))
    assert len(masks) == len(weights) - 1 == 12
    for name, mask in masks.items():
        np.testing.assert_array_equal(mask.mask, weights[name] != 0)
    assert [report.retained_energy for report in reports] == [1.0] * 12
    assert reports[0].patterns.tolist() == [23, 27, 54, 58, 184, 216, 432, 464]
    assert reports[0].n_natural_masks == 8


def test_fine_tuning_wins_back_what_pattern_pruning_costs(real_data: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="fine-tuning needs PyTorch")
    from bench.networks.vgg16q import MEAN, STD, load, vgg16q
    from bitpim.proof.reference import run_network
    from bitpim_traces import check_trace, write_trace
    from bitpim_traces.exporter import (
        Pixels,
        Training,
        accuracy_of,
        export,
        finetune,
        prune_module,
    )
    from bitpim_traces.masks import masks_of
    from bitpim_traces.quantize import PatternPruning

    def images(name: str, n: int) -> tuple[Pixels, np.ndarray[tuple[int], np.dtype[np.int64]]]:
        with np.load(real_data / name) as found:
            return Pixels(found["images"][:n], MEAN, STD), found["labels"][:n].astype(np.int64)

    test = images("cifar10_test.npz", N_TEST)
    module = vgg16q()
    load(module, real_data / "vgg16q_dense_cifar10.npz")
    dense = accuracy_of(module, *test)
    pruned = prune_module(module, PatternPruning(scope="network"))
    found = finetune(
        module,
        *images("cifar10_train_first20000.npz", N_TRAINING),
        pruned.masks,
        Training(learning_rate=0.02),
        evaluation=test,
    )
    # seen: 83.2 % dense, 19.8 % after projection, 76.2 % after one epoch
    assert found.accuracy_before < dense - 0.1
    assert found.accuracy_after > found.accuracy_before + 0.1
    assert found.loss_after < found.loss_before

    first, labels = images("cifar10_test.npz", N_SAMPLES)
    trace = export(module, first, labels=labels, masks=pruned.masks)
    write_trace(trace, tmp_path / "pruned.h5")
    assert check_trace(tmp_path / "pruned.h5", deep=True) == []
    masks = masks_of(trace)
    assert len(masks) == 12
    assert all(abs(mask.sparsity - 5 / 9) < 1e-12 for mask in masks.values())
    (codes,) = run_network(trace, trace.samples.codes.read()).values()
    right = np.mean(codes.argmax(axis=1) == labels)
    assert abs(right - accuracy_of(module, first, labels)) < 0.05
