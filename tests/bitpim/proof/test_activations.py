"""Activations of input channels: sums over what the referee makes, in any batch."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bitpim.errors import ConfigError
from bitpim.proof import activations
from bitpim.proof.activations import channel_activations
from bitpim.proof.reference import run_network
from bitpim_traces.records import NETWORK_INPUT, Trace
from tests.codebook_traces import codebook_trace
from tests.strategies import small_trace

KINDS = ["conv2d", "max_pool2d", "conv2d", "flatten", "linear"]
N = 5


def written_out(trace: Trace) -> dict[str, list[int]]:
    """Add up magnitudes, value by value."""
    codes: dict[int, Any] = run_network(trace, trace.samples.codes.read(), keep="all")
    codes[NETWORK_INPUT] = trace.samples.codes.read()
    found = {}
    for layer in trace.layers:
        if layer.weight is None:
            continue
        source = trace.quantization_of(layer.inputs[0])
        book = source.codebook
        values = codes[layer.inputs[0]]
        found[layer.name] = [
            sum(
                abs(int(code) - int(source.zero_point[0]) if book is None else book.values[code])
                for code in values[:, channel].reshape(-1).tolist()
            )
            for channel in range(values.shape[1])
        ]
    return found


@pytest.mark.parametrize("batch", [1, 2, 256])
@pytest.mark.parametrize(
    "make",
    [
        lambda: small_trace(9, kinds=KINDS, n_samples=N),
        lambda: small_trace(4, kinds=KINDS, n_samples=N),
        lambda: codebook_trace(2, n_samples=N, n_layers=4),
    ],
    ids=["affine", "others", "codebooks"],
)
def test_sums_are_those_of_the_referees_codes(
    make: Callable[[], Trace], batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activations, "batch_size", lambda *_: batch)
    trace, told = make(), []
    found = channel_activations(trace, progress=lambda *a: told.append(a))
    assert {name: sums.tolist() for name, sums in found.items()} == written_out(trace)
    assert all(sums.dtype == np.int64 for sums in found.values())
    assert told == [(min(n + batch, N), N) for n in range(0, N, batch)]


def test_samples_are_needed_and_so_is_room() -> None:
    trace = small_trace(9, kinds=KINDS, n_samples=0)
    with pytest.raises(ConfigError, match="need samples to measure activations on, got none"):
        channel_activations(trace)
    some = small_trace(9, kinds=KINDS, n_samples=1)
    with pytest.raises(ConfigError, match="GiB"):
        channel_activations(replace(some), memory_gib=1e-9)
