"""Which layers of a float network have codebooks of their own, and which are joined into one."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, replace

from bitpim_traces.errors import TraceDataError
from bitpim_traces.network import FloatLayer, FloatNetwork
from bitpim_traces.operators import OPERATORS
from bitpim_traces.quantize.codebook_settings import CodebookSettings
from bitpim_traces.records import CLIPS, NETWORK_INPUT

__all__ = ["CodebookPlan", "plan_codebooks"]


@dataclass(frozen=True, slots=True)
class CodebookPlan:
    """What becomes of the layers of a float network.

    `network` is what is run to observe values: activations by table stand there as layers of their
    own; `given` has the index that each of its layers has, or had, before. `joined` has, by the
    index of a layer, that of the activation it will have by points. `origins` has the layer whose
    codebook each layer's codes are of, itself or an earlier one.
    """

    network: FloatNetwork
    given: tuple[int, ...]
    joined: Mapping[int, int]
    origins: tuple[int, ...]
    is_raw: bool

    @property
    def own(self) -> tuple[int, ...]:
        """Layers that have a codebook of their own, NETWORK_INPUT first."""
        last = len(self.network.layers) - 1
        found = [
            index
            for index, origin in enumerate(self.origins)
            if origin == index and index not in self.joined and not (self.is_raw and index == last)
        ]
        return (NETWORK_INPUT, *found)

    @property
    def names(self) -> dict[int, str]:
        """What codebooks go by: layers that have their own, and what each is called outside."""
        by_reader = {reader: index for index, reader in self.joined.items()}
        layers = self.network.layers
        return {
            index: "input" if index == NETWORK_INPUT else layers[by_reader.get(index, index)].name
            for index in self.own
        }


def plan_codebooks(network: FloatNetwork, settings: CodebookSettings) -> CodebookPlan:
    """Decide which layers have codebooks of their own, and which have activations by points.

    Raises
    ------
    TraceDataError
        A kind has no tables, the last layer cannot be raw, or a setting fits no layer.
    """
    for index, layer in enumerate(network.layers):
        _need_tables(index, layer)
    last = network.layers[-1]
    able = OPERATORS[last.kind].has_weight
    if settings.raw_output and not able:
        raise TraceDataError(
            f"layer {len(network.layers) - 1} {last.name!r}: need a network that ends in a conv2d"
            f" or linear for raw_output, got {last.kind}; leave raw_output out"
        )
    is_raw = able if settings.raw_output is None else settings.raw_output
    given = tuple(range(len(network.layers)))
    if settings.relu == "table":
        network, given = _parted(network, but_last=is_raw)
    joined = _joined(network, settings)
    origins: list[int] = []
    for index, layer in enumerate(network.layers):
        origins.append(_origin(index, layer, origins, joined))
    plan = CodebookPlan(network, given, joined, tuple(origins), is_raw)
    _check_overrides(plan, settings)
    return plan


def _need_tables(index: int, layer: FloatLayer) -> None:
    operator = OPERATORS[layer.kind]
    known = operator.product_rows or operator.keeps_codes or operator.fixed
    if not known and layer.kind != "activation":
        kinds = ", ".join(kind for kind, found in OPERATORS.items() if found.product_rows)
        raise TraceDataError(
            f"layer {index} {layer.name!r} ({layer.kind}): need kinds that tables compute, {kinds},"
            f" functions, and those that only move or compare codes, got {layer.kind}; make affine"
            " codes with `bitpim trace quantize`"
        )


def _parted(network: FloatNetwork, *, but_last: bool) -> tuple[FloatNetwork, tuple[int, ...]]:
    """Make layers of their own of the clips of conv2d, linear and add; yield what each was."""
    kept: list[FloatLayer] = []
    given: list[int] = []
    new_index, n_layers = {NETWORK_INPUT: NETWORK_INPUT}, len(network.layers)
    for index, layer in enumerate(network.layers):
        moved = replace(layer, inputs=tuple(new_index[i] for i in layer.inputs))
        is_fused = OPERATORS[layer.kind].fuses and layer.activation != "none"
        if is_fused and not (but_last and index == n_layers - 1):
            kept.append(replace(moved, activation="none", clamp=None))
            name, source = f"{layer.name}.{layer.activation}", (len(kept) - 1,)
            moved = FloatLayer(
                name, "activation", source, activation=layer.activation, clamp=layer.clamp
            )
            given.append(index)
        new_index[index] = len(kept)
        kept.append(moved)
        given.append(index)
    return FloatNetwork(network.name, tuple(kept), network.input_shape), tuple(given)


def _joined(network: FloatNetwork, settings: CodebookSettings) -> dict[int, int]:
    """Find the functions that alone read a conv2d, linear or add, but those with constants."""
    readers: dict[int, list[int]] = {}
    for index, layer in enumerate(network.layers):
        for source in set(layer.inputs):
            readers.setdefault(source, []).append(index)
    found = {}
    for index, layer in enumerate(network.layers):
        alone = readers.get(index, [])
        if not OPERATORS[layer.kind].fuses or layer.activation != "none" or len(alone) != 1:
            continue
        reader = network.layers[alone[0]]
        by_table = reader.activation not in CLIPS or settings.relu == "table"
        if reader.kind == "activation" and by_table and "constants" not in reader.tensors:
            found[index] = alone[0]
    return found


def _origin(index: int, layer: FloatLayer, origins: list[int], joined: Mapping[int, int]) -> int:
    operator = OPERATORS[layer.kind]
    before = [i if i == NETWORK_INPUT else origins[i] for i in layer.inputs]
    clips = layer.kind == "activation" and layer.activation in CLIPS
    alike = layer.kind == "concat" and layer.activation == "none" and len({*before}) == 1
    if operator.keeps_codes or (clips and layer.inputs[0] not in joined) or alike:
        return before[0]
    return index


def _check_overrides(plan: CodebookPlan, settings: CodebookSettings) -> None:
    by_name = {"input": NETWORK_INPUT}
    parts = {*plan.joined.values()}  # these go by the name of the layer that they are joined with
    layers = enumerate(plan.network.layers)
    by_name |= {layer.name: index for index, layer in layers if index not in parts}
    for name, codes in settings.overrides.items():
        if name not in by_name:
            close = difflib.get_close_matches(name, by_name, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise TraceDataError(f"settings: overrides name an unknown layer {name!r}{hint}")
        index = by_name[name]
        weightless = index == NETWORK_INPUT or plan.network.layers[index].weight is None
        if codes.weight_codes is not None and weightless:
            raise TraceDataError(
                f"settings: overrides give weight_codes to {name!r}, without weight"
            )
        if codes.output_codes is not None and plan.joined.get(index, index) not in plan.own:
            raise TraceDataError(
                f"settings: overrides give output_codes to {name!r}, which has no codebook of its"
                " own; give them to the layer whose codes it keeps"
            )
