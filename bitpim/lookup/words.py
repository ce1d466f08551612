"""Words of a content-addressable memory, stored or searched for: each cell 0, 1 or a don't-care.

A word is kept along packed words, bit k of the word at bit ``k % 64`` of ``k // 64``; written as
text the highest bit comes first, ``X`` where nothing is cared for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitpim.errors import LayoutError
from bitpim_kernels.layout import pack, tail_mask, unpack, words_for
from bitpim_traces.faults import shown

__all__ = ["CamWords"]

Packed = npt.NDArray[np.uint64]

_BITS_OF = {"0": (0, 1), "1": (1, 1), "X": (0, 0), "x": (0, 0)}


@dataclass(frozen=True, slots=True, eq=False)
class CamWords:
    """Words of equal width, packed.

    Attributes
    ----------
    bits : zero beyond `n_bits` and wherever there is no care
    care : one where the cell counts; zero beyond `n_bits`
    n_bits : bits of a word, 1 or more

    Shapes
    ------
    bits, care: (n, words_for(n_bits)) uint64

    Raises
    ------
    LayoutError
        Shapes or dtypes are others, or a bit lies where none may.
    """

    bits: Packed
    care: Packed
    n_bits: int

    def __post_init__(self) -> None:
        if self.n_bits < 1:
            raise LayoutError(f"CAM words: need 1 bit or more, got {self.n_bits}")
        need = (len(self.bits), words_for(self.n_bits))
        for name, part in (("bits", self.bits), ("care", self.care)):
            if part.shape != need or part.dtype != np.uint64:
                raise LayoutError(
                    f"CAM words: need {name} {need} uint64 for {self.n_bits} bits, got "
                    f"{part.shape} {part.dtype}"
                )
        if np.any(self.care[:, -1] & ~tail_mask(self.n_bits)) or np.any(self.bits & ~self.care):
            raise LayoutError(
                f"CAM words: need zeros beyond bit {self.n_bits - 1} and in cells without care, "
                "got ones"
            )

    def __len__(self) -> int:
        return len(self.bits)

    def __getitem__(self, which: slice) -> "CamWords":
        return CamWords(self.bits[which], self.care[which], self.n_bits)

    @property
    def n_dont_cares(self) -> int:
        """Cells that are not cared for."""
        return len(self) * self.n_bits - int(np.bitwise_count(self.care).sum())

    @classmethod
    def from_packed(cls, bits: Packed, n_bits: int, care: Packed | None = None) -> "CamWords":
        """Take packed words as they are; every cell counts unless `care` says which."""
        if care is None:
            care = np.tile(_all_ones(max(n_bits, 1)), (len(bits), 1))
        return cls(bits, care, n_bits)

    @classmethod
    def from_bits(cls, bits: npt.ArrayLike, care: npt.ArrayLike | None = None) -> "CamWords":
        """Pack 0 and 1, a word a row, bit 0 first.

        Shapes
        ------
        bits, care: (n, n_bits) of 0 and 1
        """
        values = np.asarray(bits)
        if values.ndim != 2 or not values.shape[1]:
            raise LayoutError(f"CAM words: need bits (n, n_bits), got {values.shape}")
        counts = np.ones(values.shape, np.uint8) if care is None else np.asarray(care)
        if counts.shape != values.shape:
            raise LayoutError(f"CAM words: need care {values.shape}, got {counts.shape}")
        mask = pack(counts)
        return cls(pack(values) & mask, mask, values.shape[1])

    @classmethod
    def from_codes(cls, codes: npt.ArrayLike, n_bits: int) -> "CamWords":
        """Pack integers, one a word, unsigned or in two's complement; at most 64 bits.

        Raises
        ------
        LayoutError
            A code does not fit.
        """
        values = np.asarray(codes)
        if values.shape == (0,):  # a list of nothing has a dtype of reals
            values = values.astype(np.uint64)
        if values.ndim != 1 or values.dtype.kind not in "iu" or not 1 <= n_bits <= 64:
            raise LayoutError(
                f"CAM words: need integers (n,) and 1..64 bits, got {values.shape} {values.dtype} "
                f"and {n_bits} bits; give wider words as bits or text"
            )
        low, high = -(1 << (n_bits - 1)), (1 << n_bits) - 1
        if len(values) and not (low <= int(values.min()) and int(values.max()) <= high):
            raise LayoutError(
                f"CAM words: need codes in {low}..{high} for {n_bits} bits, got "
                f"{int(values.min())}..{int(values.max())}"
            )
        words = values.astype(np.uint64)[:, None] & tail_mask(n_bits)
        return cls.from_packed(words, n_bits)

    @classmethod
    def from_text(cls, lines: Sequence[str]) -> "CamWords":
        """Read words of 0, 1 and X, the highest bit first; ``_`` between them is skipped.

        Raises
        ------
        LayoutError
            There is no word, one is of another width, or has another letter; or `lines` is one
            text, whose letters would be words.
        """
        if isinstance(lines, str):
            raise LayoutError(
                f"CAM words: need a list of words, got one text {shown(lines)}; put it in a list, "
                "or split it by splitlines()"
            )
        words = [line.replace("_", "") for line in lines]
        if not words or not words[0]:
            raise LayoutError("CAM words: need a word of 0, 1 and X or more, got none")
        for place, word in enumerate(words):
            if strange := set(word) - _BITS_OF.keys():
                raise LayoutError(
                    f"CAM word {place}: need 0, 1 and X, got {min(strange)!r} in {word!r}"
                )
            if len(word) != len(words[0]):
                raise LayoutError(
                    f"CAM word {place}: need {len(words[0])} bits as in the first, got {len(word)}"
                )
        cells = np.array([[_BITS_OF[letter] for letter in reversed(word)] for word in words])
        return cls.from_bits(cells[..., 0], cells[..., 1])

    def to_text(self) -> list[str]:
        """Return the words as text, the highest bit first, X without care."""
        bits, care = unpack(self.bits, self.n_bits), unpack(self.care, self.n_bits)
        letters = np.where(care == 0, "X", np.where(bits == 1, "1", "0"))
        return ["".join(reversed(word)) for word in letters.tolist()]

    def codes(self) -> npt.NDArray[np.uint64]:
        """Return the words as unsigned integers, (n,) uint64.

        Raises
        ------
        LayoutError
            Words are wider than 64 bits, or a cell is not cared for.
        """
        if self.n_bits > 64:
            raise LayoutError(f"CAM words: need 64 bits or fewer for integers, got {self.n_bits}")
        if self.n_dont_cares:
            raise LayoutError(
                f"CAM words: need a bit in every cell for integers, got {self.n_dont_cares} cells "
                "without care"
            )
        return self.bits[:, 0].copy()


def _all_ones(n_bits: int) -> Any:
    ones = np.full(words_for(n_bits), np.uint64(0xFFFFFFFFFFFFFFFF))
    ones[-1] &= tail_mask(n_bits)
    return ones
