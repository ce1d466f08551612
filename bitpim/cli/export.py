"""`bitpim export`: a PyTorch module becomes a trace."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bitpim.cli.codebook_options import (
    Codebooks,
    ReclusterEvery,
    Retrain,
    RetrainDelta,
    RetrainEpochs,
    RetrainRate,
    export_tables,
    tables_of,
)
from bitpim.cli.export_training import (
    Admm,
    AdmmEpochs,
    AdmmSet,
    CodeEpochs,
    Distill,
    Mirror,
    PruneSet,
    Recipe,
    Shift,
    WeightValues,
    admm_of,
    export_prepared,
    on_codes,
    pruning_steps,
)
from bitpim.cli.options import Json, Overwrite, refuse_taken
from bitpim.cli.pruning import (
    Kept,
    Patterns,
    PatternScope,
    PruneFirst,
    ZeroKernels,
    pruning_of,
)
from bitpim.cli.trace_make import (
    Accuracy,
    ActivationBits,
    Mode,
    More,
    Output,
    WeightBits,
    settings_of,
    write_and_say,
)
from bitpim.cli.trace_prune import Channels, Lanes, MaskFile, Overlap

if TYPE_CHECKING:
    from bitpim_traces.exporter import Progress
    from bitpim_traces.quantize import Settings

__all__ = ["export"]

_USUAL_MODE = "half_up_shift"
_MODULE = "torch.nn.modules.module.Module"
"""Known by its name here: only the exporter imports torch."""


Target = Annotated[
    str,
    typer.Argument(
        metavar="PACKAGE.MODULE:FUNCTION",
        help="Function without arguments that makes the torch.nn.Module; looked up in the current"
        " folder too.",
    ),
]
SamplesPath = Annotated[
    Path, typer.Option(help="Inputs: .npz with `images` and perhaps `labels`, or .npy of images.")
]
Weights = Annotated[Path | None, typer.Option(help="State dict: .npz of arrays or .pt of tensors.")]
Mean = Annotated[
    str | None, typer.Option(help="Mean by channel of pixel / 255: 0.485,0.456,0.406.")
]
Std = Annotated[str | None, typer.Option(help="Standard deviation by channel of pixel / 255.")]
Fold = Annotated[bool, typer.Option("--fold", help="Let pixels be the codes; fold mean and std.")]
PerTensor = Annotated[
    bool, typer.Option("--per-tensor", help="One weight scale a layer, not one a channel.")
]
Calibration = Annotated[
    str, typer.Option(help="How ranges are observed: minmax, percentile or mse.")
]
CalibrationSamples = Annotated[
    str | None,
    typer.Option(
        metavar="FILE|N",
        help="Inputs to calibrate on, or how many of the first samples.",
        show_default="256",
    ),
]
Finetune = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Train on, with held masks after pruning, and in sight of codes where weights have few"
        " (--weight-bits below 8, --weight-values): .npz with `images` and `labels`.",
    ),
]
Epochs = Annotated[int, typer.Option(min=0, help="Epochs of --finetune.")]
LearningRate = Annotated[float, typer.Option(min=0, help="First learning rate of --finetune.")]
Seed = Annotated[
    int,
    typer.Option(min=0, help="Seed of --finetune and --retrain, and of what --codebooks looks at."),
]
ReferenceSamples = Annotated[
    int, typer.Option(min=0, help="Samples whose float outputs of every layer are kept.")
]


def export(
    module: Target,
    samples: SamplesPath,
    output: Output,
    weights: Weights = None,
    mean: Mean = None,
    std: Std = None,
    fold: Fold = False,
    weight_bits: WeightBits = 8,
    weight_values: WeightValues = None,
    activation_bits: ActivationBits = 8,
    per_tensor: PerTensor = False,
    requantize: Mode = _USUAL_MODE,
    calibration: Calibration = "minmax",
    calibration_samples: CalibrationSamples = None,
    reference_samples: ReferenceSamples = 32,
    more: More = None,
    name: Annotated[str, typer.Option(help="Name of the network.")] = "",
    dataset: Annotated[str, typer.Option(help="Name of the data set.")] = "",
    patterns: Patterns = None,
    kept: Kept = None,
    zero_kernels: ZeroKernels = None,
    pattern_scope: PatternScope = None,
    lanes: Lanes = None,
    overlap: Overlap = None,
    channels: Channels = None,
    mask: MaskFile = None,
    prune_first: PruneFirst = False,
    prune_set: PruneSet = None,
    admm: Admm = None,
    admm_epochs: AdmmEpochs = 2,
    admm_set: AdmmSet = None,
    finetune: Finetune = None,
    epochs: Epochs = 1,
    learning_rate: LearningRate = 0.01,
    mirror: Mirror = False,
    shift: Shift = 0,
    distill: Distill = 0.0,
    code_epochs: CodeEpochs = 0,
    seed: Seed = 0,
    codebooks: Codebooks = None,
    retrain: Retrain = None,
    retrain_epochs: RetrainEpochs = None,
    retrain_delta: RetrainDelta = None,
    retrain_rate: RetrainRate = None,
    recluster_every: ReclusterEvery = None,
    accuracy: Accuracy = True,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Quantize a PyTorch module into a trace, with samples and float reference outputs."""
    ways = {"channels": channels, "lanes": lanes, "overlap": overlap}
    affine = {
        "--weight-bits": weight_bits != 8,
        "--weight-values": weight_values is not None,
        "--activation-bits": activation_bits != 8,
        "--per-tensor": per_tensor,
        "--requantize": requantize != _USUAL_MODE,
        "--calibration": calibration != "minmax",
        "--patterns": patterns is not None,
        "--mask": mask is not None,
        "--admm": admm is not None,
        **{f"--{way}": value is not None for way, value in ways.items()},
    }
    retraining = {
        "epochs": retrain_epochs,
        "delta": retrain_delta,
        "learning_rate": retrain_rate,
        "recluster_every": recluster_every,
    }
    chosen = [f"reference_samples={reference_samples}", *(more or [])]
    tables = tables_of(codebooks, chosen, retrain, retraining, seed, affine)
    settings = None
    if tables is None:
        own = [] if weight_values is None else [f"weight_values={weight_values}"]
        chosen = [f"per_channel={not per_tensor}", f"calibration={calibration}", *own, *chosen]
        settings = settings_of(weight_bits, activation_bits, requantize, chosen)
    pattern = pruning_of(
        patterns, kept, zero_kernels, pattern_scope, prune_first and patterns is not None
    )
    steps = pruning_steps(ways, pattern, prune_set or [], prune_first)
    pull = admm_of(admm, admm_set or [], prune_first)
    _need_taught(finetune, bool(steps or mask), pull is not None, code_epochs, settings)
    refuse_taken(output, overwrite)
    exporter = _exporter()
    made, taken = _made(exporter, module, weights)
    given = _samples(samples, mean, std, fold)
    taught = None if finetune is None else _labelled(_samples(finetune, mean, std, fold))
    options = {
        "labels": given[1],
        "calibration": _calibration(calibration_samples),
        "name": name or module.rpartition(":")[2].rpartition(".")[2],
        "dataset": dataset,
    }
    images = {"mirror": mirror, "shift": shift, "distilled": distill}
    with _progress() as progress:
        if settings is not None:
            training = exporter.Training(
                epochs=epochs, learning_rate=learning_rate, seed=seed, **images
            )
            recipe = Recipe(steps, mask, pull, admm_epochs, training, code_epochs)
            trace, said = export_prepared(
                made, recipe, settings, given, taught, progress=progress, **options
            )
        elif tables is not None:
            if tables.taught is not None:
                taught = _samples(tables.taught, mean, std, fold)
            trace, said = export_tables(
                made, given[0], tables, taught, progress=progress, **options
            )
    write_and_say(trace, output, overwrite, json=json, notes=[*taken, *said], measure=accuracy)


def _made(exporter: Any, module: str, weights: Path | None) -> tuple[Any, list[str]]:
    """Make the module with its weights; say where its numbers come from."""
    made = exporter.made_by(_target(module))
    if weights is None:
        return made, ["no --weights: the numbers are those the function made, perhaps random"]
    return made, exporter.load_weights(made, weights)


def _need_taught(
    finetune: Path | None,
    pruned: bool,
    admm: bool,
    code_epochs: int,
    settings: "Settings | None",
) -> None:
    """Refuse training without images, and images that nothing is trained on."""
    for option, is_given in (("--admm", admm), ("--code-epochs", code_epochs > 0)):
        if is_given and finetune is None:
            raise typer.BadParameter(f"{option} trains; give --finetune too")
    if admm and pruned:
        raise typer.BadParameter("need --admm or another way to prune, got both")
    few = settings is not None and (code_epochs > 0 or on_codes(settings))
    if finetune is not None and not (pruned or admm or few):
        raise typer.BadParameter(
            "--finetune trains what was pruned or has few codes; give --patterns too, or --lanes,"
            " --overlap, --channels, --mask, --admm, --weight-values, --weight-bits below 8 or"
            " --code-epochs"
        )


def _labelled(taught: tuple[Any, Any]) -> tuple[Any, Any]:
    from bitpim.errors import TraceDataError

    if taught[1] is None:
        raise TraceDataError("finetune: need an array `labels` beside the images, got none")
    return taught


def _samples(path: Path, mean: str | None, std: str | None, fold: bool) -> tuple[Any, Any]:
    """Read samples as they are exported or trained on, and their labels."""
    inputs, labels = _loaded(path)
    return _with_normalization(inputs, mean, std, fold), labels


def _target(module: str) -> str:
    """Check the form of a target and let the current folder be imported from."""
    name, colon, function_name = module.partition(":")
    if not (name and colon and function_name):
        raise typer.BadParameter(
            f"need PACKAGE.MODULE:FUNCTION, got {module!r}", param_hint="PACKAGE.MODULE:FUNCTION"
        )
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    return module


def _exporter() -> Any:
    """Import the exporter, or say what to install."""
    from bitpim.errors import ConfigError

    try:
        return importlib.import_module("bitpim_traces.exporter")
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise ConfigError(
            "export: need PyTorch, got none installed; pip install bitpim[torch]"
        ) from error


def _loaded(path: Path) -> tuple[Any, Any]:
    """Read inputs and, where there are any, labels."""
    from bitpim.errors import TraceDataError
    from bitpim_traces.array_files import open_array, read_archive

    if not path.exists():
        raise TraceDataError(f"{path}: need a file of samples, got none; check the path")
    if path.suffix == ".npy":
        return open_array(str(path)), None
    arrays = read_archive(str(path), "images", ("labels",))
    return arrays["images"], arrays.get("labels")


def _with_normalization(inputs: Any, mean: str | None, std: str | None, fold: bool) -> Any:
    import numpy as np

    from bitpim_traces.exporter import Pixels

    if inputs.dtype != np.uint8:
        if mean or std or fold:
            raise typer.BadParameter(
                f"--mean, --std and --fold are for uint8 images, got {inputs.dtype} samples"
            )
        return inputs
    return Pixels(inputs, _numbers("--mean", mean, 0.0), _numbers("--std", std, 1.0), fold)


def _numbers(option: str, text: str | None, default: float) -> tuple[float, ...]:
    if text is None:
        return (default,)
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise typer.BadParameter(
            f"need numbers by commas, got {text!r}", param_hint=option
        ) from error


def _calibration(given: str | None) -> Any:
    if given is None:
        return None
    return int(given) if given.isdecimal() else _loaded(Path(given))[0]


@contextmanager
def _progress() -> Iterator["Progress | None"]:
    """Show what the exporter is doing: a bar, on a terminal only."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    tasks: dict[str, TaskID] = {}
    with Bars(console=Console(stderr=True), transient=True) as bars:

        def show(doing: str, done: int, total: int) -> None:
            if doing not in tasks:
                tasks[doing] = bars.add_task(doing)
            bars.update(tasks[doing], completed=done, total=total)

        yield show
