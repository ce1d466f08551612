"""Make vectors.npz: what LiteRT's reference kernels answer for small random layers.

Run from the root: `python -m tests.golden.litert.make`. See PROVENANCE.md.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from bitpim_traces.records import Geometry
from tests.golden.cases import (
    FIXED,
    Case,
    add_case,
    avg_pool_case,
    concat_case,
    conv_case,
    max_pool_case,
    save_cases,
)

__all__ = ["VECTORS", "make_cases"]

VECTORS = Path(__file__).with_name("vectors.npz")

_CONVS = {  # padded windows are what TFLite calls SAME
    "plain": (Geometry((3, 3)), (3, 7, 6), 4),
    "one_by_one": (Geometry((1, 1)), (5, 1, 1), 3),
    "strided": (Geometry((3, 3), (2, 2), (0, 1, 0, 1)), (2, 8, 6), 3),
    "padded": (Geometry((3, 4), padding=(1, 1, 1, 2)), (2, 5, 6), 3),
    "dilated": (Geometry((3, 3), padding=(2, 2, 2, 2), dilation=(2, 2)), (2, 7, 7), 3),
    "depthwise": (Geometry((3, 3), padding=(1, 1, 1, 1), groups=5), (5, 6, 6), 5),
    "depthwise_wider": (Geometry((3, 3), (2, 2), (1, 1, 1, 1), groups=3), (3, 7, 7), 6),
    "larger_than_image": (Geometry((5, 5), padding=(2, 2, 2, 2)), (2, 2, 3), 3),
}
_POOLS = {
    "plain": (Geometry((2, 2), (2, 2)), (3, 6, 6)),
    "padded": (Geometry((3, 3), (2, 2), (1, 1, 1, 1)), (3, 7, 7)),
    "even_window": (Geometry((2, 2), padding=(0, 1, 0, 1)), (2, 5, 6)),
    "global": (Geometry((6, 4)), (4, 6, 4)),
}


def make_cases(seed: int) -> dict[str, Case]:
    """Make one case of every operator and variant."""
    rng = np.random.default_rng(seed)
    cases: dict[str, Case] = {}
    for signed in (False, True):
        kind = "int8" if signed else "uint8"
        for name, (geometry, shape, n_out) in _CONVS.items():
            cases[f"conv_{name}_{kind}"] = conv_case(
                rng,
                FIXED,
                geometry,
                shape,
                n_out,
                signed=signed,
                weight_signed=signed,  # TFLite: int8 per channel, uint8 per tensor and affine
                per_channel=signed,
            )
        cases[f"add_{kind}"] = add_case(rng, FIXED, (3, 9, 7), signed=signed)
        cases[f"add_pixel_{kind}"] = add_case(rng, FIXED, (1, 1, 1), signed=signed)
        for name, (geometry, shape) in _POOLS.items():
            cases[f"average_{name}_{kind}"] = avg_pool_case(
                rng, FIXED, geometry, shape, signed=signed
            )
            cases[f"max_{name}_{kind}"] = max_pool_case(rng, geometry, shape, signed=signed)
        for axis in range(3):
            cases[f"concat_{axis}_{kind}"] = concat_case(rng, axis, signed=signed)
        for activation in ("relu", "relu6"):
            for name in ("conv_padded", "add"):
                case = cases[f"{name}_{kind}"]
                cases[f"{name}_{kind}_{activation}"] = _fused(case, activation)
    return cases


def _fused(case: Case, activation: str) -> Case:
    output = case.layer.output
    zero, scale = int(output.zero_point[0]), np.float32(output.scale[0])
    lowest, highest = max(output.code_min, zero), output.code_max
    if activation == "relu6":
        highest = min(highest, zero + int(np.floor(np.float32(6) / scale + np.float32(0.5))))
    return replace(case, layer=replace(case.layer, activation=activation, clamp=(lowest, highest)))


if __name__ == "__main__":
    from tests.golden.litert.runtime import run_litert

    made = make_cases(2024)
    outputs = {n: run_litert(c.layer, c.inputs, c.quantizations) for n, c in made.items()}
    save_cases(VECTORS, made, outputs)
    print(f"{VECTORS.name}: {len(made)} cases, {VECTORS.stat().st_size} bytes")
