"""What became of mutants: a file of JSON lines that a later run goes on from."""

import hashlib
import json
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path

__all__ = ["Mutation", "Record", "digest_of", "read_reasons", "read_records"]

REASONS = Path(__file__).parent / "survivors.toml"


Key = tuple[str, str, int, str]


@dataclass(frozen=True)
class Mutation:
    """One change of one text of a module; operator and occurrence are cosmic-ray's names for it."""

    module: str
    source: str
    operator: str
    occurrence: int
    line: int

    @property
    def family(self) -> str:
        """What kind of operator it is: ``ReplaceBinaryOperator_Add_Sub`` is one of many alike."""
        return self.operator.partition("_")[0]

    @property
    def key(self) -> Key:
        """What names it as long as its module is not edited."""
        return self.module, self.operator, self.occurrence, self.source


@dataclass(frozen=True)
class Record(Mutation):
    """What became of a mutant: the tests that killed it, if any, and the CPU time that took.

    ``survived_first`` tells whether it survived when first tried, before tests were added.
    """

    before: str
    after: str
    killed_by: str
    out_of_time: bool
    seconds: float
    survived_first: bool

    @property
    def survived(self) -> bool:
        """Whether all tests passed."""
        return not self.killed_by

    @property
    def change(self) -> tuple[str, str, str]:
        """What names it in the list of reasons."""
        return self.module, self.before, self.after

    def written(self) -> str:
        """Return it as a line of JSON."""
        return json.dumps(asdict(self)) + "\n"

    def __str__(self) -> str:
        end = f"killed by {self.killed_by}" if self.killed_by else "SURVIVED"
        return (
            f"{self.module}:{self.line} {self.seconds:.0f} s, {end}: {self.before} -> {self.after}"
        )


def digest_of(source: str) -> str:
    """Return a short digest of a module's text."""
    return hashlib.sha256(source.encode()).hexdigest()[:12]


def read_records(path: Path) -> dict[Key, Record]:
    """Return the last record of each mutant."""
    if not path.exists():
        return {}
    lines = path.read_text("utf-8").splitlines()
    records = (Record(**json.loads(line)) for line in lines)
    return {record.key: record for record in records}


def read_reasons(path: Path = REASONS) -> dict[tuple[str, str, str], str]:
    """Return why known survivors may live, by module, line and what it became."""
    listed = tomllib.loads(path.read_text("utf-8"))
    return {
        (found["module"], found["line"], found["becomes"]): found["reason"]
        for found in listed.get("survivor", [])
    }
