"""Units: the few conversions between what is counted, what is priced and what is printed."""

__all__ = ["BITS_PER_BYTE", "PJ_PER_J", "cycles_to_s", "pj_to_j", "with_prefix"]

BITS_PER_BYTE = 8
PJ_PER_J = 10**12
_HZ_PER_GHZ = 10**9
_PREFIXES = ((1e-12, "p"), (1e-9, "n"), (1e-6, "u"), (1e-3, "m"), (1.0, ""), (1e3, "k"), (1e6, "M"))


def cycles_to_s(n_cycles: int, clock_ghz: float) -> float:
    """Return the seconds that many cycles of a clock take."""
    return n_cycles / (clock_ghz * _HZ_PER_GHZ)


def pj_to_j(energy_pj: float) -> float:
    """Return joule from picojoule."""
    return energy_pj / PJ_PER_J


def with_prefix(value: float, unit: str, digits: int = 4) -> str:
    """Return a value for a reader: 4.79e-05 s becomes '47.9 us'; digits are significant digits."""
    if value == 0:
        return f"0 {unit}"
    factor, prefix = _PREFIXES[0]
    for candidate, letter in _PREFIXES:
        if abs(value) >= candidate:
            factor, prefix = candidate, letter
    return f"{value / factor:.{digits}g} {prefix}{unit}"
