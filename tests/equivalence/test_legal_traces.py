"""Whatever the format allows runs alike on every machine, or is refused alike."""

from collections import defaultdict
from collections.abc import Iterable

import pytest

from bitpim_traces.encode import encode
from bitpim_traces.operators import FUSED, LAYER_KINDS, OPERATORS
from bitpim_traces.records import REQUANTIZE_MODES, Trace
from bitpim_traces.schema import LAYER, LAYER_OF, QUANTIZATION, REQUANTIZE, SAMPLES
from bitpim_traces.schema_forms import Dataset, Group
from bitpim_traces.tree import DatasetEntry, GroupEntry
from tests.every_machine import check_on_every_machine
from tests.legal_traces import legal_trace

N_OF_EACH_KIND = 3
"""Traces that run here; thousands were run by hand."""

DRAWN = 1500
"""Traces that are drawn to see what is reached; they do not run."""

REQUANTIZED = [kind for kind, found in OPERATORS.items() if found.requantize != "none"]
MAY_REQUANTIZE = [kind for kind, found in OPERATORS.items() if found.requantize == "may"]
WEIGHTED = [kind for kind, found in OPERATORS.items() if found.has_weight]
OPTIONAL_GROUPS = {
    "weight_quantization": WEIGHTED,
    "requantize": REQUANTIZED,
    "clusters": WEIGHTED,
    "extra": LAYER_KINDS,
}
ONE_VALUE = {
    ("max_pool2d", "groups"),
    ("avg_pool2d", "groups"),
    ("conv2d", "ceil_mode"),
    ("conv2d", "count_include_pad"),
    ("max_pool2d", "count_include_pad"),
    *((kind, "activation") for kind, found in OPERATORS.items() if found.activations == ("none",)),
}
"""Attributes of a kind for which FORMAT.md leaves no choice."""


@pytest.mark.parametrize("part", range(N_OF_EACH_KIND))
@pytest.mark.parametrize("kind", range(len(LAYER_KINDS)), ids=LAYER_KINDS)
def test_machines_agree_on_legal_traces(kind: int, part: int) -> None:
    """Fidelities and the referee give equal codes and counts, or refuse with the same error."""
    trace = legal_trace(kind + len(LAYER_KINDS) * (part + 100), widths=(1, 8))
    check_on_every_machine(trace)


class Seen:
    """What traces have of the schema's entries, by layer kind."""

    def __init__(self, traces: Iterable[Trace]) -> None:
        self.values: dict[tuple[str, str], set[str]] = defaultdict(set)
        self.present: dict[tuple[str, str], set[bool]] = defaultdict(set)
        self.modes: set[tuple[str, str]] = set()
        self.narrow: set[tuple[str, str]] = set()  # kinds and activations whose clamp cuts codes
        for trace in traces:
            self.take(trace)

    def take(self, trace: Trace) -> None:
        tree = encode(trace)
        self.group(SAMPLES, "samples", "/samples", tree)
        self.group(QUANTIZATION, "samples", "/samples/quantization", tree)
        for layer in trace.layers:
            path = f"/layers/{layer.index:04d}"
            self.group(LAYER_OF[layer.kind], layer.kind, path, tree)
            for name in LAYER.optional_groups:
                here = f"{path}/{name}" in tree
                self.present[layer.kind, name].add(here)
            self.group(QUANTIZATION, f"{layer.kind}/output", f"{path}/output", tree)
            if layer.weight is not None:
                group = f"{path}/weight_quantization"
                self.group(QUANTIZATION, f"{layer.kind}/weight_quantization", group, tree)
            if layer.clamp != (layer.output.code_min, layer.output.code_max):
                self.narrow.add((layer.kind, layer.activation))
            if layer.requantize is not None:
                self.group(REQUANTIZE, layer.kind, f"{path}/requantize", tree)
                self.modes.add((layer.kind, layer.requantize.mode))

    def group(
        self, group: Group, owner: str, path: str, tree: dict[str, GroupEntry | DatasetEntry]
    ) -> None:
        attributes = tree[path].attributes
        for attribute in group.attributes:
            if attribute.name in attributes:
                self.values[owner, attribute.name].add(str(attributes[attribute.name]))
        for dataset in group.datasets:
            self.present[owner, dataset.name].add(f"{path}/{dataset.name}" in tree)


@pytest.fixture(scope="module")
def seen() -> Seen:
    return Seen(legal_trace(seed) for seed in range(DRAWN))


ATTRIBUTES = [(kind, a) for kind, group in LAYER_OF.items() for a in group.attributes]
DATASETS = [(kind, d) for kind, group in LAYER_OF.items() for d in group.datasets]


def test_every_attribute_of_a_layer_takes_several_values(seen: Seen) -> None:
    for kind, attribute in ATTRIBUTES:
        got = seen.values[kind, attribute.name]
        if attribute.name == "activation":
            functions = {"tanh", "any_1"} if OPERATORS[kind].tables else set()
            assert got == set(OPERATORS[kind].activations) | functions, kind
        elif attribute.name == "kind":
            assert got == {kind}
        else:
            assert len(got) > 1 or (kind, attribute.name) in ONE_VALUE, (kind, got)


def test_every_tensor_of_a_layer_is_there_and_absent(seen: Seen) -> None:
    for kind, dataset in DATASETS:
        wanted = {True} if dataset.required else {True, False}
        assert seen.present[kind, dataset.name] == wanted, kind


@pytest.mark.parametrize("name", [n for n in LAYER.optional_groups if n != "product_table"])
def test_every_optional_group_of_a_layer_is_there_and_absent(seen: Seen, name: str) -> None:
    may = OPTIONAL_GROUPS.get(name, LAYER_KINDS)
    for kind in LAYER_KINDS:
        chosen = name == "extra" or (name == "requantize" and kind in MAY_REQUANTIZE)
        chosen |= name == "clusters" and kind in may
        wanted = {True, False} if chosen or name not in OPTIONAL_GROUPS else {kind in may}
        assert seen.present[kind, name] == wanted, kind


def test_every_mode_of_every_kind_is_drawn_with_its_arrays(seen: Seen) -> None:
    assert seen.modes == {(kind, mode) for kind in REQUANTIZED for mode in REQUANTIZE_MODES}
    for kind in REQUANTIZED:
        for dataset in REQUANTIZE.datasets:
            assert seen.present[kind, dataset.name] == {True, False}, (kind, dataset.name)
    for attribute in REQUANTIZE.attributes[1:]:
        assert len(seen.values["add", attribute.name]) > 3, attribute.name


def test_every_width_and_sign_is_drawn(seen: Seen) -> None:
    owners = {owner for owner, name in seen.values if name == "bits"}
    assert len(owners) == 1 + len(LAYER_KINDS) + len(WEIGHTED)
    for owner in owners:
        for attribute in QUANTIZATION.attributes:
            got = seen.values[owner, attribute.name]
            weights = owner.endswith("weight_quantization")
            n = {"bits": 4, "signed": 2 + weights, "axis": 1 + weights}
            assert len(got) == n[attribute.name], (owner, attribute.name, got)


@pytest.mark.parametrize("dataset", SAMPLES.datasets, ids=lambda d: d.name)
def test_every_tensor_of_the_samples_is_there_and_absent(seen: Seen, dataset: Dataset) -> None:
    wanted = {True} if dataset.required else {True, False}
    assert seen.present["samples", dataset.name] == wanted
    for attribute in SAMPLES.attributes:
        assert len(seen.values["samples", attribute.name]) > 1, attribute.name


def test_clamps_are_narrow_where_they_may_be(seen: Seen) -> None:
    pairs = {(kind, name) for kind, found in OPERATORS.items() for name in found.activations}
    whole = {kind for kind, found in OPERATORS.items() if found.keeps_codes or found.fixed}
    free = {(kind, name) for kind, name in pairs if name in FUSED and kind not in whole}
    assert seen.narrow == free
