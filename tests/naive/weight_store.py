"""Weights in lines, the obvious way: strings of bits, weight by weight.

A string has the least bit of a number first. A line is (cluster, "positions" or "codes", bits).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

__all__ = ["NaiveRules", "crc", "decoded", "stored"]

Line = tuple[int, str, str]


@dataclass(frozen=True)
class NaiveRules:
    bits: int
    signed: bool
    zero_point: int
    codec: str = "shared_bits"
    share: str = "cluster"
    positions: str = "bitmap"
    gap_bits: int = 4
    line_bytes: int = 64
    checksum_bits: int = 8

    @property
    def least(self) -> int:
        return -(2 ** (self.bits - 1)) if self.signed else 0

    @property
    def room(self) -> int:
        """Bits of a line that are no checksum."""
        return 8 * self.line_bytes - (self.checksum_bits if self.codec != "raw" else 0)

    @property
    def codes_per_line(self) -> int:
        return (self.room - (4 if self.codec != "raw" else 0)) // self.bits


def crc(content: bytes, n_bits: int) -> int:
    """CRC-8/ROHC or CRC-16/IBM-SDLC, bit by bit."""
    polynomial, register, final = {8: (0xE0, 0xFF, 0), 16: (0x8408, 0xFFFF, 0xFFFF)}[n_bits]
    for byte in content:
        for t in range(8):
            carry = (register ^ byte >> t) & 1
            register >>= 1
            if carry:
                register ^= polynomial
    return register ^ final


def bits_of(number: int, n: int) -> str:
    return "".join(str(number >> k & 1) for k in range(n))


def number_of(bits: str) -> int:
    return sum(int(bit) << k for k, bit in enumerate(bits))


def chunks(items: Sequence[str], n: int) -> list[Sequence[str]]:
    return [items[i : i + n] for i in range(0, len(items), n)]


def checked(body: str, rules: NaiveRules) -> str:
    """A line with its checksum before it, of all the line has room for."""
    if rules.codec == "raw":
        return body
    padded = body + "0" * (rules.room - len(body))
    content = bytes(number_of(padded[i : i + 8]) for i in range(0, rules.room, 8))
    return bits_of(crc(content, rules.checksum_bits), rules.checksum_bits) + body


def position_lines(is_member: list[bool], rules: NaiveRules) -> list[str]:
    if all(is_member) or not any(is_member):
        return []
    if rules.positions == "bitmap":
        fields, per_line = [str(int(member)) for member in is_member], rules.room
    else:
        fields, per_line = [], rules.room // rules.gap_bits
        more, gap = 2**rules.gap_bits - 1, 0
        for member in is_member:
            if member:
                fields += ["1" * rules.gap_bits] * (gap // more)
                fields.append(bits_of(gap % more, rules.gap_bits))
            gap = 0 if member else gap + 1
    return ["".join(part) for part in chunks(fields, per_line)]


def header_of(codes: list[int], rules: NaiveRules) -> tuple[int, int]:
    """How many low bits magnitudes have of their own, and the bits before them."""
    magnitudes = [bits_of(abs(code - rules.zero_point), rules.bits)[::-1] for code in codes]
    shared = 0
    while shared < rules.bits and len({text[: shared + 1] for text in magnitudes}) == 1:
        shared += 1
    if shared < 2:
        return rules.bits, 0
    return rules.bits - shared, number_of(magnitudes[0][:shared][::-1])


def code_lines(codes: list[int], rules: NaiveRules) -> list[str]:
    lines = []
    low = rules.bits
    for i in range(0, len(codes), rules.codes_per_line):
        part = codes[i : i + rules.codes_per_line]
        body = ""
        if rules.codec != "raw" and (i == 0 or rules.share == "line"):
            low, leading = header_of(part if rules.share == "line" else codes, rules)
            body = bits_of(low, 4) + bits_of(leading, rules.bits - low)
        for code in part:
            if low == rules.bits:
                body += bits_of(code - rules.least, low)
            else:
                sign = "1" if code < rules.zero_point else "0"
                body += bits_of(abs(code - rules.zero_point) % 2**low, low) + sign
        lines.append(body)
    return lines


def stored(codes: list[int], clusters: list[int], n_clusters: int, rules: NaiveRules) -> list[Line]:
    lines = []
    for j in range(n_clusters):
        is_member = [cluster == j for cluster in clusters if cluster >= j]
        own = [code for code, cluster in zip(codes, clusters, strict=True) if cluster == j]
        found = {"positions": position_lines(is_member, rules), "codes": code_lines(own, rules)}
        lines += [(j, kind, checked(body, rules)) for kind in found for body in found[kind]]
    return lines


def decoded(lines: list[Line], counts: list[int], rules: NaiveRules) -> list[int | None]:
    """The codes of clusters whose lines are given; None where a weight is of none."""
    skip = 0 if rules.codec == "raw" else rules.checksum_bits
    found: list[int | None] = [None] * sum(counts)
    for j, n in enumerate(counts):
        bodies = {
            kind: [bits[skip:] for cluster, what, bits in lines if (cluster, what) == (j, kind)]
            for kind in ("positions", "codes")
        }
        free = [place for place, code in enumerate(found) if code is None]
        places = free if len(free) == n else places_in(bodies["positions"], free, n, rules)
        if not bodies["codes"]:
            continue
        for place, code in zip(places, codes_in(bodies["codes"], n, rules), strict=True):
            found[place] = code
    return found


def places_in(bodies: list[str], free: list[int], n: int, rules: NaiveRules) -> list[int]:
    if rules.positions == "bitmap":
        bits = "".join(bodies)
        return [place for place, bit in zip(free, bits, strict=False) if bit == "1"]
    places: list[int] = []
    at = 0
    for body in bodies:
        for field in chunks(body, rules.gap_bits):
            at += number_of(str(field))
            if "0" in field and len(places) < n:
                places.append(free[at])
                at += 1
    return places


def codes_in(bodies: list[str], n: int, rules: NaiveRules) -> Iterator[int]:
    low, leading, left = rules.bits, 0, n
    for i, body in zip(count(), bodies, strict=False):
        if rules.codec != "raw" and (i == 0 or rules.share == "line"):
            low = number_of(body[:4])
            end = 4 + rules.bits - low
            leading, body = number_of(body[4:end]), body[end:]
        width = low if low == rules.bits else low + 1
        for field in chunks(body, width)[: min(left, rules.codes_per_line)]:
            text = str(field)
            if low == rules.bits:
                yield rules.least + number_of(text)
            else:
                magnitude = (leading << low) + number_of(text[:low])
                yield rules.zero_point + (-magnitude if text[low] == "1" else magnitude)
        left -= rules.codes_per_line
