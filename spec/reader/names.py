"""Metadata, attachments, shards, sources (FORMAT.md, sections 7 and 8)."""

import struct

from findings import quoted
from layout import (ATTACHMENTS, FEATURE_SHARDS, FEATURE_ZSTD, FRAMES, METADATA, NONE32, PLANES, SHA256, SHARDS,
                    SOURCES, TENSORS)
from tensors import MAX_NAME, check_order, is_utf8

STRING, ARRAY = 11, 12
SCALARS = ("?", "B", "b", "H", "h", "I", "i", "Q", "q", "f", "d")


# ---- metadata ----

def read_metadata(index):
    """(key, type, element type, value bytes) of each record."""
    return [(index.piece(heap, key_size), kind, element, index.piece(heap + key_size, value_size))
            for heap, key_size, kind, element, value_size in index.rows(METADATA)]


def check_metadata(records, found):
    """R-META-1 to 5."""
    bad = set()
    for i, (key, kind, element, value) in enumerate(records):
        place = f"metadata {quoted(key)}"
        if not 1 <= len(key) <= MAX_NAME:
            found.add("R-META-2", f"metadata record {i}", f"the key has {len(key)} bytes, expected 1 to {MAX_NAME}")
            bad.add(i)
        elif not is_utf8(key):
            found.add("R-META-2", place, "the key is not UTF-8")
            bad.add(i)
        elif kind > ARRAY:
            found.add("R-META-3", place, f"the type is {kind}, expected at most {ARRAY}")
        elif element > (STRING if kind == ARRAY else 0):
            found.add("R-META-3", place, f"the element type is {element} with the type {kind}")
        else:
            problem = _check_value(kind, element, value)
            if problem:
                found.add(problem[0], place, problem[1])
    check_order([key for key, *_ in records], "R-META-1", "metadata record", bad, found)


def _check_value(kind, element, value):
    """R-META-4 and R-META-5 for one value."""
    if kind < STRING:
        size = struct.calcsize("<" + SCALARS[kind])
        if len(value) != size:
            return "R-META-4", f"the value has {len(value)} bytes, expected {size}"
    elif kind == ARRAY and element < STRING:
        size = struct.calcsize("<" + SCALARS[element])
        if len(value) % size:
            return "R-META-4", f"the array has {len(value)} bytes, not a multiple of {size}"
    if kind == 0 or (kind == ARRAY and element == 0):
        if any(b > 1 for b in value):
            return "R-META-5", f"a bool is {max(value)}, expected 0 or 1"
    if kind == STRING or (kind == ARRAY and element == STRING):
        strings = [value] if kind == STRING else split_strings(value)
        if strings is None:
            return "R-META-4", "the array of strings does not end with its last string"
        if not all(map(is_utf8, strings)):
            return "R-META-5", "a string is not UTF-8"
    return None


def split_strings(value):
    """The strings of an array, or None if they do not fill it exactly."""
    strings, at = [], 0
    while at < len(value):
        size = int.from_bytes(value[at:at + 4], "little")
        if at + 4 + size > len(value):
            return None
        strings.append(value[at + 4:at + 4 + size])
        at += 4 + size
    return strings


def metadata_value(kind, element, value):
    """A checked value as a Python one: bool, int, float, str or a list of these."""
    if kind == STRING:
        return value.decode()
    if kind < STRING:
        return struct.unpack("<" + SCALARS[kind], value)[0]
    if element == STRING:
        return [s.decode() for s in split_strings(value)]
    return [v for v, in struct.iter_unpack("<" + SCALARS[element], value)]


# ---- attachments, shards, sources ----

def is_component(name):
    """One component of a safe name (section 8)."""
    if not 1 <= len(name) <= 255 or not is_utf8(name) or name in (b".", b".."):
        return False
    return not any(c in "/\\:" or ord(c) < 0x20 or 0x7F <= ord(c) <= 0x9F for c in name.decode())


def is_safe(name, components):
    parts = name.split(b"/")
    return len(parts) <= components and all(map(is_component, parts))


def read_names(index, kind):
    """(name, the fields after `reserved`) of each record of one of the three tables."""
    return [(index.piece(row[0], row[1]), *row[3:]) for row in index.rows(kind)]


def check_names(records, kind, found):
    """R-ATT-1, R-ATT-2, R-SHD-1, R-SHD-2, R-SRC-1."""
    what, order, safe, components = {
        ATTACHMENTS: ("attachment", "R-ATT-1", "R-ATT-2", 2), SHARDS: ("shard", "R-SHD-1", "R-SHD-2", 1),
        SOURCES: ("source", "R-SRC-1", "R-SRC-1", 1)}[kind]
    bad = {i for i, (name, *_) in enumerate(records) if not is_safe(name, components)}
    for i in sorted(bad):
        limit = "one component" if components == 1 else "one or two components"
        found.add(safe, f"{what} {i}", f"{quoted(records[i][0])} is not a safe name of {limit}")
    check_order([name for name, *_ in records], order, what, bad, found)


def check_attachment_planes(index, found):
    """R-ATT-3: the (attachment, plane) pairs, None if one is out of the table. Needs no heap."""
    pairs, mark, total = [], found.mark(), index.count(PLANES)
    for i, row in enumerate(index.rows(ATTACHMENTS)):
        plane = row[3]
        if plane == NONE32:
            continue
        if plane >= total:
            found.add("R-ATT-3", f"attachment {i}", f"its plane is {plane}, the table has {total}")
        pairs.append((i, plane))
    return pairs if found.clean(mark) else None


def _set(flag):
    return "set" if flag else "not set"


def check_features(header, index, found):
    """R-SHD-3, R-FEAT-1, R-SHA-1: what the header and the sizes of tables say together."""
    shards, tensors = index.count(SHARDS), index.count(TENSORS)
    flag = bool(header.required & FEATURE_SHARDS)
    if flag != (shards > 0):
        found.add("R-SHD-3", "header", f"the required feature shards is {_set(flag)} with {shards} shards")
    elif shards and tensors:
        found.add("R-SHD-3", "tensors", f"a file with shards has {tensors} tensors")
    frames, flag = index.count(FRAMES), bool(header.required & FEATURE_ZSTD)
    if flag != (frames > 0):
        found.add("R-FEAT-1", "header", f"the required feature zstd is {_set(flag)} with {frames} frames")
    hashes, expected = index.count(SHA256), index.count(PLANES) + index.count(SOURCES)
    if hashes and hashes != expected:
        found.add("R-SHA-1", "sha256", f"the table has {hashes} records, expected {expected}")
