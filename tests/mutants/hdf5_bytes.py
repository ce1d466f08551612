"""Damage to the bytes of an HDF5 file, determined by a seed.

Where the checksums of metadata are put right again, a reader really parses the damage.
"""

import random
import struct

from tests.mutants.lookup3 import lookup3

__all__ = ["checksummed_blocks", "damaged"]


def damaged(dice: random.Random, content: bytes, blocks: list[tuple[int, int]]) -> bytes:
    """Damage some bytes: anywhere, or in metadata whose checksums are put right again."""
    body = bytearray(content)
    way = dice.randrange(8)
    if way == 0:
        _flip(dice, body, 0, len(body))
    elif way == 1:  # the superblock and the root group
        _flip(dice, body, 0, 400)
    elif way == 2:
        del body[dice.randrange(len(body)) :]
    elif way == 3:
        start = dice.randrange(len(body))
        body[start : start + dice.choice([1, 8, 64, 1024])] = dice.randbytes(
            dice.choice([0, 8, 64])
        )
    elif way == 4:
        start, n = dice.randrange(len(body)), dice.choice([1, 4, 8, 64])
        fill = dice.choice([b"\0", b"\xff", b"\x7f"])
        body[start : start + n] = fill * len(body[start : start + n])
    else:  # metadata blocks with their checksums put right: the library believes them
        for start, stop in dice.sample(blocks, min(len(blocks), dice.randint(1, 3))):
            _damage_block(dice, body, start, stop)
    return bytes(body)


def _flip(dice: random.Random, body: bytearray, start: int, stop: int) -> None:
    for _ in range(dice.choice([1, 1, 2, 8])):
        body[dice.randrange(start, min(stop, len(body)))] ^= 1 << dice.randrange(8)


def _damage_block(dice: random.Random, body: bytearray, start: int, stop: int) -> None:
    inside = range(start + 4, stop - 4)
    way = dice.randrange(4)
    if way == 0:
        _flip(dice, body, inside.start, inside.stop)
    else:
        at, n = dice.choice(inside), dice.choice([1, 2, 4, 8])
        value = dice.choice(
            [0, 1, 2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1, dice.getrandbits(64)]
        )
        patch = value.to_bytes(8, "little")[: min(n, inside.stop - at)]
        body[at : at + len(patch)] = patch
    body[stop - 4 : stop] = struct.pack("<I", lookup3(bytes(body[start : stop - 4])))


def checksummed_blocks(body: bytes) -> list[tuple[int, int]]:
    """Find every metadata block: from its signature to the end of its checksum."""
    found = [(0, 48)] if lookup3(body[:44]) == struct.unpack("<I", body[44:48])[0] else []
    for signature in (
        b"OHDR",
        b"OCHK",
        b"FRHP",
        b"FHDB",
        b"BTHD",
        b"BTLF",
        b"BTIN",
        b"FAHD",
        b"FADB",
        b"FHIB",
    ):
        at = body.find(signature)
        while at >= 0:
            limit = min(at + 1500, len(body) - 4)
            for stop in range(at + 8, limit):
                if lookup3(body[at:stop]) == struct.unpack_from("<I", body, stop)[0]:
                    found.append((at, stop + 4))
                    break
            at = body.find(signature, at + 1)
    return found
