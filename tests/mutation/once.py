"""Pytest plugin: hypothesis draws the same examples each time, and a failing one is enough."""

import hypothesis
import pytest

PHASES = (hypothesis.Phase.explicit, hypothesis.Phase.generate)  # a smaller example needs time


def pytest_configure(config: pytest.Config) -> None:
    """Change the profile that `tests/conftest.py` has loaded."""
    hypothesis.settings.register_profile(
        "once",
        hypothesis.settings.get_profile("bitpim"),
        derandomize=True,
        database=None,
        phases=PHASES,
    )
    hypothesis.settings.load_profile("once")
