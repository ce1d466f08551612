"""Numba kernels: arrays in, arrays out. Imports nothing, so that errors load without Numba."""
