"""Make v1.0/mnist_cnn.h5: train a small network on MNIST, export it, measure it. See README.md.

Run from the root, with `bitpim[torch]` installed:
`python traces/samples/make_mnist_cnn.py --real-data FOLDER`. FOLDER (or BITPIM_REAL_DATA) holds
`mnist_train_unordered.npz` and the two `mnist_t10k-*-ubyte.gz` files as MNIST publishes them.
"""

import argparse
import gzip
import hashlib
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from bitpim import make_machine
from bitpim_traces import write_trace
from bitpim_traces.exporter import Pixels, accuracy_of, export
from bitpim_traces.records import Trace

__all__ = ["MnistCnn", "accuracy_at_integers", "main", "train"]

SEED = 2018  # the year of Neural Cache
N_EPOCHS = 16
BATCH_SIZE = 128
N_SAMPLES = 32
N_CALIBRATION = 1024
PEAK_RATE = 0.01
TRAIN = "mnist_train_unordered.npz"
TEST_IMAGES = "mnist_t10k-images-idx3-ubyte.gz"
TEST_LABELS = "mnist_t10k-labels-idx1-ubyte.gz"
SAMPLE = Path(__file__).with_name("v1.0") / "mnist_cnn.h5"

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.uint8]


class MnistCnn(nn.Module):
    """Two convolutions, pooling, a residual block, a global average, a classifier.

    What a residual network is made of, once each. Images are small after the first layer, so that
    float references of all layers stay small in the file; 12 channels fill no power of two.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 5, stride=2, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 12, 3, bias=False)
        self.norm2 = nn.BatchNorm2d(12)
        self.conv3 = nn.Conv2d(12, 12, 3, padding=1, bias=False)
        self.norm3 = nn.BatchNorm2d(12)
        self.conv4 = nn.Conv2d(12, 12, 3, padding=1, bias=False)
        self.norm4 = nn.BatchNorm2d(12)
        self.linear = nn.Linear(12, 10)

    def forward(self, x: torch.Tensor) -> Any:
        """Yield the logits of images of 28 by 28 pixels."""
        x = functional.relu(self.norm1(self.conv1(x)))
        x = functional.max_pool2d(functional.relu(self.norm2(self.conv2(x))), 2)
        y = functional.relu(self.norm3(self.conv3(x)))
        x = functional.relu(x + self.norm4(self.conv4(y)))
        return self.linear(functional.adaptive_avg_pool2d(x, 1).flatten(1))


def read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """Yield the bytes of a gzipped idx file in the shape its head names."""
    raw = bytearray(gzip.decompress(path.read_bytes()))
    shape = np.frombuffer(raw, ">u4", raw[3], 4)
    return np.frombuffer(raw, np.uint8, -1, 4 + 4 * raw[3]).reshape(shape.tolist())


def read_test_images(real_data: Path) -> tuple[Images, Labels]:
    """Yield the 10,000 test images, N x 1 x 28 x 28, and their labels."""
    images = read_idx(real_data / TEST_IMAGES)
    return images[:, None], read_idx(real_data / TEST_LABELS)


def shifted(images: Images, generator: np.random.Generator) -> Images:
    """Move each image by up to two pixels each way; what comes in is background."""
    padded = np.pad(images, ((0, 0), (0, 0), (2, 2), (2, 2)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, images.shape[2:], axis=(2, 3))
    top, left = generator.integers(0, 5, (2, len(images)))
    return np.ascontiguousarray(windows[np.arange(len(images)), :, top, left])


def batches(
    images: Images, labels: Labels, generator: np.random.Generator
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield the training images of one epoch in random order, each shifted anew."""
    order = generator.permutation(len(images))
    for start in range(0, len(order) - BATCH_SIZE + 1, BATCH_SIZE):
        chosen = order[start : start + BATCH_SIZE]
        pixels = torch.from_numpy(shifted(images[chosen], generator))
        yield pixels.float() / 255, torch.from_numpy(labels[chosen].astype(np.int64))


def train(images: Images, labels: Labels, seed: int, n_epochs: int) -> MnistCnn:
    """Train from scratch: Adam, the rate rising and falling once, images shifted at random."""
    torch.manual_seed(seed)
    generator = np.random.default_rng(seed)
    module = MnistCnn()
    optimizer = torch.optim.Adam(module.parameters(), PEAK_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, PEAK_RATE, total_steps=n_epochs * (len(images) // BATCH_SIZE)
    )
    for epoch in range(n_epochs):
        began, total = time.monotonic(), 0.0
        for pixels, classes in batches(images, labels, generator):
            loss = functional.cross_entropy(module(pixels), classes)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
            total += loss.item()
        mean = total / (len(images) // BATCH_SIZE)
        say(f"epoch {epoch + 1:2d}: loss {mean:.4f}, {time.monotonic() - began:.0f} s")
    return module.eval()


def accuracy_at_integers(trace: Trace, images: Images, labels: Labels) -> float:
    """Measure the share of images whose largest output code is at their label.

    A pixel is its own input code, and the layers run as `--fidelity integer` runs them.
    """
    quantization = trace.samples.quantization
    if quantization.zero_point[0] != 0 or not np.isclose(quantization.scale[0], 1 / 255):
        raise SystemExit("the codes of the network input are not its pixels: encode them first")
    prepared = make_machine("neural_cache").prepare(trace, fidelity="integer")
    n_right = 0
    for start in range(0, len(images), 500):
        *_, last = prepared.run_batch(images[start : start + 500])
        n_right += int((last.codes.argmax(axis=1) == labels[start : start + 500]).sum())
    return n_right / len(images)


def say(line: str) -> None:
    """Write a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def provenance(trace: Trace, real_data: Path, training: dict[str, Any]) -> dict[str, Any]:
    """Add to what the exporter knows how the network was trained, on what, and how good it is."""
    made = dict(trace.provenance)
    seed = training.pop("seed")
    made["parameters"] = {**made["parameters"], **training, "module": "make_mnist_cnn.MnistCnn"}
    digests = {
        name: hashlib.sha256((real_data / name).read_bytes()).hexdigest()
        for name in (TRAIN, TEST_IMAGES, TEST_LABELS)
    }
    sources = {
        "training images": f"MNIST, {TRAIN}, SHA-256 {digests[TRAIN]}",
        "samples": f"MNIST test images 0 to {N_SAMPLES - 1}, SHA-256 {digests[TEST_IMAGES]}",
        "labels": f"MNIST, SHA-256 {digests[TEST_LABELS]}",
        "licence": "MNIST images: Y. LeCun, C. Cortes, C. Burges; CC BY-SA 3.0 as commonly stated",
    }
    return {**made, "seed": seed, "sources": {**made["sources"], **sources}}


def main() -> None:
    """Train, export, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    named = os.environ.get("BITPIM_REAL_DATA")
    parser.add_argument("--real-data", type=Path, default=named, required=named is None)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--epochs", type=int, default=N_EPOCHS)
    parser.add_argument("-o", "--output", type=Path, default=SAMPLE)
    chosen = parser.parse_args()
    torch.set_num_threads(1)  # sums in one order: the same weights on the same kind of machine
    torch.use_deterministic_algorithms(True)
    with np.load(chosen.real_data / TRAIN) as arrays:
        images, labels = arrays["images"], arrays["labels"]
    module = train(images, labels, chosen.seed, chosen.epochs)
    test_images, test_labels = read_test_images(chosen.real_data)
    trace = export(
        module,
        Pixels(test_images[:N_SAMPLES]),
        labels=test_labels[:N_SAMPLES],
        calibration=images[:N_CALIBRATION],
        name="mnist_cnn",
        dataset="MNIST test",
    )
    training = {
        "seed": chosen.seed,
        "epochs": chosen.epochs,
        "float_accuracy": accuracy_of(module, Pixels(test_images), test_labels),
        "integer_accuracy": accuracy_at_integers(trace, test_images, test_labels),
        "accuracy_images": len(test_images),
    }
    say(f"float   accuracy {training['float_accuracy']:.4f}")
    say(f"integer accuracy {training['integer_accuracy']:.4f}")
    trace = replace(trace, provenance=provenance(trace, chosen.real_data, training))
    digest = write_trace(trace, chosen.output)
    say(f"{chosen.output}: {chosen.output.stat().st_size:,} bytes, digest {digest}")


if __name__ == "__main__":
    main()
