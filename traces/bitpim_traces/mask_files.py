"""Masks of any pruner in an .npz file, by the names of layers or of their weights.

An array of 0 and 1 in the shape of a weight goes by the name of its layer (`features.0`) or of the
parameter (`features.0.weight`). Beside it `NAME.overlap_groups` may say the group of each filter,
and `NAME.patterns` the masks that conv kernels may have.
"""

import difflib
import hashlib
import io
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from bitpim_traces.array_files import archive_names, read_archive
from bitpim_traces.errors import TraceDataError, TraceError
from bitpim_traces.masks import OVERLAP_GROUPS, PATTERNS, LayerMask
from bitpim_traces.overlap_rules import overlap_conflict
from bitpim_traces.whole_file import refusal, whole_file

__all__ = ["read_masks", "write_masks"]

_WEIGHT = ".weight"
_BESIDE = (OVERLAP_GROUPS, PATTERNS)
_MOST_VALUE_BYTES = 8
_HEAD_BYTES = 1 << 16
"""Bytes that the head of an array may take."""

Array = npt.NDArray[Any]
Shape = tuple[int, ...]


def read_masks(
    path: str, shapes: Mapping[str, Shape]
) -> tuple[dict[str, LayerMask], dict[str, str]]:
    """Read masks of weights, given the shapes of all by name; yield them by those names.

    Beside them the source is said: the file's name and the SHA-256 of its masks.

    Raises
    ------
    TraceDataError
        There is no such file, it is damaged or has no mask; or an entry has an unknown name,
        another shape, other values than it may, or groups whose filters keep a channel in common.
    """
    entries = {name: _split(path, name, shapes) for name in archive_names(path)}
    most = max((math.prod(shapes[base]) for base, _ in entries.values()), default=0)
    arrays = read_archive(path, most_bytes=_MOST_VALUE_BYTES * most + _HEAD_BYTES)
    found: dict[tuple[str, str], tuple[str, Array]] = {}
    for name, entry in entries.items():
        if entry in found:
            raise TraceDataError(
                f"{path}: need one array for layer {entry[0]!r}, got {found[entry][0]!r} and"
                f" {name!r}; leave one out"
            )
        found[entry] = name, arrays[name]
    masks = {}
    for (base, beside), (name, values) in found.items():
        if not beside:
            masks[base] = _mask(path, base, name, values, shapes[base], found)
        elif (base, "") not in found:
            raise TraceDataError(
                f"{path}: need a mask of layer {base!r} beside {name!r}, got none; add an array"
                f" {base!r}"
            )
    if not masks:
        raise TraceDataError(f"{path}: need an array for each layer with a mask, got none")
    return masks, {"file": Path(path).name, "sha256": _digest(masks)}


def write_masks(
    masks: Mapping[str, LayerMask], path: str | Path, *, overwrite: bool = False
) -> None:
    """Write masks to an .npz file that `read_masks` takes; equal masks give equal bytes.

    Raises
    ------
    TraceError
        The name is taken, or the file cannot be written.
    """
    target = Path(path)
    against = refusal(target, overwrite=overwrite)
    if against is not None:
        raise TraceError(against)
    try:
        with whole_file(target, overwrite=overwrite) as half, half.path.open("wb") as stream:
            stream.write(_archive(masks))
            half.raise_held()
    except OSError as error:
        raise TraceError(
            f"{path}: cannot be written ({error.strerror or error}); choose another place"
        ) from error


def _split(path: str, name: str, shapes: Mapping[str, Shape]) -> tuple[str, str]:
    """Tell which weight an entry is for, and what it says of it; "" is the mask."""
    whole = _known(name, shapes)
    if whole is not None:
        return whole, ""
    base, _, beside = name.rpartition(".")
    known = _known(base, shapes) if beside in _BESIDE else None
    if known is not None:
        return known, beside
    close = difflib.get_close_matches(name, list(shapes), n=1)
    some = ", ".join(list(shapes)[:4]) + (", ..." if len(shapes) > 4 else "")
    hint = f"did you mean {close[0]!r}?" if close else f"weights there are {some}"
    raise TraceDataError(
        f"{path}: need names of layers with weights, or of these, got {name!r}; {hint}"
    )


def _known(name: str, shapes: Mapping[str, Shape]) -> str | None:
    for spelt in (name, name.removesuffix(_WEIGHT), name + _WEIGHT):
        if spelt in shapes:
            return spelt
    return None


def _mask(
    path: str,
    base: str,
    name: str,
    values: Array,
    shape: Shape,
    found: Mapping[tuple[str, str], tuple[str, Array]],
) -> LayerMask:
    if values.shape != shape:
        raise TraceDataError(
            f"{path}: {name!r}: need a mask of shape {shape}, as the weight has, got {values.shape}"
        )
    wrong = (values != 0) & (values != 1)
    if wrong.any():
        place = tuple(int(n) for n in np.argwhere(wrong)[0])
        raise TraceDataError(
            f"{path}: {name!r}: need 0 (pruned) and 1 (kept) alone, got {values[place]} at {place}"
        )
    mask = values.astype(np.uint8)
    groups = found.get((base, OVERLAP_GROUPS))
    patterns = found.get((base, PATTERNS))
    return LayerMask(
        mask,
        None if patterns is None else _patterns(path, *patterns),
        None if groups is None else _groups(path, *groups, mask),
    )


def _patterns(path: str, name: str, values: Array) -> npt.NDArray[np.uint32]:
    if values.ndim != 1 or values.dtype != np.uint32:
        raise TraceDataError(
            f"{path}: {name!r}: need codes of patterns, uint32 along one axis, got {values.dtype}"
            f" of {values.shape}"
        )
    return np.asarray(values, np.uint32)  # what they have to be, the trace's own rules say


def _groups(
    path: str, name: str, values: Array, mask: npt.NDArray[np.uint8]
) -> npt.NDArray[np.int32]:
    if values.shape != mask.shape[:1] or values.dtype.kind not in "iu":
        raise TraceDataError(
            f"{path}: {name!r}: need integers of shape {mask.shape[:1]}, a group for each filter,"
            f" got {values.dtype} of {values.shape}"
        )
    most = np.iinfo(np.int32).max
    if values.size and not 0 <= int(values.min()) <= int(values.max()) <= most:
        wrong = values[(values < 0) | (values > most)][0]
        raise TraceDataError(f"{path}: {name!r}: need groups from 0 to {most}, got {int(wrong)}")
    kept = np.asarray(mask.reshape(*mask.shape[:2], -1).any(axis=2))
    conflict = overlap_conflict(kept, values)
    if conflict is not None:
        channel, one, other = conflict
        raise TraceDataError(
            f"{path}: {name!r}: need groups whose filters keep no channel in common, got channel"
            f" {channel} kept by filters {one} and {other} of group {values[one]}"
        )
    return values.astype(np.int32)


def _arrays(masks: Mapping[str, LayerMask]) -> dict[str, Array]:
    found: dict[str, Array] = {}
    for name, mask in masks.items():
        found[name] = mask.mask
        if mask.groups is not None:
            found[f"{name}.{OVERLAP_GROUPS}"] = mask.groups
        if mask.patterns is not None:
            found[f"{name}.{PATTERNS}"] = mask.patterns
    return {n: np.ascontiguousarray(v, v.dtype.newbyteorder("<")) for n, v in found.items()}


def _digest(masks: Mapping[str, LayerMask]) -> str:
    digest = hashlib.sha256()
    for name, values in sorted(_arrays(masks).items()):
        digest.update(f"{name} {values.dtype.str} {values.shape}\n".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()


def _archive(masks: Mapping[str, LayerMask]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, values in _arrays(masks).items():
            member = zipfile.ZipInfo(f"{name}.npy")  # without the time of writing
            member.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(member, "w", force_zip64=True) as file:
                npy.write_array(file, values, allow_pickle=False)
    return stream.getvalue()
