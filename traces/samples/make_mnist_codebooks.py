"""Make v1.2/mnist_codebooks.h5: the network of v1.0/mnist_cnn.h5 as lookup tables. See README.md.

Run from the root: `python traces/samples/make_mnist_codebooks.py [-o FILE]`. Weights and samples
are those in the older file; nothing is trained, nothing random but which samples are looked at.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from bitpim import open_trace
from bitpim_traces import write_trace
from bitpim_traces.quantize import CodebookSettings, codebooks_of_trace
from bitpim_traces.records import TensorRecord, Trace

__all__ = ["SAMPLE", "SETTINGS", "SOURCE", "main", "trace"]

SOURCE = Path(__file__).with_name("v1.0") / "mnist_cnn.h5"
SAMPLE = Path(__file__).with_name("v1.2") / "mnist_codebooks.h5"
N_SAMPLES = 16
SETTINGS = CodebookSettings(
    weight_codes=16, input_codes=16, value_bits=16, reference_samples=N_SAMPLES
)


def trace() -> Trace:
    """Return the trace: codebooks of all samples of the older one, of which the first are kept."""
    made = codebooks_of_trace(open_trace(SOURCE), SETTINGS)
    old = made.provenance["quantized_from"]["provenance"]["sources"]
    sources = {
        "weights": f"float weights of {SOURCE.name}: {old['weights']}",
        "samples": f"MNIST test images 0 to {N_SAMPLES - 1}, of {SOURCE.name}",
        "labels": old["labels"],
        "licence": old["licence"],
    }
    last, samples = made.layers[-1], made.samples
    assert last.output_float is not None and samples.labels is not None
    layers = (*made.layers[:-1], replace(last, output_float=_first(last.output_float)))
    samples = replace(samples, codes=_first(samples.codes), labels=_first(samples.labels))
    provenance = {**made.provenance, "sources": sources, "seed": SETTINGS.seed}
    return replace(made, layers=layers, samples=samples, provenance=provenance)


def _first(tensor: TensorRecord) -> TensorRecord:
    """Cut a tensor to the samples that are kept."""
    values = tensor.read(0, N_SAMPLES)
    return TensorRecord.of(values, axes=tensor.axes, role=tensor.role, units=tensor.units)


def main() -> None:
    """Write the file, and say its digest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=SAMPLE)
    output = parser.parse_args().output
    output.parent.mkdir(parents=True, exist_ok=True)
    digest = write_trace(trace(), output)
    sys.stdout.write(f"{output}: {output.stat().st_size:,} bytes, digest {digest}\n")


if __name__ == "__main__":
    main()
