"""The file and its two header slots (FORMAT.md, sections 1 and 2)."""

import os
import struct
from typing import NamedTuple

from findings import IngotError
from layout import HEADER_END, KNOWN_FEATURES, MAJOR, MAX_INDEX, MINOR
from xxh3 import hash_text, xxh3_128

MAGIC = bytes.fromhex("89494E474F540D0A")
SLOT = 4096
CHECKED = 4080


class File:
    """Bytes of a file by offset; nothing is read, or set aside for reading, beyond its length."""

    def __init__(self, path):
        self.path = os.fspath(path)
        self.handle = open(self.path, "rb")
        self.size = os.fstat(self.handle.fileno()).st_size

    def read(self, offset, size):
        if offset < 0 or size < 0 or offset + size > self.size:
            raise IngotError(f"bytes {offset} to {offset + size} are not in the file of {self.size} bytes")
        pieces, end = [], offset + size
        while offset < end:
            piece = os.pread(self.handle.fileno(), end - offset, offset)
            if not piece:
                raise IngotError(f"the file ends at {offset} and had {self.size} bytes when it was opened")
            pieces.append(piece)
            offset += len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self):
        self.handle.close()


class Slot(NamedTuple):
    """The fields of a header slot."""
    major: int
    minor: int
    alignment: int
    required: int
    optional: int
    generation: int
    file_end: int
    index_offset: int
    index_size: int
    index_hash: bytes

    @property
    def newer(self):
        """True if the file's minor version is newer than this reader's."""
        return self.minor > MINOR

    def align(self, x):
        return -(-x // self.alignment) * self.alignment


def _parse(data):
    return Slot(*struct.unpack_from("<HHIQQQQQQ16s", data, 8))


def _is_good(data, place, found):
    """R-HDR-1 and R-HDR-2: the magic and the checksum of one slot."""
    if data[:8] != MAGIC:
        found.add("R-HDR-1", place, f"starts with {data[:8].hex(' ')}, expected {MAGIC.hex(' ')}")
        return False
    stored, expected = data[CHECKED:], xxh3_128(data[:CHECKED])
    if stored != expected:
        found.add("R-HDR-2", place, f"the checksum is {hash_text(stored)}, expected {hash_text(expected)}")
        return False
    return True


def _check_slot(slot, data, place, found):
    """R-HDR-3 to 6 and the first half of R-HDR-8 for one good slot; true if its file can be read by it."""
    if slot.major != MAJOR:
        found.add("R-HDR-3", place, f"the major version is {slot.major}, known is {MAJOR}")
        return False
    unknown = slot.required & ~KNOWN_FEATURES
    if unknown:
        found.add("R-HDR-4", place, f"unknown required features are set: 0x{unknown:016x}")
    power = slot.alignment and slot.alignment & (slot.alignment - 1) == 0
    aligned = power and 64 <= slot.alignment <= 1 << 21
    if not aligned:
        found.add("R-HDR-5", place, f"the alignment is {slot.alignment}, expected a power of two from 64 to 2097152")
    if not slot.newer and any(data[80:CHECKED]):
        at = next(i for i in range(80, CHECKED) if data[i])
        found.add("R-HDR-6", place, f"the reserved byte {at} is 0x{data[at]:02x}, expected 0")
    if slot.generation < 1:
        found.add("R-HDR-8", place, "the generation is 0, expected at least 1")
    return not unknown and aligned


def _check_pair(slots, datas, found):
    """R-HDR-7 and the second half of R-HDR-8; false if it is open which slot is the current one."""
    first, second = (slot.generation for slot in slots)
    if first == second and datas[0] != datas[1]:
        at = next(i for i in range(SLOT) if datas[0][i] != datas[1][i])
        found.add("R-HDR-7", "header", f"both slots have the generation {first} and differ at byte {at}")
        return False
    if abs(first - second) > 1:
        found.add("R-HDR-8", "header", f"the generations of the slots are {first} and {second}")
    return True


def read_header(file, found):
    """The current slot, or None if nothing else of the file can be checked."""
    if file.size < HEADER_END:
        found.add("R-FILE-1", "file", f"the file has {file.size} bytes, expected at least {HEADER_END}")
        return None
    datas = [file.read(SLOT * i, SLOT) for i in range(2)]
    good = [i for i in range(2) if _is_good(datas[i], f"header slot {i}", found)]
    if not good:
        if found.strict:
            raise IngotError(found.violations[0], found.violations[0])
        return None
    slots = [_parse(data) for data in datas]
    same = len(good) == 2 and datas[0] == datas[1]
    if same:
        readable = [_check_slot(slots[0], datas[0], "header slots 0 and 1", found)] * 2
    else:
        readable = [i in good and _check_slot(slots[i], datas[i], f"header slot {i}", found) for i in range(2)]
    if len(good) == 2 and not _check_pair(slots, datas, found):
        return None
    current = max(good, key=lambda i: slots[i].generation)
    place = "header" if same else f"header slot {current}"
    if not readable[current] or not _check_extent(file, slots[current], place, found):
        return None
    return slots[current]


def _check_extent(file, slot, place, found):
    """R-FILE-2 and R-HDR-9, for the current slot."""
    if slot.file_end > file.size:
        found.add("R-FILE-2", place, f"file_end is {slot.file_end}, the file has {file.size} bytes")
        return False
    if file.size > slot.file_end:
        found.warn(f"{file.size - slot.file_end} bytes follow the end of the file at {slot.file_end}")
    offset, size = slot.index_offset, slot.index_size
    if offset % slot.alignment or offset < HEADER_END:
        found.add("R-HDR-9", place, 
                  f"the index offset is {offset}, expected a multiple of {slot.alignment} from 8192 on")
    elif not 8 <= size <= MAX_INDEX:
        found.add("R-HDR-9", place, f"the index size is {size}, expected 8 to {MAX_INDEX}")
    elif offset + size > slot.file_end:
        found.add("R-HDR-9", place, f"the index ends at {offset + size}, after file_end {slot.file_end}")
    else:
        return True
    return False
