"""The arithmetic of quantized numbers: scales and codes, factors, widths of sums; below all makers.

What chooses by these rules (`builder`, `quantize`, `exporter`) and what checks them (`rules`,
`value_rules`) lies above; nothing here knows a layer, a network or a file.
"""
