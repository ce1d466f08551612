"""HDF5 traces: a quantized network, its samples and its float reference, in one file."""
