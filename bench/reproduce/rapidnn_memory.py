"""What the tables of a neuron take, layer by layer: RA4."""

from dataclasses import dataclass

from bitpim import make_machine
from bitpim.lookup.rna_plan import RnaPlan
from bitpim_traces.records import Trace

__all__ = ["NeuronMemory", "memory", "product_bytes"]


def product_bytes(weights: int, inputs: int, bits: int) -> int:
    """Return the bytes of a table of products."""
    return weights * inputs * bits // 8


@dataclass(frozen=True, slots=True)
class NeuronMemory:
    """Bytes of the tables of one neuron of a layer that counts pairs.

    Attributes
    ----------
    weights, inputs, bits : values of both codebooks, width of a product
    products, halved : bytes of the table of products, and of one of 16-bit products
    tables : bytes of all tables: products, and memories that are searched
    """

    network: str
    layer: str
    neurons: int
    weights: int
    inputs: int
    bits: int
    products: int
    halved: int
    tables: int


def memory(trace: Trace) -> list[NeuronMemory]:
    """Return the memory of a neuron in each layer that counts pairs."""
    plan = make_machine("rapidnn").plan(trace)
    assert isinstance(plan, RnaPlan)
    found = []
    for layer, planned in zip(trace.layers, plan.layers, strict=True):
        table = layer.product_table
        if table is None or layer.weight is None:
            continue
        n_weights, n_inputs = table.products.shape
        found.append(
            NeuronMemory(
                trace.name,
                layer.name,
                planned.neurons,
                n_weights,
                n_inputs,
                table.bits,
                product_bytes(n_weights, n_inputs, table.bits),
                product_bytes(n_weights, n_inputs, 16),
                -(-planned.table_bits // 8),
            )
        )
    return found
