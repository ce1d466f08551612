"""Whatever a result states and its run does not give is found, whichever of its fields it is."""

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bitpim
from bitpim.errors import MismatchError, OutOfMemoryError, ResultError
from bitpim.legend import Headline
from bitpim.report.figures import ErrorFigures, LayerFigures
from bitpim.report.result_file import LayerResult, Result, RunHeader
from bitpim_traces.records import Trace
from tests.strategies import small_trace

KINDS = ["conv2d", "flatten", "linear"]
Forgery = Callable[[Result], Result]


@pytest.fixture(scope="module")
def trace() -> Trace:
    return small_trace(4, kinds=KINDS, n_samples=4, float_noise=True, bits=(4, 8))


@pytest.fixture(scope="module")
def exact(trace: Trace) -> Result:
    return bitpim.replay(trace, "isaac", samples="1:4", fidelity="integer")


@pytest.fixture(scope="module")
def lossy(trace: Trace) -> Result:
    return bitpim.replay(trace, "isaac", samples="1:4", adc_bits=2)


def of_header(**changes: Any) -> Forgery:
    return lambda r: replace(r, header=replace(r.header, **changes))


def of_layer(change: Callable[[LayerResult], dict[str, Any]], position: int = 0) -> Forgery:
    def forge(result: Result) -> Result:
        layers = list(result.layers)
        layers[position] = replace(layers[position], **change(layers[position]))
        return replace(result, layers=tuple(layers))

    return forge


def of_figures(**changes: Any) -> Forgery:
    def forge(result: Result) -> Result:
        assert result.figures is not None
        return replace(result, figures=replace(result.figures, **changes))

    return forge


def of_layer_figures(name: str, value: Any) -> Forgery:
    def forge(result: Result) -> Result:
        assert result.figures is not None
        first, *others = result.figures.layers
        rows = (replace(first, **{name: value}), *others)
        return replace(result, figures=replace(result.figures, layers=rows))

    return forge


def more(numbers: Any) -> dict[str, Any]:
    """Return the same mapping with its last number one higher; of mappings, in the last one."""
    *before, last = numbers.items()
    name, value = last
    return dict(before) | {name: more(value) if isinstance(value, dict) else value + 1}


def flipped(array: Any) -> Any:
    changed = array.copy()
    changed.reshape(-1)[-1] ^= 1
    return changed


def other_final(result: Result) -> Result:
    assert result.final_codes is not None
    return replace(result, final_codes=flipped(result.final_codes))


def other_predictions(result: Result) -> Result:
    assert result.predictions is not None
    return replace(result, predictions=flipped(result.predictions))


def cheaper(result: Result) -> Result:
    """Half the price of an event, under the old name; energies as that price has them."""
    text = result.prices_text
    start = text.index("energy_pj = ") + len("energy_pj = ")
    stop = text.index("\n", start)
    return replace(result, prices_text=f"{text[:start]}{float(text[start:stop]) / 2}{text[stop:]}")


def other_preset(result: Result) -> Result:
    """A setting changed in the text, its origin kept."""
    text, setting = result.header.preset, "clock_compute_ghz = { value = "
    setting = setting if setting in text else "read_cycle_ns = { value = "
    start = text.index(setting) + len(setting)
    changed = f"{text[:start]}1{text[start:]}"
    return replace(result, header=replace(result.header, preset=changed))


FORGERIES: dict[tuple[type, str], tuple[str, Forgery]] = {
    (RunHeader, "trace_name"): ("run", of_header(trace_name="another")),
    (RunHeader, "machine"): ("run", of_header(machine="sre")),
    (RunHeader, "preset"): ("preset", other_preset),
    (RunHeader, "options"): ("run", of_header(options={"layers": "all"})),
    (Result, "phases"): ("counts and cycles", lambda r: replace(r, phases=(*r.phases, "nap"))),
    (Result, "layers"): ("run", lambda r: replace(r, layers=r.layers[1:])),
    (Result, "final_codes"): ("final outputs", other_final),
    (Result, "predictions"): ("final outputs", other_predictions),
    (Result, "prices_name"): ("prices", lambda r: replace(r, prices_text="", prices_name="isaac")),
    (Result, "prices_text"): ("prices", cheaper),
    (Result, "legend"): (
        "plan",
        lambda r: replace(r, legend=replace(r.legend, headlines=(Headline("a", ("b",)),))),
    ),
    (LayerResult, "name"): ("run", of_layer(lambda _: {"name": "another"})),
    (LayerResult, "kind"): ("run", of_layer(lambda _: {"kind": "linear"})),
    (LayerResult, "digests"): ("outputs", of_layer(lambda row: {"digests": flipped(row.digests)})),
    (LayerResult, "counts"): (
        "counts and cycles",
        of_layer(lambda row: {"counts": more(row.counts)}),
    ),
    (LayerResult, "cycles"): (
        "counts and cycles",
        of_layer(lambda row: {"cycles": more(row.cycles)}),
    ),
    (LayerResult, "energy_pj"): (
        "energies",
        of_layer(lambda row: {"energy_pj": more(row.energy_pj)}),
    ),
    (LayerResult, "plan"): ("plan", of_layer(lambda row: {"plan": {**row.plan, "arrays": 77}})),
    (LayerResult, "error_rows"): (
        "error figures",
        of_layer(lambda row: {"error_rows": row.error_rows * (1 + 1e-6)}, -1),
    ),
    (ErrorFigures, "layers"): ("error figures", lambda r: of_figures(layers=())(r)),
    (ErrorFigures, "n_compared"): ("error figures", of_figures(n_compared=2)),
    (ErrorFigures, "top1_agreement"): ("error figures", of_figures(top1_agreement=0.123)),
    (ErrorFigures, "n_labelled"): ("error figures", of_figures(n_labelled=1)),
    (ErrorFigures, "accuracy"): ("error figures", of_figures(accuracy=0.123)),
    (ErrorFigures, "n_float_labelled"): ("error figures", of_figures(n_float_labelled=1)),
    (ErrorFigures, "float_accuracy"): ("error figures", of_figures(float_accuracy=0.123)),
    (LayerFigures, "index"): ("error figures", of_layer_figures("index", 1)),
    (LayerFigures, "name"): ("error figures", of_layer_figures("name", "another")),
    (LayerFigures, "n_samples"): ("error figures", of_layer_figures("n_samples", 2)),
    (LayerFigures, "max_abs"): ("error figures", of_layer_figures("max_abs", 1e-3)),
    (LayerFigures, "relative_l2"): ("error figures", of_layer_figures("relative_l2", 1e-3)),
    (LayerFigures, "sqnr_db"): ("error figures", of_layer_figures("sqnr_db", 99.0)),
}
REFUSED = {
    (RunHeader, "trace_digest"): of_header(trace_digest="0" * 64),
    (RunHeader, "stop"): of_header(stop=5),
    (LayerResult, "index"): of_layer(lambda _: {"index": 99}, -1),
}
NOBODY_CAN_SAY = {(RunHeader, "fidelity"), (RunHeader, "software"), (RunHeader, "provenance")}
OF_PARTS = {(RunHeader, "start"), (Result, "header"), (Result, "figures")}
"""Samples are told by their digests; the others are records whose fields have forgeries."""


def test_every_field_has_a_forgery() -> None:
    known = {*FORGERIES, *REFUSED, *NOBODY_CAN_SAY, *OF_PARTS}
    there = {
        (record, field.name)
        for record in (RunHeader, Result, LayerResult, ErrorFigures, LayerFigures)
        for field in fields(record)
    }
    assert known == there


@pytest.mark.parametrize("name", ["exact", "lossy"])
def test_a_result_is_what_it_states(
    trace: Trace, name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    result = request.getfixturevalue(name)
    found = bitpim.verify(trace, result)
    assert [c for c in found.claims if c.outcome == "differs"] == []
    assert sum(c.outcome == "equal" for c in found.claims) == 9
    assert found.exactness == ("L0" if name == "exact" else "L2")
    assert "computed again and equal: run, outputs," in repr(found)
    assert repr(found).count("not checked") == 1 and "NOT" not in repr(found)


@pytest.mark.parametrize("name", ["exact", "lossy"])
@pytest.mark.parametrize("field", FORGERIES, ids=lambda f: f"{f[0].__name__}.{f[1]}")
def test_a_forgery_is_named(
    trace: Trace, name: str, field: tuple[type, str], request: pytest.FixtureRequest
) -> None:
    what, forge = FORGERIES[field]
    result = request.getfixturevalue(name)
    forged = forge(result)
    found = bitpim.verify(trace, forged)
    assert what in [claim.what for claim in found.false_claims]
    assert not found.equal and found.exactness is None
    assert f"NOT what the run gives: {what}: " in repr(found) and "L0" not in repr(found)
    with pytest.raises(MismatchError, match="not what the run gives"):
        found.require_equal()


@pytest.mark.parametrize("forge", REFUSED.values(), ids=[name for _, name in REFUSED])
def test_a_result_of_another_network_is_refused(
    trace: Trace, exact: Result, forge: Forgery
) -> None:
    with pytest.raises(ResultError, match="result of trace"):
        bitpim.verify(trace, forge(exact))


def test_other_samples_are_told_by_their_digests(trace: Trace, exact: Result) -> None:
    shifted = replace(exact, header=replace(exact.header, start=0, stop=3))
    found = bitpim.verify(trace, shifted)
    assert not any(layer.equal for layer in found.layers)
    assert [claim.what for claim in found.false_claims][:2] == ["outputs", "final outputs"]


def test_what_does_not_run_again_is_said(trace: Trace, exact: Result, lossy: Result) -> None:
    """Outputs of an exact run are the referee's; of a lossy one nobody else knows them."""
    unknown = exact.header.preset.replace('machine = "isaac"', 'machine = "gone"')
    strange = replace(exact, header=replace(exact.header, preset=unknown, machine="gone"))
    for result, rerun in ((exact, False), (strange, True)):
        found = bitpim.verify(trace, result, rerun=rerun)
        outcomes = {claim.what: claim.outcome for claim in found.claims}
        assert outcomes["final outputs"] == outcomes["error figures"] == "equal"
        assert outcomes["counts and cycles"] == outcomes["plan"] == "not checked"
        assert found.equal and "not checked: outputs, counts and cycles, plan" in repr(found)
        forged = bitpim.verify(trace, other_final(result), rerun=rerun)
        assert [claim.what for claim in forged.false_claims] == ["final outputs"]
    assert "gone" in repr(found)
    found = bitpim.verify(trace, lossy, rerun=False)
    assert "not checked: outputs, final outputs, error figures" in repr(found)


def test_a_run_that_the_machine_refuses(trace: Trace, lossy: Result) -> None:
    stated = replace(lossy, header=replace(lossy.header, fidelity="integer"))
    (claim,) = bitpim.verify(trace, stated).false_claims
    assert claim.what == "run" and claim.detail.startswith("the machine refuses it: ")


def test_a_run_that_finds_no_memory(
    trace: Trace, exact: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_much(*_: object, **__: object) -> None:
        raise MemoryError("Unable to allocate")

    monkeypatch.setattr("bitpim.proof.rerun.replay", too_much)
    with pytest.raises(OutOfMemoryError, match="--no-rerun needs less"):
        bitpim.verify(trace, exact)
    assert bitpim.verify(trace, exact, rerun=False).false_claims == ()


def test_part_of_the_layers_and_no_prices(trace: Trace, tmp_path: Path) -> None:
    result = bitpim.replay(
        trace, "neural_cache", tmp_path / "r.h5", layers=[0, 1], samples=":1", prices="none"
    )
    found = bitpim.verify(trace, tmp_path / "r.h5")
    assert found.equal and result.final_codes is None
    given = replace(result, final_codes=np.zeros((1, 2), np.int8))
    (claim,) = bitpim.verify(trace, given).false_claims
    assert claim.detail == "it has outputs of a layer that it did not run"
    priced = of_layer(lambda row: {"energy_pj": dict.fromkeys(row.counts, 1.0)})(result)
    assert [c.what for c in bitpim.verify(trace, priced).false_claims] == ["energies"]


def test_tables_and_presets_of_ones_own_are_not_called_equal(
    trace: Trace, exact: Result, tmp_path: Path
) -> None:
    text = exact.prices_text.replace(f'name = "{exact.prices_name}"', 'name = "mine"', 1)
    (tmp_path / "mine.toml").write_text(text)
    (tmp_path / "own.toml").write_text(
        '[preset]\nmachine = "isaac"\nname = "own"\nextends = "isaac"\n'
    )
    result = bitpim.replay(
        trace, "isaac", preset=tmp_path / "own.toml", prices=tmp_path / "mine.toml", samples=":1"
    )
    unknown = {
        c.what: c.detail for c in bitpim.verify(trace, result).claims if c.outcome != "equal"
    }
    assert unknown["preset"] == "'own' does not come with this version"
    assert unknown["prices"] == "'mine' does not come with this version"


def test_a_name_that_is_a_file_is_not_opened(trace: Trace, exact: Result, tmp_path: Path) -> None:
    """The names of prices and presets come from the file that is being checked."""
    name = str(tmp_path / "secret.toml")
    (tmp_path / "secret.toml").write_text(exact.prices_text)
    (claim,) = (
        c for c in bitpim.verify(trace, replace(exact, prices_name=name)).claims
        if c.what == "prices"
    )  # fmt: skip
    assert claim.outcome == "not checked"
