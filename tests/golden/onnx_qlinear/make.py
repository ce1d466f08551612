"""Make vectors.npz: what onnxruntime answers for small random layers of every operator it shares.

Run from the root: `python -m tests.golden.onnx_qlinear.make`. See PROVENANCE.md.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from bitpim_traces.records import Geometry
from tests.golden.cases import (
    FLOAT,
    Case,
    add_case,
    avg_pool_case,
    concat_case,
    conv_case,
    linear_case,
    max_pool_case,
    save_cases,
)

__all__ = ["VECTORS", "make_cases"]

VECTORS = Path(__file__).with_name("vectors.npz")

_CONVS = {
    "plain": (Geometry((3, 3)), (3, 7, 6), 4),
    "one_by_one": (Geometry((1, 1)), (5, 1, 1), 3),
    "strided": (Geometry((3, 2), (2, 1), (1, 1, 1, 1)), (2, 8, 5), 3),
    "asymmetric_pads": (Geometry((3, 3), (1, 1), (0, 2, 1, 0)), (2, 5, 6), 3),
    "dilated": (Geometry((3, 3), (1, 1), (2, 2, 2, 2), (2, 2)), (2, 7, 7), 3),
    "grouped": (Geometry((3, 3), padding=(1, 1, 1, 1), groups=2), (4, 5, 5), 6),
    "depthwise": (Geometry((3, 3), padding=(1, 1, 1, 1), groups=5), (5, 6, 6), 5),
    "larger_than_image": (Geometry((5, 5), padding=(2, 2, 2, 2)), (2, 2, 3), 3),
}
_MAX_POOLS = {
    "plain": (Geometry((2, 2), (2, 2)), (3, 6, 6)),
    "padded": (Geometry((3, 3), (2, 2), (1, 1, 1, 1)), (3, 7, 6)),
    "ceil": (Geometry((3, 3), (2, 2), (0, 0, 0, 0), ceil_mode=True), (3, 6, 8)),
    "dilated": (Geometry((2, 3), (1, 1), (0, 0, 1, 1), (2, 1)), (2, 6, 6)),
    "subsampling": (Geometry((1, 1), (2, 2)), (2, 7, 6)),
}


def make_cases(seed: int) -> dict[str, Case]:
    """Make one case of every operator and variant."""
    rng = np.random.default_rng(seed)
    cases: dict[str, Case] = {}
    for signed in (False, True):
        kind = "int8" if signed else "uint8"
        for name, (geometry, shape, n_out) in _CONVS.items():
            for per in (False, True):
                variant = f"conv_{name}_{kind}_{'per_channel' if per else 'per_tensor'}"
                cases[variant] = conv_case(
                    rng, FLOAT, geometry, shape, n_out, signed=signed, per_channel=per
                )
        cases[f"linear_{kind}"] = linear_case(rng, FLOAT, 65, 7, signed=signed)
        biased = linear_case(rng, FLOAT, 33, 6, signed=signed)
        cases[f"matmul_{kind}"] = replace(biased, layer=replace(biased.layer, bias=None))
        cases[f"add_{kind}"] = add_case(rng, FLOAT, (3, 9, 7), signed=signed)
        for size in ((1, 1), (4, 4), (7, 5)):
            variant = f"global_average_{size[0]}x{size[1]}_{kind}"
            cases[variant] = avg_pool_case(rng, FLOAT, Geometry(size), (8, *size), signed=signed)
        for name, (geometry, shape) in _MAX_POOLS.items():
            cases[f"max_{name}_{kind}"] = max_pool_case(rng, geometry, shape, signed=signed)
        for axis in range(3):
            cases[f"concat_{axis}_{kind}"] = concat_case(rng, axis, signed=signed)
    cases["conv_uint8_weights"] = conv_case(
        rng,
        FLOAT,
        Geometry((3, 3)),
        (3, 6, 6),
        4,
        signed=False,
        weight_signed=False,
        per_channel=False,
    )
    return cases


if __name__ == "__main__":
    from tests.golden.onnx_qlinear.runtime import run_onnx

    made = make_cases(2024)
    outputs = {n: run_onnx(c.layer, c.inputs, c.quantizations) for n, c in made.items()}
    save_cases(VECTORS, made, outputs)
    print(f"{VECTORS.name}: {len(made)} cases, {VECTORS.stat().st_size} bytes")
