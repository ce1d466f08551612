"""`bitpim export`: a PyTorch module becomes a trace."""

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from bitpim.cli.trace_make import (
    ActivationBits,
    Mode,
    More,
    Output,
    WeightBits,
    settings_of,
    write_and_say,
)

if TYPE_CHECKING:
    from bitpim_traces.exporter import Progress

__all__ = ["export"]


def export(
    module: Annotated[
        str,
        typer.Argument(
            metavar="PACKAGE.MODULE:FUNCTION",
            help="Function without arguments that makes the torch.nn.Module; looked up in the"
            " current folder too.",
        ),
    ],
    samples: Annotated[
        Path,
        typer.Option(help="Inputs: .npz with `images` and perhaps `labels`, or .npy of images."),
    ],
    output: Output,
    weights: Annotated[
        Path | None, typer.Option(help="State dict: .npz of arrays or .pt of tensors.")
    ] = None,
    mean: Annotated[
        str | None, typer.Option(help="Mean by channel of pixel / 255: 0.485,0.456,0.406.")
    ] = None,
    std: Annotated[
        str | None, typer.Option(help="Standard deviation by channel of pixel / 255.")
    ] = None,
    fold: Annotated[
        bool, typer.Option("--fold", help="Let pixels be the codes; fold mean and std.")
    ] = False,
    weight_bits: WeightBits = 8,
    activation_bits: ActivationBits = 8,
    per_tensor: Annotated[
        bool, typer.Option("--per-tensor", help="One weight scale a layer, not one a channel.")
    ] = False,
    requantize: Mode = "half_up_shift",
    calibration: Annotated[
        str, typer.Option(help="How ranges are observed: minmax, percentile or mse.")
    ] = "minmax",
    calibration_samples: Annotated[
        str | None,
        typer.Option(metavar="FILE|N", help="Inputs to calibrate on, or how many of the samples."),
    ] = None,
    reference_samples: Annotated[
        int, typer.Option(min=0, help="Samples whose float outputs of every layer are kept.")
    ] = 32,
    more: More = None,
    name: Annotated[str, typer.Option(help="Name of the network.")] = "",
    dataset: Annotated[str, typer.Option(help="Name of the data set.")] = "",
) -> None:
    """Quantize a PyTorch module into a trace, with samples and float reference outputs."""
    settings = settings_of(
        weight_bits,
        activation_bits,
        requantize,
        [
            f"per_channel={not per_tensor}",
            f"calibration={calibration}",
            f"reference_samples={reference_samples}",
            *(more or []),
        ],
    )
    exporter = _exporter()
    made = _made(module)
    if weights is not None:
        exporter.load_weights(made, weights)
    inputs, labels = _loaded(samples)
    given = _with_normalization(inputs, mean, std, fold)
    with _progress() as progress:
        trace = exporter.export(
            made,
            given,
            labels=labels,
            settings=settings,
            calibration=_calibration(calibration_samples),
            name=name or module.rpartition(":")[2].rpartition(".")[2],
            dataset=dataset,
            progress=progress,
        )
    write_and_say(trace, output)


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


def _made(target: str) -> Any:
    """Call the function that the user named and yield its module."""
    import torch

    name, colon, function_name = target.partition(":")
    if not (name and colon and function_name):
        raise typer.BadParameter(
            f"need PACKAGE.MODULE:FUNCTION, got {target!r}", param_hint="PACKAGE.MODULE:FUNCTION"
        )
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    function = _found(name, function_name)
    try:
        made = function()
    except Exception as error:
        raise _user_error(
            target, f"a function that works without arguments, got {error!r}"
        ) from error
    if not isinstance(made, torch.nn.Module):
        raise _user_error(target, f"a torch.nn.Module from it, got {type(made).__name__}")
    return made


def _found(name: str, function_name: str) -> Callable[[], Any]:
    try:
        found: Any = importlib.import_module(name)
    except Exception as error:
        raise _user_error(name, f"a module that can be imported, got {error!r}") from error
    for part in function_name.split("."):
        if not hasattr(found, part):
            public = [key for key in vars(found) if not key.startswith("_")][:8]
            raise _user_error(name, f"{function_name} in it, got {', '.join(public)}")
        found = getattr(found, part)
    if not callable(found):
        raise _user_error(f"{name}:{function_name}", f"a function, got {type(found).__name__}")
    return cast("Callable[[], Any]", found)


def _user_error(where: str, need: str) -> Exception:
    from bitpim.errors import ConfigError

    return ConfigError(f"export: {where}: need {need}; check the name and the current folder")


def _loaded(path: Path) -> tuple[Any, Any]:
    """Read inputs and, where there are any, labels."""
    import numpy as np

    from bitpim.errors import TraceDataError

    if not path.is_file():
        raise TraceDataError(f"{path}: need a file of samples, got none; check the path")
    try:
        found = np.load(path, allow_pickle=False, mmap_mode="r" if path.suffix == ".npy" else None)
        if isinstance(found, np.ndarray):
            return found, None
        with found:
            arrays = {key: found[key] for key in found.files if key in ("images", "labels")}
    except (ValueError, OSError, EOFError, KeyError) as error:
        raise TraceDataError(f"{path}: need .npz or .npy of plain arrays, got {error}") from error
    if "images" not in arrays:
        raise TraceDataError(
            f"{path}: need an array `images`, got {', '.join(found.files)}; rename it"
        )
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
