"""Edits of HDF5 files that any tool could make, each determined by a seed."""

import random
from collections.abc import Callable
from typing import Any

import h5py
import numpy as np

from tests.traces.edits import set_text

__all__ = ["OBJECT_MUTATIONS", "remade"]


def _items(file: Any, sort: type | None = None) -> list[str]:
    paths: list[str] = []
    file.visititems(lambda name, item: paths.append(name))
    return [p for p in paths if sort is None or isinstance(file.get(p, getlink=False), sort)]


def _dataset(dice: random.Random, file: Any) -> Any:
    return file[dice.choice(_items(file, h5py.Dataset))]


def _holder(dice: random.Random, file: Any) -> Any:
    return file[dice.choice([*_items(file), "/"])]


def delete_object(dice: random.Random, file: Any) -> None:
    del file[dice.choice(_items(file))]


def rename_object(dice: random.Random, file: Any) -> None:
    path = dice.choice(_items(file))
    file.move(path, path + dice.choice(["x", "_", "é", "\n", "@", " ", "0" * 300]))


def swap_objects(dice: random.Random, file: Any) -> None:
    one, other = dice.sample(_items(file, h5py.Dataset), 2)
    file.move(one, "kept")
    file.move(other, one)
    file.move("kept", other)


def delete_attribute(dice: random.Random, file: Any) -> None:
    item = _holder(dice, file)
    if len(item.attrs):
        del item.attrs[dice.choice(list(item.attrs))]


def rename_attribute(dice: random.Random, file: Any) -> None:
    item = _holder(dice, file)
    if len(item.attrs):
        name = dice.choice(list(item.attrs))
        new = name + dice.choice(["x", "é", "@"])
        h5py.h5a.rename(item.id, name.encode(), new.encode())


def change_attribute(dice: random.Random, file: Any) -> None:
    item = _holder(dice, file)
    names = [n for n in item.attrs if n != "sha256"]
    if not names:
        return
    name = dice.choice(names)
    value = dice.choice(
        [
            np.int64(dice.choice([-1, 0, 1, 2, 3, 17, 2**31, 2**62, -(2**63)])),
            np.array([dice.choice([-1, 0, 1, 2**31, 2**62])] * dice.choice([0, 1, 2, 3, 4, 6])),
            np.float64("nan"),
            np.uint64(2**64 - 1),
            np.zeros((2, 2), np.int64),
            np.zeros(5000, np.int64),
            "variable length",
            np.bytes_(b"\xff\xfe"),
            np.bytes_(
                dice.choice([b"conv2d", b"linear", b"add", b"tanh", b"relu6", b"flatten", b""])
            ),
            np.bytes_(b"x" * 60_000),
            h5py.Empty("f8"),
            file.ref,
            np.zeros(1, [("a", "i4"), ("b", "f4")]),
            np.array([b"one", b"two"]),
        ]
    )
    item.attrs[name] = value


def edit_number(dice: random.Random, file: Any) -> None:
    item = _holder(dice, file)
    names = [n for n in item.attrs if np.asarray(item.attrs[n]).dtype.kind in "iu"]
    if names:
        name = dice.choice(names)
        value = np.array(item.attrs[name], np.int64)
        if value.size:
            value.reshape(-1)[dice.randrange(value.size)] += dice.choice(
                [-1, 1, 7, 2**31, -(2**40)]
            )
            item.attrs.create(name, value, dtype="<i8")


def change_version(dice: random.Random, file: Any) -> None:
    version = dice.choice([(0, 9), (2, 0), (1, 1), (1, -1), (2**40, 0), (1, 2**62)])
    file.attrs.create("format_version", np.array(version, np.int64), dtype="<i8")


def rename_format(dice: random.Random, file: Any) -> None:
    set_text(file, "format_name", dice.choice(["bitpim.result", "", "tskit.trees", "bitpim.tracé"]))


def remade(file: Any, path: str, **how: Any) -> Any:
    """Replace a dataset by another that keeps its attributes."""
    kept = dict(file[path].attrs)
    del file[path]
    made = file.create_dataset(path, **how)
    for name, value in kept.items():
        if isinstance(value, str):
            set_text(made, name, value)
        else:
            made.attrs[name] = value
    return made


_FILTERED = {"compression": "gzip", "shuffle": True, "fletcher32": True, "track_times": False}


def swap_dtype(dice: random.Random, file: Any) -> None:
    path = dice.choice(_items(file, h5py.Dataset))
    shape = file[path].shape
    if 0 in shape:
        return
    dtype = dice.choice(
        [
            "<i1",
            "<u1",
            "<i2",
            ">i2",
            "<i4",
            ">i4",
            "<i8",
            "<f4",
            "<f8",
            "<f2",
            ">f8",
            "?",
            "<c8",
            "S3",
        ]
    )
    remade(file, path, data=np.zeros(shape, dtype), chunks=shape, **_FILTERED)


def strange_dtype(dice: random.Random, file: Any) -> None:
    path = dice.choice(_items(file, h5py.Dataset))
    dtype = dice.choice(
        [
            h5py.string_dtype(),
            h5py.vlen_dtype(np.int32),
            h5py.ref_dtype,
            h5py.enum_dtype({"A": 0, "B": 1}),
            np.dtype([("a", "i4"), ("b", "f8")]),
            h5py.opaque_dtype(np.dtype("M8[s]")),
            np.dtype(("i4", (3,))),
        ]
    )
    remade(file, path, shape=file[path].shape, dtype=dtype)


def absurd_shape(dice: random.Random, file: Any) -> None:
    path = dice.choice(_items(file, h5py.Dataset))
    old = file[path]
    shape = dice.choice(
        [
            (2**62,),
            (2**31, 2**31),
            (2**40, 1, 1, 1),
            (2**31 - 1,),
            (10**6,) * 3,
            (1,) * 20,
            (0,),
            (3, 0),
            (),
            (*old.shape, 1),
            tuple(n + 1 for n in old.shape),
            (5_000_000,),
        ]
    )
    how: dict[str, Any] = dict(_FILTERED) if shape else {}
    if shape and 0 not in shape:
        how["chunks"] = tuple(min(n, dice.choice([1, 64, 2**15])) for n in shape)
        while np.prod(how["chunks"], dtype=np.float64) > 2**24:
            how["chunks"] = tuple(max(n // 2, 1) for n in how["chunks"])
    elif shape:
        how = {}
    remade(file, path, shape=shape, dtype=old.dtype if old.dtype.kind != "S" else "i1", **how)


def gzip_bomb(dice: random.Random, file: Any) -> None:
    path = dice.choice(_items(file, h5py.Dataset))
    if file[path].dtype.kind == "S":
        return
    n = dice.choice([2**24, 2**27])
    remade(
        file, path, data=np.zeros((n,), "i1"), chunks=(dice.choice([2**24, 2**20]),), **_FILTERED
    )


def other_storage(dice: random.Random, file: Any) -> None:
    path = dice.choice(_items(file, h5py.Dataset))
    values = file[path][...]
    if values.dtype.kind == "S" or not values.size:
        return
    how: dict[str, Any] = dice.choice(
        [
            {},
            {"chunks": values.shape},
            {"chunks": values.shape, "compression": "gzip", "shuffle": True},
            {"chunks": values.shape, "compression": "lzf", "shuffle": True, "fletcher32": True},
            {"chunks": values.shape, "maxshape": (None,) * values.ndim, **_FILTERED},
            {"chunks": values.shape, **_FILTERED, "compression_opts": 9},
        ]
    )
    remade(file, path, data=values, **how)


def missing_chunk(dice: random.Random, file: Any) -> None:
    path = dice.choice(_items(file, h5py.Dataset))
    old = file[path]
    if old.chunks:
        remade(file, path, shape=old.shape, dtype=old.dtype, chunks=old.chunks, **_FILTERED)


def raw_chunk(dice: random.Random, file: Any) -> None:
    dataset = _dataset(dice, file)
    if dataset.chunks:
        junk = dice.choice([b"\0", b"\0" * 12, dice.randbytes(40), dice.randbytes(5000)])
        dataset.id.write_direct_chunk((0,) * dataset.ndim, junk, dice.choice([0, 0, 1, 7]))


def damaged_values(dice: random.Random, file: Any) -> None:
    dataset = _dataset(dice, file)
    if dataset.dtype.kind in "iuf" and dataset.size:
        values = dataset[...]
        place = dice.randrange(values.size)
        old = values.reshape(-1)
        if values.dtype.kind == "f":
            old[place] = dice.choice([np.nan, np.inf, -1.0, 0.0, 1e30])
        else:
            limits = np.iinfo(values.dtype)
            old[place] = dice.choice([limits.min, limits.max, 0])
        dataset[...] = values


def strange_link(dice: random.Random, file: Any) -> None:
    path = dice.choice(_items(file))
    link = dice.choice(
        [
            h5py.SoftLink("/"),
            h5py.SoftLink("/nowhere"),
            h5py.SoftLink(f"/{path}"),
            h5py.ExternalLink("/etc/passwd", "/"),
            h5py.ExternalLink(".", "/"),
        ]
    )
    if dice.random() < 0.7:
        del file[path]
    else:
        path += "_link"
    file[path] = link


def hard_cycle(dice: random.Random, file: Any) -> None:
    group = file[dice.choice(_items(file, h5py.Group))]
    group["again"] = file[dice.choice(["/", group.name, *_items(file)])]


def virtual_dataset(dice: random.Random, file: Any) -> None:
    path = dice.choice(_items(file, h5py.Dataset))
    old = file[path]
    if 0 in old.shape or old.dtype.kind == "S":
        return
    layout = h5py.VirtualLayout(shape=old.shape, dtype=old.dtype)
    layout[...] = h5py.VirtualSource("nowhere.h5", "x", shape=old.shape, dtype=old.dtype)
    del file[path]
    file.create_virtual_dataset(path, layout)


def external_storage(dice: random.Random, file: Any) -> None:
    path = dice.choice(_items(file, h5py.Dataset))
    remade(file, path, shape=(100,), dtype="i1", external=[("/etc/passwd", 0, 100)])


def more_objects(dice: random.Random, file: Any) -> None:
    group = file[dice.choice(_items(file, h5py.Group))]
    way = dice.randrange(4)
    if way == 0:
        group.create_group("/".join("abcdefghijklmnop"))
    elif way == 1:
        for k in range(100):
            group.attrs[f"a{k}"] = k
    elif way == 2:
        group["type"] = np.dtype("f8")
    else:
        for k in range(50):
            group.require_group(f"more{k:04d}")


def replace_by_group(dice: random.Random, file: Any) -> None:
    path = dice.choice(_items(file))
    was_dataset = isinstance(file[path], h5py.Dataset)
    del file[path]
    if was_dataset:
        file.create_group(path)
    else:
        file.create_dataset(path, data=np.zeros(3))


def strange_provenance(dice: random.Random, file: Any) -> None:
    text = dice.choice(
        [
            b"",
            b"[]",
            b"{",
            b"[" * 100_000,
            b'{"a": NaN}',
            b"\xff",
            b'{"a": ' + b"9" * 5000 + b"}",
            b"{}",
        ]
    )
    data = np.array([text], f"S{len(text) or 1}")
    if "provenance" in file:
        remade(file, "provenance", data=data, chunks=(1,), **_FILTERED)


OBJECT_MUTATIONS: tuple[Callable[[random.Random, Any], None], ...] = (
    delete_object,
    rename_object,
    swap_objects,
    delete_attribute,
    rename_attribute,
    change_attribute,
    change_attribute,
    edit_number,
    edit_number,
    change_version,
    rename_format,
    swap_dtype,
    strange_dtype,
    absurd_shape,
    gzip_bomb,
    other_storage,
    missing_chunk,
    raw_chunk,
    damaged_values,
    strange_link,
    hard_cycle,
    virtual_dataset,
    external_storage,
    more_objects,
    replace_by_group,
    strange_provenance,
)
