"""What reads the columns of crossbars, as settings say it: the base of all, and counters.

The wing asks a readout what it drives, how it reads, and what it is called; converters (`settings`)
and counters answer.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from bitpim.config import Part
from bitpim.crossbar.adc import Adc
from bitpim.crossbar.adc.models.clip import Clip
from bitpim.crossbar.array import CrossbarGeometry

__all__ = ["CounterSettings", "ReadoutPart"]


class ReadoutPart(Part):
    """Settings of what drives the wordlines of a read and what its columns are read by."""

    @classmethod
    def by_layer(cls) -> tuple[str, ...]:
        """Return all keys: every layer may be read in a way of its own."""
        return tuple(cls.model_fields)

    @property
    @abstractmethod
    def driven_bits(self) -> int:
        """Bits of an input that one read drives."""

    @abstractmethod
    def adc(self) -> Adc:
        """Return the transfer function; its range is maximal where it is to be calibrated."""

    @abstractmethod
    def told(self) -> str:
        """Return what it is called where it may lose something."""

    @abstractmethod
    def integer_refusal(self, geometry: CrossbarGeometry) -> str:
        """Return why fidelity integer does not go where cells may make it lose something."""

    @property
    def calibration(self) -> tuple[int, float] | None:
        """Samples and share of partial sums that its range is fitted to; None where it is not."""
        return None

    def unused(self) -> Mapping[str, str]:
        """Return its keys that change nothing beside the others, each with what would use it."""
        return {}


class CounterSettings(ReadoutPart):
    """Integrate-and-fire circuits and their counters, one a column; inputs come bit by bit."""

    counter_bits: Annotated[int, Field(ge=1, le=16)] = Field(
        description="bits of the counter behind a column's integrate-and-fire circuit"
    )
    counter_overflow: Literal["error", "saturate"] = Field(
        description="what a count beyond the counter does: error refuses counters that some cells "
        "could make overflow, saturate has them stay at their top"
    )

    @property
    def driven_bits(self) -> int:
        """One: a step of a spike train is one bit of each input."""
        return 1

    def adc(self) -> Adc:
        """Return what a counter makes of a sum: the sum itself, up to the top."""
        return Adc(Clip.name, self.counter_bits)

    def told(self) -> str:
        """Return how wide the counters are."""
        return f"counters of {self.counter_bits} bit{'s' * (self.counter_bits != 1)}"

    def integer_refusal(self, geometry: CrossbarGeometry) -> str:
        """Return that counters could overflow, and the width that no count exceeds."""
        return (
            f"fidelity integer needs counters that no count exceeds, got {self.counter_bits} bits "
            f"for counts up to {geometry.largest_sum}; use `--fidelity bit`, or "
            f"`--set converter.counter_bits={geometry.largest_sum.bit_length()}`"
        )

    def refusal(self, geometry: CrossbarGeometry) -> str | None:
        """Return what is wrong with counters that are said never to overflow; None if nothing."""
        need = geometry.largest_sum.bit_length()
        if self.counter_overflow == "saturate" or self.counter_bits >= need:
            return None
        return (
            f"converter.counter_bits needs {need} or more with counter_overflow error, for counts "
            f"up to {geometry.largest_sum} of {geometry.unit_rows} rows of "
            f"{geometry.cell_bits}-bit cells, got {self.counter_bits}; use "
            f"`--set converter.counter_bits={need}`, or `--set converter.counter_overflow=saturate`"
        )
