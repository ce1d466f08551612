"""The functions of `import bitpim`: what the command line does, for scripts and notebooks.

A trace is a file name or an open trace, a machine a name or a machine that was made. Settings are
changed by keyword, as ``adc_bits=6``, or by their whole keys in `settings`, as
``{"converter.adc_bits": 6}``; what was changed stands in every result.
"""

import dataclasses
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bitpim.config import PresetLabel
from bitpim.cost.tables import PriceTable
from bitpim.errors import ConfigError
from bitpim.golden.recording import record_tile
from bitpim.golden.replaying import ProgramRun
from bitpim.golden.replaying import replay_program as _replay_program
from bitpim.machine import registry
from bitpim.machine.machine import Machine, losses_on
from bitpim.planning import Plan
from bitpim.proof.accuracy import integer_figures
from bitpim.proof.digests import need_its_trace, verify_result
from bitpim.proof.rerun import run_again
from bitpim.proof.side_by_side import verify_trace
from bitpim.proof.verification import Verification
from bitpim.recorded import RecordedTile
from bitpim.report.figures import ErrorFigures
from bitpim.report.result_file import Comparison, Result, compare_results
from bitpim.report.result_file import open_result as _open_result
from bitpim.run import MEMORY_GIB, Progress, batch_size, need_memory
from bitpim.run import replay as _replay
from bitpim.selection import Layers, Samples, sample_range
from bitpim.threads import available_threads
from bitpim_traces import open_trace as _open_trace
from bitpim_traces.program_trace.reader import open_program
from bitpim_traces.program_trace.records import ProgramTrace
from bitpim_traces.program_trace.writer import write_program
from bitpim_traces.records import Trace

__all__ = [
    "accuracy",
    "compare",
    "machines",
    "make_machine",
    "open_result",
    "open_trace",
    "plan",
    "presets",
    "prices",
    "record",
    "replay",
    "replay_program",
    "verify",
]

Place = str | os.PathLike[str]
Report = Callable[[Progress], None]
Settings = Mapping[str, Any] | Sequence[str]


def open_trace(path: Place) -> Trace:
    """Open a trace file; its tensors are read when they are asked for.

    Raises
    ------
    TraceError
        No such file, no trace, of another version, or damaged.
    """
    return _open_trace(path)


def accuracy(
    trace: Place | Trace,
    *,
    jobs: int | None = None,
    memory_gib: float = MEMORY_GIB,
    progress: Callable[[int, int], None] | None = None,
) -> ErrorFigures:
    """Run the quantized network in exact integers, on no machine, beside the float network.

    `accuracy` and `float_accuracy` are shares of the samples with labels, `top1_agreement` of those
    that the float network's answers are known of; None where there are none, or outputs are images.
    `progress` is told samples done and samples in all.

    Raises
    ------
    TraceError, ConfigError, MappingError, AccumulatorError
        The trace cannot be read, one sample needs too much memory, a kind of layer is not known, or
        a sum does not fit its accumulator.
    """
    n_threads = available_threads() if jobs is None else jobs
    return integer_figures(_trace(trace), jobs=n_threads, memory_gib=memory_gib, progress=progress)


def machines() -> tuple[str, ...]:
    """Return the names of all machines, those of installed packages among them.

    Examples
    --------
    >>> import bitpim
    >>> "isaac" in bitpim.machines()
    True
    """
    return registry.machine_names()


def presets(machine: str | None = None) -> tuple[str, ...]:
    """Return the names of the packaged presets of a machine, or of all machines.

    Raises
    ------
    ConfigError
        Unknown machine.

    Examples
    --------
    >>> import bitpim
    >>> bitpim.presets("isaac")
    ('isaac', 'isaac_8bit')
    """
    return registry.list_presets(machine)


def prices() -> tuple[str, ...]:
    """Return the names of the packaged price tables.

    Examples
    --------
    >>> import bitpim
    >>> "isaac" in bitpim.prices()
    True
    """
    return registry.price_tables()


def make_machine(
    name: str, preset: Place | None = None, settings: Settings = (), **changed: Any
) -> Machine:
    """Make a machine from a packaged preset or a preset file, with some settings changed.

    Raises
    ------
    ConfigError
        Unknown machine, preset or setting, or a value out of range.

    Examples
    --------
    >>> import bitpim
    >>> bitpim.make_machine("isaac", adc_bits=6).settings.converter.adc_bits
    6
    """
    chosen = None if preset is None else os.fspath(preset)
    return registry.make_machine(name, chosen, _joined(settings, changed))


def _joined(settings: Settings, changed: Mapping[str, Any]) -> Settings:
    """Return all changed settings in one form; a setting said twice is a fault later."""
    if not changed:
        return settings
    if isinstance(settings, Mapping):
        return {**settings, **changed}
    if settings:
        raise ConfigError("settings: need key=value texts, or keywords, got both")
    return changed


def _machine(
    machine: str | Machine, preset: Place | None, settings: Settings, changed: Mapping[str, Any]
) -> Machine:
    """Return the machine that is meant; one that was made is as it is."""
    if isinstance(machine, str):
        return make_machine(machine, preset, settings, **changed)
    if preset is not None or settings or changed:
        raise ConfigError(
            f"machine {machine.name!r}: was made already; name it to give a preset or settings"
        )
    return machine


def _trace(trace: Place | Trace) -> Trace:
    return trace if isinstance(trace, Trace) else open_trace(trace)


def plan(
    trace: Place | Trace,
    machine: str | Machine,
    *,
    preset: Place | None = None,
    settings: Settings = (),
    **changed: Any,
) -> Plan:
    """Lay a network out on a machine, without running it: arrays, passes, cycles of each layer.

    Raises
    ------
    TraceError, ConfigError, MappingError
        The trace cannot be read, the machine cannot be made, or a layer does not fit it.
    """
    made = _machine(machine, preset, settings, changed)
    return Plan.of(_trace(trace), made)


def replay(
    trace: Place | Trace,
    machine: str | Machine,
    out: Place | None = None,
    *,
    preset: Place | None = None,
    settings: Settings = (),
    fidelity: str = "bit",
    samples: Samples = ":",
    layers: Layers | None = None,
    jobs: int | None = None,
    batch: int | None = None,
    memory_gib: float = MEMORY_GIB,
    prices: Place | PriceTable | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Report | None = None,
    **changed: Any,
) -> Result:
    """Run a trace on a machine; return what came out and what it took.

    Parameters
    ----------
    out
        File to keep the result in; nothing is kept when None.
    fidelity
        ``"bit"`` executes every array step; ``"integer"`` does exact arithmetic.
    samples, layers
        What to run, as in ``"0:16"``, and the layers to keep, as in ``"conv1,3"``; all by default.
    jobs
        Threads; all that this process may use when None.
    batch
        Samples that run together; chosen to fit the memory when None.
    memory_gib
        Memory that the tensors of one sample may take; a network that needs more is refused.
    prices
        Price table, by name or file; the machine's own when None, ``"none"`` for no prices.
    resume, overwrite
        What becomes of what an earlier run left at `out`: go on with it, or start anew.
    progress
        Told how far the run is, layer by layer.

    Raises
    ------
    TraceError, ConfigError, MappingError, AccumulatorError
        The trace cannot be read, the machine cannot be made, a layer does not fit it, or a sum may
        not fit its accumulator.
    ResultError
        The result cannot be written, or an earlier run left something at `out`.
    """
    made = _machine(machine, preset, settings, changed)
    opened = _trace(trace)
    table = _price_table(made.name, prices)
    n_threads = available_threads() if jobs is None else jobs

    def run(place: Place) -> Result:
        _replay(
            opened,
            made,
            place,
            fidelity=fidelity,
            samples=samples,
            layers=layers,
            jobs=n_threads,
            resume=resume,
            overwrite=overwrite,
            batch=batch,
            memory_gib=memory_gib,
            prices=table,
            progress=progress,
        )
        return _open_result(Path(place))

    if out is not None:
        return run(out)
    if resume:
        raise ConfigError("resume: need out, the file of the run to go on with")
    with tempfile.TemporaryDirectory(prefix="bitpim-") as folder:
        return run(Path(folder) / "result.h5")


def record(
    trace: Place | Trace,
    machine: str | Machine,
    layer: int | str,
    tile: int = 0,
    out: Place | None = None,
    *,
    preset: Place | None = None,
    settings: Settings = (),
    sample: int = 0,
    after: str = "end",
    overwrite: bool = False,
    **changed: Any,
) -> RecordedTile:
    """Execute one tile of a layer on its array, step by step, and write down all that happens.

    Parameters
    ----------
    layer, tile, sample
        What to record; tiles are numbered as `bitpim record --list` shows them.
    out
        File to keep the program trace in; nothing is kept when None.
    after
        After which steps the state is kept: ``"end"``, ``"marks"`` or ``"every"``.

    Raises
    ------
    TraceError, ConfigError, MappingError
        The trace cannot be read, the machine cannot be made or records no such tile, a layer does
        not fit it, or the file cannot be written.
    """
    made = _machine(machine, preset, settings, changed)
    recorded = record_tile(_trace(trace), made, layer, tile, sample=sample, after=after)
    if out is not None:
        write_program(recorded.program, out, overwrite=overwrite)
    return recorded


def replay_program(
    program: Place | ProgramTrace, *, progress: Callable[[int, int], None] | None = None
) -> ProgramRun:
    """Run a program trace on its array alone, and compare with what it says must come of it.

    What is returned tells the first step, row, lane and bit that differ; its `require_equal` raises
    there. `progress` is told steps taken and steps in all.

    Raises
    ------
    TraceError, ConfigError, LayoutError, ProgramError
        The file cannot be read, or the array cannot take it.
    """
    opened = program if isinstance(program, ProgramTrace) else open_program(os.fspath(program))
    return _replay_program(opened, progress=progress)


def _price_table(machine: str, prices: Place | PriceTable | None) -> PriceTable | None:
    if isinstance(prices, PriceTable) or prices == "none":
        return prices if isinstance(prices, PriceTable) else None
    return registry.prices_of(machine, None if prices is None else os.fspath(prices))


def open_result(path: Place) -> Result:
    """Read a result file whole.

    Raises
    ------
    ResultError
        No such file, not a result, damaged, or of a later version.
    """
    return _open_result(Path(path))


def compare(first: Place | Result, second: Place | Result, *, limit: int = 20) -> Comparison:
    """Compare outputs, counts, cycles and error figures of two results.

    Another machine, preset, fidelity or price table is noted and is not a difference by itself.

    Raises
    ------
    ResultError
        A file is no result.
    """
    a, b = (r if isinstance(r, Result) else open_result(r) for r in (first, second))
    return compare_results(a, b, limit=limit)


def verify(
    trace: Place | Trace,
    what: str | Machine | Result | os.PathLike[str],
    *,
    preset: Place | None = None,
    settings: Settings = (),
    fidelity: str | None = None,
    samples: Samples | None = None,
    jobs: int | None = None,
    memory_gib: float = MEMORY_GIB,
    rerun: bool = True,
    progress: Report | None = None,
    **changed: Any,
) -> Verification:
    """Compare a machine, or a result, with the integer referee, bit for bit in every layer.

    `what` is a machine, the name of one, a result, or its file. A machine runs all samples at bit
    fidelity unless told otherwise; a result has its own settings, fidelity and samples. Of a result
    all that it states is computed again: its machine runs once more for counts and cycles, unless
    `rerun` is False. What is returned tells what was found, and what was not checked; its
    `require_equal` raises where anything differs.

    Raises
    ------
    TraceError, ConfigError, MappingError, ResultError
        Something cannot be read or made, the result is not of this trace, or a result and settings
        of a machine are both given.
    """
    opened = _trace(trace)
    need_memory(opened, memory_gib)
    result = _result(what)
    if result is not None:
        if preset is not None or settings or fidelity is not None or samples is not None or changed:
            raise ConfigError(
                "verify: a result has its own settings, fidelity and samples; give these with a "
                "machine only"
            )
        n_threads = available_threads() if jobs is None else jobs
        return _verified_result(opened, result, rerun, n_threads, memory_gib, progress)
    assert not isinstance(what, Result | os.PathLike)
    if not rerun:
        raise ConfigError("rerun: a machine runs once; only a result's can be left out")
    made = _machine(what, preset, settings, changed)
    wanted = sample_range(opened, ":" if samples is None else samples)
    fidelity = "bit" if fidelity is None else fidelity
    n_threads = available_threads() if jobs is None else jobs
    prepared = made.prepare(opened, fidelity=fidelity, jobs=n_threads)
    report = verify_trace(
        opened,
        lambda codes: ((run.index, run.codes) for run in prepared.run_batch(codes)),
        wanted,
        batch=batch_size(opened, fidelity, prepared.batch_multiple),
        progress=_told(progress, wanted),
    )
    name = f"{made.name}, {PresetLabel.of(made.settings)}, {fidelity} fidelity"
    return dataclasses.replace(report, what=name, lossy=losses_on(made, opened))


def _result(what: str | Machine | Result | os.PathLike[str]) -> Result | None:
    """Return the result that is meant; None where a machine is."""
    if isinstance(what, Result):
        return what
    if isinstance(what, os.PathLike):
        return open_result(what)
    is_file = isinstance(what, str) and what not in registry.machine_names()
    return open_result(what) if isinstance(what, str) and is_file else None


def _verified_result(
    trace: Trace,
    result: Result,
    rerun: bool,
    jobs: int,
    memory_gib: float,
    progress: Report | None,
) -> Verification:
    need_its_trace(trace, result)
    again = run_again(
        trace,
        result,
        is_wanted=rerun,
        jobs=jobs,
        memory_gib=memory_gib,
        progress=_part(progress, 0.0, 0.5),
    )
    began = 0.0 if again.result is None else 0.5
    told = _told(_part(progress, began, 1.0), range(result.header.start, result.header.stop))
    return verify_result(trace, result, again, batch=batch_size(trace, "integer"), progress=told)


def _part(progress: Report | None, start: float, stop: float) -> Report | None:
    """Return what a part of the work reports to."""
    if progress is None:
        return None
    return lambda p: progress(dataclasses.replace(p, share=start + (stop - start) * p.share))


def _told(progress: Report | None, samples: range) -> Callable[[int, int, str], None] | None:
    """Return what a verification reports to."""
    if progress is None:
        return None

    def told(done: int, n_samples: int, layer: str) -> None:
        progress(Progress(layer, samples.start, samples.stop, done / n_samples))

    return told
