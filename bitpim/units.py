"""Units: the few conversions between what is counted, what is priced and what is printed."""

__all__ = [
    "HZ_PER_GHZ",
    "PJ_PER_J",
    "cycles_to_s",
    "pj_to_j",
    "prefix_of",
    "with_prefix",
]

PJ_PER_J = 10**12
HZ_PER_GHZ = 10**9
_PREFIXES = (
    (1e-12, "p"),
    (1e-9, "n"),
    (1e-6, "u"),
    (1e-3, "m"),
    (1.0, ""),
    (1e3, "k"),
    (1e6, "M"),
    (1e9, "G"),
    (1e12, "T"),
)


def cycles_to_s(n_cycles: int, clock_ghz: float) -> float:
    """Return the seconds that many cycles of a clock take."""
    return n_cycles / (clock_ghz * HZ_PER_GHZ)


def pj_to_j(energy_pj: float) -> float:
    """Return joule from picojoule."""
    return energy_pj / PJ_PER_J


def prefix_of(value: float) -> tuple[float, str]:
    """Return factor and letter of the unit prefix a value is best read with; 1 for zero."""
    if value == 0:
        return 1.0, ""
    chosen = _PREFIXES[0]
    for candidate in _PREFIXES:
        if abs(value) >= candidate[0]:
            chosen = candidate
    return chosen


def with_prefix(value: float, unit: str, digits: int = 4) -> str:
    """Return a value for a reader: 4.79e-05 s becomes '47.9 us'; digits are significant digits."""
    factor, prefix = prefix_of(value)
    return f"{value / factor:.{digits}g} {prefix}{unit}"
