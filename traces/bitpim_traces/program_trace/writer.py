"""Program trace -> file."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bitpim_traces.errors import TraceError
from bitpim_traces.faults import raising_report
from bitpim_traces.program_trace.reader import decode_program
from bitpim_traces.program_trace.records import LayerShare, ProgramTrace
from bitpim_traces.program_trace.schema import FORMAT_NAME, LAYER, axes_of_table
from bitpim_traces.records import TensorRecord
from bitpim_traces.tree import DatasetEntry, GroupEntry, Tree, child
from bitpim_traces.tree_writer import Progress, with_room_for_digests, write_tree
from bitpim_traces.whole_file import refusal

__all__ = ["write_program"]


def write_program(
    program: ProgramTrace,
    path: str | os.PathLike[str],
    *,
    progress: Progress | None = None,
    overwrite: bool = True,
) -> str:
    """Write a program trace and yield its digest; steps stream through in blocks.

    Raises
    ------
    TraceError
        It breaks a rule of PROGRAMS.md, or the file cannot be written; no file is left behind.
    """
    target = Path(path)
    against = refusal(target, overwrite=overwrite)
    if against is not None:
        raise TraceError(against)
    tree = with_room_for_digests(_encode(program))
    report = raising_report(str(target), "not written: mend the program by PROGRAMS.md")
    decode_program(tree, report)
    return write_tree(tree, target, progress=progress, overwrite=overwrite)


def _encode(program: ProgramTrace) -> Tree:
    tree: Tree = {
        "/": GroupEntry(
            {
                "format_name": FORMAT_NAME,
                "format_version": (1, 0 if program.layer is None else 1),
                "name": program.name,
                "array": program.array,
            }
        ),
        "/state": GroupEntry({}),
    }
    header = {
        "parameters": dict(program.parameters),
        "fields": [[f.name, f.start, f.width] for f in program.fields],
        "marks": [list(mark) for mark in program.marks],
        "counts": None if program.counts is None else dict(program.counts),
        "provenance": dict(program.provenance),
    }
    text = json.dumps(header, sort_keys=True, allow_nan=False, separators=(",", ":"))
    array = np.array([text.encode()])
    tree["/header"] = _entry(TensorRecord.of(array, axes="K", role=""), "K", "header")
    tree["/steps"] = _entry(program.steps, "TF", "steps")
    if program.port is not None:
        tree["/port"] = _entry(program.port, "PW", "port")
    _tables(tree, "/state", program.state)
    if program.constants:
        _tables(tree, "/constants", program.constants)
    if program.expected is not None:
        after = TensorRecord.of(program.expected.after, axes="E", role="")
        tree["/expected"] = GroupEntry({})
        tree["/expected/after"] = _entry(after, "E", "after")
        _tables(tree, "/expected", program.expected.state, expected=True)
    if program.layer is not None:
        _layer(tree, program.layer)
    return tree


def _layer(tree: Tree, layer: LayerShare) -> None:
    tree[LAYER.path] = GroupEntry({})
    for dataset in LAYER.datasets:
        tensor = getattr(layer, dataset.name)
        if tensor is not None:
            tree[child(LAYER.path, dataset.name)] = _entry(tensor, dataset.axes[0], dataset.name)


def _tables(
    tree: Tree, group: str, tables: Mapping[str, TensorRecord], *, expected: bool = False
) -> None:
    tree[group] = GroupEntry({})
    for name, tensor in tables.items():
        axes = axes_of_table(len(tensor.shape), expected=expected)
        tree[f"{group}/{name}"] = _entry(tensor, axes, name)


def _entry(tensor: TensorRecord, axes: str, role: str) -> DatasetEntry:
    dtype = np.dtype(tensor.dtype)
    return DatasetEntry(
        {"axes": axes, "units": "1", "role": role},
        dtype.newbyteorder("<") if dtype.kind in "iuf" else dtype,
        tuple(int(n) for n in tensor.shape),
        tensor.load,
    )
