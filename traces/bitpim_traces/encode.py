"""Records -> tree: what goes where in the file."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim_traces.binary_codes import BINARY, CODEBOOK, CODED, in_file
from bitpim_traces.codebook import Codebook, ProductTable
from bitpim_traces.operators import OPERATORS
from bitpim_traces.records import (
    Clusters,
    LayerRecord,
    Quantization,
    Requantize,
    TensorRecord,
    Trace,
)
from bitpim_traces.schema import (
    CLUSTERS,
    FORMAT_NAME,
    FORMAT_VERSION,
    LAYER_FIELDS,
    LAYER_OF,
    PRODUCT_TABLE,
    QUANTIZATION,
    REQUANTIZE,
    ROOT,
    SAMPLES,
)
from bitpim_traces.schema_forms import Dataset, Group
from bitpim_traces.tree import DatasetEntry, GroupEntry, Tree, Value, child
from bitpim_traces.versions import minor_of

__all__ = ["encode"]

_LAYER_DATASETS = {d.name: d for group in LAYER_OF.values() for d in group.datasets}


def encode(trace: Trace) -> Tree:
    """Lay a trace out as groups and datasets, without the digests, which need the values."""
    tree: Tree = {
        "/": GroupEntry(
            {
                "format_name": FORMAT_NAME,
                "format_version": (FORMAT_VERSION[0], minor_of(trace)),
                "name": trace.name,
            }
        ),
        "/layers": GroupEntry({}),
        "/samples": GroupEntry({"dataset": trace.samples.dataset}),
    }
    text = json.dumps(_plain(trace.provenance), sort_keys=True, allow_nan=False, indent=1)
    _put(tree, _dataset(ROOT, "provenance"), "/", _array(np.array([text.encode()]), "K"))
    for layer in trace.layers:
        _layer(tree, layer)
    samples = trace.samples
    codes = _coded(samples.codes, samples.quantization, "/samples/codes")
    _put(tree, _dataset(SAMPLES, "codes"), "/samples", codes)
    _put(tree, _dataset(SAMPLES, "labels"), "/samples", samples.labels)
    _quantization(tree, "/samples/quantization", samples.quantization)
    return tree


def _plain(value: Any) -> Any:
    """Turn mappings and sequences of any sort into what JSON knows."""
    if isinstance(value, Mapping):
        return {str(key): _plain(member) for key, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(member) for member in value]
    return value.item() if isinstance(value, np.generic) else value


def _layer(tree: Tree, layer: LayerRecord) -> None:
    path = f"/layers/{layer.index:04d}"
    attributes: dict[str, Value] = {
        "name": layer.name,
        "kind": layer.kind,
        "inputs": _ints(layer.inputs),
        "output_shape": _ints(layer.output_shape),
        "activation": layer.activation,
        "clamp": _ints(layer.clamp),
        "accumulator_bits": int(layer.accumulator_bits),
        "pad_code": int(layer.pad_code),
    }
    window = layer.geometry
    operator = OPERATORS[layer.kind]
    if operator.window and window is not None:
        attributes |= {
            "kernel": _ints(window.kernel),
            "stride": _ints(window.stride),
            "padding": _ints(window.padding),
            "dilation": _ints(window.dilation),
            "groups": int(window.groups),
            "ceil_mode": int(window.ceil_mode),
            "count_include_pad": int(window.count_include_pad),
        }
    for name, value in layer.params.items():
        attributes[name] = _ints(value) if isinstance(value, tuple) else value
    tree[path] = GroupEntry(attributes)
    fields = {name: getattr(layer, name) for name in LAYER_FIELDS}
    for name, tensor in {**fields, **layer.tensors}.items():  # one of another kind: see the rules
        spec = _LAYER_DATASETS.get(name) or Dataset(name, (), (), "", "")
        quantization = getattr(layer, CODED[name]) if name in CODED else None
        if quantization is not None:
            tensor = _coded(tensor, quantization, child(path, name))
        _put(tree, spec, path, tensor)
    _quantization(tree, child(path, "output"), layer.output)
    if layer.weight_quantization is not None:
        _quantization(tree, child(path, "weight_quantization"), layer.weight_quantization)
    if layer.requantize is not None:
        _requantize(tree, child(path, "requantize"), layer.requantize)
    if layer.product_table is not None:
        _product_table(tree, child(path, "product_table"), layer.product_table)
    if layer.clusters is not None:
        _clusters(tree, child(path, "clusters"), layer.clusters)
    if layer.extra:
        tree[child(path, "extra")] = GroupEntry({})
        for name, tensor in layer.extra.items():
            tree[child(child(path, "extra"), name)] = _entry(
                tensor, tensor.axes, tensor.units, tensor.role
            )


def _quantization(tree: Tree, path: str, quantization: Quantization) -> None:
    axis = -1 if quantization.axis is None else int(quantization.axis)
    width, signed = int(quantization.bits), int(quantization.signed)
    if quantization.binary:
        width, signed = 1, BINARY
    if quantization.codebook is not None:
        signed = CODEBOOK
    tree[path] = GroupEntry({"bits": width, "signed": signed, "axis": axis})
    _put(tree, _dataset(QUANTIZATION, "scale"), path, _array(quantization.scale, "Q"))
    _put(tree, _dataset(QUANTIZATION, "zero_point"), path, _array(quantization.zero_point, "Q"))
    if quantization.codebook is not None:
        _codebook(tree, path, quantization.codebook)


def _codebook(tree: Tree, path: str, codebook: Codebook) -> None:
    form: dict[str, Value] = {
        "value_bits": int(codebook.value_bits),
        "fraction_bits": int(codebook.fraction_bits),
    }
    _put(tree, _dataset(QUANTIZATION, "values"), path, _array(codebook.values, "K"), form)
    if codebook.levels is not None:
        _put(tree, _dataset(QUANTIZATION, "levels"), path, _array(codebook.levels, "LK"))


def _product_table(tree: Tree, path: str, table: ProductTable) -> None:
    tree[path] = GroupEntry({"fraction_bits": int(table.fraction_bits), "bits": int(table.bits)})
    _put(tree, _dataset(PRODUCT_TABLE, "products"), path, _array(table.products, "RU"))
    if table.points is not None:
        _put(tree, _dataset(PRODUCT_TABLE, "points"), path, _array(table.points, "PX"))


def _clusters(tree: Tree, path: str, clusters: Clusters) -> None:
    tree[path] = GroupEntry(
        {
            "count": int(clusters.count),
            "importance": clusters.importance,
            "boundaries": clusters.boundaries,
        }
    )
    _put(tree, _dataset(CLUSTERS, "index"), path, clusters.index)


def _coded(
    tensor: TensorRecord | None, quantization: Quantization, where: str
) -> TensorRecord | None:
    """Yield codes as a file has them."""
    return in_file(tensor, where) if tensor is not None and quantization.binary else tensor


def _requantize(tree: Tree, path: str, requantize: Requantize) -> None:
    tree[path] = GroupEntry(
        {
            "mode": requantize.mode,
            "output_multiplier": int(requantize.output_multiplier),
            "output_shift": int(requantize.output_shift),
            "left_shift": int(requantize.left_shift),
        }
    )
    for name in ("multiplier", "shift", "scale"):
        values = getattr(requantize, name)
        if values is not None:
            _put(tree, _dataset(REQUANTIZE, name), path, _array(values, "Q"))


def _ints(values: Any) -> tuple[int, ...]:
    return tuple(int(value) for value in values)


def _array(values: npt.NDArray[Any], axes: str) -> TensorRecord:
    return TensorRecord.of(values, axes=axes, role="")


def _put(
    tree: Tree,
    spec: Dataset,
    path: str,
    tensor: TensorRecord | None,
    more: Mapping[str, Value] | None = None,
) -> None:
    """Add a dataset of the schema, which knows its unit and role; `more` are attributes."""
    if tensor is not None:
        entry = _entry(tensor, tensor.axes, spec.units, spec.name)
        attributes = {**entry.attributes, **(more or {})}
        tree[child(path, spec.name)] = DatasetEntry(
            attributes, entry.dtype, entry.shape, entry.load
        )


def _dataset(group: Group, name: str) -> Dataset:
    return next(d for d in group.datasets if d.name == name)


def _entry(tensor: TensorRecord, axes: str, units: str, role: str) -> DatasetEntry:
    dtype = np.dtype(tensor.dtype)
    return DatasetEntry(
        {"axes": axes, "units": units, "role": role},
        dtype.newbyteorder("<") if dtype.kind in "iuf" else dtype,
        tuple(int(n) for n in tensor.shape),
        tensor.load,
    )
