"""A design built, and a bench run on it in the simulator."""

import importlib.util
import shutil
from pathlib import Path
from typing import Final

import pytest

from tests.rtl.lock_step import Finding, read_findings

__all__ = ["needs_simulator", "simulate"]

_HERE: Final = Path(__file__).parent
_MISSING: Final = [
    name
    for name, found in (
        ("iverilog", shutil.which("iverilog")),
        ("cocotb", importlib.util.find_spec("cocotb")),
    )
    if not found
]
_QUICK: Final = {"COCOTB_REWRITE_ASSERTION_FILES": ""}  # else it compiles all that a bench imports

needs_simulator = pytest.mark.skipif(
    bool(_MISSING), reason=f"needs {' and '.join(_MISSING)}: apt install iverilog, pip extra rtl"
)


def simulate(
    tmp_path: Path, design: str, bench: str, parameters: dict[str, int], **environment: str
) -> list[Finding]:
    """Build a design, run a bench on it, and return what it found."""
    from cocotb_tools.runner import get_runner

    runner = get_runner("icarus")
    runner.build(
        sources=[_HERE / f"{design}.v"],
        hdl_toplevel=design,
        parameters=parameters,
        build_dir=tmp_path / "build",
        always=True,
        timescale=("1ns", "1ns"),
        log_file=tmp_path / "build.log",
    )
    findings = tmp_path / "findings.json"
    runner.test(
        hdl_toplevel=design,
        test_module=f"tests.rtl.{bench}",
        build_dir=tmp_path / "build",
        test_dir=tmp_path,
        extra_env={"FINDINGS": str(findings), **_QUICK, **environment},
        log_file=tmp_path / "test.log",
    )
    return read_findings(findings)
