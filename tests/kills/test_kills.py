"""That the script ends runs, and sees what is wrong; its hundreds are run by hand."""

import signal
from dataclasses import replace
from pathlib import Path

import pytest

from tests.kills.cases import CASES, Case
from tests.kills.runs import end_runs

SYNTH, LOOP = CASES[2], CASES[5]


@pytest.mark.parametrize("case", [SYNTH, LOOP], ids=lambda case: case.name)
def test_a_run_is_ended_and_nothing_is_damaged(case: Case) -> None:
    found = end_runs(case, [signal.SIGKILL], 1, 0)
    assert found["ended"] + found["had finished"] == 1 and not found["left"]
    assert found["went on to the same bytes"] == (found["ended"] if case.again else 0)


def test_a_run_that_damages_its_target_is_told(tmp_path: Path) -> None:
    def prepare(folder: Path) -> None:
        (folder / "out.h5").write_text("old")
        (folder / "careless.py").write_text(
            "import time\n\nfile = open('out.h5', 'w')\nfile.write('half')\nfile.flush()\n"
            "end = time.process_time() + 1\nwhile time.process_time() < end:\n    pass\n"
            "file.write(', whole')\n"
        )

    careless = replace(LOOP, arguments=("careless.py",), targets=("out.h5",), prepare=prepare)
    with pytest.raises(AssertionError, match=r"SIGKILL: out\.h5 is damaged"):
        end_runs(replace(careless, again=()), [signal.SIGKILL], 2, 0)
