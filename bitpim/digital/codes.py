"""What codes mean to arithmetic: scale and zero point, or else a table."""

from collections.abc import Sequence

from bitpim.errors import MappingError
from bitpim_traces.codebook import Codebook
from bitpim_traces.records import LayerRecord, Quantization, Trace

__all__ = ["need_affine", "need_affine_layer"]


def need_affine(trace: Trace) -> None:
    """Check that the codes of a network are affine, for machines that compute with codes.

    Raises
    ------
    MappingError
        A tensor has a codebook.
    """
    for where, codebook in trace.codebooks:
        raise _codebook_error(f"{trace.name}: {where}", codebook)


def need_affine_layer(layer: LayerRecord, inputs: Sequence[Quantization]) -> None:
    """Check that what a layer computes with has no codebook; raises as `need_affine`."""
    weight = layer.weight_quantization
    for quantization in (*inputs, layer.output, *(() if weight is None else (weight,))):
        if quantization.codebook is not None:
            where = f"layer {layer.index} {layer.name!r} ({layer.kind})"
            raise _codebook_error(where, quantization.codebook)


def _codebook_error(where: str, codebook: Codebook) -> MappingError:
    return MappingError(
        f"{where}: need affine codes (scale and zero point), got a codebook of {codebook.n_codes} "
        "values; make affine codes with `bitpim trace quantize`, or use a machine of lookup tables"
    )
