"""What a machine on crossbars tells of itself beside its reads: columns, headlines, storage."""

from dataclasses import dataclass

from bitpim.crossbar.storage import Storage, buffered
from bitpim.legend import Headline

__all__ = ["OU_ACCOUNTS", "Accounts"]


@dataclass(frozen=True, slots=True)
class Accounts:
    """How plans and legends of a machine speak.

    Attributes
    ----------
    reads : column of plans that tells the reads of a layer
    read_event : the event that it counts
    headlines : what reads come to
    storage : what holds codes between layers
    assumes : what plans say of a sample whose counts they tell, where inputs decide on some
    columns : columns of plans that other machines show only where they tell something
    """

    reads: str
    read_event: str
    headlines: tuple[Headline, ...]
    storage: Storage
    assumes: str = ""
    columns: tuple[str, ...] = ()


OU_ACCOUNTS = Accounts(
    "ou_reads",
    "ou_activation",
    (
        Headline("OU reads", ("ou_activation",)),
        Headline("left out", ("ou_skipped",), ("ou_activation", "ou_skipped"), "share"),
        Headline("rows a read", ("ou_rows",), ("ou_activation",), "ratio"),
        Headline("conversions", ("adc_conv_*",)),
        Headline("index bits read", ("index_read_bit",)),
    ),
    buffered,
)
"""What reads of operation units (OUs) through an ADC come to, with a buffer between layers."""
