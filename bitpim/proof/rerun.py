"""A result's run, once more: what only the machine itself can say of counts and cycles."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bitpim.cost.tables import parse_prices
from bitpim.errors import AccumulatorError, ConfigError, MappingError, OutOfMemoryError
from bitpim.machine.machine import Machine, losses_on
from bitpim.machine.registry import machine_of_preset
from bitpim.report.result_file import Result, open_result
from bitpim.run import Progress, replay
from bitpim_traces.records import Trace

__all__ = ["Rerun", "run_again"]


@dataclass(frozen=True, slots=True)
class Rerun:
    """A second run of what a result states; where there is none, `why_not`.

    `fault` says why the run cannot be what it says it is, `lossy` what its settings may lose.
    """

    result: Result | None = None
    why_not: str = "the machine did not run again"
    fault: str = ""
    lossy: str | None = None


def run_again(
    trace: Trace,
    result: Result,
    *,
    is_wanted: bool = True,
    jobs: int = 1,
    memory_gib: float,
    progress: Callable[[Progress], None] | None = None,
) -> Rerun:
    """Run what a result states, its samples, layers and prices, on the machine that it states.

    At integer fidelity where the machine loses nothing, for both fidelities give the same.

    Raises
    ------
    OutOfMemoryError
        The machine needs more memory than the referee, which has enough without it.
    """
    header = result.header
    try:
        machine = machine_of_preset(header.preset)
    except ConfigError as error:  # of a package that is not installed, or of another version
        return Rerun(why_not=str(error))
    try:
        lossy = losses_on(machine, trace)
    except ConfigError as error:
        return Rerun(fault=f"the machine refuses it: {error}")
    if machine.name != header.machine:
        fault = f"it states machine {header.machine!r} and a preset of {machine.name!r}"
        return Rerun(fault=fault, lossy=lossy)
    if not is_wanted:
        return Rerun(lossy=lossy)
    try:
        fidelity = "integer" if lossy is None else header.fidelity
        again = _replayed(trace, result, machine, fidelity, jobs, memory_gib, progress)
    except (ConfigError, MappingError, AccumulatorError) as error:
        return Rerun(fault=f"the machine refuses it: {error}", lossy=lossy)
    except MemoryError as error:
        line = "out of memory as the machine ran again; --no-rerun needs less"
        raise OutOfMemoryError(line) from error
    return Rerun(again, lossy=lossy)


def _replayed(
    trace: Trace,
    result: Result,
    machine: Machine,
    fidelity: str,
    jobs: int,
    memory_gib: float,
    progress: Callable[[Progress], None] | None,
) -> Result:
    header = result.header
    with tempfile.TemporaryDirectory(prefix="bitpim-") as folder:
        path = replay(
            trace,
            machine,
            Path(folder) / "again.h5",
            fidelity=fidelity,
            samples=range(header.start, header.stop),
            layers=[layer.index for layer in result.layers],
            jobs=jobs,
            memory_gib=memory_gib,
            prices=parse_prices(result.prices_text) if result.prices_text else None,
            progress=progress,
        )
        return open_result(path)
