"""Tree against schema: every name, form, dtype and axis of a file, whatever kind of file it is."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim_kernels.errors import BitpimError
from bitpim_traces.faults import Fault, Report, shown
from bitpim_traces.file_bounds import MAX_PARAMETERS
from bitpim_traces.records import TensorRecord
from bitpim_traces.schema_forms import Attribute, Dataset, Group
from bitpim_traces.tree import DatasetEntry, GroupEntry, Tree, Value, child

__all__ = ["SchemaReader"]


class SchemaReader:
    """Reads groups and datasets by their tables; what does not fit goes to `report`.

    `dataset_attributes` are those of every dataset. With `newer`, names that the tables lack are
    ignored. Values read at once take at most `tensor_bytes` each, and `eager_bytes` together.
    """

    def __init__(
        self,
        tree: Tree,
        report: Report,
        dataset_attributes: tuple[Attribute, ...],
        *,
        newer: bool = False,
        eager_bytes: int = 2**62,
        tensor_bytes: int = MAX_PARAMETERS * 8,
    ) -> None:
        self.tree, self.newer, self.tensor_bytes = tree, newer, tensor_bytes
        self.dataset_attributes, self.eager_bytes = dataset_attributes, eager_bytes
        self._report = report
        self.n_faults = 0
        self._members: dict[str, list[str]] = {}
        for path in sorted(tree):
            parent, _, name = path.rpartition("/")
            if name:
                self._members.setdefault(parent or "/", []).append(name)

    def members(self, path: str) -> list[str]:
        """Yield the names in a group, sorted."""
        return self._members.get(path, [])

    def fault(self, where: str, need: str, got: str, sort: str = "format") -> None:
        """Report a fault, and count it."""
        self.n_faults += 1
        self._report(Fault(where, need, got, sort))

    def spend(self, path: str, n_bytes: int) -> bool:
        """Take memory from what the file may ask for; report it where it is used up."""
        self.eager_bytes -= n_bytes
        if self.eager_bytes < 0:
            need = "values, tables and texts whose size fits the file's"
            self.fault(path, need, "more of them than such a file may unpack to")
        return self.eager_bytes >= 0

    def group(self, spec: Group, path: str) -> dict[str, Any] | None:
        """Read attributes and datasets by the schema; None if any that is required is faulty."""
        entry = self.tree.get(path)
        if not isinstance(entry, GroupEntry):
            self.fault(path, "a group", "nothing" if entry is None else "a dataset")
            return None
        before = self.n_faults
        found: dict[str, Any] = {}
        for attribute in spec.attributes:
            found[attribute.name] = self.attribute(attribute, entry.attributes, path)
        self.unknown(entry.attributes, [a.name for a in spec.attributes], f"{path}@")
        members = self.members(path)
        for dataset in spec.datasets:
            if dataset.name in members:
                found[dataset.name] = self.dataset(dataset, child(path, dataset.name))
            elif dataset.required:
                self.fault(child(path, dataset.name), "a dataset", "nothing")
        for name in spec.groups:
            if name not in members:
                self.fault(child(path, name), "a group", "nothing")
        if spec.listed:
            known = [d.name for d in spec.datasets] + [*spec.groups, *spec.optional_groups]
            self.unknown(members, known, child(path, ""))
        return found if self.n_faults == before else None

    def unknown(self, names: Any, known: list[str], prefix: str) -> None:
        """Report names that are not known, unless the file is newer."""
        if not self.newer:
            for name in sorted(set(names) - set(known)):
                self.fault(f"{prefix}{name}", "only names of this version here", "an unknown one")

    def attribute(self, spec: Attribute, attributes: Mapping[str, Value], path: str) -> Any:
        """Yield the value of one attribute, whose form is checked."""
        where = f"{path}@{spec.name}"
        if spec.name not in attributes:
            self.fault(where, "an attribute", "nothing")
            return None
        value = attributes[spec.name]
        need = spec.fault_of(value)
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
        attributes = (*self.dataset_attributes, *spec.attributes)
        for attribute in attributes:
            self.attribute(attribute, entry.attributes, path)
        self.unknown(entry.attributes, [a.name for a in attributes], f"{path}@")
        if self.n_faults != before:
            return None
        if entry.type_name not in spec.dtypes:
            self.fault(path, f"dtype {' or '.join(spec.dtypes)}", entry.type_name)
        axes = str(entry.attributes.get("axes"))
        if spec.axes and axes not in spec.axes:
            self.fault(f"{path}@axes", f"{' or '.join(spec.axes)}", shown(axes))
        if len(axes) != len(entry.shape):
            self.fault(path, f"one axis a letter of {shown(axes)}", f"shape {entry.shape}")
        if spec.units and (entry.attributes.get("units"), entry.attributes.get("role")) != (
            spec.units,
            spec.name,
        ):
            self.fault(path, f"units {spec.units!r} and role {spec.name!r}", "others")
        if self.n_faults != before:
            return None
        if spec.eager:
            return self.values(entry, path)
        units, role = (str(entry.attributes.get(name)) for name in ("units", "role"))
        return TensorRecord(entry.shape, entry.dtype, axes, units, role, entry.load)

    def values(self, entry: DatasetEntry, path: str) -> npt.NDArray[Any] | None:
        """Read a whole dataset; None, and a fault, where that cannot be."""
        n_bytes = int(np.prod(entry.shape, dtype=np.float64)) * entry.dtype.itemsize
        if n_bytes > self.tensor_bytes:
            self.fault(path, f"at most {self.tensor_bytes} bytes", f"shape {entry.shape}")
            return None
        if not self.spend(path, int(n_bytes)):
            return None
        try:
            return entry.load(0, entry.shape[0])
        except BitpimError as error:
            self.fault(path, "values that can be read", str(error), "data")
            return None
