"""The index: its directory, its tables and the heap (FORMAT.md, section 3)."""

import numpy as np

from layout import ATTACHMENTS, ENCODINGS, HEAP, METADATA, SHARDS, SOURCES, TABLES, TENSORS
from xxh3 import hash_text, xxh3_128

ENTRY = np.dtype([("kind", "<u4"), ("size", "<u4"), ("offset", "<u8"), ("count", "<u8")])
OWNERS = (TENSORS, ENCODINGS, METADATA, ATTACHMENTS, SHARDS, SOURCES)


class Index:
    """The tables as numpy records; a table without a directory entry is empty."""

    def __init__(self, data):
        self.data = data
        self.tables = {kind: np.zeros(0, _record(kind, table.record_size)) for kind, table in TABLES.items()}

    def __getitem__(self, kind):
        return self.tables[kind]

    def count(self, kind):
        return len(self.tables[kind])

    def rows(self, kind):
        """The records as tuples of Python values, in the order of the fields."""
        return self.tables[kind].tolist()

    @property
    def heap(self):
        return self.tables[HEAP]["byte"]

    def piece(self, offset, size):
        return self.heap[offset:offset + size].tobytes()


def _record(kind, size):
    fields = TABLES[kind].fields
    offsets = np.cumsum([0] + [np.dtype(t).itemsize for _, t in fields])[:-1].tolist()
    return np.dtype({"names": [n for n, _ in fields], "formats": [t for _, t in fields], "offsets": offsets,
                     "itemsize": size})


def read_index(file, header, found):
    """The index with all its tables, or None if its hash, directory or tables are broken."""
    data = file.read(header.index_offset, header.index_size)
    actual = xxh3_128(data)
    if actual != header.index_hash:
        found.add("R-HDR-10", "index",
                  f"its hash is {hash_text(actual)}, the header has {hash_text(header.index_hash)}")
        return None
    entries = _directory(data, found)
    if entries is None or not _check_entries(entries, header.newer, found):
        return None
    if not _check_places(data, entries, found):
        return None
    index = Index(data)
    for kind, size, offset, count in entries:
        if kind in TABLES:
            index.tables[kind] = np.frombuffer(data, _record(kind, size), count, offset)
    return index


def _directory(data, found):
    """R-IDX-1; the directory entries as (kind, record size, offset, count)."""
    count, reserved = np.frombuffer(data, "<u4", 2).tolist()
    end = 8 + 24 * count
    if end > len(data):
        found.add("R-IDX-1", "index", f"a directory of {count} entries ends at {end}, the index at {len(data)}")
        return None
    if reserved:
        found.add("R-IDX-1", "index", f"the reserved field is 0x{reserved:08x}, expected 0")
    return np.frombuffer(data, ENTRY, count, 8).tolist()


def _check_entries(entries, newer, found):
    """R-IDX-2, 3 and 4 up to the first entry that breaks one; true if all hold."""
    before = -1
    for i, (kind, size, _, count) in enumerate(entries):
        table = TABLES.get(kind)
        broken = None
        if kind <= before:
            broken = "R-IDX-2", f"the kind {kind} follows the kind {before}"
        elif not table and not newer:
            broken = "R-IDX-2", f"the kind {kind} is unknown"
        elif table and not _size_fits(table, kind, size, newer):
            broken = "R-IDX-3", f"the record size is {size}, expected {table.record_size}"
        elif count < 1 or (table and count > table.most):
            broken = "R-IDX-4", f"the count is {count}, expected 1{f' to {table.most}' if table else ' or more'}"
        if broken:
            found.add(broken[0], f"directory entry {i} ({table.name if table else f'kind {kind}'})", broken[1])
            return False
        before = kind
    return True


def _size_fits(table, kind, size, newer):
    """R-IDX-3. A heap of larger bytes makes no sense: its record size is taken to be fixed."""
    return size == table.record_size or (newer and kind != HEAP and size > table.record_size)


def _check_places(data, entries, found):
    """R-IDX-5, and R-IDX-6 for the bytes between; true if each table lies where it has to."""
    end, gaps = 8 + 24 * len(entries), []
    for i, (kind, size, offset, count) in enumerate(entries):
        expected = (end + 7) & ~7
        if offset != expected:
            found.add("R-IDX-5", f"directory entry {i}",
                      f"the table of kind {kind} is at {offset}, expected {expected}")
            return False
        gaps.append((end, offset))
        end = offset + size * count
        if end > len(data):
            found.add("R-IDX-5", f"directory entry {i}",
                      f"the table of kind {kind} ends at {end}, after the end of the index at {len(data)}")
            return False
    if end != len(data):
        found.add("R-IDX-5", "index", f"the last table ends at {end}, the index at {len(data)}")
        return False
    for low, high in gaps:
        if any(data[low:high]):
            found.add("R-IDX-6", "index",
                      f"the bytes {low} to {high} between tables are {data[low:high].hex(' ')}, expected zeros")
    return True


def check_reserved(index, found):
    """R-IDX-7 for the reserved fields of the records of all tables."""
    for kind, table in TABLES.items():
        records = index[kind]
        for name, form in table.fields:
            if name != "reserved" or not len(records):
                continue
            size = np.dtype(form).itemsize
            values = np.ascontiguousarray(records[name]).view(np.uint8).reshape(len(records), size)
            for i in np.flatnonzero(values.any(axis=1)).tolist():
                found.add("R-IDX-7", f"{table.name} record {i}",
                          f"the reserved bytes are {values[i].tobytes().hex(' ')}, expected zeros")


def _piece_sizes(kind, records):
    """The sizes of the heap pieces of a table's records."""
    size = {TENSORS: lambda r: r["name_size"] + 8 * r["rank"].astype(np.int64),
            ENCODINGS: lambda r: r["payload_size"],
            METADATA: lambda r: r["key_size"] + r["value_size"].astype(np.int64)}
    return size.get(kind, lambda r: r["name_size"])(records).astype(np.int64)


def check_heap(index, found):
    """R-HEAP-1; true if the pieces tile the heap."""
    end = 0
    for kind in OWNERS:
        records = index[kind]
        if not len(records):
            continue
        sizes = _piece_sizes(kind, records)
        starts = end + np.concatenate(([0], np.cumsum(sizes)[:-1]))
        wrong = np.flatnonzero(records["heap"].astype(np.int64) != starts)
        if len(wrong):
            i = int(wrong[0])
            found.add("R-HEAP-1", f"{TABLES[kind].name} record {i}",
                      f"the heap offset is {records['heap'][i]}, expected {starts[i]}")
            return False
        end = int(starts[-1] + sizes[-1])
    if end != len(index.heap):
        found.add("R-HEAP-1", "heap", f"the last piece ends at {end}, the heap at {len(index.heap)}")
        return False
    return True
