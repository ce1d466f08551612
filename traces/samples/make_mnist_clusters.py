"""Make v1.3/mnist_clusters.h5: v1.0/mnist_cnn.h5 with its weights in clusters. See README.md.

Run from the root: `python traces/samples/make_mnist_clusters.py [-o FILE]`. Weights and samples
are those in the older file, code by code; each rule that makes clusters is used once or more.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from bitpim import open_trace
from bitpim.proof.activations import channel_activations
from bitpim_traces import write_trace
from bitpim_traces.provenance import make_provenance
from bitpim_traces.quantize import Clustering, cluster_trace
from bitpim_traces.records import TensorRecord, Trace

__all__ = ["CLUSTERINGS", "SAMPLE", "SOURCE", "main", "trace"]

SOURCE = Path(__file__).with_name("v1.0") / "mnist_cnn.h5"
SAMPLE = Path(__file__).with_name("v1.3") / "mnist_clusters.h5"
N_SAMPLES = 4
CLUSTERINGS = (
    Clustering(2, "magnitude", "kmeans", ("conv1",)),
    Clustering(4, "layer_relative", "equal_importance", ("conv2", "conv3")),
    Clustering(8, "activation_aware", "equal_count", ("conv4",)),
)
"""The last layer has no clusters."""


def trace() -> Trace:
    """Return the trace; activations are those of the samples that are kept."""
    source = open_trace(SOURCE)
    old = source.provenance["sources"]
    sources = {
        "weights": f"weights of {SOURCE.name}: {old['weights']}",
        "samples": f"MNIST test images 0 to {N_SAMPLES - 1}, of {SOURCE.name}",
        "labels": old["labels"],
        "licence": old["licence"],
    }
    parameters = {"clusterings": [clustering.as_plain() for clustering in CLUSTERINGS]}
    made = _shortened(source)
    for clustering in CLUSTERINGS:
        aware = clustering.importance == "activation_aware"
        activations = channel_activations(made) if aware else None
        made, _ = cluster_trace(made, clustering, activations=activations)
    provenance = make_provenance("make_mnist_clusters", parameters, sources=sources)
    return replace(made, provenance=provenance)


def _shortened(source: Trace) -> Trace:
    """Keep the first samples."""
    old = source.samples
    layers = [replace(layer, output_float=_first(layer.output_float)) for layer in source.layers]
    samples = replace(old, codes=_first(old.codes), labels=_first(old.labels))
    return replace(source, layers=tuple(layers), samples=samples)


def _first(tensor: TensorRecord | None) -> TensorRecord:
    """Cut a tensor of all samples to those that are kept."""
    assert tensor is not None
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
