"""The perceptron that is trained here, and the float networks with their images."""

import gzip
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from bench.networks import perceptron
from bench.networks.float_networks import FLOAT_NETWORKS, float_network
from bitpim_traces.exporter import Pixels, accuracy_of, torch_forward

N_IMAGES = 384


def digits(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images of noise with a bright row that says the class."""
    rng = np.random.default_rng(seed)
    labels = (np.arange(n) % 10).astype(np.uint8)
    images = rng.integers(0, 90, (n, 1, 28, 28), dtype=np.uint8)
    images[np.arange(n), 0, 2 * labels + 3] = 250
    return images, labels


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    images, labels = digits(N_IMAGES, 0)
    np.savez(tmp_path / perceptron.TRAIN, images=images, labels=labels)
    images, labels = digits(20, 1)
    for name, values, head in (
        (perceptron.TEST_IMAGES, images, [0x803, 20, 28, 28]),
        (perceptron.TEST_LABELS, labels, [0x801, 20]),
    ):
        whole = np.array(head, ">u4").tobytes() + values.tobytes()
        (tmp_path / name).write_bytes(gzip.compress(whole))
    return tmp_path


def test_it_learns_and_the_seed_decides_it(folder: Path) -> None:
    before, n_threads = torch.get_rng_state(), torch.get_num_threads()
    seen = []
    module = perceptron.train(folder, n_epochs=4, progress=lambda *said: seen.append(said))
    assert torch.equal(torch.get_rng_state(), before) and torch.get_num_threads() == n_threads
    assert seen == [("training", step, 12) for step in range(1, 13)]
    assert not module.training
    images, labels = perceptron.test_images(folder)
    assert accuracy_of(module, Pixels(images), labels) > 0.8

    def weights(seed: int) -> list[torch.Tensor]:
        return list(perceptron.train(folder, n_epochs=1, seed=seed).state_dict().values())

    first = weights(2)
    assert all(torch.equal(a, b) for a, b in zip(first, weights(2), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first, weights(1), strict=True))


def test_test_images_are_read_as_they_were_published(folder: Path) -> None:
    images, labels = perceptron.test_images(folder)
    wanted = digits(20, 1)
    np.testing.assert_array_equal(images, wanted[0])
    np.testing.assert_array_equal(labels, wanted[1])


def test_the_float_network_is_the_module(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perceptron, "N_EPOCHS", 1)
    found = float_network("perceptron", folder)
    (answers,) = torch_forward(found.network, torch.from_numpy(found.test.read(0, 20))).values()
    with torch.no_grad():
        wanted = found.module(torch.from_numpy(found.test.read(0, 20)))
    torch.testing.assert_close(answers, wanted, rtol=1e-4, atol=1e-4)
    assert [layer.kind for layer in found.network.layers] == ["flatten", *["linear"] * 3]
    assert found.taught.shape[0] == len(found.taught_labels) == N_IMAGES


@pytest.mark.real
@pytest.mark.slow
def test_the_perceptron_is_right_on_98_3_of_100_test_images(real_data: Path) -> None:
    module = perceptron.train(real_data)
    images, labels = perceptron.test_images(real_data)
    assert accuracy_of(module, Pixels(images), labels) >= 0.983


@pytest.mark.real
@pytest.mark.parametrize(("name", "least"), [("resnet20", 0.9), ("vgg16q_dense", 0.81)])
def test_real_float_networks_are_as_right_as_they_are_said_to_be(
    name: str, least: float, real_data: Path
) -> None:
    assert set(FLOAT_NETWORKS) == {"perceptron", "resnet20", "vgg16q_dense"}
    found = float_network(name, real_data)
    (answers,) = torch_forward(found.network, torch.from_numpy(found.test.read(0, 200))).values()
    right = (answers.argmax(1).numpy() == found.test_labels[:200]).mean()
    assert right >= least
    assert found.test.shape[0] == 9895 and found.taught.shape[0] == 20_000
