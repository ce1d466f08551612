"""Mutated NOR program files: one error each, or what a naive reading of them computes."""

import random
from collections import Counter

import pytest

from tests.mutants.nor_files import mutate, outcome_of
from tests.naive.nor_files import naive_outputs
from tests.nor_texts import ADDER, FORMS, XOR

N_MUTANTS = 2_000


@pytest.mark.parametrize("form", FORMS)
def test_mutants_are_refused_or_read_as_a_naive_reader_does(form: str) -> None:
    texts = [FORMS[form](program) for program in (ADDER, XOR)]
    originals = [naive_outputs(text) for text in texts]
    outcomes = Counter[str]()
    for seed in range(N_MUTANTS):
        content = mutate(texts[seed % 2].encode(), random.Random(f"{form} {seed}"))
        outcome = outcome_of(content, originals[seed % 2])
        assert outcome in ("refused", "same", "other, noted", "other"), (seed, outcome, content)
        outcomes[outcome] += 1
    assert outcomes["refused"] > N_MUTANTS * 0.8
    assert outcomes["same"] > 20
    assert outcomes["other"] < N_MUTANTS * 0.03
