"""Write the table of families into traces/MODELS.md: kinds of layers that each is exported as.

PYTHONPATH=.:kernels:traces python -m tests.traces.exporter.families
"""

import torch

from bench.model_table import DOCUMENT, table_of_families, with_tables
from bitpim_traces.exporter import read_network
from tests.traces.exporter.families import FAMILIES

if __name__ == "__main__":
    networks = {}
    for family in FAMILIES.values():
        with torch.no_grad():
            network, _ = read_network(family.make(), family.input_shape)
        networks[f"`{family.name}`, {family.origin}"] = network
    tables = {"families": table_of_families(networks)}
    DOCUMENT.write_text(with_tables(DOCUMENT.read_text("utf-8"), tables), "utf-8")
