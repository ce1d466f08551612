"""Resistive crossbars: converters, encodings, matrices read operation unit by operation unit."""
