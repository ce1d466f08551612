"""`bitpim trace codebooks` and `bitpim trace level`: networks of lookup tables."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bitpim.cli.options import Json, Overwrite, opened_trace
from bitpim.cli.progress import counted
from bitpim.cli.trace_make import (
    Accuracy,
    Output,
    lost_clusters,
    need_another,
    parse,
    parse_bool,
    write_and_say,
)

if TYPE_CHECKING:
    from bitpim_traces.quantize import CodebookSettings

__all__ = ["codebook_settings_of", "codebooks", "level"]

Source = Annotated[str, typer.Argument(metavar="IN", help="Trace, or - for standard input.")]
More = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY[@LAYER]=VALUE",
        help="Any other setting: value_bits, product_bits, product_fraction_bits,"
        " accumulator_bits, activation_rows, relu (comparator or table), raw_output,"
        " reference_samples; weight_codes and output_codes @LAYER. May be repeated.",
    ),
]


def codebooks(
    source: Source,
    output: Output,
    weights: Annotated[
        int, typer.Option(help="Values of each codebook of weights, 2, 4, ... 256.")
    ] = 64,
    inputs: Annotated[
        int, typer.Option(help="Values of each codebook of activations, 2, 4, ... 256.")
    ] = 64,
    samples: Annotated[
        int, typer.Option(min=1, max=2**31 - 1, help="Samples that are looked at, at most.")
    ] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Seed that draws them.")] = 0,
    more: More = None,
    accuracy: Accuracy = True,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Cluster the float weights inside a trace, and its activations, to codebooks and tables."""
    from bitpim_traces.quantize import codebooks_of_trace

    settings = codebook_settings_of(
        {
            "weight_codes": weights,
            "input_codes": inputs,
            "calibration_samples": samples,
            "seed": seed,
        },
        more or [],
    )
    need_another(source, output, overwrite)
    with opened_trace(source) as given:
        with counted(f"clustering {given.name}") as progress:
            trace = codebooks_of_trace(given, settings, progress=progress)
        notes = lost_clusters(given, trace)
        write_and_say(trace, output, overwrite, json=json, notes=notes, measure=accuracy)


def level(
    source: Source,
    output: Output,
    weights: Annotated[
        int | None, typer.Option(help="Values of each codebook of weights; as they are.")
    ] = None,
    inputs: Annotated[
        int | None, typer.Option(help="Values of each codebook of activations; as they are.")
    ] = None,
    accuracy: Accuracy = True,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Write the same network with fewer values: a level of the trees of its codebooks."""
    from bitpim_traces.errors import TraceDataError
    from bitpim_traces.quantize import at_level, depth_of

    if weights is None and inputs is None:
        raise typer.BadParameter("need --weights, --inputs or both", param_hint="--weights")
    for hint, size in (("--weights", weights), ("--inputs", inputs)):
        try:
            _ = size is None or depth_of(size, hint)
        except TraceDataError as error:
            raise typer.BadParameter(
                str(error).removeprefix(f"{hint}: "), param_hint=hint
            ) from error
    need_another(source, output, overwrite)
    with opened_trace(source) as given:
        trace = at_level(given, weight_levels=weights, input_levels=inputs)
        notes = lost_clusters(given, trace)
        write_and_say(trace, output, overwrite, json=json, notes=notes, measure=accuracy)


def codebook_settings_of(values: dict[str, Any], more: Sequence[str]) -> "CodebookSettings":
    """Make settings of options; a wrong one is an error of the command line."""
    from dataclasses import fields

    from bitpim_traces.errors import TraceDataError
    from bitpim_traces.quantize import CodebookSettings, LayerCodes

    known = [f.name for f in fields(CodebookSettings) if f.name != "overrides"]
    own = [f.name for f in fields(LayerCodes)]
    overrides: dict[str, dict[str, int]] = {}
    for item in more:
        key, equals, text = item.partition("=")
        key, at, layer = key.partition("@")
        if not equals:
            raise typer.BadParameter(f"need KEY=VALUE, got {item!r}", param_hint="--set")
        names = own if at else known
        if key not in names:
            place = f" before @{layer}" if at else ""
            raise typer.BadParameter(
                f"need a key among {', '.join(names)}{place}, got {key!r}", param_hint="--set"
            )
        read: Any = {"relu": str, "raw_output": parse_bool}.get(key, int)
        (overrides.setdefault(layer, {}) if at else values)[key] = parse(key, text, read)
    try:
        by_layer = {layer: LayerCodes(**codes) for layer, codes in overrides.items()}
        return CodebookSettings(**values, overrides=by_layer)
    except TraceDataError as error:
        raise typer.BadParameter(str(error).removeprefix("settings: ")) from error
