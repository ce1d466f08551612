"""Settings of a weight store: what the codes are, and how lines hold them."""

from dataclasses import dataclass

from bitpim.errors import ConfigError
from bitpim_kernels.checksum import CHECKSUM_BITS, Parities, parities
from bitpim_kernels.weight_lines import (
    EVERY_LINE,
    FIRST_LINE,
    NO_HEADER,
    WIDTH_BITS,
    Form,
)

__all__ = ["CODECS", "POSITIONS", "SHARES", "StoreSettings", "WeightCodes"]

CODECS = ("shared_bits", "raw")
SHARES = ("cluster", "line")
POSITIONS = ("bitmap", "run_length")

_MAX_LINE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class WeightCodes:
    """What the codes of a layer's weights are.

    Attributes
    ----------
    bits : of a code, 1 to 8
    signed : two's complement, or from 0
    zero_point : the code that magnitudes are measured from; weights not read yet have it

    Raises
    ------
    ConfigError
        Bits are not 1 to 8, or the zero point is none of the codes.
    """

    bits: int
    signed: bool
    zero_point: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= 8:
            raise ConfigError(
                f"weight store: need codes of 1 to 8 bits, got {self.bits}; quantize to fewer bits"
            )
        if not self.least <= self.zero_point <= self.most:
            raise ConfigError(
                f"weight store: need a zero point of {self.least} to {self.most}, as codes of "
                f"{self.bits} {'signed' if self.signed else 'unsigned'} bits are, got "
                f"{self.zero_point}; give one of the codes"
            )

    @property
    def least(self) -> int:
        """Smallest code."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def most(self) -> int:
        """Largest code."""
        return self.least + (1 << self.bits) - 1


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """How lines hold codes and positions.

    Attributes
    ----------
    codec : "shared_bits", codes as sign and low bits, compressed and checked; or "raw", as they are
    share : whether the leading bits of magnitudes are common to a "cluster" or to a "line"
    positions : "bitmap", a bit for each position that is free; or "run_length", the gaps
    gap_bits : of a gap, 1 to 8
    line_bytes : room of a line, a multiple of 8 from 8 to 4096
    checksum_bits : of each compressed line, 8 or 16

    Raises
    ------
    ConfigError
        A word is unknown, or a number out of range.
    """

    codec: str = "shared_bits"
    share: str = "cluster"
    positions: str = "bitmap"
    gap_bits: int = 4
    line_bytes: int = 64
    checksum_bits: int = 8

    def __post_init__(self) -> None:
        known = (("codec", CODECS), ("share", SHARES), ("positions", POSITIONS))
        for name, words in known:
            if getattr(self, name) not in words:
                raise ConfigError(
                    f"weight store: need {name} {' or '.join(words)}, got {getattr(self, name)!r}"
                )
        if self.checksum_bits not in CHECKSUM_BITS:
            raise ConfigError(
                f"weight store: need checksum_bits {' or '.join(map(str, CHECKSUM_BITS))}, got "
                f"{self.checksum_bits}"
            )
        if not 1 <= self.gap_bits <= 8:
            raise ConfigError(f"weight store: need gap_bits of 1 to 8, got {self.gap_bits}")
        if self.line_bytes % 8 or not 8 <= self.line_bytes <= _MAX_LINE_BYTES:
            raise ConfigError(
                f"weight store: need line_bytes a multiple of 8 from 8 to {_MAX_LINE_BYTES}, got "
                f"{self.line_bytes}"
            )

    @property
    def is_compressed(self) -> bool:
        """Whether lines have headers and checksums."""
        return self.codec != "raw"

    @property
    def checked_bits(self) -> int:
        """Bits of the checksum of a line: none where it is raw."""
        return self.checksum_bits if self.is_compressed else 0

    @property
    def body_bits(self) -> int:
        """Bits of a line beside its checksum."""
        return 8 * self.line_bytes - self.checked_bits

    def form(self, codes: WeightCodes) -> Form:
        """Return how codes and positions are written, as kernels take it.

        A line has as many codes as fit it where nothing is shared, whatever they turn out to be.
        """
        headers = NO_HEADER
        if self.is_compressed:
            headers = FIRST_LINE if self.share == "cluster" else EVERY_LINE
        gap_bits = self.gap_bits if self.positions == "run_length" else 0
        return Form(
            codes.bits,
            codes.least,
            codes.zero_point,
            (self.body_bits - (WIDTH_BITS if self.is_compressed else 0)) // codes.bits,
            headers,
            self.body_bits // max(gap_bits, 1),
            gap_bits,
        )

    def parities(self) -> Parities:
        """Return the checksum of a compressed line, as kernels take it."""
        return parities(self.checksum_bits, self.line_bytes - self.checksum_bits // 8)
