"""When layers work: copies of their crossbars side by side, layers in turn or in a pipeline.

Settings say it, `scheduled` applies it to a plan. Off, every layer has one copy, and layers follow
each other. Events of a sample are the same either way; cycles, crossbars and written weights not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from bitpim.config import Count, Part, Settings, remedies_by_layer
from bitpim.crossbar.layer_setup import LayerSetup
from bitpim.crossbar.plan import CrossbarPlan, WeightedPlan
from bitpim.crossbar.replication import balanced_copies
from bitpim.errors import ConfigError, MappingError

__all__ = ["ScheduleSettings", "Scheduled", "schedule_of", "scheduled"]

_MOST = 1_000_000_000


def _check_arrays(value: Any) -> Any:
    if value != "chip" and not (type(value) is int and 1 <= value <= _MOST):
        raise ValueError(f'need 1 to {_MOST} crossbars, or "chip" for all of it, got {value!r}')
    return value


Arrays = Annotated[
    Annotated[int, Field(ge=1, le=_MOST)] | Literal["chip"], BeforeValidator(_check_arrays)
]

COPIES = ("copies", "weight_writes")
"""Columns of plans that tell of copies."""


class ScheduleSettings(Part):
    """How many copies of a layer's crossbars there are, and whether layers work at once."""

    replication: Literal["none", "given", "balanced"] = Field(
        description="copies of each layer's crossbars, which share its positions: none; given, as "
        "copies says; balanced, as many as make the slowest layer fastest within arrays"
    )
    copies: Count = Field(
        description="copies of a layer's crossbars; a layer with fewer positions has one for each; "
        "used by replication given"
    )
    arrays: Arrays = Field(
        description='crossbars that all copies together may fill; "chip" is what the chip has; '
        "used by replication balanced"
    )
    pipeline: bool = Field(
        description="layers work at the same time, each on a sample of its own, so that one more "
        "sample takes as long as the slowest layer; false: one layer after the other"
    )

    @classmethod
    def by_layer(cls) -> tuple[str, ...]:
        """Return the copies: how many there are is a layer's own, how it is decided the chip's."""
        return ("copies",)

    def unused(self) -> dict[str, str]:
        """Return the keys that change nothing beside the others, each with what would use it."""
        users = {"copies": "given", "arrays": "balanced"}
        return {
            f"schedule.{key}": f"schedule.replication={rule}"
            for key, rule in users.items()
            if self.replication != rule
        }


class Scheduled(Settings):
    """Settings of a machine that may copy crossbars, and overlap layers."""

    schedule: ScheduleSettings

    def unused(self) -> Mapping[str, str]:
        """Return the keys that change nothing beside the others, each with what would use it."""
        return {**super().unused(), **self.schedule.unused()}


def schedule_of(settings: Settings) -> ScheduleSettings | None:
    """Return when layers work, where settings say it."""
    return settings.schedule if isinstance(settings, Scheduled) else None


def scheduled(
    plan: CrossbarPlan,
    setups: Sequence[LayerSetup],
    schedule: ScheduleSettings,
    n_crossbars: int,
) -> CrossbarPlan:
    """Return a plan with copies and pipeline; `n_crossbars` is what the chip has for weights.

    Raises
    ------
    ConfigError
        Layers of a pipeline leave out reads, or balanced copies may fill more than the chip has.
    MappingError
        What balanced copies may fill does not hold one of each layer, or a layer has more copies
        of its own than positions.
    """
    pairs = list(zip(plan.layers, setups, strict=True))
    weighted = [(layer, setup) for layer, setup in pairs if isinstance(layer, WeightedPlan)]
    if schedule.pipeline:
        _check_pipeline(weighted)
    if schedule.replication == "none":
        return replace(plan, pipelined=schedule.pipeline)
    if schedule.replication == "given":
        copies = [_given(layer, setup) for layer, setup in weighted]
    else:
        copies = _balanced([layer for layer, _ in weighted], schedule, n_crossbars)
    by_index = {layer.index: n for (layer, _), n in zip(weighted, copies, strict=True)}
    layers = tuple(
        replace(layer, n_copies=by_index[layer.index]) if isinstance(layer, WeightedPlan) else layer
        for layer in plan.layers
    )
    columns = (*plan.columns, *COPIES)
    return replace(plan, layers=layers, pipelined=schedule.pipeline, columns=columns)


def _check_pipeline(weighted: Sequence[tuple[WeightedPlan, LayerSetup]]) -> None:
    """Raise where a stage could take longer for one sample than for another."""
    for layer, setup in weighted:
        unless = setup.layout.skips_unless
        if unless is not None:
            with remedies_by_layer(setup.settings):
                raise ConfigError(
                    f"{_where(layer)}: schedule.pipeline needs layers that take as long for every "
                    f"sample, got one that leaves out reads; use `--set mapping.{unless}`"
                )


def _given(layer: WeightedPlan, setup: LayerSetup) -> int:
    """Return the copies that settings give; those of all layers are no more than positions."""
    schedule = schedule_of(setup.settings)
    assert schedule is not None
    own = any(each.key == "schedule.copies" for each in setup.settings.layer_settings)
    if own and schedule.copies > layer.n_positions:
        with remedies_by_layer(setup.settings):
            raise MappingError(
                f"{_where(layer)}: need at most {layer.n_positions} copies, one a position, got "
                f"{schedule.copies}; use `--set schedule.copies={layer.n_positions}`"
            )
    return min(schedule.copies, layer.n_positions)


def _balanced(
    layers: Sequence[WeightedPlan], schedule: ScheduleSettings, n_crossbars: int
) -> list[int]:
    """Return copies that balance layers within the crossbars that they may fill."""
    least = sum(layer.n_crossbars for layer in layers)
    if schedule.arrays == "chip":
        return balanced_copies([layer.stage for layer in layers], n_crossbars)
    if schedule.arrays > n_crossbars:
        raise ConfigError(
            f"schedule.arrays: need at most {n_crossbars}, what the chip has for "
            f"weights, got {schedule.arrays}; use `--set schedule.arrays=chip`"
        )
    if schedule.arrays < least:
        raise MappingError(
            f"schedule.arrays: need at least {least}, one copy of each layer, got "
            f"{schedule.arrays}; use `--set schedule.arrays={least}`"
        )
    return balanced_copies([layer.stage for layer in layers], schedule.arrays)


def _where(layer: WeightedPlan) -> str:
    return f"layer {layer.index} {layer.name!r} ({layer.kind})"
