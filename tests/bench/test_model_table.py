"""The tables of MODELS.md: what the script makes, cell by cell where that is cheap."""

import pytest

import bitpim
from bench.layer_kinds import EXAMPLES
from bench.model_table import (
    DOCUMENT,
    in_all_modes,
    joined,
    shortened,
    table_of_families,
    table_of_kinds,
    table_of_networks,
    table_of_plans,
    with_tables,
)
from bitpim_traces.network import FloatLayer, FloatNetwork
from bitpim_traces.operators import LAYER_KINDS
from bitpim_traces.records import REQUANTIZE_MODES
from bitpim_traces.synthetic import NAMES

TEXT = DOCUMENT.read_text("utf-8")


def table(name: str) -> list[str]:
    """Lines of a table of the document."""
    between = TEXT.partition(f"<!-- {name} -->\n")[2].partition(f"\n<!-- end of {name} -->")[0]
    return between.splitlines()


def cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip("|").split("|")]


def test_the_document_has_the_tables_of_kinds_and_networks() -> None:
    tables = {"kinds": table_of_kinds(), "networks": table_of_networks()}
    assert with_tables(TEXT, tables) == TEXT


def test_the_document_has_the_plans_of_small_networks() -> None:
    names = ["lenet5", "unet", "tiny"]
    head, rule, *rows = table_of_plans(names).splitlines()
    assert table("plans")[:2] == [head, rule]
    assert set(rows) < set(table("plans"))


def test_every_network_is_planned_or_refused_in_one_sentence_by_every_preset() -> None:
    head, _, *rows = map(cells, table("plans"))
    presets = [preset for machine in bitpim.machines() for preset in bitpim.presets(machine)]
    assert head == ["network", *(f"`{preset}`" for preset in presets)]
    assert [row[0] for row in rows] == [f"`{name}`" for name in NAMES]
    needs = [cell for row in rows for cell in row[1:]]
    refusals = [cell for cell in needs if not cell[0].isdigit()]
    assert len(needs) == len(NAMES) * len(presets) and len(refusals) < len(needs) / 10
    assert all(refusal.startswith("refused: need ") for refusal in refusals)


def test_every_kind_of_layer_has_an_example() -> None:
    assert list(dict.fromkeys(example.kind for example in EXAMPLES)) == list(LAYER_KINDS)
    shown = [(example.kind, example.title) for example in EXAMPLES]
    assert len(set(shown)) == len(shown)


def test_cells_tell_places_and_modes_apart() -> None:
    """Of caches; worked by what their lanes can do, and what floating-point factors need."""
    head, _, *rows = map(cells, table("kinds"))
    column = {row[0]: row[head.index("`neural_cache`")] for row in rows}
    assert column["`conv2d`"] == "arrays; float: arrays, host"
    assert column["`multiply`"] == "arrays; float: host"
    assert column["`permute`"] == "moved"
    assert column["`activation`, any other function"] == "host"
    crossbars = [row[head.index("`isaac`")] for row in rows if row[0] in ("`conv2d`", "`add`")]
    assert crossbars == ["digital side", "arrays"]


def test_a_machine_that_lacks_a_kind_says_so_in_its_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    from bitpim.digital import layers

    lacking = {kind: rule for kind, rule in layers._KINDS.items() if kind != "permute"}
    monkeypatch.setattr(layers, "_KINDS", lacking)
    permute = [example for example in EXAMPLES if example.kind == "permute"]
    row = cells(table_of_kinds(permute).splitlines()[2])
    assert row[2].startswith("refused: ") and "permute" in row[2]  # dense_crossbar
    assert row[1] == row[4] == "moved"  # bit_prudent, neural_cache


def test_refusals_are_shortened_to_what_is_needed_and_got() -> None:
    said = "isaac: need at most 9 crossbars, got 12 for 'n'; use `--set chip.tiles=1`"
    assert shortened(said) == "need at most 9 crossbars, got 12 for 'n'"
    assert shortened("layer 1 'a' (add): need 2 inputs, got 1") == "need 2 inputs, got 1"
    assert shortened("its program does not fit; use narrower codes") == "its program does not fit"


def test_modes_that_differ_are_named_where_floating_point_is_not_all_that_differs() -> None:
    places = dict.fromkeys(REQUANTIZE_MODES, "arrays")
    assert in_all_modes(places) == "arrays"
    assert in_all_modes(places | {"float_scale_half_even": "host"}) == "arrays; float: host"
    said = in_all_modes(places | {"truncate_shift": "moved"})
    assert (
        said.count("`: arrays") == len(REQUANTIZE_MODES) - 1 and "`truncate_shift`: moved" in said
    )


def test_presets_share_a_column_where_all_of_a_machine_agree() -> None:
    columns = {("m", "m"): ["a", "b"], ("m", "m_8bit"): ["a", "b"], ("n", "n"): ["a", "b"]}
    assert dict(joined(columns)) == {"`m`": ["a", "b"], "`n`": ["a", "b"]}
    apart = {**columns, ("m", "m_8bit"): ["a", "c"]}
    assert list(dict(joined(apart))) == ["`m`", "`m_8bit`", "`n`"]


def test_families_and_their_kinds() -> None:
    layers = (
        FloatLayer("a", "activation", (-1,), activation="silu"),
        FloatLayer("b", "multiply", (0, -1)),
        FloatLayer("c", "activation", (1,), activation="erf"),
    )
    made = table_of_families({"toys": FloatNetwork("n", layers, (3, 4, 4))})
    assert cells(made.splitlines()[-1]) == ["toys", "2 activation (silu, erf), 1 multiply"]


def test_a_document_without_a_place_for_a_table_is_refused() -> None:
    with pytest.raises(ValueError, match="need <!-- others --> and <!-- end of others -->"):
        with_tables(TEXT, {"others": ""})
