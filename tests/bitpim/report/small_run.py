"""A made-up run of seven samples and three layers, in any cut into batches."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim.cost.tables import PriceTable, parse_prices
from bitpim.legend import Headline, Legend
from bitpim.report.figures import ErrorFigures, LayerFigures
from bitpim.report.result_file import LayerBatch, ResultWriter, RunHeader, digest_samples

START, STOP = 2, 9
CUTS = ((2, 4), (4, 5), (5, 9))
HEADER = RunHeader(
    trace_name="net",
    trace_digest="00ff",
    machine="neural_cache",
    preset="[preset]\nname = 'p'\n",
    fidelity="bit",
    start=START,
    stop=STOP,
    software="bitpim 0",
    options={"layers": "all"},
    provenance={"python": "3", "tags": [1, None]},
)
PRICES: PriceTable = parse_prices(
    '[table]\nname = "t"\ntechnology = "22 nm"\n'
    '[prices.act]\nenergy_pj = 2.5\nper = "one"\ntechnology = "22 nm"\nsource = "me"\n'
    'confidence = "assumed"\n'
)
LEGEND = Legend(
    2.5,
    streaming=("load",),
    headlines=(
        Headline("acts", ("act",)),
        Headline("of all", ("act",), ("a*",), "share"),
    ),
)
TABLE: list[dict[str, Any]] = [
    {
        "index": index,
        "name": name,
        "kind": kind,
        "arrays": 10 * index,
        "utilization": 0.5,
        "cycles": {"mac": 1},
    }
    for index, name, kind in (
        (0, "conv1", "conv2d"),
        (1, "pool", "max_pool2d"),
        (2, "fc", "linear"),
    )
]
FIGURES = ErrorFigures((LayerFigures(0, "conv1", 2, 0.25, 0.125, float("inf")),), 2, 0.5, 7, 6 / 7)
FINAL: npt.NDArray[np.int8] = np.random.default_rng(5).integers(-128, 128, (9, 10)).astype(np.int8)
N_REFERENCES = 4  # samples with a float reference, from 0


def layers_of(start: int, stop: int) -> dict[int, LayerBatch]:
    n = stop - start
    rows = np.arange(30.0).reshape(10, 3)[start : min(stop, N_REFERENCES)] / 7
    counts = {
        0: {"load": {"cycles": n}, "mac": {"cycles": 10 * n, "act": 3 * n}},
        1: {"pool": {"cycles": 2 * n, "act": 2**40 * n}},
        2: {"mac": {"cycles": 0, "act": 0}},
    }
    return {
        index: LayerBatch(
            digest_samples(FINAL[start:stop] + np.int16(index)),
            counts[index],
            *([rows] if index == 0 else []),
        )
        for index in counts
    }


def add_missing(writer: ResultWriter, cuts: Iterable[tuple[int, int]] = CUTS) -> None:
    for start, stop in cuts:
        if start not in writer.completed:
            writer.add_batch(start, stop, layers_of(start, stop), FINAL[start:stop])


def run(
    path: Path,
    cuts: Iterable[tuple[int, int]] = CUTS,
    *,
    resume: bool = False,
    overwrite: bool = False,
    priced: bool = True,
    **changed: Any,
) -> bytes:
    """Make the whole result and return the bytes of its file."""
    header = replace(HEADER, **changed)
    with ResultWriter(path, header, resume=resume, overwrite=overwrite) as writer:
        if not writer.is_finished:
            add_missing(writer, cuts)
        writer.finish(TABLE, PRICES if priced else None, FIGURES, LEGEND)
    return path.read_bytes()
