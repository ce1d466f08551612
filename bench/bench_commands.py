"""Whole commands: peak memory of replays, the demo cold and warm, the time until help appears."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.whole_command import Run, bitpim, measure

Limit = Callable[[str, list[float]], float]

REPLAYS = (
    # (network, fidelity, samples): the replays of the real networks; memory follows the batch, so
    # four batches at integer fidelity stand for all images
    ("resnet20", "integer", 1024),
    ("resnet20", "bit", 32),
    ("resnet8", "integer", 1024),
    ("resnet8", "bit", 32),
    ("mobilenetv2", "integer", 64),
    ("mobilenetv2", "bit", 1),
    ("alexnet", "bit", 1),
)
SYNTHETIC = {"alexnet": "alexnet", "resnet20": "resnet20"}
"""Networks whose shapes synthetic traces have, for want of real ones or always."""


def made(network: str, n_samples: int, real: Path | None, folder: Path) -> tuple[Path, str]:
    """Write a trace and say what it is; in a process of its own, so this one stays small."""
    path = folder / f"{network}-{n_samples}.h5"
    if real is not None and network != "alexnet":
        command = [sys.executable, "-m", "bench.networks", network, "--real-data", str(real)]
        measure([*command, "--samples", str(n_samples), "-o", str(path)]).require_success()
        return path, "real"
    if network not in SYNTHETIC:
        pytest.skip("no real data: give --real-data FOLDER or set BITPIM_REAL_DATA")
    command = bitpim("trace", "synth", SYNTHETIC[network], "--samples", str(n_samples))
    measure([*command, "-o", str(path)]).require_success()
    return path, "synthetic"


@pytest.mark.parametrize(("network", "fidelity", "n_samples"), REPLAYS)
def test_peak_memory(
    limit: Limit,
    real_folder: Path | None,
    tmp_path: Path,
    network: str,
    fidelity: str,
    n_samples: int,
) -> None:
    trace, what = made(network, n_samples, real_folder, tmp_path)
    command = bitpim("replay", str(trace), "--machine", "neural_cache", "--fidelity", fidelity)
    run = measure([*command, "-o", str(tmp_path / "result.h5")]).require_success()
    images = f"{n_samples} images" if n_samples > 1 else "1 image"
    limit(f"peak_memory:{what} {network}, {fidelity}, {images}", [run.peak_bytes / 2**20])


def test_peak_memory_of_spikes(limit: Limit, real_folder: Path | None, tmp_path: Path) -> None:
    trace, what = made("resnet20", 256, real_folder, tmp_path)
    for fidelity in ("bit", "integer"):
        command = bitpim("replay", str(trace), "--machine", "pipelayer", "--fidelity", fidelity)
        run = measure([*command, "-o", str(tmp_path / f"{fidelity}.h5")]).require_success()
        limit(f"peak_memory_pipelayer:{what} resnet20, {fidelity}", [run.peak_bytes / 2**20])


def test_peak_memory_of_tables(limit: Limit, real_folder: Path | None, tmp_path: Path) -> None:
    """Make codebooks of 1,000 samples, and replay some of these."""
    trace, what = made("resnet20", 1000, real_folder, tmp_path)
    tables = str(tmp_path / "tables.h5")
    run = measure([*bitpim("trace", "codebooks", str(trace)), "-o", tables]).require_success()
    limit(f"codebooks:{what} resnet20", [run.seconds])
    for fidelity in ("bit", "integer"):
        command = bitpim("replay", tables, "--machine", "rapidnn", "--fidelity", fidelity)
        command += ["--samples", ":256", "-o", str(tmp_path / f"{fidelity}.h5")]
        done = measure(command).require_success()
        limit(f"peak_memory_rapidnn:{what} resnet20, {fidelity}", [done.peak_bytes / 2**20])


def run_demo(environment: dict[str, str]) -> Run:
    done = measure(bitpim("demo"), environment=environment)
    if "neither in a checkout nor installed" in done.stderr:
        pytest.skip("the shipped trace is not there yet")
    return done.require_success()


def test_demo(limit: Limit, tmp_path: Path) -> None:
    """Run the demo with an empty kernel cache, then three times with the cache that made."""
    environment = {"BITPIM_CACHE_DIR": str(tmp_path)}
    cold = run_demo(environment)
    assert "compiling kernels" in cold.stderr
    limit("demo_cold", [cold.seconds])
    limit("peak_memory:demo, cold", [cold.peak_bytes / 2**20])
    warm = [run_demo(environment) for _ in range(3)]
    assert not any("compiling" in run.stderr for run in warm)
    limit("demo_warm", [run.seconds for run in warm])


def test_help(limit: Limit) -> None:
    runs = [measure(bitpim("--help")).require_success() for _ in range(12)][2:]
    assert "replay" in runs[0].stdout
    limit("help", [run.seconds for run in runs])
