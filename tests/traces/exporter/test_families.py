"""Architectures of public repositories: exported and exact, or refused in one sentence."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("torch")

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from bitpim.digital.layers import prepare_layer
from bitpim.proof.reference import run_network
from bitpim_traces.errors import TraceDataError
from bitpim_traces.exporter import export
from bitpim_traces.records import NETWORK_INPUT, Trace
from tests.traces.exporter.families import FAMILIES, LATER, Family

N_SAMPLES = 3

REFUSED_TODAY: dict[str, str] = {}
"""Families that are refused, and a part of what is said; one that exports is taken out."""

families = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)


class Called(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Keeps the names of the ATen operators that run."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.add(func._schema.name.removeprefix("aten::"))
        return func(*args, **(kwargs or {}))


def outputs(module: torch.nn.Module, x: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    with torch.no_grad():
        return np.asarray(module(torch.from_numpy(x.copy())).double().numpy())


@families
def test_a_family_is_what_it_says(family: Family) -> None:
    module, again = family.make(), family.make()
    x = family.samples(N_SAMPLES)
    with Called() as called:
        found = outputs(module, x)
    assert not module.training and family.origin
    assert set(family.needs) <= called.names, sorted(called.names)
    assert np.array_equal(outputs(again, x), found)
    per_output = found.std(axis=0).mean()
    assert per_output > 0.05 * found.std() > 0, "samples hardly differ in their outputs"


@families
def test_a_family_is_exact_or_refused_in_one_sentence(family: Family) -> None:
    module, x = family.make(), family.samples(N_SAMPLES)
    refused = REFUSED_TODAY.get(family.name)
    try:
        trace = export(module, x)
    except TraceDataError as error:
        said = str(error)
        assert refused is not None, said
        assert refused in said and "\n" not in said, said
        return
    assert refused is None, f"{family.name} exports: take it out of REFUSED_TODAY"
    compare(trace, outputs(module, x))


def compare(trace: Trace, expected: npt.NDArray[np.float64]) -> None:
    """Referee and digital side agree in every code; codes stand for the module's numbers."""
    codes = trace.samples.codes.read()
    named = run_network(trace, codes, keep="all")
    found = {NETWORK_INPUT: codes}
    for layer in trace.layers:
        prepared = prepare_layer(layer, trace.input_quantizations(layer))
        found[layer.index] = prepared.run([found[source] for source in layer.inputs])
        np.testing.assert_array_equal(found[layer.index], named[layer.index], err_msg=layer.name)
    last = trace.layers[-1]
    assert last.output_float is not None
    largest = np.abs(expected).max()
    reference = last.output_float.read()
    np.testing.assert_allclose(reference, expected.reshape(reference.shape), atol=1e-4 * largest)
    real = (found[last.index].astype(np.float64) - last.output.zero_point[0]) * last.output.scale[0]
    near = expected.reshape(real.shape)
    assert np.linalg.norm(real - near) < 0.1 * np.linalg.norm(near)
    # what tells one sample from another, and no bias
    real, near = real - real.mean(axis=0), near - near.mean(axis=0)
    assert np.corrcoef(real.ravel(), near.ravel())[0, 1] > 0.98


def test_what_is_listed_is_there() -> None:
    assert set(REFUSED_TODAY) <= set(FAMILIES)
    assert not set(LATER) & set(FAMILIES)
    assert all(LATER.values())


def test_the_document_lists_every_family() -> None:
    text = (Path(__file__).parents[3] / "traces/MODELS.md").read_text("utf-8")
    listed = text[text.index("<!-- families -->") :]
    for family in FAMILIES.values():
        assert f"| `{family.name}`, {family.origin} |" in listed
    assert listed.count("\n| `") == len(FAMILIES)
