"""A machine that is settings only, with presets beside it."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from bitpim.config import Count, MachineEntry, Part, Settings

__all__ = ["SAMPLE", "SampleSettings"]


class SizeSettings(Part):
    """How large it is."""

    rows: Count = Field(description="rows of an array")
    bits: Annotated[int, Field(ge=1, le=64)] = Field(description="bits of a number")

    @model_validator(mode="after")
    def _numbers_fit(self) -> Self:
        if self.bits > self.rows:
            raise ValueError(f"bits must fit the rows: {self.bits} of {self.rows}")
        return self


class TimingSettings(Part):
    """How fast it is."""

    clock_ghz: Annotated[float, Field(gt=0, le=1000)] = Field(description="its clock")
    mode: Literal["slow", "fast"] = Field(description="what it hurries by")
    doubled: bool = Field(description="two at once")


class SampleSettings(Settings):
    """Settings of the machine `sample`."""

    sizes: SizeSettings
    timing: TimingSettings


SAMPLE = MachineEntry(
    name="sample",
    settings=SampleSettings,
    make=lambda settings: settings,
    prices="none",
    wing="none",
    presets=Path(__file__).parent / "presets",
)
