"""Options that prune a network to patterns, and the words for what came of it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from bitpim_traces.masks import LayerMask
    from bitpim_traces.quantize import PatternPruning
    from bitpim_traces.records import LayerRecord

__all__ = [
    "Kept",
    "PatternScope",
    "Patterns",
    "PruneFirst",
    "ZeroKernels",
    "described_mask",
    "mask_text",
    "pruning_of",
    "pruning_text",
]

Patterns = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Prune 3 x 3 conv kernels (not those of the first convolution) to this many patterns.",
    ),
]
Kept = Annotated[
    int | None, typer.Option(min=1, max=9, help="Weights a pruned conv kernel keeps; 4 by default.")
]
ZeroKernels = Annotated[
    float | None,
    typer.Option(
        min=0, max=1, help="Share of the conv kernels of a layer that keep nothing; 0 by default."
    ),
]
PatternScope = Annotated[
    str | None,
    typer.Option(help="Patterns for each layer (the default), or one set for the network."),
]
PruneFirst = Annotated[bool, typer.Option("--prune-first", help="Prune the first convolution too.")]


def pruning_of(
    patterns: int | None,
    kept: int | None,
    zero_kernels: float | None,
    pattern_scope: str | None,
    prune_first: bool,
) -> "PatternPruning | None":
    """Make settings of pruning from options, or None where there is none of them."""
    from bitpim_traces.errors import TraceDataError
    from bitpim_traces.quantize import PatternPruning

    given = {"kept": kept, "zero_kernel_share": zero_kernels, "scope": pattern_scope}
    chosen: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    if patterns is None:
        if chosen or prune_first:
            raise typer.BadParameter(
                "--kept, --zero-kernels, --pattern-scope and --prune-first need --patterns"
            )
        return None
    try:
        return PatternPruning(n_patterns=patterns, skip_first=not prune_first, **chosen)
    except TraceDataError as error:
        raise typer.BadParameter(str(error).removeprefix("pruning: ")) from error


def pruning_text(masks: Mapping[str, "LayerMask"]) -> str:
    """Say how many layers are pruned and what share of their weights."""
    n_weights = sum(mask.mask.size for mask in masks.values())
    n_zero = sum(mask.mask.size - int(mask.mask.sum(dtype=int)) for mask in masks.values())
    layers = f"{len(masks)} layer{'' if len(masks) == 1 else 's'}"
    share = f"{n_zero:,} of {n_weights:,} weights there are zero ({n_zero / n_weights:.1%})"
    return f"{layers} pruned, {share}"


def described_mask(layer: "LayerRecord") -> dict[str, Any] | None:
    """Describe a layer's mask in plain values; None where it has none that can be read.

    `n_patterns` is None where the masks of conv kernels are free, `n_groups` where nothing is said
    of filters that may share lanes.
    """
    from bitpim_traces.masks import LayerMask, check_mask

    faults: list[Any] = []
    check_mask(layer, faults.append)
    if "pruning_mask" not in layer.extra or faults:
        return None
    patterns = layer.extra.get("patterns")
    groups = layer.extra.get("overlap_groups")
    mask = LayerMask(layer.extra["pruning_mask"].read(), None)
    return {
        "sparsity": mask.sparsity,
        "n_zero_kernels": mask.n_zero_kernels,
        "n_patterns": None if patterns is None else patterns.shape[0],
        "n_groups": None if groups is None else len(set(groups.read().tolist())),
    }


def mask_text(mask: Mapping[str, Any] | None) -> str:
    """Say a described mask in a few words."""
    if mask is None:
        return ""
    n = mask["n_patterns"]
    patterns = "" if n is None else f", {n} pattern{'' if n == 1 else 's'}"
    n = mask["n_groups"]
    groups = "" if n is None else f", {n} group{'' if n == 1 else 's'}"
    return f"{mask['sparsity']:.1%} zero{patterns}{groups}"
