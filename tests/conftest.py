"""Shared fixtures. Real networks and images are found by --real-data or BITPIM_REAL_DATA,
programs that other tools made by --vectors or BITPIM_VECTORS.
"""

import contextlib
import os
from pathlib import Path

import hypothesis
import pytest

# One thread a process for torch and BLAS, where it was not said otherwise: the networks are small,
# and threads of two test processes that wait for each other burn half of what they use.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# No deadline: machines are shared and noisy. The same examples in each run of a build machine, so
# that a red run says something about the change; everywhere else new ones every time.
hypothesis.settings.register_profile(
    "bitpim", deadline=None, derandomize=bool(os.environ.get("CI"))
)
hypothesis.settings.load_profile("bitpim")


def pytest_addoption(parser: pytest.Parser) -> None:
    with contextlib.suppress(ValueError):  # the benchmarks, run along, have it too
        parser.addoption(
            "--real-data",
            default=os.environ.get("BITPIM_REAL_DATA"),
            help="folder with the real networks and images; tests that need it skip without it",
        )
        parser.addoption(
            "--vectors",
            default=os.environ.get("BITPIM_VECTORS"),
            help="folder with programs that other tools made; tests that need it skip without it",
        )


@pytest.fixture(scope="session")
def real_data(request: pytest.FixtureRequest) -> Path:
    """Folder of real networks and images, or a skip that says how to give one."""
    named = request.config.getoption("--real-data")
    if not named or not Path(named).is_dir():
        pytest.skip("no real data: give --real-data FOLDER or set BITPIM_REAL_DATA")
    return Path(named)


@pytest.fixture(scope="session")
def vectors(request: pytest.FixtureRequest) -> Path:
    """Folder of programs that other tools made, or a skip that says how to give one."""
    named = request.config.getoption("--vectors")
    if not named or not Path(named).is_dir():
        pytest.skip("no vectors: give --vectors FOLDER or set BITPIM_VECTORS")
    return Path(named)
