"""`bitpim verify`: a machine, or what a machine left in a file, against the referee."""

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bitpim.cli.completion import machines
from bitpim.cli.options import (
    Assignments,
    Fidelity,
    FidelityOption,
    Jobs,
    Json,
    Preset,
    SampleRange,
    TraceName,
    n_jobs,
    opened_trace,
)
from bitpim.cli.progress import say_when_compiling, watched
from bitpim.cli.text import as_json, columns, share, with_commas

if TYPE_CHECKING:
    from bitpim.machines.machine import Machine
    from bitpim.report.figures import ErrorFigures
    from bitpim.report.result_file import Result
    from bitpim.verify.compare import LayerComparison
    from bitpim.verify.digests import DigestComparison, DigestReport
    from bitpim.verify.side_by_side import VerifyReport
    from bitpim_traces.records import Trace

__all__ = ["verified_result", "verify"]

Report = Callable[[int, int, str], None]


def verify(
    trace: TraceName,
    result: Annotated[
        str | None, typer.Argument(metavar="[RESULT]", help="Result file to verify, or a machine.")
    ] = None,
    machine: Annotated[
        str | None,
        typer.Option("--machine", "-m", help="Machine to run and verify.", autocompletion=machines),
    ] = None,
    preset: Preset = None,
    assignments: Assignments = None,
    fidelity: FidelityOption = Fidelity.bit,
    samples: SampleRange = ":",
    jobs: Jobs = None,
    json: Json = False,
) -> None:
    """Compare every layer with the integer referee bit for bit, and with the float network.

    Exit code 4 if a code differs; the first one is named. Where a machine's settings may lose
    something of the exact sums codes do differ, and the last line says so.
    """
    from bitpim.machines.registry import make_machine

    if (result is None) == (machine is None):
        raise typer.BadParameter("need either a result file or --machine", param_hint="RESULT")
    with opened_trace(trace) as opened:
        report: VerifyReport | DigestReport
        figures: ErrorFigures | None
        if machine is not None:
            maker = make_machine(machine, preset, assignments or [])
            report = _verified_machine(opened, maker, fidelity, samples, n_jobs(jobs))
            figures, lossy = report.figures, maker.losses()
            what = f"{machine}, {fidelity.value} fidelity"
        else:
            from bitpim.report.result_file import open_result

            found = open_result(str(result))
            report = verified_result(opened, found)
            figures, lossy = found.figures, _lossy_run(found)
            what = f"{found.header.machine}, {found.header.fidelity} fidelity, {result}"
    if json:
        content = {**report.as_dict(), "lossy": lossy, "figures": figures and figures.as_dict()}
        typer.echo(as_json(content))
    else:
        typer.echo(f"{report.trace_name} on {what}, samples {report.start}:{report.stop}\n")
        typer.echo("\n".join([*_lines(report.layers, figures), *_verdict(report, lossy)]))
    report.require_equal()


def _verdict(report: "VerifyReport | DigestReport", lossy: str | None) -> list[str]:
    """Say the exactness level, and whether it is what the settings let expect."""
    if report.equal:
        return ["L0: every code of every layer compared equals the referee's"]
    if lossy is None:
        return []
    n_equal = sum(layer.equal for layer in report.layers)
    return [
        f"{report.exactness}: {share(n_equal, len(report.layers))} layers equal the referee; the "
        f"others differ as the settings have it: {lossy}; the referee loses nothing"
    ]


def _lossy_run(found: "Result") -> str | None:
    """Describe what is lossy in a run's settings; None where this version cannot read them."""
    from bitpim.errors import ConfigError
    from bitpim.machines.registry import machine_of_preset

    try:
        return machine_of_preset(found.header.preset).losses()
    except ConfigError:
        return None


def _verified_machine(
    trace: "Trace",
    maker: "Machine",
    fidelity: Fidelity,
    samples: str,
    jobs: int,
) -> "VerifyReport":
    """Run a machine beside the referee."""
    from bitpim.replay import batch_size, parse_samples, sample_range
    from bitpim.verify.side_by_side import verify_trace

    wanted = sample_range(trace, parse_samples(samples))
    say_when_compiling()
    prepared = maker.prepare(trace, fidelity=fidelity.value, jobs=jobs)
    with _reported(f"verifying {trace.name}", wanted.start) as progress:
        return verify_trace(
            trace,
            lambda codes: ((run.index, run.codes) for run in prepared.run_batch(codes)),
            wanted,
            batch=batch_size(trace, fidelity.value, prepared.batch_multiple),
            progress=progress,
        )


def verified_result(trace: "Trace", result: Any) -> "DigestReport":
    """Compare what a result kept with the referee."""
    from bitpim.replay import batch_size
    from bitpim.verify.digests import verify_result

    with _reported(f"verifying {trace.name}", result.header.start) as progress:
        batch = batch_size(trace, "integer")
        return verify_result(trace, result, batch=batch, progress=progress)


@contextlib.contextmanager
def _reported(title: str, start: int) -> Iterator[Report | None]:
    """Yield what a verification reports to."""
    from bitpim.replay import Progress

    with watched(title) as report:
        if report is None:
            yield None
            return

        def told(done: int, n_samples: int, layer: str) -> None:
            report(Progress(layer, start, start + n_samples, done / n_samples))

        yield told


def _lines(
    layers: "tuple[LayerComparison, ...] | tuple[DigestComparison, ...]",
    figures: "ErrorFigures | None",
) -> list[str]:
    """One row a layer, then what is known of the network's answers."""
    known = {} if figures is None else {layer.index: layer for layer in figures.layers}
    rows = []
    for layer in layers:
        near = known.get(layer.index)
        errors = (near.max_abs, near.relative_l2, near.sqnr_db) if near else (None, None, None)
        rows.append([layer.name, layer.n_samples, "yes" if layer.equal else "NO", *errors])
    head = ["layer", "samples", "equal", "max abs error", "relative L2", "SQNR dB"]
    lines = [columns(head, rows), ""]
    if figures is not None and figures.top1_agreement is not None:
        lines.append(
            f"top-1 agreement with the float network {figures.top1_agreement:.4f} "
            f"({with_commas(figures.n_compared)} samples)"
        )
    if figures is not None and figures.accuracy is not None:
        lines.append(f"accuracy {figures.accuracy:.4f} ({with_commas(figures.n_labelled)} samples)")
    return lines
