"""Candidates entered one after the other, and taken out with all others."""

import numpy as np
import pytest

from bitpim.errors import ProgramError
from bitpim.lookup.candidate_rows import CandidateRows


def test_candidates_lie_in_the_order_in_which_they_are_entered() -> None:
    rows = CandidateRows(3)
    for code in (5, 2):
        rows.put(code)
    assert rows.codes.tolist() == [5, 2, 0] and rows.lines().tolist() == [True, True, False]
    assert [form.shape for form in rows.forms] == [(3,), (1,)]
    assert all(rows.held[form.name].dtype == np.int64 for form in rows.forms)
    assert rows.take(1) == 2
    assert not rows.codes.any() and not rows.lines().any()
    rows.put(7)
    assert rows.codes.tolist() == [7, 0, 0]


def test_there_is_room_for_so_many() -> None:
    rows = CandidateRows(1)
    rows.put(0)
    with pytest.raises(ProgramError, match="need room for one more, got 1 that are entered"):
        rows.put(0)
    assert rows.lines().tolist() == [True]


def test_without_room_there_are_no_states() -> None:
    rows = CandidateRows(0)
    assert rows.forms == () and rows.held == {}
