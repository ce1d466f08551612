"""File -> program trace: seal, scan, schema, rules; steps and rows stay in the file for later.

What the numbers of a step mean, and whether an array can take it, is for the array to say.
"""

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from bitpim_traces.errors import TraceError
from bitpim_traces.faults import Fault, Report, raising_report, shown
from bitpim_traces.file_bounds import EAGER_BYTES, EAGER_MULTIPLE
from bitpim_traces.open_file import OpenFile
from bitpim_traces.program_trace.records import Expected, LayerShare, ProgramTrace, RowField
from bitpim_traces.program_trace.schema import (
    AFTER,
    DATASET_ATTRIBUTES,
    FORMAT_NAME,
    FORMAT_VERSION,
    LAYER,
    MAX_STATE_AXES,
    ROOT,
    TABLES,
    axes_of_table,
)
from bitpim_traces.records import TensorRecord
from bitpim_traces.scan import Kind
from bitpim_traces.schema_forms import EXTRA_DTYPES, Dataset
from bitpim_traces.schema_reader import SchemaReader
from bitpim_traces.sealed_tree import sealed_tree
from bitpim_traces.strict_text import strict_json
from bitpim_traces.tree import Tree, child, digest_of

__all__ = ["decode_program", "open_program"]

_ADVICE = "record it again"
_KIND = Kind(lambda fault, file: fault.error(file, _ADVICE))
_N_NUMBERS = 5
_MOST_ROWS = 2**31
_HEADER = {
    "parameters": dict,
    "fields": list,
    "marks": list,
    "counts": (dict, type(None)),
    "provenance": dict,
}


def open_program(path: str | os.PathLike[str]) -> ProgramTrace:
    """Open a program trace; its steps and rows are read when they are asked for.

    Raises
    ------
    TraceFormatError
        The file is not a program trace, or breaks the format.
    TraceDataError
        Its numbers contradict each other or their checksums.
    TraceTooOld, TraceTooNew
        Its major version is not ours.
    """
    name = str(path)
    try:
        file = OpenFile(name)
    except FileNotFoundError as error:
        raise TraceError(f"{name}: need a program trace, got none; check the path") from error
    except OSError as error:
        said = error.strerror or error
        raise TraceError(f"{shown(name)}: need a file that can be read, got: {said}") from error
    report = raising_report(name, _ADVICE)
    tree = sealed_tree(file, report, _KIND)
    newer = _version(tree, report) > FORMAT_VERSION
    if tree["/"].attributes.get("digest") != digest_of(tree):
        need = "the digest of the file's names, attributes and checksums"
        report(Fault("/@digest", need, "another", "data"))
    limit = EAGER_MULTIPLE * file.size() + EAGER_BYTES
    return replace(decode_program(tree, report, newer=newer, eager_bytes=limit), file=file)


def _version(tree: Tree, report: Report) -> tuple[int, int]:
    attributes = tree["/"].attributes
    version: Any = attributes.get("format_version")
    if attributes.get("format_name") != FORMAT_NAME:
        got = shown(attributes.get("format_name"))
        report(Fault("/@format_name", f"{FORMAT_NAME!r}: this is another kind of file", got))
    if not isinstance(version, tuple) or len(version) != 2 or min(version) < 0:
        report(Fault("/@format_version", "two whole numbers: major, minor", shown(version)))
    if version[0] != FORMAT_VERSION[0]:
        sort = "too_old" if version[0] < FORMAT_VERSION[0] else "too_new"
        need = f"major version {FORMAT_VERSION[0]}"
        report(Fault("/@format_version", need, f"{version[0]}.{version[1]}", sort))
    return version[0], version[1]


def decode_program(
    tree: Tree, report: Report, *, newer: bool = False, eager_bytes: int = 2**62
) -> ProgramTrace:
    """Make the record of a tree; `report` raises every fault."""
    return _Reader(tree, report, DATASET_ATTRIBUTES, newer=newer, eager_bytes=eager_bytes).program()


class _Reader(SchemaReader):
    """Makes the record; its reports never return."""

    def program(self) -> ProgramTrace:
        root = self.group(ROOT, "/")
        assert root is not None, "a fault is raised"
        steps = root["steps"]
        if len(steps.shape) != 2 or steps.shape[1] != _N_NUMBERS:
            self.fault("/steps", f"{_N_NUMBERS} numbers a step", f"shape {steps.shape}")
        header = self._header(root["header"])
        state = self._tables("/state")
        return ProgramTrace(
            name=root["name"],
            array=root["array"],
            parameters=self._parameters(header["parameters"]),
            steps=steps,
            port=root.get("port"),
            state=state,
            constants=self._tables("/constants") if "/constants" in self.tree else {},
            fields=self._fields(header["fields"]),
            marks=self._marks(header["marks"], steps.shape[0]),
            expected=self._expected(state, steps.shape[0]) if "/expected" in self.tree else None,
            layer=self._layer() if LAYER.path in self.tree else None,
            counts=self._counts(header["counts"]),
            provenance=header["provenance"],
            digest=root["digest"],
        )

    def _header(self, stored: Any) -> dict[str, Any]:
        if stored.shape != (1,):
            self.fault("/header", "one text", f"shape {stored.shape}")
        need = f"one JSON object of {', '.join(_HEADER)}"
        try:
            found = strict_json(stored[0].decode("utf-8"))
        except (UnicodeDecodeError, ValueError) as error:
            self.fault("/header", need, shown(str(error)))
            raise
        is_object = isinstance(found, dict)
        names = set(found) if is_object else set()
        if (
            not is_object
            or not _HEADER.keys() <= names
            or (names != _HEADER.keys() and not self.newer)
        ):
            self.fault("/header", need, shown(sorted(names) if is_object else found))
        for name, sort in _HEADER.items():
            if not isinstance(found[name], sort):  # type: ignore[arg-type]
                self.fault(f"/header: {name}", "its form", shown(found[name]))
        return found  # type: ignore[no-any-return]

    def _parameters(self, found: Mapping[str, Any]) -> dict[str, int | str]:
        for name, value in found.items():
            if type(value) not in (int, str):
                self.fault(f"/header: parameters.{name}", "a number or a text", shown(value))
        return dict(found)

    def _counts(self, found: Mapping[str, Any] | None) -> dict[str, int] | None:
        for name, value in (found or {}).items():
            if type(value) is not int or value < 0:
                self.fault(f"/header: counts.{name}", "a number, 0 or more", shown(value))
        return None if found is None else dict(found)

    def _fields(self, found: list[Any]) -> tuple[RowField, ...]:
        fields = []
        for entry in found:
            if (
                not _has_form(entry, (str, int, int))
                or min(entry[1:]) < 0
                or sum(entry[1:]) > _MOST_ROWS
            ):
                self.fault("/header: fields", "name, first row, number of rows", shown(entry))
            fields.append(RowField(*entry))
        return tuple(fields)

    def _marks(self, found: list[Any], n_steps: int) -> tuple[tuple[int, str], ...]:
        before = 0
        for entry in found:
            if not _has_form(entry, (int, str)) or not before <= entry[0] <= n_steps:
                need = f"a step of 0..{n_steps} and a text, in the order of the steps"
                self.fault("/header: marks", need, shown(entry))
            before = entry[0]
        return tuple((step, text) for step, text in found)

    def _tables(self, group: str, *, expected: bool = False) -> dict[str, TensorRecord]:
        self.group(TABLES, group)
        tables = {}
        for name in self.members(group):
            if expected and name == AFTER.name:
                continue
            path = child(group, name)
            axes = [
                axes_of_table(n + expected, expected=expected) for n in range(1, MAX_STATE_AXES + 1)
            ]
            tables[name] = self.dataset(Dataset(name, EXTRA_DTYPES, tuple(axes), "1", ""), path)
        return tables

    def _layer(self) -> LayerShare:
        found = self.group(LAYER, LAYER.path)
        assert found is not None, "a fault is raised"
        for name, places in (
            ("inputs", "input_places"), ("sums", "output_places"), ("outputs", "output_places")
        ):  # fmt: skip
            n = found[places].shape[0]
            if name in found and found[name].shape[0] != n:
                got = f"shape {found[name].shape}"
                self.fault(child(LAYER.path, name), f"a number for each of {n} {places}", got)
        return LayerShare(**found)

    def _expected(self, state: Mapping[str, TensorRecord], n_steps: int) -> Expected:
        path = child("/expected", AFTER.name)
        if path not in self.tree:
            self.fault(path, "a dataset", "nothing")
        after = self.dataset(AFTER, path)
        tables = self._tables("/expected", expected=True)
        rises = bool((np.diff(after) > 0).all())
        if not rises or (after.size and not 0 <= after[0] <= after[-1] < n_steps):
            self.fault(path, f"rising numbers of steps, 0..{n_steps - 1}", shown(after.tolist()))
        for name, tensor in tables.items():
            where = child("/expected", name)
            if tensor.shape[0] != after.size:
                self.fault(where, f"{after.size} states", f"shape {tensor.shape}")
            before = state.get(name)
            if before is not None and (tensor.shape[1:], tensor.dtype) != (
                before.shape,
                before.dtype,
            ):
                need = f"{before.dtype.name} of shape {before.shape} each, as in /state"
                self.fault(where, need, f"{tensor.dtype.name} of shape {tensor.shape[1:]}")
        return Expected(after, tables)


def _has_form(entry: Any, types: tuple[type, ...]) -> bool:
    return (
        isinstance(entry, list)
        and len(entry) == len(types)
        and all(type(value) is sort for value, sort in zip(entry, types, strict=True))
    )
