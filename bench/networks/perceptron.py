"""A perceptron 784-512-512-10 for MNIST images, trained here from scratch in about a minute.

It is the first network of RAPIDNN's table (HPCA 2020). No test image takes part in training. The
same seed gives the same weights on one kind of processor; elsewhere sums of floats may round
otherwise, and training ends at another network of like accuracy.
"""

import contextlib
import gzip
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from bitpim_traces.exporter import Pixels, Progress, export
from bitpim_traces.quantize import Settings
from bitpim_traces.records import Trace

__all__ = ["TEST_IMAGES", "TEST_LABELS", "TRAIN", "make", "module", "test_images", "train"]

TRAIN = "mnist_train_unordered.npz"
TEST_IMAGES = "mnist_t10k-images-idx3-ubyte.gz"
TEST_LABELS = "mnist_t10k-labels-idx1-ubyte.gz"

N_EPOCHS = 6
BATCH_SIZE = 128
PEAK_RATE = 0.003
N_THREADS = 1
"""Part of what decides the weights, as the seed is: sums are split by threads."""

N_CALIBRATION = 1000


def module() -> nn.Sequential:
    """Build the module, untrained; in evaluation its dropout does nothing."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Dropout(0.1),
        nn.Linear(784, 512),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Linear(512, 512),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Linear(512, 10),
    )


def train(
    real_data: Path,
    *,
    seed: int = 2020,
    n_epochs: int | None = None,
    progress: Progress | None = None,
) -> nn.Sequential:
    """Train on all 60,000 images: Adam, the rate rising and falling once, dropout.

    `real_data` holds `mnist_train_unordered.npz`.
    """
    with np.load(real_data / TRAIN) as arrays:
        images, labels = arrays["images"], torch.from_numpy(arrays["labels"].astype(np.int64))
    pixels = torch.from_numpy(images)
    n_epochs = N_EPOCHS if n_epochs is None else n_epochs
    n_steps = n_epochs * (len(images) // BATCH_SIZE)
    generator = np.random.default_rng(seed)
    with _settled(seed):
        made = module()
        optimizer = torch.optim.Adam(made.parameters(), PEAK_RATE)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, total_steps=n_steps)
        for step in range(n_steps):
            at = step * BATCH_SIZE % (n_steps // n_epochs * BATCH_SIZE)
            if not at:
                order = torch.from_numpy(generator.permutation(len(images)))
            chosen = order[at : at + BATCH_SIZE]
            loss = functional.cross_entropy(made(pixels[chosen].float() / 255), labels[chosen])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
            if progress is not None:
                progress("training", step + 1, n_steps)
    return made.eval()


def test_images(real_data: Path) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Yield the 10,000 test images, N x 1 x 28 x 28, and their labels.

    `real_data` holds both `mnist_t10k` files as MNIST publishes them.
    """
    return _read_idx(real_data / TEST_IMAGES)[:, None], _read_idx(real_data / TEST_LABELS)


def make(
    real_data: Path,
    *,
    settings: Settings | None = None,
    n_samples: int | None = None,
    requantize: str | None = None,
    progress: Progress | None = None,
) -> Trace:
    """Train, and export with the first test images (default: all) as samples; pixels are codes."""
    made = train(real_data, progress=progress)
    images, labels = test_images(real_data)
    with np.load(real_data / TRAIN) as arrays:
        calibration = arrays["images"][:N_CALIBRATION]
    settings = settings or Settings()
    return export(
        made,
        Pixels(images[:n_samples], fold=True),
        labels=labels[:n_samples],
        settings=settings if requantize is None else replace(settings, requantize=requantize),
        calibration=calibration,
        name="perceptron",
        dataset="MNIST test",
        progress=progress,
    )


def _read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """Yield the bytes of a gzipped idx file in the shape its head names."""
    raw = bytearray(gzip.decompress(path.read_bytes()))
    shape = np.frombuffer(raw, ">u4", raw[3], 4)
    return np.frombuffer(raw, np.uint8, -1, 4 + 4 * raw[3]).reshape(shape.tolist())


@contextlib.contextmanager
def _settled(seed: int) -> Iterator[None]:
    """Hold what decides a training: random numbers and number of threads; then give them back."""
    before: Any = torch.get_num_threads()
    with torch.random.fork_rng([]), torch.enable_grad():
        torch.manual_seed(seed)
        torch.set_num_threads(N_THREADS)
        try:
            yield
        finally:
            torch.set_num_threads(before)
