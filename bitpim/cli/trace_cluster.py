"""`bitpim trace cluster`: the weights of a trace put into clusters by importance."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bitpim.cli.options import Json, Overwrite, opened_trace
from bitpim.cli.progress import counted, say_when_compiling
from bitpim.cli.trace_make import Output, need_another, waiting, write_and_say
from bitpim.report.text import columns

if TYPE_CHECKING:
    from bitpim_traces.quantize import ClusteredLayer, Clustering
    from bitpim_traces.records import Trace

__all__ = ["cluster"]

Source = Annotated[
    str, typer.Argument(metavar="IN", help="Trace to cluster, or - for standard input.")
]


def cluster(
    source: Source,
    output: Output,
    clusters: Annotated[int, typer.Option(help="Clusters of each layer, 2 to 8.")] = 4,
    importance: Annotated[
        str,
        typer.Option(
            help="What ranks weights: magnitude, layer_relative (over all layers) or"
            " activation_aware (runs all samples in exact integers)."
        ),
    ] = "magnitude",
    boundaries: Annotated[
        str, typer.Option(help="Where clusters end: equal_count, equal_importance or kmeans.")
    ] = "equal_count",
    layer: Annotated[
        list[str] | None,
        typer.Option(
            "--layer",
            metavar="LAYERS",
            help="A layer with weights, or a pattern of names; all of them where none is given. May"
            " be repeated.",
        ),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Make clusters that the trace has anew.")
    ] = False,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Put the weights inside a trace into clusters, the most important first; none changes.

    Weights that are 0 are in the last cluster and take no part in the choice of boundaries.
    """
    from bitpim_traces.errors import TraceDataError
    from bitpim_traces.quantize import Clustering, cluster_trace

    try:
        clustering = Clustering(clusters, importance, boundaries, tuple(layer or ()))
    except TraceDataError as error:
        raise typer.BadParameter(str(error).removeprefix("clusters: ")) from error
    need_another(source, output, overwrite)
    with opened_trace(source) as trace:
        activations = _activations(trace, clustering)
        with waiting(f"clustering {trace.name}"):
            made, reports = cluster_trace(trace, clustering, activations=activations, again=replace)
        described = [_described(report) for report in reports]
        write_and_say(
            made,
            output,
            overwrite,
            json=json,
            notes=[_table(described)],
            more={"clusters": described},
        )


def _activations(trace: "Trace", clustering: "Clustering") -> dict[str, Any] | None:
    """Run the samples where activations count."""
    from bitpim.proof.activations import channel_activations
    from bitpim.threads import available_threads

    if clustering.importance != "activation_aware":
        return None
    say_when_compiling()
    with counted(f"running {trace.name}") as progress:
        return dict(channel_activations(trace, jobs=available_threads(), progress=progress))


def _described(report: "ClusteredLayer") -> dict[str, Any]:
    """Describe the clusters of a layer in plain values; text and JSON say the same."""
    return {
        "layer": report.name,
        "n_weights": list(report.sizes),
        "importance": list(report.shares),
    }


def _table(described: Sequence[Mapping[str, Any]]) -> str:
    """Write weights of each cluster, and its share of the layer's importance."""
    n_clusters = len(described[0]["n_weights"])
    head = ("layer", *(f"cluster {k}" for k in range(n_clusters)))
    rows = [
        (
            layer["layer"],
            *(
                f"{n:,} ({share:.1%})"
                for n, share in zip(layer["n_weights"], layer["importance"], strict=True)
            ),
        )
        for layer in described
    ]
    return columns(head, rows)
