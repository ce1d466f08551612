"""`bitpim trace`: look into a trace file, and check one."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bitpim.cli.options import Json, opened_trace
from bitpim.cli.pruning import described_mask, mask_text
from bitpim.report.text import columns, printable, share

if TYPE_CHECKING:
    from bitpim_traces.records import LayerRecord, Quantization, Trace

__all__ = ["app"]

EXIT_FAULTS = 3

app = typer.Typer(help="Look into, check and make trace files.", no_args_is_help=True)

TracePath = Annotated[Path, typer.Argument(metavar="TRACE", help="Trace file (.h5).")]


@app.command()
def info(
    trace: Annotated[
        str, typer.Argument(metavar="TRACE", help="Trace file (.h5), or - for standard input.")
    ],
    as_json: Json = False,
) -> None:
    """Show layers, samples and provenance of a trace."""
    with opened_trace(trace) as opened:
        content = _described(opened)
    if as_json:
        typer.echo(json.dumps(content, indent=2))
    else:
        _print_described(content)


@app.command()
def check(
    trace: TracePath,
    deep: Annotated[
        bool, typer.Option("--deep", help="Also read all values: checksums, ranges, overflows.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List every fault of a trace; exit code 3 if there is one."""
    from bitpim_traces import check_trace

    faults = check_trace(trace, deep=deep)
    if as_json:
        listed = [{"where": f.where, "need": f.need, "got": f.got, "sort": f.sort} for f in faults]
        typer.echo(json.dumps({"file": str(trace), "deep": deep, "faults": listed}, indent=2))
    else:
        for fault in faults:
            typer.echo(printable(str(fault)))
        depth = "structure and values" if deep else "structure"
        number = f"{len(faults)} fault{'' if len(faults) == 1 else 's'}"
        typer.echo(f"{trace}: {number if faults else f'{depth} in order'}")
    if faults:
        raise typer.Exit(EXIT_FAULTS)


def _described(trace: "Trace") -> dict[str, Any]:
    """Describe a trace in plain values; texts and JSON print the same ones."""
    from bitpim.report.figures import float_accuracy

    samples = trace.samples
    layers = [_layer(layer) for layer in trace.layers]
    n_labelled, accuracy = float_accuracy(trace)
    return {
        "name": trace.name,
        "digest": trace.digest,
        "n_layers": len(layers),
        "n_macs": sum(layer["n_macs"] for layer in layers),
        "n_weights": sum(layer["n_weights"] for layer in layers),
        "samples": {
            "n_samples": trace.n_samples,
            "shape": list(samples.codes.shape[1:]),
            "codes": _codes(samples.quantization),
            "scale": float(samples.quantization.scale[0]),
            "zero_point": int(samples.quantization.zero_point[0]),
            "codebook": _codebook(samples.quantization),
            "labels": samples.labels is not None,
            "dataset": samples.dataset,
            "n_float_labelled": n_labelled,
            "float_accuracy": accuracy,
        },
        "layers": layers,
        "provenance": trace.provenance,
    }


def _layer(layer: "LayerRecord") -> dict[str, Any]:
    weight = layer.weight
    reference = layer.output_float
    return {
        "index": layer.index,
        "name": layer.name,
        "kind": layer.kind,
        "activation": layer.activation,
        "inputs": list(layer.inputs),
        "input_shapes": [list(shape) for shape in layer.input_shapes],
        "output_shape": list(layer.output_shape),
        "weight_shape": None if weight is None else list(weight.shape),
        "weight_codes": None
        if layer.weight_quantization is None
        else _codes(layer.weight_quantization),
        "output_codes": _codes(layer.output),
        "weight_codebook": _codebook(layer.weight_quantization),
        "output_codebook": _codebook(layer.output),
        "product_table": _product_table(layer),
        "accumulator_bits": layer.accumulator_bits,
        "requantize": None if layer.requantize is None else layer.requantize.mode,
        "n_weights": 0 if weight is None else math.prod(weight.shape),
        "n_macs": _n_macs(layer),
        "mask": described_mask(layer),
        "clusters": _clusters(layer),
        "n_float_samples": 0 if reference is None else reference.shape[0],
    }


def _n_macs(layer: "LayerRecord") -> int:
    """Count the multiply-accumulates of one sample."""
    if layer.weight is None:
        return 0
    return math.prod(layer.weight.shape) * math.prod(layer.output_shape[1:])


def _codes(quantization: "Quantization") -> str:
    """Name a quantization in short: `u8`, `s4 per channel`, `64 of Q3.13`."""
    if quantization.codebook is not None:
        return f"{quantization.codebook.n_codes} of {quantization.codebook.q_format}"
    channels = "" if quantization.axis is None else " per channel"
    sort = f"{'s' if quantization.signed else 'u'}{quantization.bits}"
    return f"{'±1' if quantization.binary else sort}{channels}"


def _codebook(quantization: "Quantization | None") -> dict[str, Any] | None:
    """Describe a codebook, if there is one."""
    codebook = None if quantization is None else quantization.codebook
    if codebook is None:
        return None
    return {
        "n_codes": codebook.n_codes,
        "q_format": codebook.q_format,
        "value_bits": codebook.value_bits,
        "fraction_bits": codebook.fraction_bits,
        "n_levels": 0 if codebook.levels is None else len(codebook.levels),
    }


def _clusters(layer: "LayerRecord") -> dict[str, Any] | None:
    """Describe the clusters of a layer's weights, if there are any."""
    clusters = layer.clusters
    if clusters is None:
        return None
    return {
        "count": clusters.count,
        "importance": clusters.importance,
        "boundaries": clusters.boundaries,
    }


def _product_table(layer: "LayerRecord") -> dict[str, Any] | None:
    """Describe the products of a layer, if it has any."""
    table = layer.product_table
    if table is None:
        return None
    return {
        "shape": list(table.products.shape),
        "bits": table.bits,
        "fraction_bits": table.fraction_bits,
        "n_points": 0 if table.points is None else len(table.points),
    }


def _print_described(content: dict[str, Any]) -> None:
    samples, layers = content["samples"], content["layers"]
    plural, plural_layers = ("s" * (n != 1) for n in (samples["n_samples"], content["n_layers"]))
    lines = [
        f"{content['name']}  {content['digest'][:16]}",
        f"{content['n_layers']} layer{plural_layers}, {content['n_weights']:,} weights, "
        f"{content['n_macs']:,} multiply-accumulates a sample",
        f"{samples['n_samples']} sample{plural} of {_shape(samples['shape'])}, "
        f"{samples['codes']} codes, "
        f"{'with' if samples['labels'] else 'without'} labels"
        + (f", from {samples['dataset']}" if samples["dataset"] else ""),
    ]
    if samples["float_accuracy"] is not None:
        n, accuracy = samples["n_float_labelled"], samples["float_accuracy"]
        right = share(round(accuracy * n), n)
        lines.append(f"the float network is right in {right} labelled samples, {accuracy:.4f}")
    typer.echo("\n".join(map(printable, lines)))
    more = [name for name in _MORE_COLUMNS if any(layer[name] for layer in layers)]
    head = ["#", "name", "kind", "from", "in", "out", "weight", "codes", "acc", "requantize"]
    head += ["MACs", *more]
    rows = [
        [*_row(layer), *(_MORE_COLUMNS[name](layer[name]) for name in more)] for layer in layers
    ]
    typer.echo(columns(head, rows, n_keys=2))
    for key, value in content["provenance"].items():
        typer.echo(printable(f"{key}: {value if isinstance(value, str) else json.dumps(value)}"))


def _clusters_text(clusters: dict[str, Any] | None) -> str:
    """Say described clusters in a few words."""
    if clusters is None:
        return ""
    return f"{clusters['count']} by {clusters['importance']}, {clusters['boundaries']}"


_MORE_COLUMNS: dict[str, Callable[[Any], str]] = {"mask": mask_text, "clusters": _clusters_text}
"""Columns that only some traces have."""


def _row(layer: dict[str, Any]) -> tuple[str | int, ...]:
    fused = "" if layer["activation"] == "none" else f" {layer['activation']}"
    codes = layer["output_codes"]
    if layer["weight_codes"]:
        codes = f"{layer['weight_codes']} -> {codes}"
    return (
        layer["index"],
        layer["name"],
        f"{layer['kind']}{fused}",
        " ".join("input" if i < 0 else str(i) for i in layer["inputs"]),
        " + ".join(_shape(shape) for shape in layer["input_shapes"]),
        _shape(layer["output_shape"]),
        _shape(layer["weight_shape"] or []),
        codes,
        str(layer["accumulator_bits"]) if layer["weight_codes"] else "",
        _step_text(layer),
        f"{layer['n_macs']:,}" if layer["n_macs"] else "",
    )


def _step_text(layer: dict[str, Any]) -> str:
    """Name what makes codes of sums: a requantize mode, a table of products, its points."""
    table = layer["product_table"]
    if table is None:
        return layer["requantize"] or ""
    points = f", {table['n_points']} points" if table["n_points"] else ""
    raw = "" if layer["output_codebook"] else ", raw"
    whole, fraction = table["bits"] - table["fraction_bits"], table["fraction_bits"]
    return f"table {_shape(table['shape'])} of Q{whole}.{fraction}{points}{raw}"


def _shape(shape: list[int]) -> str:
    return "x".join(str(n) for n in shape)
