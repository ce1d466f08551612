"""Options that make tables of codebooks of a PyTorch module, and train its clustered weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from bitpim_traces.exporter import Progress
    from bitpim_traces.quantize import CodebookSettings
    from bitpim_traces.records import Trace

__all__ = [
    "Codebooks",
    "ReclusterEvery",
    "Retrain",
    "RetrainDelta",
    "RetrainEpochs",
    "RetrainRate",
    "Tables",
    "export_tables",
    "tables_of",
]

Codebooks = Annotated[
    int | None,
    typer.Option(
        help="Make tables of codebooks of so many values, 2, 4, ... 256, not affine codes; --set"
        " has the keys of `bitpim trace codebooks` then.",
    ),
]
Retrain = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Train the clustered weights on, after --codebooks: .npz with `images` and `labels`.",
    ),
]
RetrainEpochs = Annotated[
    int | None, typer.Option(min=0, help="Epochs of --retrain at most; 4 by default.")
]
RetrainDelta = Annotated[
    float | None,
    typer.Option(
        min=0, max=1, help="Error beyond the float network's at which --retrain ends; 0 by default."
    ),
]
RetrainRate = Annotated[
    float | None,
    typer.Option(min=0, help="First step of --retrain, as a share of a layer's weights; 0.002."),
]
ReclusterEvery = Annotated[
    int | None,
    typer.Option(min=0, help="Steps of --retrain after which weights are clustered again; never."),
]


@dataclass(frozen=True, slots=True)
class Tables:
    """What the options chose: settings of codebooks, and how and on what weights are trained."""

    settings: "CodebookSettings"
    retraining: Mapping[str, Any]
    taught: Path | None


def tables_of(
    codebooks: int | None,
    more: Sequence[str],
    taught: Path | None,
    retraining: Mapping[str, Any],
    seed: int,
    affine: Mapping[str, bool],
) -> Tables | None:
    """Make what options say of tables, or None without --codebooks.

    `retraining` has values by setting, None where an option was not given; `affine` options of
    affine codes, with whether each was given.
    """
    from bitpim.cli.trace_codebooks import codebook_settings_of

    chosen = {name: value for name, value in retraining.items() if value is not None}
    if chosen and taught is None:
        options = ", ".join(_OPTIONS.values())
        raise typer.BadParameter(f"{options} need --retrain")
    if codebooks is None:
        if taught is not None:
            raise typer.BadParameter("--retrain trains clustered weights; give --codebooks too")
        return None
    given = [option for option, is_given in affine.items() if is_given]
    if given:
        raise typer.BadParameter(
            f"{', '.join(given)} {'is' if len(given) == 1 else 'are'} for affine codes; leave it"
            " out beside --codebooks"
        )
    values = {"weight_codes": codebooks, "input_codes": codebooks, "seed": seed}
    settings = codebook_settings_of(values, more)
    return Tables(settings, {**chosen, "seed": seed}, taught)


_OPTIONS = {
    "epochs": "--retrain-epochs",
    "delta": "--retrain-delta",
    "learning_rate": "--retrain-rate",
    "recluster_every": "--recluster-every",
}


def export_tables(
    module: Any,
    samples: Any,
    tables: Tables,
    taught: tuple[Any, Any] | None,
    *,
    progress: "Progress | None",
    **options: Any,
) -> tuple["Trace", list[str]]:
    """Export a module as tables; yield the trace, and what to say of training.

    `options` are those of `export_codebooks`; `taught` samples and labels to train on.
    """
    from bitpim_traces.exporter import Retraining, export_codebooks

    trace = export_codebooks(
        module,
        samples,
        settings=tables.settings,
        retraining=None if taught is None else Retraining(**tables.retraining),
        taught=taught,
        progress=progress,
        **options,
    )
    found = trace.provenance.get("retrain")
    if found is None:
        return trace, []
    accuracies, epoch = found["accuracies"], found["epoch"]
    said = (
        f"re-trained: accuracy on the training images {found['float_accuracy']:.2%} in float,"
        f" {accuracies[0]:.2%} clustered, {accuracies[epoch]:.2%} after epoch {epoch} of"
        f" {len(accuracies) - 1}"
    )
    return trace, [said]
