"""`bitpim trace synth` and `bitpim trace quantize`: traces made without PyTorch."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bitpim.cli.options import Json, Overwrite, opened_trace, refuse_taken
from bitpim.cli.progress import counted, say_when_compiling
from bitpim.cli.pruning import (
    Kept,
    Patterns,
    PatternScope,
    PruneFirst,
    ZeroKernels,
    described_mask,
    pruning_of,
    pruning_text,
)
from bitpim.report.text import as_json, printable

if TYPE_CHECKING:
    from bitpim.report.figures import ErrorFigures
    from bitpim_traces.quantize import Settings
    from bitpim_traces.records import Trace

__all__ = [
    "Accuracy",
    "Output",
    "lost_clusters",
    "need_another",
    "parse",
    "parse_bool",
    "quantize",
    "settings_of",
    "synth",
    "waiting",
    "write_and_say",
]

Output = Annotated[Path, typer.Option("-o", "--output", help="Trace file to write.")]
WeightBits = Annotated[int, typer.Option(help="Width of weight codes, 1 to 16.")]
ActivationBits = Annotated[int, typer.Option(help="Width of activation codes, 1 to 16.")]
Mode = Annotated[
    str,
    typer.Option(
        help="float_scale_half_even, fixed_point_half_away, truncate_shift or half_up_shift."
    ),
]
More = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY[@LAYER]=VALUE",
        help="Any other setting: weight_values (codes, ternary, binary), ternary_threshold,"
        " activation_values (codes; binary: of the function sign), per_channel, weight_scheme,"
        " activation_scheme, multiplier_bits, accumulator_bits, calibration, percentile,"
        " weight_calibration, output_bits, reference_samples, raw_output; weight_bits,"
        " activation_bits, weight_values and activation_values also @LAYER. May be repeated.",
    ),
]

Accuracy = Annotated[
    bool,
    typer.Option(
        "--accuracy/--no-accuracy",
        help="Run the quantized network on all samples and say how often it is right.",
    ),
]


def synth(
    name: Annotated[
        str,
        typer.Argument(
            help="alexnet, vgg16, vgg16_cifar, resnet18, resnet20, senet18, lenet5, mobilenet,"
            " mobilenetv3_small, shufflenetv2_x1_0, unet or tiny."
        ),
    ],
    output: Output,
    seed: Annotated[int, typer.Option(min=0, help="Seed of weights and images.")] = 0,
    samples: Annotated[int, typer.Option(min=1, max=2**31 - 1, help="Number of images.")] = 1,
    weight_bits: WeightBits = 8,
    activation_bits: ActivationBits = 8,
    requantize: Mode = "half_up_shift",
    more: More = None,
    patterns: Patterns = None,
    kept: Kept = None,
    zero_kernels: ZeroKernels = None,
    pattern_scope: PatternScope = None,
    prune_first: PruneFirst = False,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Make a network of well-known shape with seeded random weights and images."""
    from bitpim_traces.synthetic import NAMES, synthetic_network

    if name not in NAMES:
        raise typer.BadParameter(
            f"need a network among {', '.join(NAMES)}, got {name!r}", param_hint="NAME"
        )
    settings = settings_of(weight_bits, activation_bits, requantize, more or [])
    pruning = pruning_of(patterns, kept, zero_kernels, pattern_scope, prune_first)
    refuse_taken(output, overwrite)
    with waiting(f"making {name}"):
        trace = synthetic_network(name, seed, n_samples=samples, settings=settings, pruning=pruning)
    write_and_say(trace, output, overwrite, json=json)  # random answers mean nothing


def quantize(
    source: Annotated[
        str,
        typer.Argument(metavar="IN", help="Trace with float weights, or - for standard input."),
    ],
    output: Output,
    weight_bits: WeightBits = 8,
    activation_bits: ActivationBits = 8,
    requantize: Mode = "half_up_shift",
    more: More = None,
    patterns: Patterns = None,
    kept: Kept = None,
    zero_kernels: ZeroKernels = None,
    pattern_scope: PatternScope = None,
    prune_first: PruneFirst = False,
    accuracy: Accuracy = True,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Quantize the float weights inside a trace to other widths or another rounding.

    With --patterns they are pruned first, by magnitude; without, masks in the trace are held.
    """
    from bitpim_traces.quantize import requantize_trace

    settings = settings_of(weight_bits, activation_bits, requantize, more or [])
    pruning = pruning_of(patterns, kept, zero_kernels, pattern_scope, prune_first)
    need_another(source, output, overwrite)
    with opened_trace(source) as given:
        with waiting(f"quantizing {given.name}"):
            trace = requantize_trace(given, settings, pruning)
        notes = lost_clusters(given, trace)
        write_and_say(trace, output, overwrite, json=json, notes=notes, measure=accuracy)


def lost_clusters(before: "Trace", after: "Trace") -> list[str]:
    """Say where clusters of weights were left out, because the weights are others now."""
    from bitpim_traces.clusters import n_clusters_of

    if not n_clusters_of(before) or n_clusters_of(after):
        return []
    return ["clusters left out: they were of other weights; `bitpim trace cluster` makes them anew"]


def need_another(source: str, output: Path, overwrite: bool) -> None:
    """Refuse an output that is the trace that is read, or whose name is taken."""
    if output.exists() and Path(source).exists() and output.samefile(source):
        raise typer.BadParameter(
            f"need another file than the trace it reads, got {output}", param_hint="--output"
        )
    refuse_taken(output, overwrite)


def settings_of(
    weight_bits: int, activation_bits: int, requantize: str, more: Sequence[str]
) -> "Settings":
    """Make settings of options; a wrong one is an error of the command line."""
    from dataclasses import fields

    from bitpim_traces.errors import TraceDataError
    from bitpim_traces.quantize import LayerBits, Settings

    values: dict[str, Any] = {}
    overrides: dict[str, dict[str, Any]] = {}
    for item in more:
        key, equals, text = item.partition("=")
        key, at, layer = key.partition("@")
        if not equals:
            raise typer.BadParameter(f"need KEY=VALUE, got {item!r}", param_hint="--set")
        if at:
            own = [f.name for f in fields(LayerBits)]
            if key not in own:
                raise typer.BadParameter(
                    f"need {', '.join(own)} before @{layer}, got {key!r}", param_hint="--set"
                )
            read: Callable[[str], Any] = int if key.endswith("_bits") else str
            overrides.setdefault(layer, {})[key] = parse(key, text, read)
        else:
            values[key] = parse(key, text, _type_of(key))
    try:
        return Settings(
            **{
                "weight_bits": weight_bits,
                "activation_bits": activation_bits,
                "requantize": requantize,
                **values,
            },
            overrides={layer: LayerBits(**bits) for layer, bits in overrides.items()},
        )
    except TraceDataError as error:
        raise typer.BadParameter(str(error).removeprefix("settings: ")) from error


def _type_of(key: str) -> Callable[[str], Any]:
    """Yield what reads a setting's value, by its default."""
    from dataclasses import fields

    from bitpim_traces.quantize import Settings

    defaults = {f.name: f.default for f in fields(Settings) if f.name != "overrides"}
    if key not in defaults:
        raise typer.BadParameter(
            f"need a key among {', '.join(defaults)}, got {key!r}", param_hint="--set"
        )
    default = defaults[key]
    if isinstance(default, bool):
        return parse_bool
    return int if default is None else type(default)


def parse(key: str, text: str, read: Callable[[str], Any], option: str = "--set") -> Any:
    """Read the value of a key; a wrong one is an error of the command line."""
    try:
        return read(text)
    except ValueError as error:
        word = {"int": "a whole number", "float": "a number"}.get(
            getattr(read, "__name__", ""), "true or false"
        )
        raise typer.BadParameter(
            f"need {word} for {key}, got {text!r}", param_hint=option
        ) from error


def parse_bool(text: str) -> bool:
    """Read true or false; ValueError else."""
    if text.lower() not in ("true", "false"):
        raise ValueError(text)
    return text.lower() == "true"


@contextlib.contextmanager
def waiting(message: str) -> Iterator[None]:
    """Show that work goes on, on a terminal only."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.markup import escape

    with Console(stderr=True).status(escape(printable(message))):
        yield


def write_and_say(
    trace: "Trace",
    output: Path,
    overwrite: bool,
    *,
    json: bool = False,
    notes: Sequence[str] = (),
    more: Mapping[str, Any] | None = None,
    measure: bool = False,
) -> None:
    """Write a trace and say what was written, what was noted on the way, and how accurate it is.

    `notes` are lines of text, `more` what JSON has beside what all traces have. Without `measure`
    the accuracy is the float network's alone; the quantized one does not run.
    """
    from bitpim.proof.accuracy import accuracy_text

    digest = _written(trace, output, overwrite)
    if json:
        figures, fault = _figures(trace, measure)
        content = {
            "file": str(output),
            "name": trace.name,
            "digest": digest,
            "n_layers": len(trace.layers),
            "n_samples": trace.n_samples,
            **{key: value for key, value in figures.to_dict().items() if key != "layers"},
            "accuracy_not_measured": fault,
            "masks": {layer.name: described_mask(layer) for layer in trace.layers},
            **(more or {}),
            "provenance": trace.provenance,
        }
        typer.echo(as_json(content))
        return
    _say_written(trace, output, digest, notes)
    figures, fault = _figures(trace, measure)
    for line in (accuracy_text(figures), fault and f"accuracy: not measured: {fault}"):
        if line:
            typer.echo(printable(line))


def _figures(trace: "Trace", measure: bool) -> tuple["ErrorFigures", str | None]:
    """Return what is known of a trace's answers, and why the quantized network's are not."""
    from bitpim.errors import AccumulatorError, ConfigError, MappingError
    from bitpim.proof.accuracy import integer_figures
    from bitpim.report.figures import ErrorFigures, float_accuracy
    from bitpim.threads import available_threads

    fault = None
    if measure:
        say_when_compiling()
        try:
            with counted(f"measuring {trace.name}") as progress:
                return integer_figures(trace, jobs=available_threads(), progress=progress), None
        except (AccumulatorError, ConfigError, MappingError) as error:
            fault = str(error)
    n_labelled, accuracy = float_accuracy(trace)
    return ErrorFigures((), n_float_labelled=n_labelled, float_accuracy=accuracy), fault


def _say_written(trace: "Trace", output: Path, digest: str, notes: Sequence[str]) -> None:
    from bitpim_traces.masks import masks_of

    for note in notes:
        typer.echo(note)
    n, n_layers = trace.n_samples, len(trace.layers)
    typer.echo(
        printable(
            f"{output}: {trace.name}, {n_layers} layer{'s' * (n_layers != 1)},"
            f" {n} sample{'s' * (n != 1)}, digest {digest[:16]}"
        )
    )
    masks = masks_of(trace)
    if masks:
        typer.echo(pruning_text(masks))


def _written(trace: "Trace", output: Path, overwrite: bool) -> str:
    """Write a trace, with a bar on a terminal, and return its digest."""
    from bitpim_traces import write_trace

    if not sys.stderr.isatty():
        return write_trace(trace, output, overwrite=overwrite)
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task(escape(f"writing {output.name}"))
        return write_trace(
            trace,
            output,
            overwrite=overwrite,
            progress=lambda done, total: progress.update(bar, completed=done, total=total),
        )
