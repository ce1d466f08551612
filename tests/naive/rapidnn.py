"""One neuron of RAPIDNN as its array adds it: pair by pair, digit by digit, gate by gate."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

Bits = list[int]


def binary_digits(n: int) -> list[int]:
    """Return the digits of a count, lowest first: 0 and 1."""
    return [int(letter) for letter in reversed(f"{n:b}")] if n else []


def signed_digits(n: int) -> list[int]:
    """Return the digits of a count, lowest first: -1, 0 and 1, no two neighbours both not 0."""
    digits = []
    while n:
        digit = {0: 0, 1: 1, 2: 0, 3: -1}[n % 4]
        digits.append(digit)
        n = (n - digit) // 2
    return digits


def word(value: int, width: int) -> Bits:
    """Return a number in two's complement, bit 0 first."""
    return [(value >> k) & 1 for k in range(width)]


def value(bits: Bits) -> int:
    """Return the number of a word in two's complement."""
    total = sum(bit << k for k, bit in enumerate(bits))
    return total - (1 << len(bits)) if bits[-1] else total


def nor(a: int, b: int) -> int:
    return 0 if a or b else 1


def full_adder(a: int, b: int, c: int) -> tuple[int, int]:
    """Return sum and carry, by nine gates."""
    t0 = nor(a, b)
    t1 = nor(a, t0)
    t2 = nor(b, t0)
    t3 = nor(t1, t2)
    t1 = nor(t3, c)
    t2 = nor(t1, t3)
    t3 = nor(t1, c)
    return nor(t3, t2), nor(t0, t1)


def carry_save(a: Bits, b: Bits, c: Bits) -> tuple[Bits, Bits]:
    """Return two words of the same sum as three; the lowest place of the second is empty."""
    pairs = [full_adder(*bits) for bits in zip(a, b, c, strict=True)]
    return [s for s, _ in pairs], [0] + [carry for _, carry in pairs[:-1]]


def add(a: Bits, b: Bits, carry: int) -> Bits:
    """Return the sum of two words and a carry, a bit after the other."""
    total = []
    for x, y in zip(a, b, strict=True):
        bit, carry = full_adder(x, y, carry)
        total.append(bit)
    return total


@dataclass
class Neuron:
    """A sum, and what it took."""

    total: int
    counts: Counter[tuple[int, int]]
    operands: int
    adders: int
    levels: int
    negatives: int
    largest: int
    saturated: int


def neuron(
    weights: Sequence[int],
    codes: Sequence[int],
    products: Sequence[Sequence[int]],
    bias: int | None,
    *,
    signed: bool = False,
    counter_bits: int | None = None,
    width: int = 64,
) -> Neuron:
    """Return the sum of one neuron."""
    counts = Counter(zip(weights, codes, strict=True))
    most = max(counts.values()) if counter_bits is None else (1 << counter_bits) - 1
    operands = [] if bias is None else [word(bias, width)]
    missing = 0
    for (w, u), n in counts.items():
        digits = signed_digits(min(n, most)) if signed else binary_digits(min(n, most))
        for place, digit in enumerate(digits):
            shifted = word(products[w][u] << place, width)
            if digit == 1:
                operands.append(shifted)
            if digit == -1:
                operands.append([1 - bit for bit in shifted])
                missing += 1
    n_operands, negatives = len(operands), missing
    adders = levels = 0
    while len(operands) > 2:
        levels += 1
        following = []
        for k in range(0, len(operands) - 2, 3):
            total, carry = carry_save(*operands[k : k + 3])
            adders += 1
            if missing:
                carry[0] = 1
                missing -= 1
            following += [total, carry]
        operands = following + operands[len(operands) - len(operands) % 3 :]
    first, second = [*operands, word(0, width)][:2]
    assert missing <= 1
    return Neuron(
        value(add(first, second, missing)),
        counts,
        n_operands,
        adders,
        levels,
        negatives,
        max(counts.values()),
        sum(n > most for n in counts.values()),
    )
