"""The annotated hex dump of a file: every field on a line."""
import re
import struct

from ingot_writer import DTYPES, TABLES, digest_text

SLOT = [("magic", "8s"), ("major", "H"), ("minor", "H"), ("alignment", "I"), ("required features", "Q"), ("optional features", "Q"),
        ("generation", "Q"), ("file_end", "Q"), ("index offset", "Q"), ("index size", "Q"), ("index hash", "16s")]
ENTRY = [("kind", "I"), ("record size", "I"), ("offset in the index", "Q"), ("count", "Q")]
KINDS = {1: "heap", **{v[0]: k for k, v in TABLES.items()}}
KINDS[12] = "dead ranges"
LABELS = {"heap": "heap offset", "name_size": "name size", "first_part": "first part", "part_count": "part count", "child_count": "child count",
          "first_plane": "first plane", "payload_size": "payload size", "plane_count": "plane count", "first_chunk": "first chunk",
          "first_frame": "first frame", "key_size": "key size", "value_size": "value size", "element": "element type"}


class Dump:
    def __init__(self, data):
        self.data, self.at, self.lines = data, 0, []

    def title(self, text):
        self.lines.append("")
        self.lines.append("    %s" % text)

    def row(self, size, meaning):
        b = self.data[self.at:self.at + size]
        assert len(b) == size
        if size > 16 and not any(b):
            text = "00 x %d" % size
            self.lines.append("%06x  %-47s  %s" % (self.at, text, meaning))
        else:
            for i in range(0, size, 16):
                self.lines.append(("%06x  %-47s  %s" % (self.at + i, b[i:i + 16].hex(" "), meaning if i == 0 else "")).rstrip())
        self.at += size
        return b

    def zeros_to(self, end, why):
        if end > self.at:
            assert not any(self.data[self.at:end])
            self.row(end - self.at, why)

    def fields(self, fields, notes={}):
        out = {}
        for name, fmt in fields:
            size = struct.calcsize("<" + fmt)
            raw = self.data[self.at:self.at + size]
            v = struct.unpack("<" + fmt, raw)[0]
            out[name] = v
            text = notes[name](v) if name in notes else "" if isinstance(v, bytes) else str(v)
            self.row(size, name + (": " + text if text else ""))
        return out


def page(data):
    d = Dump(data)
    for slot in range(2):
        d.title("header slot %d" % slot)
        h = d.fields(SLOT, {"magic": lambda v: '0x89 "INGOT" CR LF', "index hash": lambda v: digest_text(v) + ", the low half first",
                            "required features": lambda v: "none" if v == 0 else hex(v), "optional features": lambda v: "none"})
        d.row(4000, "reserved")
        d.row(16, "slot checksum: XXH3-128 of the 4080 bytes before it")
    index = h["index offset"]
    # the index first, as numbers, to know what the planes are
    count = struct.unpack_from("<I", data, index)[0]
    entries = [struct.unpack_from("<IIQQ", data, index + 8 + 24 * i) for i in range(count)]
    planes = []
    for kind, size, offset, n in entries:
        if kind == 5:
            planes = [struct.unpack_from("<QQ", data, index + offset + i * size) for i in range(n)]
    for i, (offset, size) in enumerate(planes):
        d.zeros_to(offset, "up to the next multiple of the alignment")
        d.title("plane %d: six F16, row-major" % i)
        for k in range(0, size, 2):
            v = struct.unpack_from("<e", data, offset + k)[0]
            d.row(2, "element (%d, %d): %s" % (k // 6, k // 2 % 3, v))
    d.zeros_to(index, "up to the next multiple of the alignment")
    d.title("index")
    d.fields([("table count", "I"), ("reserved", "I")])
    for i in range(count):
        d.title("directory entry %d: %s" % (i, KINDS[entries[i][0]]))
        d.fields(ENTRY)
    for kind, size, offset, n in entries:
        d.zeros_to(index + offset, "up to the next multiple of 8")
        if kind == 1:
            d.title("heap")
            d.row(1, 'name of tensor 0: "w"')
            d.row(8, "its dimension 0: 2")
            d.row(8, "its dimension 1: 3")
            continue
        name = KINDS[kind] if kind != 12 else "dead"
        _, fmt, fields = TABLES[name]
        codes = re.findall(r"\d*[sBHIQ]", fmt)
        for i in range(n):
            d.title("%s, record %d" % (KINDS[kind], i))
            d.fields([(LABELS.get(f, f), c) for f, c in zip(fields, codes)], {
                "dtype": lambda v: "%d, %s" % (v, DTYPES[v]), "kind": lambda v: {1: "1, raw"}[v], "flags": lambda v: "1, required",
                "first frame": lambda v: "none, stored raw" if v == 0xFFFFFFFF else str(v),
                "hash": lambda v: "XXH3-128 of the chunk, " + digest_text(v)})
    assert d.at == len(data) == h["file_end"]
    d.title("file_end")
    head = """# The smallest useful file

`smallest.ingot`, %d bytes: one tensor `w`, F16, 2 by 3, stored raw, alignment 64. Each line has the offset (hexadecimal), the bytes and what
they mean; runs of zero bytes are summarised. This page is made by `tests/vectors/make.py`.

```
""" % len(data)
    return head + "\n".join(d.lines[1:]) + "\n```\n"
