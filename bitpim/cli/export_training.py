"""Options of `bitpim export` that prune a module and train it on, and what they do, in order."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bitpim.cli.trace_make import parse
from bitpim.cli.trace_prune import ORDER, ways_of

if TYPE_CHECKING:
    from bitpim_traces.exporter import Progress, Training
    from bitpim_traces.masks import LayerMask
    from bitpim_traces.quantize import AdmmPruning, Pruning, Settings
    from bitpim_traces.records import Trace

__all__ = [
    "Admm",
    "AdmmEpochs",
    "AdmmSet",
    "CodeEpochs",
    "Distill",
    "Mirror",
    "PruneSet",
    "Recipe",
    "Shift",
    "WeightValues",
    "admm_of",
    "export_prepared",
    "on_codes",
    "pruning_steps",
]

PruneSet = Annotated[
    list[str] | None,
    typer.Option(
        "--prune-set",
        metavar="KEY[@LAYERS]=VALUE",
        help="Any other setting of --lanes, --overlap and --channels, as `bitpim trace prune --set`"
        " has them. May be repeated.",
    ),
]
Admm = Annotated[
    str | None,
    typer.Option(
        metavar="KIND=SHARE",
        help="Prune by training, on the images of --finetune: SHARE of the filters, channels,"
        " shapes (one place of all filters) or lanes of each convolution; or pattern, where SHARE"
        " of the 3 x 3 kernels keeps nothing and the others a pattern.",
    ),
]
AdmmEpochs = Annotated[int, typer.Option(min=1, help="Epochs of --admm, before --finetune.")]
AdmmSet = Annotated[
    list[str] | None,
    typer.Option(
        "--admm-set",
        metavar="KEY[@LAYER]=VALUE",
        help="Any other setting of --admm: rounds, rho, rho_last, kept, n_patterns; share@LAYER for"
        " a layer. May be repeated.",
    ),
]
WeightValues = Annotated[
    str | None,
    typer.Option(help="codes (the default), ternary or binary weights; also --set, by layer."),
]
Mirror = Annotated[bool, typer.Option("--mirror", help="Mirror half of the images of --finetune.")]
Shift = Annotated[int, typer.Option(min=0, help="Shift images of --finetune by so many pixels.")]
Distill = Annotated[
    float,
    typer.Option(
        min=0, max=1, help="Share of the loss of --finetune that asks for the answers from before."
    ),
]
CodeEpochs = Annotated[
    int,
    typer.Option(
        min=0,
        help="Epochs on the images of --finetune in sight of the codes of activations, too; after"
        " all others, batch norms folded.",
    ),
]


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is done to a module before it is exported; `admm_epochs` are of the same training."""

    pruning: "Sequence[Pruning]"
    mask: Path | None
    admm: "AdmmPruning | None"
    admm_epochs: int
    training: "Training"
    code_epochs: int


@dataclass(frozen=True, slots=True)
class _Prepared:
    """Masks by parameter name, what to note in the trace, and what to say."""

    masks: "dict[str, LayerMask]"
    notes: dict[str, Any]
    said: list[str]


def pruning_steps(
    given: Mapping[str, Any],
    pattern: "Pruning | None",
    more: Sequence[str],
    prune_first: bool,
) -> "list[Pruning]":
    """Order the ways to prune at once that options name; `given` has --lanes and the like."""
    if more and not any(value is not None for value in given.values()):
        raise typer.BadParameter("--prune-set needs --lanes, --overlap or --channels")
    steps = ways_of(given, more, prune_first, "--prune-set")
    if pattern is not None:
        steps["patterns"] = pattern
    return [steps[way] for way in ORDER if way in steps]


def admm_of(text: str | None, more: Sequence[str], prune_first: bool) -> "AdmmPruning | None":
    """Make settings of --admm, or None without it; a wrong one is an error of the command line."""
    from bitpim_traces.errors import TraceDataError
    from bitpim_traces.quantize import AdmmPruning

    if text is None:
        if more:
            raise typer.BadParameter("--admm-set needs --admm")
        return None
    kind, equals, share = text.partition("=")
    if not equals:
        raise typer.BadParameter(f"need KIND=SHARE, got {text!r}", param_hint="--admm")
    own = {"kind", "share", "skip_first", "shares"}
    known = {f.name: f.default for f in fields(AdmmPruning) if f.name not in own}
    values: dict[str, Any] = {"kind": kind, "share": parse("SHARE", share, float, "--admm")}
    shares: dict[str, float] = {}
    for item in more:
        key, equals, value = item.partition("=")
        key, at, layer = key.partition("@")
        if not equals or (at and key != "share") or (not at and key not in known):
            raise typer.BadParameter(
                f"need {', '.join(known)} or share@LAYER before =VALUE, got {item!r}",
                param_hint="--admm-set",
            )
        if at:
            shares[layer] = parse(item.partition("=")[0], value, float, "--admm-set")
        else:
            values[key] = parse(key, value, type(known[key]), "--admm-set")
    try:
        return AdmmPruning(**values, shares=shares, skip_first=not prune_first)
    except TraceDataError as error:
        message = str(error).removeprefix("admm: ")
        raise typer.BadParameter(message, param_hint="--admm") from error


def on_codes(settings: "Settings") -> bool:
    """Tell whether weights have so few codes that training is to see them."""
    names = ["", *settings.overrides]
    if any(settings.weight_values_of(name) != "codes" for name in names):
        return True
    return settings.per_channel and any(settings.weight_bits_of(name) < 8 for name in names)


def export_prepared(
    module: Any,
    recipe: Recipe,
    settings: "Settings",
    given: tuple[Any, Any],
    taught: tuple[Any, Any] | None,
    *,
    progress: "Progress | None",
    **options: Any,
) -> "tuple[Trace, list[str]]":
    """Prune, train on and export a module; yield the trace, and what to say.

    `options` are those of `export`; `given` and `taught` are samples and labels.
    """
    from bitpim_traces.exporter import export

    prepared = _prepare(module, recipe, settings, given, taught, progress)
    if recipe.code_epochs:
        training = replace(recipe.training, epochs=recipe.code_epochs, distilled=0.0)
        options |= {"taught": taught, "training": training}
    trace = export(
        module, given[0], settings=settings, masks=prepared.masks, progress=progress, **options
    )
    said, found = list(prepared.said), trace.provenance.get("train_on_codes")
    if found is not None:
        said.append(
            f"trained on codes: accuracy {found['accuracy_before']:.2%} before,"
            f" {found['accuracy_after']:.2%} after {_steps(found['n_steps'])}"
        )
    return replace(trace, provenance={**trace.provenance, **prepared.notes}), said


def _prepare(
    module: Any,
    recipe: Recipe,
    settings: "Settings",
    given: tuple[Any, Any],
    taught: tuple[Any, Any] | None,
    progress: "Progress | None",
) -> _Prepared:
    """Prune and train on a module, in place; `given` and `taught` are samples and labels."""
    from bitpim_traces.exporter import admm_prune, finetune, prune_module
    from bitpim_traces.quantize.prune import pruning_as_plain

    teacher = copy.deepcopy(module) if recipe.training.distilled else None
    prepared = _Prepared({}, {}, [])
    steps = [*([] if recipe.mask is None else [_given(module, recipe.mask)]), *recipe.pruning]
    if steps:
        pruned = prune_module(module, steps, input_shape=tuple(given[0].shape[1:]))
        prepared.masks.update(pruned.masks)
        prepared.notes["prune"] = pruning_as_plain(steps)
    if taught is None:
        return prepared
    if recipe.admm is not None:
        training = replace(recipe.training, epochs=recipe.admm_epochs, distilled=0.0)
        found = admm_prune(module, *taught, recipe.admm, training, progress=progress)
        prepared.masks.update(found.masks)
        prepared.notes["admm"] = {**recipe.admm.as_plain(), **training.as_plain()}
        first, last = found.residuals[0], found.residuals[-1]
        prepared.said.append(
            f"pruned by ADMM: weights were {first:.1%} from pruned ones after the first of"
            f" {len(found.residuals)} rounds, {last:.1%} after the last"
        )
    coded = on_codes(settings)
    if prepared.masks or coded:
        tuned = finetune(
            module,
            *taught,
            prepared.masks,
            recipe.training,
            settings=settings if coded else None,
            teacher=teacher,
            evaluation=None if given[1] is None else given,
            progress=progress,
        )
        plain = {**recipe.training.as_plain(), "n_samples": taught[0].shape[0]}
        prepared.notes["finetune"] = {**plain, **({"on_codes": True} if coded else {})}
        before = "as codes" if coded and not prepared.masks else "right after pruning"
        measured = "training images" if given[1] is None else "samples"
        prepared.said.append(
            f"fine-tuned: accuracy on the {measured} {tuned.accuracy_before:.2%} {before},"
            f" {tuned.accuracy_after:.2%} after {_steps(tuned.n_steps)}"
        )
    return prepared


def _given(module: Any, path: Path) -> "Pruning":
    """Read masks that go by the module paths of weights."""
    from bitpim_traces.exporter import weights_of
    from bitpim_traces.mask_files import read_masks
    from bitpim_traces.quantize import GivenMasks

    shapes = {name: tuple(weight.shape) for name, weight in weights_of(module).items()}
    return GivenMasks(*read_masks(str(path), shapes))


def _steps(n: int) -> str:
    return f"{n} step{'s' * (n != 1)}"
