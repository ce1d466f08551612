import pytest

from bench.conftest import Goal, alternate, read_goals

CASES = (
    "interpreter_over_bare_loop",
    "interpreter_two_threads",
    "add_32_bits_over_numpy",
    "multiply_32_bits_over_numpy",
    "transposition",
    "resnet20_bit",
    "resnet20_integer",
    "alexnet_bit",
)


LIMITED = ("peak_memory", "demo_warm", "demo_cold", "help")


@pytest.mark.parametrize("name", LIMITED)
def test_every_limit_has_a_must_and_a_goal_below_it(name: str) -> None:
    entry = read_goals()[name]
    assert entry.measure in ("s", "MiB")
    assert entry.goal < entry.must
    assert not entry.twin


@pytest.mark.parametrize("name", CASES)
def test_every_case_has_a_must_and_a_goal_beyond_it(name: str) -> None:
    entry = read_goals()[name]
    assert entry.measure in ("speedup", "time")
    assert (entry.goal > entry.must) == (entry.measure == "speedup")


@pytest.mark.parametrize(
    ("measure", "must", "goal", "ratio", "met"),
    [
        ("speedup", 4, 8, 8, "goal"),
        ("speedup", 4, 8, 7.9, "must"),
        ("speedup", 4, 8, 3.9, "no"),
        ("time", 5, 1.2, 1.2, "goal"),
        ("time", 5, 1.2, 5, "must"),
        ("time", 5, 1.2, 5.1, "no"),
        ("MiB", 2048, 1024, 1024, "goal"),
        ("MiB", 2048, 1024, 2049, "no"),
    ],
)
def test_what_is_met(measure: str, must: float, goal: float, ratio: float, met: str) -> None:
    assert Goal("", measure, must, goal).met(ratio) == met


def test_ours_and_twin_are_called_in_turn_after_warming_up() -> None:
    calls: list[str] = []
    pairs = alternate(lambda: calls.append("a"), lambda: calls.append("b"), n_pairs=5)
    assert "".join(calls) == "ab" * 7
    assert len(pairs) == 5
    assert all(ours >= 0 and twin >= 0 for ours, twin in pairs)
