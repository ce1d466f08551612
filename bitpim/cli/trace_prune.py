"""`bitpim trace prune` and `bitpim trace masks`: networks pruned in one shot, and mask files."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bitpim.cli.options import Json, Overwrite, opened_trace
from bitpim.cli.pruning import Kept, Patterns, PatternScope, PruneFirst, ZeroKernels, pruning_of
from bitpim.cli.trace_make import (
    Accuracy,
    Output,
    lost_clusters,
    need_another,
    parse,
    parse_bool,
    waiting,
    write_and_say,
)
from bitpim.report.text import as_json, columns, printable, share

if TYPE_CHECKING:
    from bitpim_traces.masks import LayerMask
    from bitpim_traces.quantize import Pruning
    from bitpim_traces.records import Trace

__all__ = ["ORDER", "Channels", "Lanes", "MaskFile", "Overlap", "masks", "prune", "ways_of"]

Source = Annotated[
    str, typer.Argument(metavar="IN", help="Trace to prune, or - for standard input.")
]
Lanes = Annotated[
    float | None,
    typer.Option(help="Share of the conv kernels of a layer that are pruned whole, below 1."),
]
Overlap = Annotated[
    int | None,
    typer.Option(
        min=2, help="Filters of a group, of which at most one keeps anything of an input channel."
    ),
]
Channels = Annotated[
    float | None,
    typer.Option(help="Share of the channels that are removed, ranked over all layers; below 1."),
]
MaskFile = Annotated[
    Path | None,
    typer.Option(
        "--mask", help="Masks of any pruner: an .npz of 0 and 1 by the names of layers or weights."
    ),
]
More = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY[@LAYERS]=VALUE",
        help="lanes@LAYERS, overlap@LAYERS or channels@LAYERS for a layer or a pattern of names; or"
        " norm (l1, l2), rank (layer, network), largest_share, linear, assignment (largest,"
        " balanced), partition (greedy, consecutive), filters, readers, macs, parameters. May be"
        " repeated.",
    ),
]

_SHARES = {"channels": "share", "lanes": "share", "overlap": "group"}
"""Ways to prune that have settings by layer, and what their option says."""

ORDER = ("mask", "channels", "patterns", "lanes", "overlap")


def prune(
    source: Source,
    output: Output,
    lanes: Lanes = None,
    overlap: Overlap = None,
    channels: Channels = None,
    patterns: Patterns = None,
    kept: Kept = None,
    zero_kernels: ZeroKernels = None,
    pattern_scope: PatternScope = None,
    mask: MaskFile = None,
    prune_first: PruneFirst = False,
    more: More = None,
    accuracy: Accuracy = True,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Prune the network inside a trace, in one shot; widths and scales stay as they are.

    Several ways go one after another: a mask file, channels, patterns, lanes, overlap. The first
    layer is left alone without --prune-first, and linear layers without --set linear=true.
    """
    from bitpim_traces.masks import masks_of
    from bitpim_traces.quantize import prune_trace

    given = {"channels": channels, "lanes": lanes, "overlap": overlap}
    steps: dict[str, Pruning] = ways_of(given, more or [], prune_first)
    pattern = pruning_of(
        patterns, kept, zero_kernels, pattern_scope, prune_first and patterns is not None
    )
    if pattern is not None:
        steps["patterns"] = pattern
    if not steps and mask is None:
        raise typer.BadParameter("need --lanes, --overlap, --channels, --patterns or --mask")
    if pattern is not None and mask is not None:
        raise typer.BadParameter(
            "need --patterns or --mask, got both; a pattern would undo the mask",
            param_hint="--mask",
        )
    need_another(source, output, overwrite)
    with opened_trace(source) as trace:
        if mask is not None:
            steps["mask"] = _given_masks(trace, mask)
        with waiting(f"pruning {trace.name}"):
            made, reports = prune_trace(trace, [steps[way] for way in ORDER if way in steps])
        described = _described(masks_of(made), {r.name: r.retained_energy for r in reports})
        write_and_say(
            made,
            output,
            overwrite,
            json=json,
            notes=[_table(described), *_lost(trace, made), *lost_clusters(trace, made)],
            more={"pruned": described},
            measure=accuracy,
        )


def masks(
    source: Annotated[
        str, typer.Argument(metavar="TRACE", help="Trace with masks, or - for standard input.")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="File to write (.npz).")],
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Write the pruning masks of a trace to an .npz file, which trace prune --mask reads."""
    from bitpim.errors import TraceError
    from bitpim_traces.mask_files import write_masks
    from bitpim_traces.masks import masks_of

    need_another(source, output, overwrite)
    with opened_trace(source) as trace:
        found = masks_of(trace)
        if not found:
            raise TraceError(
                f"{source}: need a trace with pruning masks, got none; prune it with `bitpim trace"
                " prune`"
            )
        write_masks(found, output, overwrite=overwrite)
    described = _described(found, {})
    if json:
        typer.echo(as_json({"file": str(output), "name": trace.name, "masks": described}))
        return
    typer.echo(_table(described))
    typer.echo(printable(f"{output}: masks of {len(found)} layer{'s' * (len(found) != 1)}"))


def ways_of(
    given: Mapping[str, Any], more: Sequence[str], prune_first: bool, option: str = "--set"
) -> "dict[str, Pruning]":
    """Make settings of --lanes, --overlap and --channels; a wrong one is a usage error."""
    from bitpim_traces.errors import TraceDataError
    from bitpim_traces.quantize import ChannelPruning, LanePruning, OverlapPruning

    general, own = _settings(more, option)
    models = {"channels": ChannelPruning, "lanes": LanePruning, "overlap": OverlapPruning}
    chosen = [way for way in models if given[way] is not None or own[way]]
    if own["channels"] and given["channels"] is None:
        raise typer.BadParameter("need --channels beside channels@LAYERS", param_hint=option)
    known = {way: {f.name: f.default for f in fields(models[way])} for way in chosen}
    for way in chosen:
        known[way] = {k: v for k, v in known[way].items() if k not in _NOT_SET}
    _need_keys(general, known, option)
    found: dict[str, Any] = {}
    for way in chosen:
        values: dict[str, Any] = {
            key: parse(key, text, _reader(known[way][key]), option)
            for key, text in general.items()
            if key in known[way]
        }
        own_values: dict[str, Any] = own[way]
        if given[way] is not None:
            values[_SHARES[way]] = given[way]
        elif way == "lanes":
            values["share"] = 0.0  # only the layers that are named
        else:
            own_values = {"*": 1, **own_values}
        try:
            found[way] = models[way](overrides=own_values, skip_first=not prune_first, **values)
        except TraceDataError as error:
            raise typer.BadParameter(str(error)) from error
    return found


_NOT_SET = ("share", "group", "skip_first", "overrides")
"""Settings that have options of their own."""


def _settings(more: Sequence[str], option: str) -> tuple[dict[str, str], dict[str, dict[str, Any]]]:
    """Part KEY=VALUE from WAY@LAYERS=VALUE."""
    general: dict[str, str] = {}
    own: dict[str, dict[str, Any]] = {way: {} for way in _SHARES}
    for item in more:
        key, equals, text = item.partition("=")
        key, at, layers = key.partition("@")
        if not equals:
            raise typer.BadParameter(f"need KEY=VALUE, got {item!r}", param_hint=option)
        if not at:
            general[key] = text
        elif key not in own or not layers:
            raise typer.BadParameter(
                f"need {', '.join(own)} before @LAYERS, a layer's name or a pattern of names, got"
                f" {item!r}",
                param_hint=option,
            )
        else:
            own[key].pop(layers, None)  # the last counts
            own[key][layers] = parse(key, text, int if key == "overlap" else float, option)
    return general, own


def _need_keys(
    general: Mapping[str, str], known: Mapping[str, Mapping[str, Any]], option: str
) -> None:
    keys = list(dict.fromkeys(key for way in known.values() for key in way))
    for key in general:
        if key not in keys:
            ways = " or ".join(f"--{way}" for way in _SHARES)
            need = f"a key among {', '.join(keys)}" if keys else f"{ways} beside {option}"
            raise typer.BadParameter(f"need {need}, got {key!r}", param_hint=option)


def _reader(default: Any) -> Callable[[str], Any]:
    return parse_bool if isinstance(default, bool) else type(default)


def _given_masks(trace: "Trace", path: Path) -> "Pruning":
    from bitpim_traces.mask_files import read_masks
    from bitpim_traces.quantize import GivenMasks

    shapes = {r.name: r.weight.shape for r in trace.layers if r.weight is not None}
    return GivenMasks(*read_masks(str(path), shapes))


def _lost(before: "Trace", after: "Trace") -> list[str]:
    """Say what a trace without its float network cannot keep."""
    n_before, n_after = (
        sum(layer.output_float is not None for layer in trace.layers) for trace in (before, after)
    )
    if n_after == n_before:
        return []
    return ["float reference outputs left out: there are no float weights to compute them from"]


def _described(
    found: "Mapping[str, LayerMask]", retained: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Describe masks in plain values, a layer each; texts and JSON say the same."""
    return [
        {
            "layer": name,
            "n_lanes": mask.mask.shape[0] * mask.mask.shape[1],
            "n_kept_lanes": mask.mask.shape[0] * mask.mask.shape[1] - mask.n_zero_kernels,
            "n_weights": mask.mask.size,
            "n_zero_weights": mask.mask.size - int(mask.mask.sum(dtype=int)),
            "n_patterns": None if mask.patterns is None else len(mask.patterns),
            "n_groups": None if mask.groups is None else len(set(mask.groups.tolist())),
            "retained_energy": retained.get(name),
        }
        for name, mask in found.items()
    ]


def _table(described: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (
            layer["layer"],
            share(layer["n_kept_lanes"], layer["n_lanes"]),
            share(layer["n_zero_weights"], layer["n_weights"]),
            f"{layer['n_zero_weights'] / max(1, layer['n_weights']):.1%}",
            layer["n_patterns"],
            layer["n_groups"],
            layer["retained_energy"],
        )
        for layer in described
    ]
    head = ("layer", "lanes kept", "weights zero", "share", "patterns", "groups", "energy left")
    return columns(head, rows)
