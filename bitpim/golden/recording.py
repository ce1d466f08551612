"""A tile of a layer, executed literally on its array by a machine, as a program trace."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bitpim.config import PresetLabel, to_toml
from bitpim.errors import ConfigError
from bitpim.golden.layer_shares import share_of
from bitpim.machine.machine import Codes, Machine, Recorder, losses_on, recorder_of
from bitpim.recorded import RecordedTile, TileName, need_tile
from bitpim.selection import chosen_layers
from bitpim_traces.provenance import version_of
from bitpim_traces.records import NETWORK_INPUT, Trace

__all__ = ["inputs_of", "record_tile", "recorder_told", "tiles_of"]


def tiles_of(trace: Trace, machine: Machine, layer: int | str) -> Sequence[TileName]:
    """Return the tiles of a layer for one sample.

    Raises
    ------
    ConfigError
        No such layer, or the machine records none of its kind.
    MappingError
        The network does not fit the machine.
    """
    return _recorder(trace, machine, layer)[1].tiles()


def record_tile(
    trace: Trace,
    machine: Machine,
    layer: int | str,
    tile: int = 0,
    *,
    sample: int = 0,
    after: str = "end",
) -> RecordedTile:
    """Execute one tile of a layer on its array, step by step, and write down all that happens.

    The layers before run as they do in a replay.

    Parameters
    ----------
    layer : name or index
    tile : its number in `tiles_of`
    sample : which of the trace's samples runs
    after : after which steps the state is kept: "end", "marks" or "every"

    Raises
    ------
    ConfigError
        No such layer, tile or sample, or the machine records none of its kind.
    MappingError
        The network does not fit the machine.
    """
    if not 0 <= sample < trace.n_samples:
        raise ConfigError(
            f"sample: need 0 to {trace.n_samples - 1} of trace {trace.name!r}, got {sample}"
        )
    index, recorder = _recorder(trace, machine, layer)
    tiles = recorder.tiles()
    need_tile(f"layer {trace.layers[index].name!r}", tile, len(tiles))
    inputs, outputs = _codes_of(trace, machine, index, sample)
    recorded = recorder.record(tile, inputs, after=after)
    share = share_of(recorded, inputs, outputs, sample)
    provenance = {
        **recorded.program.provenance,
        **recorder_told(machine),
        "trace": trace.name,
        "trace_digest": trace.digest,
        "layer": trace.layers[index].name,
        "layer_index": index,
        "tile": tile,
        "told": tiles[tile].told,
        "sample": sample,
        "sums_are_whole": recorded.is_whole,
    }
    name = f"{trace.layers[index].name}, tile {tile} on {machine.name}"
    program = replace(recorded.program, name=name, layer=share, provenance=provenance)
    return replace(recorded, program=program, places=share.output_places.read().astype(np.int64))


def recorder_told(machine: Machine) -> dict[str, str]:
    """Return what the provenance of a recorded program says of who recorded it."""
    return {
        "software": f"bitpim {version_of('bitpim')}",
        "machine": machine.name,
        "preset": str(PresetLabel.of(machine.settings)),
        "settings": to_toml(machine.settings),
    }


def inputs_of(trace: Trace, machine: Machine, index: int, sample: int) -> list[Codes]:
    """Return the codes that a layer gets for one sample, each (1, ...), as the machine makes them.

    Exact arithmetic makes the same codes as arrays do where nothing is lost.
    """
    return _codes_of(trace, machine, index, sample)[0]


def _codes_of(trace: Trace, machine: Machine, index: int, sample: int) -> tuple[list[Codes], Codes]:
    """Return the codes that a layer gets for one sample, and those that it makes of them."""
    codes = trace.samples.codes.read(sample, sample + 1)
    wanted = trace.layers[index].inputs
    found: dict[int, Codes] = {NETWORK_INPUT: codes}
    fidelity = "integer" if losses_on(machine, trace) is None else "bit"
    for run in machine.prepare(trace, fidelity=fidelity).run_batch(codes):
        if run.index in (*wanted, index):
            found[run.index] = run.codes
        if run.index == index:
            break
    return [found[i] for i in wanted], found[index]


def _recorder(trace: Trace, machine: Machine, layer: int | str) -> tuple[int, Recorder]:
    chosen = chosen_layers(trace, [layer])
    if len(chosen) != 1:
        raise ConfigError(f"layer: need one layer, got {len(chosen)} by {layer!r}")
    return chosen[0], recorder_of(machine, trace, chosen[0])
