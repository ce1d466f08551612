"""Compute SRAM: bit-serial arithmetic in lanes, and layers laid out a number a column."""
