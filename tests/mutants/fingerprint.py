"""A digest of everything that a trace or a result holds."""

import hashlib
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from bitpim_traces.records import TensorRecord

__all__ = ["fingerprint"]


def fingerprint(value: Any) -> str:
    """Digest every field and every tensor element of a trace or a result."""
    running = hashlib.sha256()

    def take(item: Any) -> None:
        if isinstance(item, TensorRecord):
            take((item.shape, item.dtype.str, item.axes, item.units, item.role, item.read()))
        elif isinstance(item, np.ndarray):
            running.update(repr((item.shape, item.dtype.str)).encode() + item.tobytes())
        elif is_dataclass(item):
            for member in fields(item):
                if member.compare:  # what is not compared is no content
                    take(getattr(item, member.name))
        elif isinstance(item, dict):
            take(sorted(item.items()))
        elif isinstance(item, (list, tuple)):
            running.update(str(len(item)).encode())
            for part in item:
                take(part)
        else:
            running.update(repr(item).encode())

    take(value)
    return running.hexdigest()
