"""Tiles by trace, machine and layer: what runs before the layer, and what is not there."""

import numpy as np
import pytest

import bitpim
from bitpim.errors import ConfigError, MappingError
from bitpim.golden.recording import inputs_of, record_tile, tiles_of
from tests.fakes import RefereeMachine

NET = bitpim.open_trace(bitpim.sample_path())


@pytest.mark.parametrize("name", ["neural_cache", "isaac"])
def test_a_layer_gets_what_the_layers_before_make(name: str) -> None:
    machine = bitpim.make_machine(name)
    result = {}
    prepared = machine.prepare(NET, fidelity="bit")
    for run in prepared.run_batch(NET.samples.codes.read(3, 4)):
        result[run.index] = run.codes
    for layer in NET.layers:
        found = inputs_of(NET, machine, layer.index, 3)
        for index, codes in zip(layer.inputs, found, strict=True):
            expected = NET.samples.codes.read(3, 4) if index < 0 else result[index]
            assert np.array_equal(codes, expected)


def test_a_layer_is_named_or_numbered() -> None:
    machine = bitpim.make_machine("isaac")
    by_name, by_index = (record_tile(NET, machine, layer, 7) for layer in ("conv3", 3))
    assert by_name.program.provenance == by_index.program.provenance
    assert np.array_equal(by_name.sums, by_index.sums)
    share = by_name.program.layer
    assert share is not None
    assert share.sums.read().tolist() == by_name.sums.tolist()
    assert share.output_places.read().tolist() == by_name.places.tolist()
    assert by_name.program.provenance["told"] == tiles_of(NET, machine, "conv3")[7].told


@pytest.mark.parametrize("name", ["neural_cache", "isaac"])
def test_sums_are_those_of_the_sample(name: str) -> None:
    machine = bitpim.make_machine(name)
    first, other = (record_tile(NET, machine, "conv2", 0, sample=n) for n in (0, 5))
    assert set(first.places[:, 0].tolist()) == {0} and set(other.places[:, 0].tolist()) == {5}
    assert np.array_equal(first.places[:, 1:], other.places[:, 1:])
    share = other.program.layer
    assert share is not None
    assert share.output_places.read()[:, 0].tolist() == [5] * len(other.sums)
    assert not np.array_equal(first.sums, other.sums)


def test_lossy_converters_run_the_layers_before_bit_by_bit() -> None:
    machine = bitpim.make_machine("isaac", adc_bits=4)
    exact = bitpim.make_machine("isaac")
    lossy, whole = (inputs_of(NET, made, 1, 0)[0] for made in (machine, exact))
    assert not np.array_equal(lossy, whole)
    (run,) = [
        r for r in machine.prepare(NET).run_batch(NET.samples.codes.read(0, 1)) if not r.index
    ]
    assert np.array_equal(lossy, run.codes)


def test_a_machine_that_records_nothing_says_so() -> None:
    referee = RefereeMachine(None)
    with pytest.raises(ConfigError, match="records no tiles; take one of bitpim's own machines"):
        tiles_of(NET, referee, 0)
    with pytest.raises(MappingError, match="need a codebook"):
        tiles_of(NET, bitpim.make_machine("rapidnn"), 0)
    with pytest.raises(ConfigError, match="sample: need 0 to 31"):
        record_tile(NET, bitpim.make_machine("isaac"), 0, sample=32)
