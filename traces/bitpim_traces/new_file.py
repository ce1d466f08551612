"""New HDF5 files whose bytes follow from their content alone, whatever HDF5 writes them."""

from typing import Any, BinaryIO

import h5py

__all__ = ["new_file", "new_group"]


def new_file(stream: BinaryIO | Any, *, user_block: int = 0) -> Any:
    """Return an open h5py.File that writes a new file into a stream, which it does not close.

    In the format of HDF5 1.10, and without the times of objects: HDF5 1.14 keeps them unless it is
    told not to, for the root group too.
    """
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_fclose_degree(h5py.h5f.CLOSE_STRONG)
    access.set_libver_bounds(h5py.h5f.LIBVER_V110, h5py.h5f.LIBVER_V110)
    access.set_fileobj_driver(h5py.h5fd.fileobj_driver, stream)
    creation = h5py.h5p.create(h5py.h5p.FILE_CREATE)
    creation.set_obj_track_times(False)
    if user_block:
        creation.set_userblock(user_block)
    return h5py.File(h5py.h5f.create(b"stream", h5py.h5f.ACC_TRUNC, creation, access))


def new_group(parent: Any, name: str) -> Any:
    """Return a new h5py.Group of a file or group."""
    creation = h5py.h5p.create(h5py.h5p.GROUP_CREATE)
    creation.set_obj_track_times(False)
    return h5py.Group(h5py.h5g.create(parent.id, name.encode(), gcpl=creation))
