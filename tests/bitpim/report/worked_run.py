"""A run whose every figure is worked out here, by hand.

Five samples, 3 to 7, in batches of 3 and 2. What one sample takes, phase by phase:

    layer   phase   cycles   act   adc   sure        energy of 5 samples in pJ
    conv    load        10     4                     5 x 4 x 3               =  60
    conv    mac         30     6     2               5 x (6 x 3 + 2 x 10.5)  = 195
    fc      mac         60           8               5 x 8 x 10.5            = 420
    fc      out        100                20         5 x 20 x 0.6            =  60

An act costs 3 pJ (recalled), an adc 10.5 pJ (assumed), a sure 0.6 pJ (found). The clock is 2 GHz.

    phases   load 50 cycles (5 %), mac 450 (45 %), out 500 (50 %): 1,000 cycles, 500 ns
             load 60 pJ, mac 615 pJ, out 60 pJ: 735 pJ, 147 pJ a sample
    layers   conv 200 cycles, 255 pJ; fc 800 cycles, 480 pJ
    prices   act 150 pJ, adc 525 pJ, sure 60 pJ

Loading and writing out stream. Beside computing, conv takes max(50, 150) and fc max(500, 300).
"""

from pathlib import Path
from typing import Any

import numpy as np

from bitpim.cost.tables import Price, PriceTable
from bitpim.legend import Headline, Legend
from bitpim.report.figures import ErrorFigures
from bitpim.report.result_file import LayerBatch, ResultWriter, RunHeader, digest_samples

__all__ = ["price_table", "write_run"]

ONE_SAMPLE = {
    0: {"load": {"cycles": 10, "act": 4}, "mac": {"cycles": 30, "act": 6, "adc": 2}},
    1: {"mac": {"cycles": 60, "adc": 8}, "out": {"cycles": 100, "sure": 20}},
}
PLAN: list[dict[str, Any]] = [
    {"index": 0, "name": "conv", "kind": "conv2d", "arrays": 3, "passes": 2, "utilization": 0.25},
    {"index": 1, "name": "fc", "kind": "linear", "arrays": 1, "passes": 1, "utilization": 0.625},
]
HEADER = RunHeader("net", "00ff", "neural_cache", "[preset]\nname = 'p'\n", "bit", 3, 8)
FIGURES = ErrorFigures((), n_compared=2, top1_agreement=0.5, n_labelled=5, accuracy=0.4)


def price_table(name: str = "t", act: float = 3.0) -> PriceTable:
    known = {"act": (act, "recalled"), "adc": (10.5, "assumed"), "sure": (0.6, "found")}
    prices = [
        Price(
            event=event,
            energy_pj=energy_pj,
            per="one",
            technology="22 nm",
            source="me",
            confidence=confidence,  # type: ignore[arg-type]
        )
        for event, (energy_pj, confidence) in known.items()
    ]
    return PriceTable(name=name, technology="22 nm", prices=tuple(prices))


def write_run(
    path: Path, prices: PriceTable | None = None, *, overlaps: bool = False, priced: bool = True
) -> Path:
    """Write the run to a file, its batches the later one first."""
    streaming = ("load", "out")
    headlines = (Headline("of all", ("adc",), ("act", "adc"), "share"),)
    legend = Legend(2.0, streaming, overlaps=overlaps, headlines=headlines)
    with ResultWriter(path, HEADER) as writer:
        for start, stop in ((6, 8), (3, 6)):
            n = stop - start
            codes = np.arange(3 * n, dtype=np.int8).reshape(n, 3) + np.int8(start)
            layers = {
                index: LayerBatch(
                    digest_samples(codes),
                    {p: {e: n * k for e, k in events.items()} for p, events in phases.items()},
                )
                for index, phases in ONE_SAMPLE.items()
            }
            writer.add_batch(start, stop, layers, codes)
        table = (prices or price_table()) if priced else None
        return writer.finish(PLAN, table, FIGURES, legend)
