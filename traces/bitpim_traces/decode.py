"""Tree -> records: every name, form, dtype and shape against the schema.

Rules that tie numbers of several objects together are in `rules`.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim_traces.binary_codes import BINARY, CODEBOOK, CODED, in_memory
from bitpim_traces.codebook import Codebook, ProductTable
from bitpim_traces.faults import Report, shown
from bitpim_traces.file_bounds import MAX_LAYERS
from bitpim_traces.operators import OPERATORS
from bitpim_traces.records import (
    Clusters,
    Geometry,
    LayerRecord,
    Params,
    Quantization,
    Requantize,
    Samples,
    TensorRecord,
    Trace,
)
from bitpim_traces.schema import (
    CLUSTERS,
    DATASET_ATTRIBUTES,
    LAYER,
    LAYER_FIELDS,
    LAYER_OF,
    LAYERS,
    PRODUCT_TABLE,
    QUANTIZATION,
    REQUANTIZE,
    ROOT,
    SAMPLES,
)
from bitpim_traces.schema_forms import EXTRA_DTYPES, Dataset
from bitpim_traces.schema_reader import SchemaReader
from bitpim_traces.strict_text import strict_json
from bitpim_traces.tree import DatasetEntry, GroupEntry, Tree, child

__all__ = ["decode"]


def decode(
    tree: Tree, report: Report, *, newer: bool = False, eager_bytes: int = 2**62
) -> Trace | None:
    """Make records of a tree; None if too much is missing.

    Layers that cannot be made are left out (their faults are reported); then the trace has fewer
    layers than the file. With `newer`, names that this version does not know are ignored. Tensors
    that are read here take at most `eager_bytes` together.
    """
    return _Decoder(tree, report, newer, eager_bytes).trace()


class _Decoder(SchemaReader):
    def __init__(self, tree: Tree, report: Report, newer: bool, eager_bytes: int) -> None:
        super().__init__(tree, report, DATASET_ATTRIBUTES, newer=newer, eager_bytes=eager_bytes)

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
            found = strict_json(raw.reshape(-1)[0].decode("utf-8"))
        except (ValueError, IndexError) as error:
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
        entry = self.tree.get(path)
        kind = entry.attributes.get("kind") if isinstance(entry, GroupEntry) else None
        found = self.group(LAYER_OF.get(kind, LAYER) if isinstance(kind, str) else LAYER, path)
        output = self.quantization(child(path, "output"))
        weight_quantization = requantize = product_table = None
        if child(path, "weight_quantization") in self.tree:
            weight_quantization = self.quantization(child(path, "weight_quantization"))
        if child(path, "requantize") in self.tree:
            requantize = self.requantize(child(path, "requantize"))
        if child(path, "product_table") in self.tree:
            product_table = self.product_table(child(path, "product_table"))
        clusters = self.clusters(child(path, "clusters"))
        extra = self.extras(child(path, "extra"))
        if found is not None:
            by_group = {"weight_quantization": weight_quantization, "output": output}
            for name, group in CODED.items():
                quantization = by_group[group]
                if name in found and quantization is not None and quantization.binary:
                    found[name] = self.binary(found[name], child(path, name))
        if found is None or output is None or self.n_faults != before:
            return None
        operator = OPERATORS[found["kind"]]
        geometry = _geometry(found) if operator.window else None
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
            product_table=product_table,
            accumulator_bits=found["accumulator_bits"],
            pad_code=found["pad_code"],
            weight=found.get("weight"),
            weight_quantization=weight_quantization,
            clusters=clusters,
            bias=found.get("bias"),
            weight_float=found.get("weight_float"),
            bias_float=found.get("bias_float"),
            table=found.get("table"),
            params=Params({a.name: found[a.name] for a in operator.params}),
            tensors={
                d.name: found[d.name]
                for d in operator.datasets
                if d.name in found and d.name not in LAYER_FIELDS
            },
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
        shape: Any = entry.attributes.get("output_shape") if isinstance(entry, GroupEntry) else ()
        return shape if isinstance(shape, tuple) else ()

    def samples(self) -> Samples | None:
        found = self.group(SAMPLES, "/samples")
        quantization = self.quantization("/samples/quantization")
        if found is None or quantization is None:
            return None
        codes = found["codes"]
        if quantization.binary:
            codes = self.binary(codes, "/samples/codes")
        return Samples(codes, quantization, found.get("labels"), found["dataset"])

    def binary(self, tensor: TensorRecord, path: str) -> TensorRecord:
        """Yield the values of codes of -1 and 1."""
        if tensor.dtype != np.uint8:
            self.fault(path, "dtype uint8 for codes of -1 and 1", tensor.dtype.name)
        return in_memory(tensor)

    def quantization(self, path: str) -> Quantization | None:
        if path not in self.tree:
            return None  # its group has reported it
        found = self.group(QUANTIZATION, path)
        if found is None:
            return None
        axis = None if found["axis"] == -1 else found["axis"]
        if found["signed"] not in (0, 1, BINARY, CODEBOOK):
            self.fault(f"{path}@signed", "0, 1, 2 or 3", shown(found["signed"]))
            return None
        binary = found["signed"] == BINARY
        if binary and found["bits"] != 1:
            self.fault(f"{path}@bits", "1 for codes of -1 and 1", shown(found["bits"]))
            return None
        codebook = self.codebook(found, path)
        if (codebook is not None) != (found["signed"] == CODEBOOK):
            need = "values where signed is 3, and only there"
            self.fault(child(path, "values"), need, shown(found["signed"]))
            return None
        signed = bool(found["signed"]) and codebook is None
        bits, signed = (2, True) if binary else (found["bits"], signed)
        return Quantization(
            bits, signed, found["scale"], found["zero_point"], axis, binary, codebook
        )

    def codebook(self, found: Mapping[str, Any], path: str) -> Codebook | None:
        if "values" not in found:
            if "levels" in found:
                self.fault(child(path, "levels"), "values that they are above", "nothing")
            return None
        form = self.tree[child(path, "values")]
        value_bits, fraction_bits = (form.attributes[n] for n in ("value_bits", "fraction_bits"))
        assert isinstance(value_bits, int)
        assert isinstance(fraction_bits, int)
        return Codebook(found["values"], fraction_bits, value_bits, found.get("levels"))

    def product_table(self, path: str) -> ProductTable | None:
        found = self.group(PRODUCT_TABLE, path)
        if found is None:
            return None
        form = (found["fraction_bits"], found["bits"])
        return ProductTable(found["products"], *form, found.get("points"))

    def clusters(self, path: str) -> Clusters | None:
        found = self.group(CLUSTERS, path) if path in self.tree else None
        if found is None:
            return None
        rule = (found["count"], found["importance"], found["boundaries"])
        return Clusters(found["index"], *rule)

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


def _geometry(found: Mapping[str, Any]) -> Geometry:
    return Geometry(
        kernel=found["kernel"],
        stride=found["stride"],
        padding=found["padding"],
        dilation=found["dilation"],
        groups=found["groups"],
        ceil_mode=bool(found["ceil_mode"]),
        count_include_pad=bool(found["count_include_pad"]),
    )
