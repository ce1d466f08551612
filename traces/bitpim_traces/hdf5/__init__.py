"""An HDF5 reader that believes nothing: the few structures that traces and results are made of.

libhdf5 is large and trusts what it reads: a forged B-tree, heap or chunk ended the process. So no
file from elsewhere reaches it. What is read here instead is what its own writers make of groups,
datasets and attributes since version 1.8 (superblocks 2 and 3): version 2 object headers, links and
attributes in them or in a heap, chunks filtered by shuffle, gzip and fletcher32. All else that HDF5
knows is refused by name. Checksums of metadata are not looked at: a seal or digest over everything
says more.

Arrays that users bring are in older forms, too: `classic` reads those, and `hdf5_arrays`, a floor
up, takes both.

Source: HDF5 file format specification 3.0.
"""

from bitpim_traces.hdf5.metadata import Refused
from bitpim_traces.hdf5.objects import Dataset, Group, Hdf5, Link, StoredAttribute

__all__ = ["Dataset", "Group", "Hdf5", "Link", "Refused", "StoredAttribute"]
