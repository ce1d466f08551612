"""Speed of whole networks against PyTorch float32: same images, same batch, same threads."""

from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.few_bits import binary_resnet20, convolutions, ternary_resnet20
from bitpim import make_machine
from bitpim.machine.machine import Machine
from bitpim.threads import thread_limit, use_threads
from bitpim_traces.quantize import CodebookSettings, LanePruning, codebooks_of_trace, prune_trace
from bitpim_traces.records import Trace
from bitpim_traces.synthetic import synthetic_network

torch = pytest.importorskip("torch", reason="the twin is PyTorch; install bitpim[torch]")

Ratio = Callable[[str, Callable[[], object], Callable[[], object]], float]

N_BIT_IMAGES, N_INTEGER_IMAGES = 32, 256
N_THREADS = sorted({1, thread_limit()}, reverse=True)


@pytest.fixture(scope="module")
def resnet20(real_folder: Path | None) -> tuple[Trace, str]:
    """ResNet-20 and what to call it: trained, on CIFAR-10 images, or of the same shapes."""
    if real_folder is None:
        return synthetic_network("resnet20", n_samples=N_INTEGER_IMAGES), "synthetic"
    from bench.networks.resnet20 import make

    return make(real_folder, n_samples=N_INTEGER_IMAGES), "CIFAR-10"


@pytest.fixture(scope="module")
def tables20(resnet20: tuple[Trace, str]) -> tuple[Trace, str]:
    """The same as lookup tables: codebooks of 64 weights and 64 inputs."""
    trace, what = resnet20
    return codebooks_of_trace(trace, CodebookSettings(reference_samples=0)), what


@pytest.fixture(scope="module")
def alexnet() -> Trace:
    return synthetic_network("alexnet", n_samples=1)


@pytest.fixture(params=N_THREADS, ids=lambda n: f"{n} threads")
def n_threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """Threads for both sides."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    use_threads(request.param)
    yield request.param
    torch.set_num_threads(before)
    use_threads(N_THREADS[0])


def both(
    trace: Trace, fidelity: str, n_images: int, n_threads: int, machine: Machine | None = None
) -> tuple[Callable[[], object], Callable[[], object]]:
    """Yield ours and PyTorch's run of the same images, in one batch; weights are laid out once."""
    from bench.float_network import FloatNetwork, real_images

    codes = trace.samples.codes.read(0, n_images)
    machine = machine or make_machine("neural_cache")
    prepared = machine.prepare(trace, fidelity=fidelity, jobs=n_threads)
    images, network = real_images(trace, codes), FloatNetwork(trace)
    return lambda: deque(prepared.run_batch(codes), maxlen=0), lambda: network(images)


def named(case: str, n_images: int, n_threads: int) -> str:
    images = f"{n_images} images" if n_images > 1 else "1 image"
    return f"{case}, {images}, {n_threads} thread{'s' if n_threads > 1 else ''}"


def test_resnet20_bit(ratio: Ratio, resnet20: tuple[Trace, str], n_threads: int) -> None:
    trace, what = resnet20
    case = named(f"resnet20_bit:{what}", N_BIT_IMAGES, n_threads)
    ratio(case, *both(trace, "bit", N_BIT_IMAGES, n_threads))


@pytest.mark.parametrize(
    ("machine", "preset"),
    [
        ("dense_crossbar", "dense_crossbar_128rows"),
        ("dense_crossbar", "dense_crossbar_8bit"),
        ("isaac", "isaac_8bit"),
        ("sre", "sre"),
    ],
    ids=["128 rows", "9x8", "isaac", "sre"],
)
def test_resnet20_crossbar(
    ratio: Ratio, resnet20: tuple[Trace, str], n_threads: int, machine: str, preset: str
) -> None:
    trace, what = resnet20
    case = named(f"resnet20_crossbar:{preset}, {what}", N_BIT_IMAGES, n_threads)
    made = make_machine(machine, preset)
    ratio(case, *both(trace, "bit", N_BIT_IMAGES, n_threads, made))


def test_resnet20_pipelayer(ratio: Ratio, resnet20: tuple[Trace, str], n_threads: int) -> None:
    trace, what = resnet20
    case = named(f"resnet20_pipelayer:pipelayer_8bit, {what}", N_BIT_IMAGES, n_threads)
    made = make_machine("pipelayer", "pipelayer_8bit")
    ratio(case, *both(trace, "bit", N_BIT_IMAGES, n_threads, made))


@pytest.mark.parametrize(
    ("fidelity", "n_images"), [("bit", N_BIT_IMAGES), ("integer", N_INTEGER_IMAGES)]
)
def test_resnet20_rapidnn(
    ratio: Ratio, tables20: tuple[Trace, str], n_threads: int, fidelity: str, n_images: int
) -> None:
    trace, what = tables20
    case = named(f"resnet20_rapidnn_{fidelity}:{what}", n_images, n_threads)
    ratio(case, *both(trace, fidelity, n_images, n_threads, make_machine("rapidnn")))


@pytest.mark.parametrize("kind", ["ternary", "xnor"])
def test_resnet20_few_bits(ratio: Ratio, n_threads: int, kind: str) -> None:
    """Ternary weights in the whole network; signs in the convolutions that have them."""
    wide = synthetic_network("resnet20", n_samples=N_BIT_IMAGES)
    if kind == "ternary":
        sides = [ternary_resnet20(N_BIT_IMAGES)], [wide]
    else:
        sides = convolutions(binary_resnet20(N_BIT_IMAGES)), convolutions(wide)
    case = named(f"resnet20_{kind}:synthetic", N_BIT_IMAGES, n_threads)
    ours, twin = (runs(traces, n_threads) for traces in sides)
    ratio(case, ours, twin)


def test_resnet20_coalesced(ratio: Ratio, n_threads: int) -> None:
    """70 % of the lanes of every convolution but the first pruned, against none."""
    dense = synthetic_network("resnet20", n_samples=N_BIT_IMAGES)
    pruned = prune_trace(dense, LanePruning(share=0.7))[0]
    case = named("resnet20_coalesced:synthetic", N_BIT_IMAGES, n_threads)
    ratio(case, runs([pruned], n_threads, coalesce_layers="all"), runs([dense], n_threads))


def runs(traces: list[Trace], n_threads: int, **settings: Any) -> Callable[[], object]:
    """Yield a run of all samples of some networks on Bit Prudent, weights laid out."""
    machine = make_machine("bit_prudent", **settings)
    all_codes = [trace.samples.codes.read() for trace in traces]
    prepared = [machine.prepare(trace, jobs=n_threads) for trace in traces]

    def run() -> None:
        for network, codes in zip(prepared, all_codes, strict=True):
            deque(network.run_batch(codes), maxlen=0)

    return run


def test_resnet20_integer(ratio: Ratio, resnet20: tuple[Trace, str], n_threads: int) -> None:
    trace, what = resnet20
    case = named(f"resnet20_integer:{what}", N_INTEGER_IMAGES, n_threads)
    ratio(case, *both(trace, "integer", N_INTEGER_IMAGES, n_threads))


def test_alexnet_bit(ratio: Ratio, alexnet: Trace, n_threads: int) -> None:
    ratio(named("alexnet_bit:synthetic", 1, n_threads), *both(alexnet, "bit", 1, n_threads))
