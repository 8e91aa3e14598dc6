"""Writes small Ingot files for the tests of the reader, from FORMAT.md: one plane after the other, then the index."""

import os
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "spec", "reader"))

from xxh3 import xxh3_64, xxh3_128                                          # noqa: E402

SIZES = {1: 1, 2: 20, 3: 12, 4: 16, 5: 24, 6: 16, 7: 24, 8: 12, 9: 12, 10: 40, 11: 32, 12: 16, 13: 32}
CHUNK = 1 << 20


def operand(form=0, kind=0, constant=0.0):
    bits = struct.pack("<f", constant) if form == 1 else bytes(4)
    return struct.pack("<BBH", form, kind, 0) + bits


ABSENT = operand()


def linear(bits, rows, columns, group_rows=1, group_columns=None, s=ABSENT, z=ABSENT, o=ABSENT, t=ABSENT, arithmetic=0,
           result=0, codebook=0, permutation=0, outliers=0, outlier_type=0, outlier_count=0):
    """The payload of a linear encoding."""
    group_columns = group_columns or columns
    return struct.pack("<8B5Q", bits, arithmetic, result, codebook, permutation, outliers, outlier_type, 0,
                       rows, columns, group_rows, group_columns, outlier_count) + s + z + o + t


class Builder:
    """Collects records; `build` gives the bytes. Tests change `tables`, `planes` or the bytes to break rules."""

    def __init__(self, alignment=64):
        self.alignment, self.features, self.minor = alignment, 0, 1
        self.tensors, self.parts, self.encodings = [], [], []
        self.planes = []                # (logical bytes, None or a list of (method, stored bytes))
        self.metadata, self.attachments, self.shards, self.sources, self.sha = [], [], [], [], []

    def plane(self, data, frames=None):
        self.planes.append((data, frames))
        return len(self.planes) - 1

    def encoding(self, kind, payload=b"", planes=(), children=0, flags=1):
        numbers = [self.plane(*(p if isinstance(p, tuple) else (p,))) for p in planes]
        first = numbers[0] if numbers else 0
        self.encodings.append((kind, flags, children, first, payload, len(numbers)))
        return len(self.encodings) - 1

    def tensor(self, name, dtype, dims, parts, axis=0):
        """`parts` are (extent, encoding), or the number of an earlier tensor: an alias."""
        if isinstance(parts, int):
            first, count = self.tensors[parts][4:]
        else:
            first, count = len(self.parts), len(parts)
            self.parts += parts
        self.tensors.append((name, dtype, dims, axis, first, count))
        return len(self.tensors) - 1

    def raw(self, name, dtype, dims, data):
        e = self.encoding(1, b"", (data,) if data else ())
        return self.tensor(name, dtype, dims, [(dims[0] if dims else 1, e)])

    # ---- writing ----

    def align(self, x):
        return -(-x // self.alignment) * self.alignment

    def _lay_planes(self):
        body, records, chunks, frames = bytearray(), [], [], []
        for data, framed in self.planes:
            at = self.align(8192 + len(body))
            body += bytes(at - 8192 - len(body))
            records.append(struct.pack("<QQII", at, len(data), len(chunks), len(frames) if framed else 0xFFFFFFFF))
            chunks += [xxh3_128(data[i:i + CHUNK]) for i in range(0, len(data), CHUNK)]
            offset = 0
            for method, stored in framed or ():
                frames.append(struct.pack("<QIB3xQ", offset, len(stored), method, xxh3_64(stored)))
                offset += len(stored)
                body += stored
            body += b"" if framed else data
        return body, records, chunks, frames

    def _heap_records(self, heap):
        def put(data):
            at = len(heap)
            heap.extend(data)
            return at

        tables = {2: [], 4: [], 8: [], 9: [], 10: [], 11: []}
        for name, dtype, dims, axis, first, count in self.tensors:
            at = put(name + struct.pack(f"<{len(dims)}Q", *dims))
            tables[2].append(struct.pack("<IHBBB3xII", at, len(name), dtype, len(dims), axis, first, count))
        for kind, flags, children, first, payload, count in self.encodings:
            at = put(payload)
            tables[4].append(struct.pack("<HBBIIHH", kind, flags, children, first, at, len(payload), count))
        for key, kind, element, value in self.metadata:
            at = put(key + value)
            tables[8].append(struct.pack("<IHBBI", at, len(key), kind, element, len(value)))
        for kind, records in ((9, self.attachments), (10, self.shards), (11, self.sources)):
            for name, rest in records:
                tables[kind].append(struct.pack("<IHH", put(name), len(name), 0) + rest)
        return tables

    def index(self, planes, chunks, frames, dead):
        heap = bytearray()
        tables = self._heap_records(heap)
        tables.update({1: [bytes(heap)] if heap else [], 5: planes, 6: chunks, 7: frames, 12: dead, 13: self.sha})
        tables[3] = [struct.pack("<QI", *part) for part in self.parts]
        kinds = [kind for kind in sorted(tables) if tables[kind]]
        head, body = bytearray(struct.pack("<II", len(kinds), 0)), bytearray()
        start = 8 + 24 * len(kinds)
        for kind in kinds:
            data = b"".join(tables[kind])
            body += bytes(-(start + len(body)) % 8)
            head += struct.pack("<IIQQ", kind, SIZES[kind], start + len(body), len(data) // SIZES[kind])
            body += data
        return bytes(head + body)

    def build(self, dead=()):
        body, planes, chunks, frames = self._lay_planes()
        index = self.index(planes, chunks, frames, [struct.pack("<QQ", *d) for d in dead])
        at = self.align(8192 + len(body))
        body += bytes(at - 8192 - len(body)) + index
        features = self.features | (2 if frames else 0) | (1 if self.shards else 0)
        slot = header_slot(self.minor, self.alignment, features, 1, 8192 + len(body), at, index)
        return slot + slot + bytes(body)


def header_slot(minor, alignment, features, generation, file_end, index_offset, index):
    fields = (0, minor, alignment, features, 0, generation, file_end, index_offset, len(index))
    head = bytes.fromhex("89494E474F540D0A") + struct.pack("<HHIQQQQQQ", *fields) + xxh3_128(index)
    head += bytes(4080 - len(head))
    return head + xxh3_128(head)
