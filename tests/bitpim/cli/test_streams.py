"""Terminals that know ASCII only, streams that are closed or full, and memory that is short."""

import codecs
import io
from dataclasses import replace
from pathlib import Path

import pytest

from bitpim.cli.streams import plainly
from bitpim_traces import write_trace
from tests.bitpim.cli.live import live
from tests.strategies import small_trace

ASCII = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
STRICT = {**ASCII, "PYTHONIOENCODING": "ascii:strict"}


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small trace whose names are beyond ASCII."""
    path = tmp_path_factory.mktemp("net") / "net.h5"
    trace = small_trace(1, kinds=["linear"], n_samples=2)
    layers = (replace(trace.layers[0], name="schräg 中 →"), *trace.layers[1:])
    write_trace(replace(trace, name="Größe \u00d7 2", layers=layers), path)
    return path


def test_our_signs_are_written_by_others_and_names_by_their_codes() -> None:
    raw = io.BytesIO()
    codecs.register_error("bitpim.plain", plainly)
    with io.TextIOWrapper(raw, "ascii", errors="bitpim.plain") as stream:
        stream.write("3 \u00d7 3 █ é 中 \udce9 \U0001f600")
        stream.flush()
        assert raw.getvalue() == rb"3 x 3 # \xe9 \u4e2d \udce9 \U0001f600"
    with pytest.raises(UnicodeDecodeError):
        b"\xff".decode("ascii", errors="bitpim.plain")


@pytest.mark.parametrize("environ", [ASCII, STRICT])
@pytest.mark.parametrize(
    "command",
    [
        "--help",
        "trace synth --help",
        "export --help",
        "plan NET -m neural_cache",
        "plan NET -m isaac --json",
        "trace info NET",
        "replay NET -m neural_cache --fidelity integer -o OUT",
        "replay NET -m Größe -o OUT",
        "cost NET",
        "program list",
        "Größe",
    ],
)
def test_ascii_is_enough(net: Path, tmp_path: Path, command: str, environ: dict[str, str]) -> None:
    words = {"NET": str(net), "OUT": str(tmp_path / "ört.h5")}
    done = live(*(words.get(word, word) for word in command.split()), environ=environ)
    assert "Traceback" not in done.stderr
    assert done.returncode in (0, 2, 3) and (done.stdout + done.stderr).isascii()
    if "NET" in command and not done.returncode:
        assert "sch" in done.stdout or r"Gr\xf6" in done.stdout


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_a_file_name_of_any_bytes_is_named(tmp_path: Path, encoding: str) -> None:
    done = live("trace", "info", "no-\udcff", environ={"PYTHONIOENCODING": encoding}, cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert r"no-\udcff" in done.stderr


@pytest.mark.parametrize(
    ("closed", "code"),
    [
        ("<&-", 0),
        (">&-", 0),
        ("2>&-", 0),
        ("<&- >&- 2>&-", 0),
        (">/dev/full", 3),
        ("2>/dev/full", 0),
    ],
)
def test_streams_that_are_closed_or_full(net: Path, tmp_path: Path, closed: str, code: int) -> None:
    out = tmp_path / "copy.h5"
    command = ("trace", "synth", "tiny", "-o", out)
    done = live(*command, shell=f"{{}} {closed}")
    assert done.returncode == code and "Traceback" not in done.stderr
    assert done.stderr.count("\n") == (code == 3)
    assert live("trace", "check", out, "--deep").returncode == 0
    failing = live("trace", "info", tmp_path / "none", shell=f"{{}} {closed}")
    assert failing.returncode == 3
    assert live("--nope", shell=f"{{}} {closed}").returncode == 2


@pytest.mark.parametrize(
    ("limit", "kilobytes"),
    [("v", 25_000), ("v", 30_000), ("v", 90_000), ("v", 400_000), ("d", 30_000), ("d", 90_000)],
)
def test_too_little_memory_to_load_the_libraries(net: Path, limit: str, kilobytes: int) -> None:
    done = live("demo", net, shell=f"ulimit -{limit} {kilobytes}; {{}}")
    assert (done.returncode, done.stderr.count("\n"), done.stdout) == (3, 1, "")
    assert done.stderr.startswith("bitpim: ")
