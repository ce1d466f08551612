"""Samples and layers as people type them and scripts say them."""

from dataclasses import replace

import pytest

from bitpim.errors import ConfigError
from bitpim.selection import parse_layers, parse_samples, sample_range
from bitpim_traces.records import TensorRecord
from tests.strategies import small_trace


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0:16", slice(0, 16)),
        (":4", slice(None, 4)),
        ("3:", slice(3, None)),
        (":", slice(None, None)),
        ("7", slice(7, 8)),
        (" 1 : 2 ", slice(1, 2)),
    ],
)
def test_samples_as_a_user_writes_them(text: str, expected: slice) -> None:
    assert parse_samples(text) == expected


@pytest.mark.parametrize("text", ["", " ", "a", "1:2:3", "-1:2", "1,2", "٣:4", "1-2"])
def test_samples_that_are_none(text: str) -> None:
    with pytest.raises(ConfigError, match="START:STOP"):
        parse_samples(text)


@pytest.mark.parametrize(
    "samples", [slice(0, 0), slice(3, 2), slice(0, 9), slice(8, None), slice(0, 4, 2), slice(-2, 3)]
)
def test_samples_the_trace_lacks(samples: slice) -> None:
    with pytest.raises(ConfigError, match="need 0 <= start < stop <= 8"):
        sample_range(small_trace(1, n_samples=8), samples)


def test_a_trace_without_samples_has_none_to_run() -> None:
    trace = small_trace(1, n_samples=1)
    none = TensorRecord.of(trace.samples.codes.read()[:0], axes="NCHW", role="codes")
    empty = replace(trace, samples=replace(trace.samples, codes=none, labels=None))
    with pytest.raises(ConfigError, match="need a trace with samples to run"):
        sample_range(empty, slice(None))


def test_layers_as_a_user_writes_them() -> None:
    trace = small_trace(1, n_layers=6)
    name = trace.layers[2].name
    assert parse_layers(trace, f"{name},0,4:") == (0, 2, 4, 5)
    assert parse_layers(trace, ":2") == (0, 1)
    for wrong in ("", "6", "9:", "-1", f"{name}x"):
        with pytest.raises(ConfigError):
            parse_layers(trace, wrong)
    with pytest.raises(ConfigError, match=f"did you mean '{name}'"):
        parse_layers(trace, f"{name}x")


def test_a_number_that_names_one_layer_and_counts_another_is_refused() -> None:
    trace = small_trace(1, n_layers=4)  # torch.nn.Sequential names its layers by numbers
    layers = tuple(replace(layer, name=str(layer.index + 1)) for layer in trace.layers)
    trace = replace(trace, layers=layers)
    with pytest.raises(ConfigError, match=r"'2' is the name of layer 1 .* write 1:2 or 2:3"):
        parse_layers(trace, "2")
    assert parse_layers(trace, "1:2,4") == (1, 3)
