"""What a tile takes of its layer's inputs and computes of its outputs, place by place."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim.recorded import RecordedTile
from bitpim_traces.program_trace.records import LayerShare, ProgramTrace
from bitpim_traces.records import TensorRecord

__all__ = ["LAYER_ENTRIES", "PLACES", "layer_arrays", "share_of"]

Codes = npt.NDArray[np.integer[Any]]
Places = npt.NDArray[np.int32]

PLACES = {"inputs": "input_places", "sums": "output_places", "outputs": "output_places"}
"""Entries of a layer that hold numbers, and which holds their places."""

LAYER_ENTRIES = ("input_places", "inputs", "output_places", "sums", "outputs")
"""All entries of a layer, in their order."""


def share_of(
    tile: RecordedTile, inputs: Sequence[Codes], outputs: Codes, first_sample: int = 0
) -> LayerShare:
    """Return the share that a tile has of a layer for some samples.

    Parameters
    ----------
    tile : as a machine recorded it; its places count samples from 0
    inputs, outputs : of the layer for these samples, batch axis first
    first_sample : number of the first of them
    """
    places, codes = _inputs(tile.seen, inputs)
    places[:, 1] += first_sample
    made = outputs[tuple(tile.places.T)]
    at = tile.places + np.eye(1, tile.places.shape[1], dtype=np.int64) * first_sample
    return LayerShare(
        _tensor(places.astype(np.int32)),
        _tensor(codes),
        _tensor(at.astype(np.int32)),
        _tensor(tile.sums.astype(np.int64)),
        _tensor(made),
    )


def _inputs(
    seen: npt.NDArray[np.int64], inputs: Sequence[Codes]
) -> tuple[npt.NDArray[np.int64], Codes]:
    """Return input, sample and coordinate of the elements that are seen, and their codes."""
    n_samples, rank = len(inputs[0]), max(codes.ndim for codes in inputs)
    edges = np.cumsum([0, *(codes[0].size for codes in inputs)])
    places, found = [np.zeros((0, rank + 1), np.int64)], [inputs[0].reshape(-1)[:0]]
    for number, codes in enumerate(inputs):
        mine = seen[(edges[number] <= seen) & (seen < edges[number + 1])] - edges[number]
        at = np.stack(np.unravel_index(mine, codes.shape[1:]), axis=1)
        for sample in range(n_samples):
            part = np.zeros((len(mine), rank + 1), np.int64)
            part[:, 0], part[:, 1], part[:, 2 : codes.ndim + 1] = number, sample, at
            places.append(part)
            found.append(codes[sample].reshape(-1)[mine])
    return np.concatenate(places), np.concatenate(found)


def layer_arrays(program: ProgramTrace) -> dict[str, npt.NDArray[Any]]:
    """Return what a program says of its layer, by `LAYER_ENTRIES`; nothing where it is no tile.

    Files of 1.0 say it in their provenance, of outputs alone.
    """
    if program.layer is not None:
        held = {name: getattr(program.layer, name) for name in LAYER_ENTRIES}
        return {name: tensor.read() for name, tensor in held.items() if tensor is not None}
    found = program.provenance.get("sums")
    if not isinstance(found, list) or not found:
        return {}
    try:
        table = np.array(found, np.int64)
        places = table[:, :-1].astype(np.int32)
    except (ValueError, TypeError, OverflowError, IndexError):
        return {}
    is_table = table.ndim == 2 and table.shape[1] > 1 and np.array_equal(places, table[:, :-1])
    return {"output_places": places, "sums": table[:, -1]} if is_table else {}


def _tensor(values: npt.NDArray[Any]) -> TensorRecord:
    return TensorRecord.of(np.ascontiguousarray(values), axes="", role="", units="1")
