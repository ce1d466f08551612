"""Speed of the exporter against what no exporter can do without: one float run, one graph."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="exports from PyTorch; install bitpim[torch]")

Ratio = Callable[[str, Callable[[], object], Callable[[], object]], float]

N_IMAGES, BATCH = 1000, 256
CALIBRATIONS = ("minmax", "percentile", "mse")


@pytest.fixture(scope="module")
def resnet20() -> Any:
    from bench.networks.resnet20 import ResNet20

    torch.manual_seed(0)
    return ResNet20().eval()


@pytest.mark.parametrize("calibration", CALIBRATIONS)
def test_resnet20_export(ratio: Ratio, resnet20: Any, calibration: str) -> None:
    from bitpim_traces.exporter import export
    from bitpim_traces.quantize import Settings

    images = np.random.default_rng(0).normal(size=(N_IMAGES, 3, 32, 32)).astype(np.float32)
    settings = Settings(calibration=calibration)
    example = torch.zeros(2, 3, 32, 32)

    def twin() -> None:
        with torch.no_grad():
            torch.export.export(resnet20, (example,), strict=False)
            for start in range(0, N_IMAGES, BATCH):
                resnet20(torch.from_numpy(images[start : start + BATCH]))

    def ours() -> object:
        return export(resnet20, images, settings=settings)

    ratio(f"export_over_forward:resnet20, {calibration}", ours, twin)
