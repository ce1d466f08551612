import pytest

from bitpim.units import cycles_to_s, pj_to_j, with_prefix


def test_conv2d_2b_takes_the_time_the_paper_prints() -> None:
    assert cycles_to_s(119_712, 2.5) == pytest.approx(0.0479e-3, rel=1e-3)


def test_picojoule() -> None:
    assert pj_to_j(246e9) == pytest.approx(0.246)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (4.78848e-05, "47.88 us"),
        (0.0, "0 s"),
        (1.0, "1 s"),
        (0.246, "246 ms"),
        (-2e3, "-2 ks"),
        (1e-15, "0.001 ps"),
        (5e9, "5 Gs"),
        (5e15, "5000 Ts"),
    ],
)
def test_with_prefix(value: float, text: str) -> None:
    assert with_prefix(value, "s") == text
