"""Speed of integer fidelity: convolutions of ResNet-20 against PyTorch float32, same threads."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bitpim.digital.layers import prepare_layer
from bitpim.threads import thread_limit
from bitpim_traces.records import Geometry, LayerRecord, Quantization, Requantize, TensorRecord

torch = pytest.importorskip("torch", reason="the twin is PyTorch; install bitpim[torch]")

Ratio = Callable[[str, Callable[[], object], Callable[[], object]], float]

N_IMAGES = 64
MODES: dict[str, dict[str, Any]] = {
    "float_scale_half_even": {"scale": np.array([2.0**-10], np.float32)},
    "fixed_point_half_away": {
        "multiplier": np.array([2**30], np.int32),
        "shift": np.array([-9], np.int32),
    },
    "truncate_shift": {"multiplier": np.ones(1, np.int32), "shift": np.full(1, 10, np.int32)},
}


def convolution(channels: int, size: int, mode: str) -> LayerRecord:
    rng = np.random.default_rng(0)
    weight = rng.integers(-127, 128, (channels, channels, 3, 3), dtype=np.int8)
    shape = (channels, size, size)
    return LayerRecord(
        0,
        "conv",
        "conv2d",
        (-1,),
        (shape,),
        shape,
        Quantization(8, False, np.ones(1), np.zeros(1, np.int64)),
        Geometry((3, 3), padding=(1, 1, 1, 1)),
        "relu",
        (0, 255),
        Requantize(mode, **MODES[mode]),
        weight=TensorRecord.of(weight, axes="OIHW", role="weight"),
        weight_quantization=Quantization(8, True, np.ones(1), np.zeros(1, np.int64)),
    )


@pytest.mark.parametrize(
    ("channels", "size", "mode"),
    [
        (16, 32, "float_scale_half_even"),
        (32, 16, "float_scale_half_even"),
        (64, 8, "float_scale_half_even"),
        (64, 8, "fixed_point_half_away"),
        (64, 8, "truncate_shift"),
    ],
)
def test_convolution(ratio: Ratio, channels: int, size: int, mode: str) -> None:
    layer = convolution(channels, size, mode)
    prepared = prepare_layer(layer, [layer.output])
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (N_IMAGES, size, size, channels), dtype=np.uint8)
    codes = images.transpose(0, 3, 1, 2)  # as the layer before leaves them
    assert layer.weight is not None
    weight = torch.from_numpy(layer.weight.read().astype(np.float32))
    reals = torch.from_numpy(np.ascontiguousarray(codes).astype(np.float32))
    torch.set_num_threads(thread_limit())

    def twin() -> object:
        with torch.inference_mode():
            return torch.nn.functional.conv2d(reals, weight, padding=1).relu_()

    case = f"convolution_integer:{channels} x {size} x {size}, {mode}"
    ratio(case, lambda: prepared.run([codes]), twin)
