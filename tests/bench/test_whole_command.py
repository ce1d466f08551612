"""Commands measured as wholes: their own memory, not that of the process that asks."""

import sys
import time

import pytest

from bench.whole_command import bitpim, measure

MIB = 2**20


def python(text: str) -> list[str]:
    return [sys.executable, "-c", text]


def test_seconds_peak_and_output_are_the_commands_own() -> None:
    held = bytearray(200 * MIB)  # of this process, and no matter of the command
    began = time.perf_counter()
    small = measure(python("import time; time.sleep(0.2); print('here')"))
    waited = time.perf_counter() - began
    large = measure(python(f"x = b'x' * {100 * MIB}"))
    assert held and small.stdout == "here\n" and small.exit_code == 0
    assert 0.2 <= small.seconds <= waited
    assert 2 * MIB < small.peak_bytes < 100 * MIB
    assert 100 * MIB < large.peak_bytes < 200 * MIB


def test_a_failing_command_is_told_with_its_last_line() -> None:
    run = measure(python("import sys; sys.exit('no such thing')"))
    assert run.exit_code == 1
    with pytest.raises(RuntimeError, match="exit code 1, no such thing"):
        run.require_success()


def test_a_command_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="could not be started"):
        measure(["no-such-command-anywhere"])


def test_the_environment_is_added_to() -> None:
    show = python("import os; print(os.environ['GIVEN'], 'PATH' in os.environ)")
    assert measure(show, environment={"GIVEN": "so"}).stdout == "so True\n"


def test_bitpim_runs_under_this_interpreter() -> None:
    assert "replay" in measure(bitpim("--help")).require_success().stdout
