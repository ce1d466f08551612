"""Faults are said in one way, whether raised or listed."""

import pytest

from bitpim_traces.errors import (
    TraceDataError,
    TraceError,
    TraceFormatError,
    TraceTooNew,
    TraceTooOld,
)
from bitpim_traces.faults import Fault, raising_report, shown


@pytest.mark.parametrize(
    ("sort", "error", "advice"),
    [
        ("format", TraceFormatError, "bitpim trace check"),
        ("data", TraceDataError, "--deep"),
        ("too_old", TraceTooOld, "the release that wrote it"),
        ("too_new", TraceTooNew, "newer bitpim"),
    ],
)
def test_a_fault_is_raised_with_file_place_need_got_and_advice(
    sort: str, error: type[TraceError], advice: str
) -> None:
    report = raising_report("net.h5")
    with pytest.raises(error, match=r"^net\.h5: /layers/0000@name: need a text, got 3; ") as met:
        report(Fault("/layers/0000@name", "a text", "3", sort))
    assert advice in str(met.value)


def test_advice_of_the_caller_replaces_the_usual_one() -> None:
    with pytest.raises(TraceFormatError, match=r"got 3; mend the mask$"):
        raising_report("net.h5", "mend the mask")(Fault("/", "a group", "3"))


@pytest.mark.parametrize("n", [1, 77, 78, 79, 100_000])
def test_a_value_is_shown_on_one_line(n: int) -> None:
    text = shown("\n" * (n // 2) + "a" * (n - n // 2))
    assert len(text) <= 80 and "\n" not in text
    assert text.endswith("a'") or text.endswith("...")
    assert shown((1, "a")) == "(1, 'a')"
    assert shown("a" * 78) == repr("a" * 78)
    assert shown("a" * 79) == repr("a" * 79)[:77] + "..."
