"""Tree -> records: every name, form, dtype and shape against the schema.

Rules that tie numbers of several objects together are in `rules`.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim_traces.errors import TraceDataError
from bitpim_traces.faults import Fault, Report, shown
from bitpim_traces.records import (
    LAYER_KINDS,
    Geometry,
    LayerRecord,
    Quantization,
    Requantize,
    Samples,
    TensorRecord,
    Trace,
)
from bitpim_traces.schema import (
    DATASET_ATTRIBUTES,
    EXTRA_DTYPES,
    LAYER,
    LAYERS,
    MAX_LAYERS,
    MAX_PARAMETERS,
    MAX_TEXT_BYTES,
    QUANTIZATION,
    REQUANTIZE,
    ROOT,
    SAMPLES,
    WINDOWED,
    Attribute,
    Dataset,
    Group,
)
from bitpim_traces.tree import DatasetEntry, GroupEntry, Tree, Value, child

__all__ = ["decode"]

_INT64 = range(-(2**63), 2**63)


def decode(tree: Tree, report: Report, *, newer: bool = False) -> Trace | None:
    """Make records of a tree; None if too much is missing.

    Layers that cannot be made are left out (their faults are reported); then the trace has fewer
    layers than the file. With `newer`, names that this version does not know are ignored.
    """
    return _Decoder(tree, report, newer).trace()


class _Decoder:
    def __init__(self, tree: Tree, report: Report, newer: bool) -> None:
        self.tree, self.newer = tree, newer
        self._report = report
        self.n_faults = 0
        self._members: dict[str, list[str]] = {}
        for path in sorted(tree):
            parent, _, name = path.rpartition("/")
            if name:
                self._members.setdefault(parent or "/", []).append(name)

    def members(self, path: str) -> list[str]:
        return self._members.get(path, [])

    def fault(self, where: str, need: str, got: str, sort: str = "format") -> None:
        self.n_faults += 1
        self._report(Fault(where, need, got, sort))

    def trace(self) -> Trace | None:
        root = self.group(ROOT, "/")
        layers = self.layers()
        samples = self.samples()
        if root is None or samples is None:
            return None
        provenance = self.provenance(root)
        return Trace(root["name"], layers, samples, provenance, root["digest"])

    def provenance(self, root: Mapping[str, Any]) -> Mapping[str, Any]:
        raw: npt.NDArray[np.bytes_] = root["provenance"]
        try:
            text = raw.reshape(-1)[0].decode("utf-8")
            found = json.loads(text, parse_constant=_refuse)
        except (ValueError, RecursionError, IndexError, MemoryError) as error:
            self.fault("/provenance", "one JSON object", shown(str(error)))
            return {}
        if not isinstance(found, dict):
            self.fault("/provenance", "one JSON object", shown(found))
            return {}
        return found

    def layers(self) -> tuple[LayerRecord, ...]:
        if self.group(LAYERS, "/layers") is None:
            return ()
        names = [n for n in self.members("/layers") if not self.newer or n[:1] in "0123456789"]
        if not 1 <= len(names) <= MAX_LAYERS:
            self.fault("/layers", f"1 to {MAX_LAYERS} layers", str(len(names)))
            return ()
        made = []
        for index, name in enumerate(names):
            path = child("/layers", name)
            if name != f"{index:04d}":
                self.fault(path, f"layer {index:04d} here: no gaps, no other names", shown(name))
                break
            layer = self.layer(index, path)
            if layer is not None:
                made.append(layer)
        return tuple(made)

    def layer(self, index: int, path: str) -> LayerRecord | None:
        before = self.n_faults
        found = self.group(LAYER, path)
        output = self.quantization(child(path, "output"))
        weight_quantization = requantize = None
        if child(path, "weight_quantization") in self.tree:
            weight_quantization = self.quantization(child(path, "weight_quantization"))
        if child(path, "requantize") in self.tree:
            requantize = self.requantize(child(path, "requantize"))
        extra = self.extras(child(path, "extra"))
        if found is None or output is None or self.n_faults != before:
            return None
        geometry = None
        if found["kind"] in WINDOWED:
            geometry = Geometry(
                kernel=found["kernel"],
                stride=found["stride"],
                padding=found["padding"],
                dilation=found["dilation"],
                groups=found["groups"],
                ceil_mode=bool(found["ceil_mode"]),
                count_include_pad=bool(found["count_include_pad"]),
            )
        return LayerRecord(
            index=index,
            name=found["name"],
            kind=found["kind"],
            inputs=found["inputs"],
            input_shapes=tuple(self.shape_of(i, index) for i in found["inputs"]),
            output_shape=found["output_shape"],
            output=output,
            geometry=geometry,
            activation=found["activation"],
            clamp=found["clamp"],
            requantize=requantize,
            accumulator_bits=found["accumulator_bits"],
            pad_code=found["pad_code"],
            weight=found.get("weight"),
            weight_quantization=weight_quantization,
            bias=found.get("bias"),
            weight_float=found.get("weight_float"),
            bias_float=found.get("bias_float"),
            table=found.get("table"),
            pads=found.get("pads", (0,) * 6),
            concat_axis=found.get("concat_axis", 0),
            output_float=found.get("output_float"),
            extra=extra,
        )

    def shape_of(self, index: int, reader: int) -> tuple[int, ...]:
        """Yield the shape of an input as the file says it; () when there is none (see `rules`)."""
        entry: Any = None
        if index == -1:
            entry = self.tree.get("/samples/codes")
            return entry.shape[1:] if isinstance(entry, DatasetEntry) else ()
        if 0 <= index < reader:
            entry = self.tree.get(f"/layers/{index:04d}")
        shape = entry.attributes.get("output_shape") if isinstance(entry, GroupEntry) else ()
        return shape if isinstance(shape, tuple) else ()

    def samples(self) -> Samples | None:
        found = self.group(SAMPLES, "/samples")
        quantization = self.quantization("/samples/quantization")
        if found is None or quantization is None:
            return None
        return Samples(found["codes"], quantization, found.get("labels"), found["dataset"])

    def quantization(self, path: str) -> Quantization | None:
        if path not in self.tree:
            return None  # its group has reported it
        found = self.group(QUANTIZATION, path)
        if found is None:
            return None
        axis = None if found["axis"] == -1 else found["axis"]
        return Quantization(
            found["bits"], bool(found["signed"]), found["scale"], found["zero_point"], axis
        )

    def requantize(self, path: str) -> Requantize | None:
        found = self.group(REQUANTIZE, path)
        if found is None:
            return None
        return Requantize(
            found["mode"],
            found.get("multiplier"),
            found.get("shift"),
            found.get("scale"),
            found["output_multiplier"],
            found["output_shift"],
            found["left_shift"],
        )

    def extras(self, path: str) -> dict[str, TensorRecord]:
        if path not in self.tree:
            return {}
        if not isinstance(self.tree[path], GroupEntry):
            self.fault(path, "a group", "a dataset")
            return {}
        found = {}
        for name in self.members(path):
            spec = Dataset(name, EXTRA_DTYPES, (), "", "")
            tensor = self.dataset(spec, child(path, name))
            if isinstance(tensor, TensorRecord):
                found[name] = tensor
        return found

    def group(self, spec: Group, path: str) -> dict[str, Any] | None:
        """Read attributes and datasets by the schema; None if any that is required is faulty."""
        entry = self.tree.get(path)
        if not isinstance(entry, GroupEntry):
            self.fault(path, "a group", "nothing" if entry is None else "a dataset")
            return None
        before = self.n_faults
        found: dict[str, Any] = {}
        kind = entry.attributes.get("kind")
        attributes = [a for a in spec.attributes if kind in a.kinds or a.kinds == LAYER_KINDS]
        for attribute in attributes:
            found[attribute.name] = self.attribute(attribute, entry.attributes, path)
        self.unknown(entry.attributes, [a.name for a in attributes], f"{path}@")
        members = self.members(path)
        datasets = [d for d in spec.datasets if kind in d.kinds or d.kinds == LAYER_KINDS]
        for dataset in datasets:
            if dataset.name in members:
                found[dataset.name] = self.dataset(dataset, child(path, dataset.name))
            elif dataset.required:
                self.fault(child(path, dataset.name), "a dataset", "nothing")
        for name in spec.groups:
            if name not in members:
                self.fault(child(path, name), "a group", "nothing")
        if spec is not LAYERS:
            known = [d.name for d in datasets] + [*spec.groups, *spec.optional_groups]
            self.unknown(members, known, child(path, ""))
        return found if self.n_faults == before else None

    def unknown(self, names: Any, known: list[str], prefix: str) -> None:
        if not self.newer:
            for name in sorted(set(names) - set(known)):
                self.fault(f"{prefix}{name}", "only names of this version here", "an unknown one")

    def attribute(self, spec: Attribute, attributes: Mapping[str, Value], path: str) -> Any:
        where = f"{path}@{spec.name}"
        if spec.name not in attributes:
            self.fault(where, "an attribute", "nothing")
            return None
        value = attributes[spec.name]
        need = _form_fault(spec, value)
        if need:
            self.fault(where, need, shown(value))
        return value

    def dataset(self, spec: Dataset, path: str) -> Any:
        """Check one dataset against its row; yield a TensorRecord, or the values if eager."""
        entry = self.tree[path]
        if not isinstance(entry, DatasetEntry):
            self.fault(path, "a dataset", "a group")
            return None
        before = self.n_faults
        for attribute in DATASET_ATTRIBUTES:
            self.attribute(attribute, entry.attributes, path)
        self.unknown(entry.attributes, [a.name for a in DATASET_ATTRIBUTES], f"{path}@")
        if self.n_faults != before:
            return None
        if entry.type_name not in spec.dtypes:
            self.fault(path, f"dtype {' or '.join(spec.dtypes)}", entry.type_name)
        axes = str(entry.attributes.get("axes"))
        if spec.axes and axes not in spec.axes:
            self.fault(f"{path}@axes", f"{' or '.join(spec.axes)}", shown(axes))
        if len(axes) != len(entry.shape):
            self.fault(path, f"one axis a letter of {shown(axes)}", f"shape {entry.shape}")
        if spec.axes and (entry.attributes.get("units"), entry.attributes.get("role")) != (
            spec.units,
            spec.name,
        ):
            self.fault(path, f"units {spec.units!r} and role {spec.name!r}", "others")
        if self.n_faults != before:
            return None
        if spec.eager:
            return self.values(entry, path)
        units, role = str(entry.attributes["units"]), str(entry.attributes["role"])
        return TensorRecord(entry.shape, entry.dtype, axes, units, role, entry.load)

    def values(self, entry: DatasetEntry, path: str) -> npt.NDArray[Any] | None:
        n_bytes = int(np.prod(entry.shape, dtype=np.float64)) * entry.dtype.itemsize
        if n_bytes > MAX_PARAMETERS * 8:
            self.fault(path, f"at most {MAX_PARAMETERS} entries", f"shape {entry.shape}")
            return None
        try:
            return entry.load(0, entry.shape[0])
        except TraceDataError as error:
            self.fault(path, "values that can be read", str(error), "data")
            return None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON number")


def _form_fault(spec: Attribute, value: Value) -> str:
    """Say what an attribute needs if its value has not that form; "" if it has."""
    if spec.form == "text":
        if (
            not isinstance(value, str)
            or len(value.encode()) > MAX_TEXT_BYTES
            or not value.isprintable()
        ):
            return f"one line of text, at most {MAX_TEXT_BYTES} bytes"
        if spec.choices and value not in spec.choices:
            return f"one of {', '.join(spec.choices)}"
        return ""
    numbers = value if isinstance(value, tuple) else (value,)
    if not all(isinstance(n, int) and n in _INT64 for n in numbers):
        return "whole numbers of 64 bits"
    if spec.form == "ints":
        if not isinstance(value, tuple) or spec.length not in (None, len(value)):
            return f"{spec.length or 'a list of'} whole numbers"
        return ""
    if isinstance(value, tuple):
        return "one whole number"
    return "0 or 1" if spec.form == "flag" and value not in (0, 1) else ""
