"""The numbers of the text: record layouts, dtypes, limits (FORMAT.md, sections 2 to 8)."""

from typing import NamedTuple

import numpy as np

MAJOR, MINOR = 0, 1
HEADER_END = 8192
CHUNK = 1 << 20
NONE32 = 0xFFFFFFFF
FEATURE_SHARDS, FEATURE_ZSTD = 1, 2
KNOWN_FEATURES = FEATURE_SHARDS | FEATURE_ZSTD
MAX_INDEX = 1 << 30

HEAP, TENSORS, PARTS, ENCODINGS, PLANES, CHUNKS, FRAMES = range(1, 8)
METADATA, ATTACHMENTS, SHARDS, SOURCES, DEAD, SHA256 = range(8, 14)


class Table(NamedTuple):
    """A row of the table of tables in section 3; `fields` are (name, numpy type), without gaps."""
    name: str
    most: int
    fields: tuple

    @property
    def record_size(self):
        return sum(np.dtype(t).itemsize for _, t in self.fields)


_NAME = (("heap", "<u4"), ("name_size", "<u2"), ("reserved", "<u2"))
TABLES = {
    HEAP: Table("heap", 1 << 30, (("byte", "u1"),)),
    TENSORS: Table("tensors", 1 << 20, (
        ("heap", "<u4"), ("name_size", "<u2"), ("dtype", "u1"), ("rank", "u1"), ("axis", "u1"), ("reserved", "V3"),
        ("first_part", "<u4"), ("part_count", "<u4"))),
    PARTS: Table("parts", 1 << 21, (("extent", "<u8"), ("encoding", "<u4"))),
    ENCODINGS: Table("encodings", 1 << 22, (
        ("kind", "<u2"), ("flags", "u1"), ("child_count", "u1"), ("first_plane", "<u4"), ("heap", "<u4"),
        ("payload_size", "<u2"), ("plane_count", "<u2"))),
    PLANES: Table("planes", 1 << 22, (
        ("offset", "<u8"), ("size", "<u8"), ("first_chunk", "<u4"), ("first_frame", "<u4"))),
    CHUNKS: Table("chunks", 1 << 26, (("hash", "V16"),)),
    FRAMES: Table("frames", 1 << 25, (
        ("offset", "<u8"), ("size", "<u4"), ("method", "u1"), ("reserved", "V3"), ("hash", "<u8"))),
    METADATA: Table("metadata", 1 << 16, (
        ("heap", "<u4"), ("key_size", "<u2"), ("type", "u1"), ("element", "u1"), ("value_size", "<u4"))),
    ATTACHMENTS: Table("attachments", 1024, _NAME + (("plane", "<u4"),)),
    SHARDS: Table("shards", 1 << 16, _NAME + (("names", "V16"), ("content", "V16"))),
    SOURCES: Table("sources", 1 << 16, _NAME + (("size", "<u8"), ("hash", "V16"))),
    DEAD: Table("dead ranges", 1 << 16, (("offset", "<u8"), ("size", "<u8"))),
    SHA256: Table("sha256", 1 << 23, (("hash", "V32"),)),
}


class Dtype(NamedTuple):
    """A dtype; `array` is the numpy type of raw elements (of floats that numpy lacks, and of BOOL: their bits)."""
    name: str
    size: int
    array: str
    floating: bool


DTYPES = [Dtype(name, np.dtype(array).itemsize, array, number < 6) for number, (name, array) in enumerate((
    ("F32", "<f4"), ("F16", "<f2"), ("BF16", "<u2"), ("F64", "<f8"), ("F8_E4M3", "u1"), ("F8_E5M2", "u1"),
    ("I64", "<i8"), ("I32", "<i4"), ("I16", "<i2"), ("I8", "i1"), ("U64", "<u8"), ("U32", "<u4"), ("U16", "<u2"),
    ("U8", "u1"), ("BOOL", "u1"), ("C64", "<c8"), ("F8_E8M0", "u1"), ("F8_E4M3FNUZ", "u1"), ("F8_E5M2FNUZ", "u1")))]

RAW, LINEAR, FOREIGN = 1, 2, 3
KIND_NAMES = {RAW: "raw", LINEAR: "linear", FOREIGN: "foreign"}


def ceil_div(a, b):
    return -(-a // b)
