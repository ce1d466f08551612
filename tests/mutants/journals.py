"""Damaged and hostile journals of an unfinished run, each determined by a seed."""

import random
import struct
from pathlib import Path

import pytest

from bitpim.errors import BitpimError
from bitpim.report.journal import Journal
from bitpim.report.result_file import ResultWriter, open_result
from tests.bitpim.report.small_run import CUTS, HEADER, add_missing, run
from tests.mutants.fingerprint import fingerprint
from tests.mutants.json_values import changed_json

__all__ = ["JournalMutants"]


class JournalMutants:
    """Mutants of the journal of a run that lacks one batch; the outcome is that of going on."""

    name = "net.h5.part"

    def __init__(self, folder: Path) -> None:
        whole = folder / "original.h5"
        self.expected = run(whole)
        self.meaning = fingerprint(open_result(whole))
        with ResultWriter(folder / self.name.removesuffix(".part"), HEADER) as writer:
            add_missing(writer, CUTS[:2])
        part = folder / self.name
        self.raw = part.read_bytes()
        with Journal(part, resume=True) as journal:
            self.payloads = list(journal)
        part.unlink()

    def make(self, seed: int, path: Path) -> bool:
        """Write a mutant; say whether it may be the sound journal of another outcome."""
        dice = random.Random(seed)
        if seed % 3 == 0:
            content = bytearray(self.raw)
            at = dice.randrange(len(content))
            way = dice.randrange(3)
            if way == 0:
                content[at] ^= 1 << dice.randrange(8)
            elif way == 1:
                del content[at:]
            else:
                content[at:at] = dice.randbytes(dice.choice([1, 8, 100]))
            path.write_bytes(content)
            return False
        payloads = list(self.payloads)
        if seed % 3 == 1:
            self._shuffle(dice, payloads)
        at = dice.randrange(len(payloads))
        payloads[at] = _changed(dice, payloads[at])
        path.unlink(missing_ok=True)
        with Journal(path, resume=False) as journal:
            for payload in payloads:
                journal.append(payload)
        return True

    def _shuffle(self, dice: random.Random, payloads: list[bytes]) -> None:
        way = dice.randrange(3)
        if way == 0:
            payloads.append(dice.choice(payloads))
        elif way == 1:
            dice.shuffle(payloads)
        else:
            del payloads[dice.randrange(len(payloads))]
        payloads += [] if payloads else [b""]

    def outcome(self, path: Path, *, may_differ: bool, thorough: bool) -> str:
        """Go on from a mutant; say what came of it."""
        out = path.with_suffix("")
        out.unlink(missing_ok=True)
        try:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("os.fsync", lambda descriptor: None)
                content = run(out, resume=True)
        except BitpimError as error:
            return "refused" if "\n" not in str(error) else f"BAD message of two lines: {error!r}"
        if content == self.expected:
            return "same"
        open_result(out)
        return "other" if may_differ else "BAD another result"


def _changed(dice: random.Random, payload: bytes) -> bytes:
    """Change the text of a payload, or its bytes."""
    way = dice.randrange(4)
    if way == 0 or len(payload) < 4:
        content = bytearray(payload)
        for _ in range(dice.choice([1, 4])):
            if content:
                content[dice.randrange(len(content))] = dice.randrange(256)
        return bytes(content[: len(content) - dice.choice([0, 0, 1, 8])])
    size = int.from_bytes(payload[:4], "little")
    text = changed_json(dice, payload[4 : 4 + size].decode()).encode()
    return struct.pack("<I", len(text)) + text + payload[4 + size :]
