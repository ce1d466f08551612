"""How often the winner of a search is not the nearest by difference: RA7.

On random numbers as the literature's simulation has them, and on the sums of real layers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bitpim import make_machine
from bitpim.lookup.encoding import Encoding, MatchRule
from bitpim.lookup.nearest_table import NearestTable
from bitpim.lookup.table_sums import SumRule, WeightedSums, channels_last
from bitpim.machine.registry import load_preset
from bitpim_traces.numbers.affine import code_dtype
from bitpim_traces.records import NETWORK_INPUT, LayerRecord, Trace

__all__ = ["GAUSSIANS", "Gaussian", "LayerMatches", "gaussian_rate", "gaussians", "layer_matches"]

N_QUERIES, N_CODEBOOKS = 4_000, 12
CODEBOOKS = ("samples", "quantiles")
SPREAD = 8.0
"""Standard deviations from the middle of the range to its ends: assumed, as it is not stated."""

GAUSSIANS: Sequence[tuple[int, int, str, int, float]] = (
    # bits, rows, mode, bits of a stage, per cent that papers' notes state
    (8, 16, "wxor", 8, 32.0),
    (8, 64, "wxor", 8, 17.0),
    (16, 16, "wxor", 8, 36.0),
    (16, 64, "wxor", 8, 35.0),
    (8, 16, "staged", 4, 17.5),
    (8, 64, "staged", 4, 5.8),
    (16, 16, "staged", 8, 7.5),
    (16, 64, "staged", 8, 18.5),
    (32, 64, "staged", 8, 19.0),
)


@dataclass(frozen=True, slots=True)
class Gaussian:
    """Winners among Gaussian numbers that are not the nearest, in per cent, and what is quoted.

    By codebooks that are samples of the numbers, and their quantiles.
    """

    bits: int
    rows: int
    mode: str
    stage_bits: int
    quoted: float
    samples: float
    quantiles: float


@dataclass(frozen=True, slots=True)
class LayerMatches:
    """Winners on the sums of one layer that are not the nearest, as shares of its searches.

    `by_mode` has a share for each mode, `apart` the mean distance between winner and nearest in
    codes, of searches whose winner is another.
    """

    layer: str
    searches: int
    by_mode: dict[str, float]
    apart: dict[str, float]


def gaussian_rate(bits: int, rows: int, mode: str, stage_bits: int, codebooks: str) -> float:
    """Return the share of searches whose winner is another row than the nearest, seeded.

    Queries are Gaussian numbers of `bits`, clipped to their range. `codebooks` are "samples" of
    them, or "quantiles", each in the middle of an equal share; the mean over some is taken.
    """
    sigma = 2.0 ** (bits - 1) / SPREAD
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    shares = []
    for seed in range(N_CODEBOOKS):
        drawn = np.random.default_rng(seed).standard_normal(rows + N_QUERIES) * sigma
        codes = np.clip(np.rint(drawn), low, high).astype(np.int64)
        taken, queries = codes[:rows], codes[rows:]
        if codebooks == "quantiles":
            taken = np.rint(np.quantile(drawn[rows:], (np.arange(rows) + 0.5) / rows))
        values = np.unique(taken.astype(np.int64))
        nearest = NearestTable(values, bits, "abs", stage_bits).find(queries).rows
        won = NearestTable(values, bits, mode, stage_bits).find(queries).rows
        shares.append(float(np.mean(won != nearest)))
    return float(np.mean(shares))


def gaussians() -> list[Gaussian]:
    """Return the rate of each of GAUSSIANS."""
    return [
        Gaussian(
            *(bits, rows, mode, stage, quoted),
            *(100 * gaussian_rate(bits, rows, mode, stage, kind) for kind in CODEBOOKS),
        )
        for bits, rows, mode, stage, quoted in GAUSSIANS
    ]


def layer_matches(
    trace: Trace, n_images: int, modes: Sequence[str] = ("wxor", "staged")
) -> list[LayerMatches]:
    """Compare winners on the sums of convolutions and linear layers; codes go on by difference."""
    settings = load_preset("rapidnn")
    stage_bits: int = settings.match.stage_bits
    sum_bits: int = settings.adder.sum_bits
    found = []
    for layer, sums in _sums_of_layers(trace, n_images, sum_bits):
        rules = {mode: MatchRule(mode, stage_bits) for mode in ("abs", *modes)}
        codes = {
            mode: Encoding(layer, rule, sum_bits).run(sums).codes.astype(np.int64)
            for mode, rule in rules.items()
        }
        apart = {mode: np.abs(codes[mode] - codes["abs"]) for mode in modes}
        found.append(
            LayerMatches(
                layer.name,
                sums.size,
                {mode: float(np.mean(d > 0)) for mode, d in apart.items()},
                {mode: float(d[d > 0].mean()) if d.any() else 0.0 for mode, d in apart.items()},
            )
        )
    return found


def _sums_of_layers(
    trace: Trace, n_images: int, sum_bits: int
) -> Iterator[tuple[LayerRecord, npt.NDArray[np.int64]]]:
    """Run the first images, nearest by difference, and yield the sums that layers search with."""
    made = make_machine("rapidnn", None, (f"adder.sum_bits={sum_bits}",))
    outputs = {NETWORK_INPUT: trace.samples.codes.read(0, n_images)}
    for run in made.prepare(trace, fidelity="integer").run_batch(outputs[NETWORK_INPUT]):
        outputs[run.index] = run.codes
    for layer in trace.layers:
        if layer.weight is None or layer.output.codebook is None:
            continue
        (source,) = trace.input_quantizations(layer)
        weighted = WeightedSums(layer, source, SumRule("binary", None, sum_bits), bit=False)
        inputs = channels_last(outputs[layer.inputs[0]], code_dtype(source))
        yield layer, weighted.run(inputs).values
