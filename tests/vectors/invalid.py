"""The invalid vectors: each is a valid file with one thing wrong; all hashes, checksums, sizes and tilings that do not belong to that thing
are right. Where a rule cannot be broken without breaking a later one too (a misaligned plane is also a hole in the tiling), the rule in the
name is the first in the order of section "Order" of the README beside this file."""
import hashlib
import struct

import numpy as np

from ingot_writer import (CHUNK, INDEX, NO, Arr, Attachment, Const, Dead, Enc, File, Hidden, Linear, Meta, Plane, Rng, Shard, Source, Tensor,
                          alias, align, build, foreign, h128, h64, raw, zframe, zstd)

FILES, INDEX_JSON = {}, {}

# Of the rules with many variants, those that are checked in; of all other rules, all are. The rest is made by `make.py --all`.
CORE = {rule: names.split() for rule, names in {
    "R-FRM-7": "no-content-size content-size-too-small stated-but-shorter trailing-byte trailing-empty-frame trailing-skippable-frame "
               "two-frames skippable window dictionary corrupt-block checksum",
    "R-ATT-2": "empty dot dot-dot parent folder-parent absolute folder three-components backslash colon nul u0080 256-bytes not-utf-8",
    "R-ENC-6": "raw-longer codes0-shorter codes1-longer codebook-longer s-longer t-longer perm-longer starts-longer columns-of-4-bytes "
               "values-longer nested-two-rows root-one-row foreign",
    "R-TEN-8": "order gap left-over overlap alias-dtype alias-shape alias-axis past-end",
    "R-META-4": "bool-empty u16-3 array-u16-3 array-string-cut-size array-string-cut",
    "R-LIN-4": "s-form-4 t-nested array-type-3 constant-type absent-type array-constant absent-constant",
    "R-ENC-5": "raw-two-planes raw-no-plane raw-empty-with-plane raw-with-child linear-plane-too-many linear-child-too-many "
               "linear-no-child foreign-with-child",
    "R-LIN-1": "bits-0 bits-9 arithmetic result outlier-type codebook permutation outliers",
    "R-FILE-3": "gap gap-at-start gap-at-end file-end-rounded-up dead-range-over-plane dead-range-past-end planes-overlap plane-in-index",
    "R-TEN-7": "sum-too-small sum-too-large zero sum-overflow scalar-extent-2 empty-tensor-extent empty-tensor-two-parts",
    "R-TEN-2": "byte-ff surrogate overlong above-10ffff cut 4097-bytes",
    "R-SRC-1": "order equal folder not-utf-8",
    "R-SHD-2": "folder dot-dot control",
    "R-LIN-7": "s t nan nested-codes in-nested",
    "R-HEAP-1": "gap gap-at-end no-owner shared empty-piece order past-end",
    "R-NEST-1": "raw unknown-kind result permutation t-constant outliers",
    "R-LIN-2": "rows-0 columns-0 too-few overflow 2-48 wide-permutation",
    "R-IDX-5": "gap longer shorter overlap unaligned",
    "R-ENC-4": "raw-1 linear-88 linear-79-minor-2 foreign-15",
    "R-PACK-1": "high-nibble second-field second-unit nested",
    "R-OUT-2": "order equal out-of-range columns-order columns-out-of-range",
    "R-LIN-3": "rows-0 rows-too-large columns-0 columns-too-large",
    "R-HDR-9": "size-4 misaligned in-header past-file-end offset-overflow size-over-1-gib",
    "R-TEN-9": "order shared left-over child past-end",
    "R-LIN-8": "count-0 count-without type-without too-many-rows too-many-columns",
    "R-LIN-6": "s t nested in-nested",
    "R-IDX-7": "tensor frame attachment source shard payload operand",
    "R-HDR-2": "checksum-slot-0 content-slot-1 torn-edit both",
    "R-ENC-3": "raw-not-required linear-not-required foreign-not-required flag-1",
    "R-TEN-6": "no-parts one-part-axis-1 axis-is-rank scalar-two-parts",
    "R-PLN-5": "two-encodings two-attachments no-owner overlapping-runs",
    "R-PLN-3": "swapped left-over shared missing",
    "R-OUT-1": "first descend end-too-small",
    "R-LIN-9": "i32 f8-e8m0",
    "R-LIN-5": "s z o t",
    "R-IDX-2": "order kind-twice unknown-kind",
    "R-HDR-5": "32 0 96 4-mib",
    "R-FRM-3": "method-0-shorter method-1-larger method-1-same-size method-1-empty",
    "R-FOR-2": "empty 256-bytes space delete",
    "R-CHK-1": "raw framed second",
    "R-TEN-5": "2-63-bytes overflow-to-small",
    "R-TEN-1": "order equal signed-bytes",
    "R-PLN-4": "swapped left-over",
    "R-NEST-2": "transposed column too-few",
    "R-HDR-4": "bit-2 bit-63 older-slot",
}.items()}


def add(rule, what, why, data):
    name = "%s-%s.ingot" % (rule, what)
    assert name not in FILES, name
    FILES[name] = data
    INDEX_JSON[name] = {"rule": rule, "why": why}


def core(name):
    """Whether a vector is checked in."""
    if name not in INDEX_JSON:
        return True
    rule = INDEX_JSON[name]["rule"]
    return rule not in CORE or name[len(rule) + 1:-len(".ingot")] in CORE[rule]


def extra(name, data):
    FILES[name] = data


# ---- material

def f16(*v):
    return np.asarray(v, "<f2").tobytes()


def w(name="w", n=4):
    return Tensor(name, "F16", [n], raw(f16(*range(1, n + 1))))


Q = np.arange(16).reshape(2, 8)


def lin(q=Q, bits=4, group=(1, 4), **kw):
    if not kw:
        kw = dict(s=Arr([1, 2, 3, 4], "f16"), z=Const(8))
    return Linear(q, bits, group, **kw)


def one(enc, dtype="F16", shape=None, **kw):
    return File([Tensor("w", dtype, shape or enc.model.q.shape, enc)], **kw)


def simple(**kw):
    """A file with something in most tables."""
    return File([w("a"), Tensor("b", "F32", [2, 8], lin().enc())], metadata=[Meta("k", "u8", 1), Meta("m", "string", "value")],
                attachments=[Attachment("x", b"file x"), Attachment("y", b"file y")], **kw)


def poke(enc, at, fmt, value):
    struct.pack_into(fmt, enc.payload, at, value)
    return enc


def both(**fields):
    def hook(slots):
        for s in slots:
            for k, v in fields.items():
                s[k] = v(s[k]) if callable(v) else v
    return hook


def slot(i, **fields):
    def hook(slots):
        for k, v in fields.items():
            slots[i][k] = v(slots[i][k]) if callable(v) else v
    return hook


def flip(at, mask=1):
    def hook(image):
        image[at] ^= mask
    return hook


def rec(table, i, **fields):
    def hook(T):
        for k, v in fields.items():
            T[table][i][k] = v(T[table][i].get(k)) if callable(v) else v
    return hook


def edited_file(generation=2, **kw):
    """An edit that replaced the metadata; slot 1 is the new one. Returns the file and the old slot's fields as bytes."""
    t, a = [w()], [Attachment("x", b"file x")]
    first = build(File(t, [Meta("k", "u8", 1)], a))
    at, size = struct.unpack_from("<QQ", first, 48)
    planes = [t[0].parts[0][1].planes[0], a[0].plane]
    f = File(t, [Meta("k", "u8", 2)], a, generation=generation, layout=lambda ps: planes + [Dead(first[at:at + size]), INDEX])
    f.older = (0, first[:4096])
    return f


def older_with(**patch):
    """The edited file with fields of its older slot changed, checksum right. patch: name=(offset, format, value)"""
    f = edited_file()
    b = bytearray(f.older[1][:4080])
    for off, fmt, v in patch.values():
        struct.pack_into(fmt, b, off, v)
    f.older = (0, bytes(b) + h128(bytes(b)))
    return build(f)


# ---- the file and the header

def file_and_header():
    good = build(simple())
    add("R-FILE-1", "empty", "The file has no bytes.", b"")
    add("R-FILE-1", "one-slot", "The file ends after slot 0.", good[:4096])
    add("R-FILE-1", "one-byte-short", "An empty file would need 8192 bytes and an index; this has 8191 bytes.", good[:8191])
    add("R-FILE-2", "truncated-index", "The last 8 bytes, which are the end of the index, are cut off.", good[:-8])
    f = File([w("a", 40)], layout=lambda ps: [INDEX] + ps)
    add("R-FILE-2", "truncated-plane", "The last byte, which is the end of a plane, is cut off; the index is there.", build(f)[:-1])
    add("R-FILE-2", "file-end-too-large", "file_end is 2^63.", build(simple(), slots=both(file_end=2**63)))

    add("R-FILE-3", "gap", "64 bytes of zero between two regions belong to nothing.",
        build(simple(layout=lambda ps: ps[:1] + [Hidden(bytes(64))] + ps[1:] + [INDEX])))
    add("R-FILE-3", "gap-at-start", "The first region starts at 8256.", build(simple(layout=lambda ps: [Hidden(bytes(64))] + ps + [INDEX])))
    add("R-FILE-3", "gap-at-end", "64 bytes before file_end belong to nothing.", build(simple(layout=lambda ps: ps + [INDEX, Hidden(bytes(64))])))
    add("R-FILE-3", "file-end-rounded-up", "file_end is the end of the index rounded up to the alignment.",
        build(File([w()]), slots=both(file_end=lambda v: align(v, 64)), image=lambda b: b.extend(bytes(align(len(b), 64) - len(b)))))
    f = simple(layout=lambda ps: ps + [Dead(b"dead"), INDEX])
    add("R-FILE-3", "dead-range-over-plane", "A dead range is where a plane is.", build(f, tables=lambda T: T["dead"].insert(0, dict(
        offset=T["planes"][1]["offset"], size=T["planes"][1]["size"]))))
    f = simple()
    add("R-FILE-3", "dead-range-over-index", "A dead range is where the index is.",
        build(f, tables=lambda T: T["dead"].append(dict(offset=T["planes"][-1]["offset"] + 64, size=8))))
    f = simple(layout=lambda ps: ps + [Dead(b"dead"), INDEX])
    add("R-FILE-3", "dead-range-past-end", "A dead range ends after file_end.", build(f, tables=rec("dead", 0, size=2**40)))
    f = simple(layout=lambda ps: ps + [Dead(b"dead"), INDEX])
    add("R-FILE-3", "dead-range-overflow", "Offset and size of a dead range add up to more than 2^64.", build(f, tables=rec("dead", 0, size=lambda s: 2**64 - 8192)))
    pa, pb = Plane(bytes(range(100)), label="raw"), Plane(bytes(range(64, 100)), label="raw")

    def overlap(rs):
        rs[1].offset = rs[0].offset + 64
        rs[2].offset = align(rs[0].offset + 100, 64)
    f = File([Tensor("a", "U8", [100], Enc(1, planes=[pa])), Tensor("b", "U8", [36], Enc(1, planes=[pb]))])
    add("R-FILE-3", "planes-overlap", "A plane lies inside another one, with the same bytes.", build(f, places=overlap))
    add("R-FILE-3", "plane-in-index", "A plane lies in the index (the first 8 bytes of the index are its logical bytes).", plane_in_index())

    add("R-FILE-4", "between-planes", "A byte of the padding after a plane is not zero.", build(simple(), image=flip(8192 + 8)))
    add("R-FILE-4", "last-byte", "The last byte of the padding before the index is not zero.",
        build(File([w()]), image=flip(8192 + 63, 0x80)))
    f = edited_file()
    at = struct.unpack_from("<Q", f.older[1], 48)[0] + struct.unpack_from("<Q", f.older[1], 56)[0]
    add("R-FILE-4", "after-dead-range", "A byte of the padding after a dead range is not zero.", build(f, image=flip(at)))

    for i in (0, 1):
        add("R-HDR-1", "slot-%d" % i, "The magic of slot %d is wrong, its checksum is right." % i, build(simple(), slots=slot(i, magic=b"\x89INGOT\n\n")))
        add("R-HDR-2", "checksum-slot-%d" % i, "The checksum of slot %d is wrong." % i, build(simple(), image=flip(4096 * i + 4095, 0x80)))
        add("R-HDR-2", "content-slot-%d" % i, "A reserved bit of slot %d is set and its checksum is not updated." % i,
            build(simple(), image=flip(4096 * i + 2000)))
    add("R-HDR-1", "both", "The magic of both slots is wrong.", build(simple(), slots=both(magic=b"\x89INGOT\r\r")))
    add("R-HDR-2", "both", "The checksum of both slots is wrong.", build(simple(), image=lambda b: (flip(4080)(b), flip(8176)(b))))
    add("R-HDR-2", "torn-edit", "The last write of an edit is torn: half of slot 1 is new.",
        build(edited_file(), image=lambda b: b.__setitem__(slice(4096 + 512, 8192), b[512:4096])))

    add("R-HDR-3", "major-1", "The major version is 1.", build(simple(major=1)))
    add("R-HDR-3", "older-slot", "The major version of the older slot is 1.", older_with(major=(8, "<H", 1)))
    add("R-HDR-4", "bit-2", "The required feature of bit 2 is not known.", build(simple(), slots=both(required=lambda v: v | 4)))
    add("R-HDR-4", "bit-63", "The required feature of bit 63 is not known.", build(simple(), slots=both(required=lambda v: v | 1 << 63)))
    add("R-HDR-4", "bit-2-minor-2", "The required feature of bit 2 is not known, in a file of minor version 2.",
        build(simple(minor=2), slots=both(required=4)))
    add("R-HDR-4", "older-slot", "The older slot requires a feature that is not known.", older_with(required=(16, "<Q", 1 << 40)))
    add("R-HDR-5", "32", "The alignment is 32, and all regions are aligned to that.", build(File([w()], alignment=32)))
    add("R-HDR-5", "0", "The alignment is 0.", build(simple(), slots=both(alignment=0)))
    add("R-HDR-5", "96", "The alignment is 96, which is no power of two.", build(simple(), slots=both(alignment=96)))
    add("R-HDR-5", "4-mib", "The alignment is 4 MiB.", build(simple(), slots=both(alignment=1 << 22)))
    add("R-HDR-5", "2-31", "The alignment is 2^31.", build(simple(), slots=both(alignment=1 << 31)))
    res = bytearray(4000)
    res[0] = 1
    add("R-HDR-6", "first", "The first reserved byte of both slots is 1.", build(simple(slot_reserved=bytes(res))))
    add("R-HDR-6", "last", "The last reserved byte of both slots is 1.", build(simple(slot_reserved=bytes(res[::-1]))))
    add("R-HDR-6", "older-slot", "A reserved byte of the older slot is 1.", older_with(r=(1000, "<B", 1)))
    add("R-HDR-7", "optional-features", "Both slots have generation 1; slot 1 has an optional-feature bit.", build(simple(), slots=slot(1, optional=1)))
    f = edited_file(generation=1)
    add("R-HDR-7", "index", "Both slots have generation 1 and point to different indexes.", build(f))
    add("R-HDR-8", "generation-0", "The generation of both slots is 0.", build(simple(generation=0)))
    add("R-HDR-8", "gap", "The generations of the slots are 1 and 3.", build(edited_file(generation=3)))
    f = edited_file()
    b = bytearray(f.older[1][:4080])
    struct.pack_into("<Q", b, 32, 0)
    f.older = (0, bytes(b) + h128(bytes(b)))
    f.generation = 1
    add("R-HDR-8", "older-0", "The generations of the slots are 0 and 1.", build(f))

    add("R-HDR-9", "size-4", "The index has 4 bytes.", build(File(), index=lambda b: b.__delitem__(slice(4, 8))))
    add("R-HDR-9", "size-0", "The index has no bytes.", build(File(), index=lambda b: b.clear()))
    add("R-HDR-9", "misaligned", "The index starts 8 bytes after a multiple of the alignment.",
        build(File([w()]), places=lambda rs: setattr(rs[1], "offset", rs[1].offset + 8)))
    hz = h128(bytes(8))
    add("R-HDR-9", "in-header", "The index is at 128, in the reserved zeros of slot 0, which are an index without tables.",
        build(File(), slots=both(index_offset=128, index_size=8, index_hash=hz)))
    add("R-HDR-9", "past-file-end", "The index ends 8 bytes after file_end; the file has these bytes.", build(simple(), slots=both(file_end=lambda v: v - 8)))
    add("R-HDR-9", "offset-overflow", "Offset and size of the index add up to 2^64.",
        build(simple(), slots=lambda ss: [s.update(index_offset=2**64 - 64, index_size=64) for s in ss]))
    add("R-HDR-9", "size-over-1-gib", "The size of the index is 1 GiB and 1 byte.", build(simple(), slots=both(index_size=2**30 + 1)))
    add("R-HDR-10", "hash", "The index hash of both slots is wrong.", build(simple(), slots=both(index_hash=lambda h: bytes([h[0] ^ 1]) + h[1:])))
    add("R-HDR-10", "halves-swapped", "The index hash is stored with its high half first.", build(simple(), slots=both(index_hash=lambda h: h[8:] + h[:8])))


def plane_in_index():
    """One attachment of 8 bytes whose plane is the start of the index; the chunk's hash is that of these bytes (count and zero)."""
    first = Plane(struct.pack("<II", 4, 0), label="file")

    def places(rs):
        rs[1].offset = rs[0].offset
        rs[1].data = b""

    data = build(File(attachments=[Attachment("a", first)], layout=lambda ps: [INDEX] + ps), places=places)
    at = struct.unpack_from("<Q", data, 48)[0]
    assert data[at:at + 8] == first.data
    return data


# ---- the index

def index_rules():
    def count(v):
        def hook(b):
            struct.pack_into("<I", b, 0, v)
        return hook
    add("R-IDX-1", "directory-too-long", "The index has 8 bytes, its table count is 1.", build(File(), index=count(1)))
    add("R-IDX-1", "count-huge", "The table count is 2^32 - 1.", build(simple(), index=count(2**32 - 1)))
    add("R-IDX-1", "reserved", "The reserved field of the directory is 1.", build(simple(), index=lambda b: b.__setitem__(4, 1)))

    def swap(es):
        es[1], es[2] = es[2], es[1]
    add("R-IDX-2", "order", "Two directory entries, with their tables, have changed places.", build(simple(), directory=swap))

    def twice(es):
        m = next(e for e in es if e["kind"] == 8)
        i = es.index(m)
        rest = dict(m, count=1, data=m["data"][12:])
        m.update(count=1, data=m["data"][:12])
        es.insert(i + 1, rest)
    add("R-IDX-2", "kind-twice", "Two directory entries have kind 8, each with one record.", build(simple(), directory=twice))
    add("R-IDX-2", "unknown-kind", "A table of kind 14 in a file of minor version 1.",
        build(simple(), directory=lambda es: es.append(dict(kind=14, size=8, count=1, data=bytes(8)))))
    add("R-IDX-2", "kind-0", "A table of kind 0 in a file of minor version 1.",
        build(simple(), directory=lambda es: es.insert(0, dict(kind=0, size=8, count=1, data=bytes(8)))))
    add("R-IDX-2", "order-minor-2", "Unknown tables of kinds 15 and 14, in this order, in a file of minor version 2.",
        build(simple(minor=2), directory=lambda es: es.extend([dict(kind=15, size=8, count=1, data=bytes(8)), dict(kind=14, size=8, count=1, data=bytes(8))])))

    def tail(T):
        for r in T["tensors"]:
            r["_tail"] = bytes(4)
    add("R-IDX-3", "larger", "The records of the table tensors have 24 bytes, in a file of minor version 1.", build(simple(), tables=tail))

    def smaller(es):
        e = next(e for e in es if e["kind"] == 3)
        assert e["size"] == 12
        e.update(size=8, data=b"".join(e["data"][i:i + 8] for i in range(0, len(e["data"]), 12)))
    add("R-IDX-3", "smaller", "The records of the table parts have 8 bytes.", build(simple(), directory=smaller))
    add("R-IDX-3", "smaller-minor-2", "The records of the table parts have 8 bytes, in a file of minor version 2.", build(simple(minor=2), directory=smaller))

    def zero(es):
        es.append(dict(kind=11, size=32, count=0, data=b""))
    add("R-IDX-4", "zero", "The directory has a table sources of 0 records.", build(simple(), directory=zero))
    add("R-IDX-4", "too-many", "1025 attachments, all of them empty.", build(File(attachments=[Attachment("%04d" % i, b"") for i in range(1025)])))

    def gap(es):
        es[1]["gap"] = 8
    add("R-IDX-5", "gap", "8 bytes of zero between two tables.", build(simple(), directory=gap))

    def first_gap(es):
        es[0]["gap"] = 8
    add("R-IDX-5", "gap-before-first", "8 bytes of zero between the directory and the first table.", build(simple(), directory=first_gap))
    add("R-IDX-5", "longer", "The index goes on for 8 bytes after its last table.", build(simple(), index=lambda b: b.extend(bytes(8))))
    add("R-IDX-5", "longer-empty", "An index without tables has 16 bytes.", build(File(), index=lambda b: b.extend(bytes(8))))
    add("R-IDX-5", "shorter", "The last table ends after the index.", build(simple(), index=lambda b: b.__delitem__(slice(len(b) - 4, len(b)))))

    def at(i, v):
        def hook(es):
            es[i]["offset"] = v if not callable(v) else v(es)
        return hook
    add("R-IDX-5", "overlap", "Two tables have the same offset.",
        build(File([w("a"), w("b")]), entries=at(-1, lambda es: es[-2]["offset"])))
    add("R-IDX-5", "overflow", "The offset of a table is 2^64 - 8.", build(simple(), entries=at(1, 2**64 - 8)))
    add("R-IDX-5", "unaligned", "A table starts right after the one before, which is no multiple of 8.", build(simple(), entries=unalign))

    def pad(b):
        # entry 0 is the heap, entry 1 the tensors: the last byte before entry 1
        off0, n0 = struct.unpack_from("<QQ", b, 8 + 8)
        off1 = struct.unpack_from("<Q", b, 32 + 8)[0]
        assert off0 + n0 < off1
        b[off1 - 1] = 1
    add("R-IDX-6", "padding", "The last byte of padding between heap and tensors is 1.", build(simple(), index=pad))

    add("R-IDX-7", "tensor", "A reserved byte of a tensor is 1.", build(simple(), tables=rec("tensors", 1, reserved=b"\0\0\1")))
    f = File([Tensor("w", "U8", [100], raw(bytes(100), [1]))])
    add("R-IDX-7", "frame", "A reserved byte of a frame is 1.", build(f, tables=rec("frames", 0, reserved=b"\1\0\0")))
    add("R-IDX-7", "attachment", "The reserved field of an attachment is 1.", build(simple(), tables=rec("attachments", 0, reserved=1)))
    add("R-IDX-7", "source", "The reserved field of a source is 0x8000.",
        build(simple(sources=[Source("s", b"source")]), tables=rec("sources", 0, reserved=0x8000)))
    shard = File([w()])
    extra("shard-of-reserved.ingot", build(shard))
    add("R-IDX-7", "shard", "The reserved field of a shard is 1.", build(File(shards=[Shard("shard-of-reserved.ingot", shard)]), tables=rec("shards", 0, reserved=1)))
    add("R-IDX-7", "tensor-minor-2", "A reserved byte of a tensor is 1, in a file of minor version 2.",
        build(simple(minor=2), tables=rec("tensors", 0, reserved=b"\0\1\0")))

    add("R-IDX-7", "payload", "The reserved byte of a linear payload is 1.", build(one(poke(lin().enc(), 7, "<B", 1))))
    add("R-IDX-7", "operand", "A reserved byte of an operand is 1.", build(one(poke(lin().enc(), O + 2, "<H", 1))))

    add("R-HEAP-1", "gap", "A byte of the heap between two pieces belongs to nothing.", build(simple(), tables=rec("metadata", 1, _pad=b"\0")))
    add("R-HEAP-1", "gap-at-start", "The first byte of the heap belongs to nothing.", build(simple(), tables=rec("tensors", 0, _pad=b"\0")))
    add("R-HEAP-1", "gap-at-end", "The last byte of the heap belongs to nothing.", build(simple(), tables=lambda T: T.update(_heap_tail=b"\0")))
    add("R-HEAP-1", "no-owner", "No record has a piece, but there is a heap of one byte.", build(File(), tables=lambda T: T.update(_heap_tail=b"x")))

    f = File(attachments=[Attachment("a", b""), Attachment("ab", b"")])

    def share(T):
        T["attachments"][0]["_at"] = 0
        T["attachments"][1]["_piece"] = b"ab"
    add("R-HEAP-1", "shared", "Two records share their bytes in the heap.", build(f, tables=share))
    f = File([w("a")])
    add("R-HEAP-1", "empty-piece", "The empty payload of the only encoding has offset 0, not the end of the piece before.",
        build(f, tables=rec("encodings", 0, _offset=0)))
    f = File(attachments=[Attachment("a", b""), Attachment("b", b"")])

    def order(T):
        T["attachments"][0]["_offset"], T["attachments"][1]["_offset"] = 1, 0
        T["attachments"][0]["_piece"], T["attachments"][1]["_piece"] = b"b", b"a"
    add("R-HEAP-1", "order", "Two pieces lie in the wrong order.", build(f, tables=order))
    f = File(sources=[Source("source", b"x")])
    add("R-HEAP-1", "past-end", "The last piece ends one byte after the heap.", build(f, tables=rec("sources", 0, name_size=7)))
    f = File(metadata=[Meta("k", "string", "v")])
    add("R-HEAP-1", "overflow", "The last piece ends 2^32 - 1 bytes after its key.", build(f, tables=rec("metadata", 0, value_size=2**32 - 1)))


def unalign(es):
    i = next(i for i, e in enumerate(es) if (e["offset"] + len(e["data"])) % 8 and i + 1 < len(es))
    end = es[i]["offset"] + len(es[i]["data"])
    es[i + 1]["offset"] = es[i + 1]["at"] = end
    # the tables after it are where the rule puts them then
    at = end + len(es[i + 1]["data"])
    for e in es[i + 2:]:
        at = align(at, 8)
        e["offset"] = e["at"] = at
        at += len(e["data"])


# ---- planes and frames

def plane_rules():
    zero = Plane(b"", label="file")
    add("R-PLN-1", "attachment", "The plane of an attachment has size 0.", build(File([w()], attachments=[Attachment("x", zero)])))
    add("R-PLN-1", "unknown-kind", "The plane of an encoding of an unknown kind has size 0.",
        build(File([Tensor("w", "F32", [3], Enc(77, b"", [Plane(b"")], flags=0))])))
    add("R-PLN-2", "order", "The planes in the table do not ascend by offset.",
        build(simple(table_order=lambda ps: [ps[0]] + ps[1:-2] + [ps[-1], ps[-2]])))

    add("R-PLN-2", "misaligned", "A plane starts 8 bytes after a multiple of the alignment.",
        build(File([w()]), places=lambda rs: setattr(rs[0], "offset", 8200)))

    def in_header(rs):
        rs[0].offset, rs[0].data = 128, b""
        rs[1].offset = 8192
    zeros = Plane(bytes(4), label="raw")
    add("R-PLN-2", "in-header", "A plane of zeros lies in the reserved bytes of slot 0.",
        build(File([Tensor("w", "U8", [4], Enc(1, planes=[zeros]))]), places=in_header))
    add("R-PLN-2", "past-file-end", "A plane lies after file_end, where the file has these bytes.", plane_behind())
    add("R-PLN-2", "offset-overflow", "Offset and size of a plane add up to more than 2^64.", build(File([w()]), tables=rec("planes", 0, offset=2**64 - 64, size=128)))

    def swap_chunks(T):
        T["chunks"][0], T["chunks"][1] = T["chunks"][1], T["chunks"][0]
        T["planes"][0]["first_chunk"], T["planes"][1]["first_chunk"] = 1, 0
    add("R-PLN-3", "swapped", "The chunks of two planes are in the wrong order.", build(File([w("a"), w("b", 5)]), tables=swap_chunks))
    add("R-PLN-3", "left-over", "The chunk table has one chunk more than the planes.", build(simple(), tables=lambda T: T["chunks"].append(dict(hash=bytes(16)))))

    def share(T):
        T["planes"][1]["first_chunk"] = 0
        del T["chunks"][1]
    add("R-PLN-3", "shared", "Two planes with the same bytes share a chunk.", build(File([w("a"), w("b")]), tables=share))
    add("R-PLN-3", "missing", "The last chunk is missing.", build(File([w("a"), w("b", 5)]), tables=lambda T: T["chunks"].pop()))
    add("R-PLN-3", "first", "The first chunk belongs to nothing.",
        build(File([w("a")]), tables=lambda T: (T["chunks"].insert(0, dict(hash=bytes(16))), T["planes"][0].update(first_chunk=1))))

    two = lambda: File([Tensor("a", "U8", [100], raw(bytes(100), [1])), Tensor("b", "U8", [200], raw(b"\1" * 200, [1]))])

    def swap_frames(T):
        T["frames"].reverse()
        T["planes"][0]["first_frame"], T["planes"][1]["first_frame"] = 1, 0
    add("R-PLN-4", "swapped", "The frames of two planes are in the wrong order.", build(two(), tables=swap_frames))
    add("R-PLN-4", "left-over", "The frame table has one frame more than the planes.",
        build(two(), tables=lambda T: T["frames"].append(dict(offset=0, size=1, method=1, reserved=bytes(3), hash=h64(b"x")))))
    add("R-PLN-4", "missing", "The last frame is missing.", build(two(), tables=lambda T: T["frames"].pop()))
    add("R-PLN-4", "raw-plane-with-frames", "No plane is framed, but there is a frame.",
        build(File([w()]), tables=lambda T: T["frames"].append(dict(offset=0, size=1, method=1, reserved=bytes(3), hash=h64(b"x")))))

    shared = Plane(f16(1, 2), label="raw")
    f = File([Tensor("a", "F16", [2], Enc(1, planes=[shared])), Tensor("b", "F16", [2], Enc(1, planes=[shared]))])
    add("R-PLN-5", "two-encodings", "Two encodings have the same plane.", build(f))
    p = Plane(b"file")
    add("R-PLN-5", "two-attachments", "Two attachments have the same plane.", build(File(attachments=[Attachment("a", p), Attachment("b", p)])))
    shared = Plane(b"\1\2")
    f = File([Tensor("a", "U8", [2], Enc(1, planes=[shared]))], attachments=[Attachment("a", shared)])
    add("R-PLN-5", "encoding-and-attachment", "An attachment has the plane of an encoding.", build(f))
    add("R-PLN-5", "no-owner", "A plane has no owner.", build(File([w()], extra_planes=[Plane(b"nobody's")])))
    a, b, c = Plane(b"\1\2"), Plane(b"\3"), Plane(b"\4")
    e1 = Enc(77, b"", [a, b], flags=0)
    e2 = Enc(77, b"", [b, c], flags=0)
    add("R-PLN-5", "overlapping-runs", "The planes of two encodings overlap.", build(File([Tensor("a", "U8", [2], e1), Tensor("b", "U8", [2], e2)])))

    # frames
    hundred = bytes(100)

    def framed(data, methods, dtype="U8", **kw):
        n = {"U8": 1, "F16": 2, "F32": 4}[dtype]
        p = Plane(data, methods, "raw")
        for k, v in kw.items():
            setattr(p, k, v)
        size = p.size()
        return File([Tensor("w", dtype, [size // n], Enc(1, planes=[p]))])
    add("R-FRM-1", "method-4", "The method of a frame is 4.", build(framed(hundred, [(4, zstd(hundred))])))
    add("R-FRM-1", "method-255", "The method of a frame is 255.", build(framed(hundred, [(255, zstd(hundred))])))
    long = bytes(CHUNK) + b"\1" * 100
    add("R-FRM-2", "order", "The two frames of a plane lie in the wrong order.", build(framed(long, [1, 1], frame_order=[1, 0])))
    add("R-FRM-2", "first", "The offset of the first frame is 8.", build(framed(hundred, [1]), tables=rec("frames", 0, offset=8)))
    add("R-FRM-2", "overlap", "Two frames of a plane have the same offset.", build(framed(long, [1, 1]), tables=rec("frames", 1, offset=0)))
    for d, what in ((99, "shorter"), (101, "longer")):
        add("R-FRM-3", "method-0-" + what, "The frame of method 0 is %s than its chunk." % what, build(framed(long, [1, (0, b"\1" * d)])))
    noise = Rng(7).bytes(100)
    z = zframe([("raw", noise)], content=100)
    add("R-FRM-3", "method-1-larger", "The frame of method 1 is larger than its chunk.", build(framed(noise, [(1, z)])))
    z = zframe([("rle", 5, 13)], content=13)
    assert len(z) == 13
    add("R-FRM-3", "method-1-same-size", "The frame of method 1 has the size of its chunk.", build(framed(bytes([5]) * 13, [(1, z)])))
    add("R-FRM-3", "method-1-empty", "The frame of method 1 has no bytes.", build(framed(bytes(CHUNK) + b"\1" * 100, [1, (1, b"")])))
    add("R-FRM-4", "one-frame", "The only frame of a framed plane has method 0.", build(framed(hundred, [0])))
    add("R-FRM-5", "method-2", "The chunk of a frame of method 2 has 101 bytes.", build(framed(bytes(101), [(2, zstd(bytes(101)))])))
    add("R-FRM-5", "method-3", "The chunk of a frame of method 3 has 102 bytes.", build(framed(bytes(102), [(3, zstd(bytes(102)))], "F16")))
    add("R-FRM-5", "method-3-last-chunk", "The last chunk has 101 bytes and method 3.",
        build(framed(bytes(CHUNK + 101), [3, (3, zstd(bytes(101)))])))
    add("R-FRM-6", "hash", "The hash of a frame is wrong.", build(framed(hundred, [1]), tables=rec("frames", 0, hash=lambda h: h ^ 1)))
    add("R-FRM-6", "second", "The hash of the second frame, which has method 0, is wrong.",
        build(framed(long, [1, 0]), tables=rec("frames", 1, hash=lambda h: h ^ 1 << 63)))

    z = zstd(hundred)
    rle = [("rle", 0, 100)]
    bad = {
        "no-content-size": ("The frame does not state its content size.", zframe(rle, window=0x50)),
        "content-size-too-small": ("The frame states, and has, 99 bytes for a chunk of 100.", zframe([("rle", 0, 99)], content=99)),
        "content-size-too-large": ("The frame states, and has, 101 bytes for a chunk of 100.", zframe([("rle", 0, 101)], content=101)),
        "content-size-huge": ("The frame states 2^32 - 1 bytes.", zframe(rle, content=2**32 - 1, window=0x50)),
        "stated-but-shorter": ("The frame states 100 bytes and has 99.", zframe([("rle", 0, 99)], content=100)),
        "stated-but-longer": ("The frame states 100 bytes and has 101.", zframe([("rle", 0, 101)], content=100)),
        "trailing-byte": ("A byte follows the frame.", z + b"\0"),
        "trailing-empty-frame": ("A second, empty frame follows.", z + zframe([("raw", b"")], content=0)),
        "trailing-skippable-frame": ("A skippable frame follows.", z + struct.pack("<II", 0x184D2A50, 4) + b"skip"),
        "two-frames": ("The content is in two frames of 50 bytes.", zframe([("rle", 0, 50)], content=50) * 2),
        "leading-skippable-frame": ("A skippable frame comes first.", struct.pack("<II", 0x184D2A50, 4) + b"skip" + z),
        "skippable": ("There is a skippable frame and nothing else.", struct.pack("<II", 0x184D2A5F, 12) + b"skip" * 3),
        "window": ("The frame needs a window of 1.125 MiB.", zframe(rle, content=100, window=0x51)),
        "window-huge": ("The frame needs a window of 3.75 TiB.", zframe(rle, content=100, window=0xFF)),
        "dictionary": ("The frame asks for dictionary 7.", zframe(rle, content=100, dict_id=7)),
        "corrupt-block": ("The frame has a block of the reserved type.", zframe([("rle", 0, 50), ("bad",), ("rle", 0, 50)], content=100)),
        "truncated": ("The frame is cut off.", zframe([("raw", b"\0" * 10), ("rle", 0, 90)], content=100)[:-1]),
        "magic": ("The magic of the frame is wrong.", b"\x27" + z[1:]),
        "reserved-bit": ("The reserved bit of the frame header is set.", zframe(rle, content=100, reserved=8)),
        "checksum": ("The checksum of the frame is wrong.", zframe(rle, content=100, checksum=0x12345678)),
        "too-short": ("The stored bytes are one byte.", b"\x28"),
    }
    for what, (why, s) in bad.items():
        add("R-FRM-7", what, why, build(framed(hundred, [(1, s)])))
    add("R-FRM-7", "method-3", "The frame of method 3 has a byte behind it.", build(framed(hundred, [(3, z + b"\0")], "F32")))
    big = zframe([("rle", 0, CHUNK)], content=CHUNK)
    add("R-FRM-7", "second-chunk", "The second frame of a plane has a content size that is not that of its chunk.",
        build(framed(long, [(1, big), (1, zframe([("rle", 1, 99)], content=99))])))

    add("R-CHK-1", "raw", "The hash of a chunk of a raw plane is wrong.", build(File([w()]), tables=rec("chunks", 0, hash=lambda h: h[:15] + bytes([h[15] ^ 1]))))
    add("R-CHK-1", "framed", "The hash of a chunk of a framed plane is wrong.", build(framed(hundred, [1]), tables=rec("chunks", 0, hash=h128(b"other"))))
    add("R-CHK-1", "second", "The hash of the second chunk of a plane is wrong.", build(framed(long, [1, 1]), tables=rec("chunks", 1, hash=h128(b"other"))))
    add("R-CHK-1", "attachment", "A byte of an attachment has changed.", build(File(attachments=[Attachment("a", b"abcd")]), image=flip(8193)))
    add("R-CHK-1", "byte-planes-not-split", "The frame of method 2 has the bytes of the chunk in their own order.",
        build(framed(b"\1\2" * 50, [(2, zstd(b"\1\2" * 50))], "F16")))


def plane_behind():
    """The index is the only region; the plane starts at the next multiple of the alignment after it."""
    def slots(ss):
        for s in ss:
            s["file_end"] = s["index_offset"] + s["index_size"]
    return build(File([w()], layout=lambda ps: [INDEX] + ps), slots=slots)


# ---- tensors

def unknown(data=b"?", n=1):
    return Enc(77, b"", [Plane(data) for _ in range(n)], flags=0)


def tensor_rules():
    add("R-TEN-1", "order", "Tensors \"b\" and \"a\" are in this order.", build(File([w("b"), w("a", 5)], sort=False)))
    add("R-TEN-1", "equal", "Two tensors have the same name.", build(File([w("a"), w("a", 5)], sort=False)))
    add("R-TEN-1", "signed-bytes", "Names with bytes from 0x80 on come before ASCII.", build(File([w("é"), w("z", 5)], sort=False)))
    add("R-TEN-1", "prefix", "A name comes before its own prefix.", build(File([w("ab"), w("a", 5)], sort=False)))
    bad = {"byte-ff": b"\xff", "surrogate": b"a\xed\xa0\x80", "overlong": b"\xc0\x80", "overlong-3": b"\xe0\x80\x80", "above-10ffff": b"\xf4\x90\x80\x80",
           "cut": b"\xe2\x82", "continuation": b"\x80", "five-bytes": b"\xf8\x88\x80\x80\x80"}
    for what, name in bad.items():
        add("R-TEN-2", what, "The name of a tensor is not UTF-8.", build(File([w(name)])))
    add("R-TEN-2", "4097-bytes", "The name of a tensor has 4097 bytes.", build(File([w("n" * 4097)])))
    for d in (19, 255):
        add("R-TEN-3", "dtype-%d" % d, "The dtype is %d." % d, build(File([Tensor("w", d, [4], unknown())])))
    add("R-TEN-4", "rank-9", "A tensor has 9 dimensions.", build(File([Tensor("w", "U8", [1] * 9, raw(b"\1"))])))
    add("R-TEN-4", "rank-255", "A tensor has 255 dimensions.", build(File([Tensor("w", "U8", [1] * 255, raw(b"\1"))])))
    add("R-TEN-5", "2-63-bytes", "A tensor of U8 has 2^63 elements.", build(File([Tensor("w", "U8", [2**63], unknown())])))
    add("R-TEN-5", "times-size", "A tensor of F32 has 2^61 elements.", build(File([Tensor("w", "F32", [2**31, 2**30], unknown())])))
    add("R-TEN-5", "overflow", "The product of the dimensions is 2^64.", build(File([Tensor("w", "U8", [2**32, 2**32], unknown())])))
    add("R-TEN-5", "overflow-to-small", "The product of the dimensions is 3 * 2^64 + 4, which is 4 in 64 bits.", build(File([Tensor("w", "U8", wrap(), unknown())])))
    add("R-TEN-6", "no-parts", "A tensor has no parts.", build(File([w("a"), Tensor("b", "F16", [0], [])])))
    t = Tensor("w", "U8", [2, 2], raw(b"\1\2\3\4"))
    t.axis = 1
    t.parts = [(2, t.parts[0][1])]
    add("R-TEN-6", "one-part-axis-1", "A tensor of one part has axis 1.", build(File([t])))
    t = Tensor("w", "U8", [], raw(b"\1"))
    t.axis = 1
    add("R-TEN-6", "scalar-axis-1", "A scalar has axis 1.", build(File([t])))
    add("R-TEN-6", "axis-is-rank", "A tensor of two parts and rank 2 has axis 2.",
        build(File([Tensor("w", "U8", [2, 2], [(1, unknown()), (1, unknown())], axis=2)])))
    add("R-TEN-6", "scalar-two-parts", "A scalar has two parts.", build(File([Tensor("w", "U8", [], [(1, raw(b"\1")), (1, raw(b"\2"))])])))
    two = lambda a, b, n: build(File([Tensor("w", "U8", [n, 2], [(a, raw(bytes(range(2 * a)))), (b, raw(bytes(range(2 * b))))])]))
    add("R-TEN-7", "sum-too-small", "Extents 1 and 2 of a dimension of 4.", two(1, 2, 4))
    add("R-TEN-7", "sum-too-large", "Extents 1 and 2 of a dimension of 2.", two(1, 2, 2))
    add("R-TEN-7", "zero", "Extents 0 and 2 of a dimension of 2.", two(0, 2, 2))
    add("R-TEN-7", "sum-overflow", "Extents 2^64 - 1 and 3 of a dimension of 2.",
        build(File([Tensor("w", "U8", [2], [(2**64 - 1, unknown()), (3, unknown())])])))
    add("R-TEN-7", "one-part", "One part of extent 3 of a dimension of 4.", build(File([Tensor("w", "U8", [4], [(3, raw(b"\1\2\3"))])])))
    add("R-TEN-7", "scalar-extent-2", "The part of a scalar has extent 2.", build(File([Tensor("w", "U8", [], [(2, raw(b"\1"))])])))
    add("R-TEN-7", "scalar-extent-0", "The part of a scalar has extent 0.", build(File([Tensor("w", "U8", [], [(0, raw(b"\1"))])])))
    add("R-TEN-7", "empty-tensor-extent", "A tensor of 4 by 0 has one part of extent 3.", build(File([Tensor("w", "U8", [4, 0], [(3, raw(b""))])])))
    add("R-TEN-7", "empty-tensor-two-parts", "A tensor of 4 by 0 has two parts.", build(File([Tensor("w", "U8", [4, 0], [(2, raw(b"")), (2, raw(b""))])])))

    ab = lambda: File([w("a"), w("b", 5)])

    # runs, encodings and planes are laid out for b, a; then the records of the tensors change places
    add("R-TEN-8", "order", "The runs of two tensors are in the wrong order.",
        build(File([w("b"), w("a", 5)], sort=False), tables=lambda T: T["tensors"].reverse()))
    f = File([Tensor("a", "U8", [2], [(1, raw(b"\1")), (1, raw(b"\2"))]), Tensor("b", "U8", [1], raw(b"\3"))])

    def drop(T):
        T["tensors"].pop()
    add("R-TEN-8", "left-over", "The last part belongs to no tensor.", build(f, tables=drop))

    def gap(T):
        del T["tensors"][0]
    add("R-TEN-8", "gap", "The first part belongs to no tensor.", build(ab(), tables=gap))
    parts = [(1, raw(b"\1")), (1, raw(b"\2"))]

    f = File([Tensor("a", "U8", [2], parts)])

    def second(T):
        T["tensors"].append(dict(T["tensors"][0], first_part=1, part_count=1, _piece=b"b" + struct.pack("<Q", 1)))
    add("R-TEN-8", "overlap", "The run of a tensor is the second half of another's.", build(f, tables=second))

    def first(T):
        T["tensors"].append(dict(T["tensors"][0], first_part=0, part_count=1, _piece=b"b" + struct.pack("<Q", 1)))
    add("R-TEN-8", "first-half", "The run of a tensor is the first half of another's.", build(f, tables=first))
    base = Tensor("a", "F16", [2, 3], raw(f16(1, 2, 3, 4, 5, 6)))

    def al(**kw):
        t = alias("b", base)
        for k, v in kw.items():
            setattr(t, k, v)
        return build(File([base, t]))
    add("R-TEN-8", "alias-dtype", "An alias has another dtype.", al(dtype=2))
    add("R-TEN-8", "alias-shape", "An alias has other dimensions.", al(shape=[2, 1, 3]))
    add("R-TEN-8", "alias-last-dimension", "An alias of a tensor without elements has another last dimension.", empty_alias())
    sq = Tensor("a", "U8", [2, 2], [(1, unknown()), (1, unknown())])
    t = alias("b", sq)
    t.axis = 1
    add("R-TEN-8", "alias-axis", "An alias has another axis.", build(File([sq, t])))
    add("R-TEN-8", "past-end", "The run of a tensor ends after the part table.", past_end())
    add("R-TEN-8", "overflow", "The first part of a tensor is 2^32 - 1.", build(File([w()]), tables=rec("tensors", 0, first_part=2**32 - 1)))

    def swap(T):
        T["parts"][0]["encoding"], T["parts"][1]["encoding"] = 1, 0
    add("R-TEN-9", "order", "The encodings of two parts have changed places.", build(File([w("a"), Tensor("b", "F16", [4], raw(f16(5, 6, 7, 8)))]), tables=swap))
    add("R-TEN-9", "shared", "Two parts have the same encoding.", build(shared_encoding()))

    def orphan(T):
        T["tensors"].pop()
        T["parts"].pop()
    add("R-TEN-9", "left-over", "The last root encoding belongs to no part.", build(ab(), tables=orphan))

    def child(T):
        T["parts"][0]["encoding"] = 0
    add("R-TEN-9", "child", "The encoding of a part is the child of another.", build(one(Enc(77, b"", [Plane(b"x")], [Enc(78, b"", [Plane(b"y")], flags=0)], flags=0), shape=[3]), tables=child))
    add("R-TEN-9", "past-end", "The encoding of a part is not in the table.", build(File([w()]), tables=rec("parts", 0, encoding=1)))
    add("R-TEN-9", "past-end-huge", "The encoding of a part is 2^32 - 1.", build(File([w()]), tables=rec("parts", 0, encoding=2**32 - 1)))


def wrap():
    """Two dimensions whose product is 4 modulo 2^64 and larger than that."""
    a = 3
    b = pow(a, -1, 2**64) * 4 % 2**64
    assert a * b % 2**64 == 4 and a * b > 2**64 and b < 2**64
    return [a, b]


def empty_alias():
    a = Tensor("a", "U8", [3, 0, 4], raw(b""))
    t = alias("b", a)
    t.shape = [3, 0, 5]
    return build(File([a, t]))


def past_end():
    """A tensor of two parts of extent 1; the part table has one."""
    def cut(T):
        T["parts"].pop()
    e = unknown()
    return build(File([Tensor("w", "U8", [2], [(1, e), (1, e)])]), tables=cut)


def shared_encoding():
    e = raw(f16(1, 2))
    return File([Tensor("w", "F16", [4], [(2, e), (2, e)])])


# ---- encodings

def nested(**kw):
    """A child for the scales of lin(group=(1, 4)): 2 by 2 groups."""
    args = dict(q=[[1, 2], [3, 4]], bits=4, group=(2, 2), s=Const(0.5))
    args.update(kw)
    return Linear(args.pop("q"), args.pop("bits"), args.pop("group"), **args)


def edit_plane(enc, label, fn):
    p = enc.plane(label)
    b = bytearray(p.data)
    r = fn(b)
    p.data = bytes(b if r is None else r)
    return enc


def drop_plane(enc, label):
    enc.planes.remove(enc.plane(label))
    return enc


def encoding_rules():
    add("R-ENC-1", "no-such-child", "The first encoding has a child.", build(one(lin().enc()), tables=rec("encodings", 0, child_count=1)))
    inner = nested(q=[[1, 2], [3, 4]], group=(1, 1), s=nested().enc(nested=True))
    e = lin(s=inner.enc(nested=True)).enc()
    add("R-ENC-1", "grandchild", "The nested scale of an encoding has a nested scale.", build(one(e)))
    e = Enc(77, b"", [Plane(b"p")], [Enc(78, b"", [Plane(b"c")], [Enc(79, b"", [Plane(b"d")], flags=0)], flags=0)], flags=0)
    add("R-ENC-1", "grandchild-unknown", "A child of an encoding of an unknown kind has a child.", build(one(e, shape=[3])))

    def lose(T):
        T["planes"].clear()
        T["chunks"].clear()
    add("R-ENC-2", "no-planes", "An encoding has plane 0, and there are no planes.",
        build(File([Tensor("w", "U8", [2], Enc(1, planes=[Plane(b"")]))], layout=lambda ps: [ps[0], INDEX]), tables=lose))

    def far(T):
        T["encodings"][0]["first_plane"] = 2**32 - 1
        lose(T)
    add("R-ENC-2", "overflow", "The first plane of an encoding is 2^32 - 1.", build(File([Tensor("w", "U8", [2], Enc(1, planes=[Plane(b"")]))]), tables=far))

    def last(T):
        for t in ("planes", "chunks"):
            T[t].pop()
    e = lin(s=Arr([1, 2, 3, 4], "f16")).enc()
    e.planes[1] = Plane(b"")
    add("R-ENC-2", "last", "The last plane of an encoding is after the plane table.", build(one(e), tables=lambda T: T["planes"].pop()))

    e = raw(b"\1\2")
    e.flags = 0
    add("R-ENC-3", "raw-not-required", "A raw encoding does not have the flag required.", build(File([Tensor("w", "U8", [2], e)])))
    e = lin().enc()
    e.flags = 0
    add("R-ENC-3", "linear-not-required", "A linear encoding does not have the flag required.", build(one(e)))
    e = foreign(2, 4, 4, b"X", b"\1\2")
    e.flags = 0
    add("R-ENC-3", "foreign-not-required", "A foreign encoding does not have the flag required.", build(one(e, shape=[4])))
    e = lin(s=nested()).enc()
    e.children[0].flags = 0
    add("R-ENC-3", "child-not-required", "A nested encoding does not have the flag required.", build(one(e)))
    for bit in (1, 7):
        e = lin().enc()
        e.flags = 1 | 1 << bit
        add("R-ENC-3", "flag-%d" % bit, "The reserved flag of bit %d is set." % bit, build(one(e)))

    add("R-ENC-4", "raw-1", "The payload of a raw encoding has one byte.", build(File([Tensor("w", "U8", [2], raw(b"\1\2", payload=b"\0"))])))
    for n in (81, 88):
        add("R-ENC-4", "linear-%d" % n, "The payload of a linear encoding has %d bytes, in a file of minor version 1." % n,
            build(one(lin().enc(extra=bytes(n - 80)))))
    for n in (0, 79):
        for minor in (1, 2):
            e = lin().enc()
            del e.payload[n:]
            add("R-ENC-4", "linear-%d%s" % (n, "-minor-2" if minor == 2 else ""), "The payload of a linear encoding has %d bytes." % n, build(one(e, minor=minor)))
    e = foreign(2, 4, 4, b"X", b"\1\2")
    del e.payload[15:]
    add("R-ENC-4", "foreign-15", "The payload of a foreign encoding has 15 bytes.", build(one(e, shape=[4])))

    two = raw(b"\1\2")
    two.planes.append(Plane(b"\3\4"))
    add("R-ENC-5", "raw-two-planes", "A raw encoding has two planes.", build(File([Tensor("w", "U8", [2], two)])))
    add("R-ENC-5", "raw-no-plane", "A raw encoding of two elements has no plane.", build(File([Tensor("w", "U8", [2], raw(b""))])))
    add("R-ENC-5", "raw-empty-with-plane", "A raw encoding of no elements has a plane.", build(File([Tensor("w", "U8", [0], raw(b"\1"))])))
    e = raw(b"\1\2")
    e.children = [raw(b"\1")]
    add("R-ENC-5", "raw-with-child", "A raw encoding has a child.", build(File([Tensor("w", "U8", [2], e)])))
    e = lin().enc()
    e.planes.append(Plane(b"more"))
    add("R-ENC-5", "linear-plane-too-many", "A linear encoding has one plane too many.", build(one(e)))
    add("R-ENC-5", "linear-no-scales", "A linear encoding lacks the plane of its scales.", build(one(drop_plane(lin().enc(), "s"))))
    add("R-ENC-5", "linear-one-field", "A linear encoding of 3 bits lacks the plane of its second field.",
        build(one(drop_plane(lin(Q % 8, 3).enc(), "codes1"))))
    e = lin(s=nested()).enc()
    e.children.append(nested().enc(nested=True))
    add("R-ENC-5", "linear-child-too-many", "A linear encoding with one nested operand has two children.", build(one(e)))
    e = lin(s=nested()).enc()
    e.children.clear()
    add("R-ENC-5", "linear-no-child", "A linear encoding with a nested scale has no child.", build(one(e)))
    e = foreign(2, 4, 4, b"X", b"\1\2")
    e.children = [nested().enc(nested=True)]
    add("R-ENC-5", "foreign-with-child", "A foreign encoding has a child.", build(one(e, shape=[4])))
    e = foreign(2, 4, 4, b"X", b"\1\2")
    e.planes.append(Plane(b"\1\2"))
    add("R-ENC-5", "foreign-two-planes", "A foreign encoding has two planes.", build(one(e, shape=[4])))

    add("R-ENC-6", "raw-shorter", "The plane of a raw tensor lacks a byte.", build(File([Tensor("w", "F16", [2], raw(b"\1\2\3"))])))
    add("R-ENC-6", "raw-longer", "The plane of a raw tensor has a byte too many.", build(File([Tensor("w", "F16", [2], raw(b"\1\2\3\4\5"))])))
    rows = ("rows", "f16", [([0, 7], [1, 2]), ([3], [4])])
    cols = ("columns", "f16", [1, 5], [[1, 2], [3, 4]])
    full = lambda o=rows: lin(q=Q % 8, bits=3, codebook=[5, 3, 1, 0, -1, -2, -4, -7], s=Arr([1, 2, 3, 4], "f16"), z=Arr([1, 2, 3, 4], "f32"),
                              o=Arr([1, 2, 3, 4], "bf16"), t=Arr(range(8), "f32"), perm=[1, 0, 2, 3, 4, 5, 6, 7], outliers=o)
    for label in ("codes0", "codes1", "codebook", "s", "z", "o", "t", "perm", "starts", "columns", "values"):
        for what, fn in (("shorter", lambda b: b[:-1]), ("longer", lambda b: b + b"\0")):
            if label not in ("codes0", "s", "columns") and what == "shorter":
                continue
            add("R-ENC-6", "%s-%s" % (label, what), "The plane %s of a linear encoding has a byte too %s." % (label, "few" if what == "shorter" else "many"),
                build(one(edit_plane(full().enc(), label, fn))))
    add("R-ENC-6", "columns-of-4-bytes", "Outlier columns of 4 bytes with 8 columns.",
        build(one(edit_plane(full().enc(), "columns", lambda b: np.frombuffer(b, "<u2").astype("<u4").tobytes()))))
    add("R-ENC-6", "outlier-columns-values", "There is one value of outlier columns too few.",
        build(one(edit_plane(full(cols).enc(), "values", lambda b: b[:-2]))))
    e = lin(s=nested()).enc()
    edit_plane(e.children[0], "codes0", lambda b: b + bytes(32))
    add("R-ENC-6", "nested-two-rows", "The codes of a nested encoding are packed as two rows.", build(one(e)))
    e = lin(q=np.arange(20).reshape(2, 10) % 16).enc()
    edit_plane(e, "codes0", lambda b: b[:32])
    add("R-ENC-6", "root-one-row", "The codes of a root are packed as one row.", build(one(e)))
    e = foreign(2, 4, 4, b"X", b"\1\2\3")
    add("R-ENC-6", "foreign", "The plane of a foreign encoding has a byte too many.", build(one(e, shape=[4])))

    add("R-RAW-1", "unknown-kind", "A tensor with no elements has an encoding of an unknown kind.", build(File([Tensor("w", "F32", [3, 0], Enc(77, b"", flags=0))])))


BITS, ARITH, RESULT, CODEBOOK, PERM, OUT, OTYPE, ROWS, COLS, GROWS, GCOLS, COUNT, S, Z, O, T_ = 0, 1, 2, 3, 4, 5, 6, 8, 16, 24, 32, 40, 48, 56, 64, 72


def linear_rules():
    rows = ("rows", "f16", [([0, 7], [1, 2]), ([3], [4])])
    cols = ("columns", "f16", [1, 5], [[1, 2], [3, 4]])
    swap = [1, 0, 2, 3, 4, 5, 6, 7]
    for b in (0, 9, 255):
        add("R-LIN-1", "bits-%d" % b, "bits is %d." % b, build(one(poke(lin().enc(), BITS, "<B", b))))
    for at, name in ((ARITH, "arithmetic"), (RESULT, "result")):
        add("R-LIN-1", name, "%s is 3." % name, build(one(poke(lin().enc(), at, "<B", 3))))
    add("R-LIN-1", "outlier-type", "The outlier type is 3.", build(one(poke(lin(outliers=rows).enc(), OTYPE, "<B", 3))))
    add("R-LIN-1", "codebook", "codebook is 2, and there is one.", build(one(poke(lin(codebook=np.arange(16) - 7.5).enc(), CODEBOOK, "<B", 2))))
    add("R-LIN-1", "permutation", "permutation is 2, and there is one.", build(one(poke(lin(s=Arr([1, 2, 3, 4], "f16"), perm=swap).enc(), PERM, "<B", 2))))
    add("R-LIN-1", "outliers", "outliers is 3.", build(one(poke(lin(outliers=cols).enc(), OUT, "<B", 3))))
    e = lin(s=nested()).enc()
    poke(e.children[0], ARITH, "<B", 255)
    add("R-LIN-1", "nested", "The arithmetic of a nested encoding is 255.", build(one(e)))

    for at, name in ((ROWS, "rows"), (COLS, "columns")):
        add("R-LIN-2", name + "-0", "%s is 0." % name, build(one(poke(lin(s=Const(0.5)).enc(), at, "<Q", 0))))
    add("R-LIN-2", "too-few", "The view has 16 elements, the tensor 18.", build(one(lin(s=Const(0.5)).enc(), shape=[2, 9])))
    add("R-LIN-2", "too-many", "The view has 16 elements, the tensor 15.", build(one(lin(s=Const(0.5)).enc(), shape=[3, 5])))
    e = lin(q=[[1, 2]], bits=1 + 1, group=(1, 2), s=Const(0.5)).enc()
    poke(e, ROWS, "<Q", 2**63)
    poke(e, GROWS, "<Q", 1)
    add("R-LIN-2", "overflow", "R * C is 2^64.", build(one(e, shape=[1, 2])))
    e = lin(q=[[1, 0]], bits=1, group=(1, 2), s=Const(0.5)).enc()
    poke(e, ROWS, "<Q", 2**24)
    poke(e, COLS, "<Q", 2**24)
    poke(e, GCOLS, "<Q", 2**24)
    poke(e, GROWS, "<Q", 2**24)
    add("R-LIN-2", "2-48", "R * C is 2^48.", build(one(e, "F16", [2**24, 2**24])))
    add("R-LIN-2", "wide-outliers", "2^32 columns and outliers.", wide())
    e = lin(q=[[1, 0]], bits=1, group=(1, 2), s=Const(0.5), perm=[1, 0]).enc()
    poke(e, COLS, "<Q", 2**32)
    poke(e, GCOLS, "<Q", 2**32)
    add("R-LIN-2", "wide-permutation", "2^32 columns and a permutation.", build(one(e, "F16", [1, 2**32])))

    for at, name, n in ((GROWS, "rows", 3), (GCOLS, "columns", 9)):
        add("R-LIN-3", name + "-0", "The group %s are 0." % name, build(one(poke(lin(s=Const(0.5)).enc(), at, "<Q", 0))))
        add("R-LIN-3", name + "-too-large", "The group %s are one more than the %s." % (name, name), build(one(poke(lin(s=Const(0.5)).enc(), at, "<Q", n))))
        add("R-LIN-3", name + "-huge", "The group %s are 2^64 - 1." % name, build(one(poke(lin(s=Const(0.5)).enc(), at, "<Q", 2**64 - 1))))
    e = lin(s=nested()).enc()
    poke(e.children[0], GCOLS, "<Q", 3)
    add("R-LIN-3", "nested", "The group columns of a nested encoding are one more than its columns.", build(one(e)))

    for at, name in ((S, "s"), (Z, "z"), (O, "o")):
        add("R-LIN-4", name + "-form-4", "The form of %s is 4." % name, build(one(poke(lin().enc(), at, "<B", 4))))
    e = lin(t=Arr(range(8), "f32")).enc()
    e.children = [Linear([list(range(8))], 4, (1, 8)).enc(nested=True)]
    drop_plane(e, "t")
    add("R-LIN-4", "t-nested", "t is nested.", build(one(poke(e, T_, "<B", 3))))
    add("R-LIN-4", "array-type-3", "The type of an array is 3.", build(one(poke(lin().enc(), S + 1, "<B", 3))))
    add("R-LIN-4", "constant-type", "The type of a constant is 1.", build(one(poke(lin().enc(), Z + 1, "<B", 1))))
    add("R-LIN-4", "absent-type", "The type of an absent operand is 2.", build(one(poke(lin().enc(), O + 1, "<B", 2))))
    add("R-LIN-4", "nested-type", "The type of a nested operand is 1.", build(one(poke(lin(s=nested()).enc(), S + 1, "<B", 1))))
    add("R-LIN-4", "array-constant", "The constant field of an array is not 0.", build(one(poke(lin().enc(), S + 4, "<I", 0x3F000000))))
    add("R-LIN-4", "absent-constant", "The constant field of an absent operand is not 0.", build(one(poke(lin().enc(), T_ + 4, "<I", 0x3F000000))))
    add("R-LIN-4", "nested-constant", "The constant field of a nested operand is not 0.", build(one(poke(lin(s=nested()).enc(), S + 4, "<I", 1))))

    one_, zero = Const(1.0), Const(0.0)
    for name, c in (("s", one_), ("z", zero), ("o", zero), ("t", one_)):
        kw = {name: c}
        add("R-LIN-5", name, "%s is a neutral constant." % name, build(one(lin(**kw).enc())))
    e = lin(s=nested(s=Const(1.0))).enc()
    add("R-LIN-5", "nested", "s of a nested encoding is the constant 1.", build(one(e)))

    for name in "szo":
        add("R-LIN-6", name, "%s is an array of one element." % name, build(one(lin(group=(2, 8), **{name: Arr([3], "f16")}).enc())))
    add("R-LIN-6", "t", "t is an array, and there is one column.", build(one(Linear([[1], [2]], 4, (1, 1), t=Arr([3], "f32")).enc())))
    add("R-LIN-6", "nested", "A nested scale has one element.", build(one(lin(group=(2, 8), s=Linear([[3]], 4, (1, 1))).enc())))
    add("R-LIN-6", "in-nested", "s of a nested encoding is an array of one element.", build(one(lin(s=nested(s=Arr([3], "f16"))).enc())))

    for name, typ in (("s", "f16"), ("z", "f32"), ("o", "bf16")):
        add("R-LIN-7", name, "All elements of the array %s are equal." % name, build(one(lin(**{name: Arr([3] * 4, typ)}).enc())))
    add("R-LIN-7", "t", "All elements of the array t are equal.", build(one(lin(t=Arr([2] * 8, "f16")).enc())))
    add("R-LIN-7", "nan", "All elements of the array s are the same NaN.", build(one(lin(s=Arr([np.nan] * 4, "f32")).enc())))
    add("R-LIN-7", "nested-codes", "The codes of a nested scale with a constant are all equal.", build(one(lin(s=nested(q=[[5, 5], [5, 5]])).enc())))
    add("R-LIN-7", "nested-identity-zero", "The codes of a nested zero-point without operands are all 0.", build(one(lin(z=Linear([[0, 0], [0, 0]], 4, (2, 2))).enc())))
    add("R-LIN-7", "nested-codebook", "The codes of a nested scale with a codebook are all equal.",
        build(one(lin(s=Linear([[1, 1], [1, 1]], 2, (2, 2), codebook=[1, 2, 3, 4])).enc())))
    add("R-LIN-7", "in-nested", "All elements of the array s of a nested encoding are equal.", build(one(lin(s=nested(group=(1, 2), s=Arr([3, 3], "f16"))).enc())))

    e = lin(outliers=rows).enc()
    drop_plane(drop_plane(e, "columns"), "values")
    edit_plane(e, "starts", lambda b: bytes(len(b)))
    add("R-LIN-8", "count-0", "There are unstructured outliers, of which there are 0.", build(one(poke(e, COUNT, "<Q", 0))))
    add("R-LIN-8", "count-without", "There are no outliers, the count is 1.", build(one(poke(lin().enc(), COUNT, "<Q", 1))))
    add("R-LIN-8", "type-without", "There are no outliers, the type is 1.", build(one(poke(lin().enc(), OTYPE, "<B", 1))))
    many = ("rows", "f16", [(list(range(8)) + [8], [1] * 9), (list(range(8)), [1] * 8)])
    add("R-LIN-8", "too-many-rows", "17 outliers of 16 elements.", build(one(lin(outliers=many).enc())))
    many = ("columns", "f16", list(range(9)), [[1] * 9] * 2)
    add("R-LIN-8", "too-many-columns", "9 outlier columns of 8.", build(one(lin(outliers=many).enc())))
    e = lin(outliers=rows).enc()
    add("R-LIN-8", "count-huge", "The outlier count is 2^63.", build(one(poke(e, COUNT, "<Q", 2**63))))

    for d in ("I32", "BOOL", "C64", "F8_E8M0", "F8_E4M3FNUZ"):
        add("R-LIN-9", d.lower().replace("_", "-"), "A tensor of %s has a linear encoding." % d, build(one(lin().enc(), d)))

    e = lin(s=nested()).enc()
    e.children = [raw(np.array([1, 2, 3, 4], "<f4"))]
    add("R-NEST-1", "raw", "The nested scale is raw.", build(one(e)))
    e = lin(s=nested()).enc()
    e.children = [foreign(4, 1, 4, b"F32", np.array([1, 2, 3, 4], "<f4").tobytes())]
    add("R-NEST-1", "foreign", "The nested scale is foreign.", build(one(e)))
    e = lin(s=nested()).enc()
    e.children = [unknown()]
    add("R-NEST-1", "unknown-kind", "The nested scale is of an unknown kind.", build(one(e)))
    add("R-NEST-1", "result", "The nested scale has result f16.", build(one(lin(s=nested(result="f16")).enc())))
    add("R-NEST-1", "permutation", "The nested scale has a permutation.", build(one(lin(s=nested(perm=[1, 0])).enc())))
    add("R-NEST-1", "t-constant", "The nested scale has a constant t.", build(one(lin(s=nested(t=Const(2.0))).enc())))
    add("R-NEST-1", "t-array", "The nested scale has an array t.", build(one(lin(s=nested(t=Arr([1, 2], "f32"))).enc())))
    add("R-NEST-1", "outliers", "The nested scale has outliers.", build(one(lin(s=nested(outliers=("columns", "f16", [0], [[1], [2]]))).enc())))

    q3 = np.arange(24).reshape(3, 8) % 16
    n = [1, 2, 3, 4, 5, 6]
    mk = lambda view, group: lin(q=q3, s=Linear(np.reshape(n, view), 4, group, s=Const(0.5))).enc()
    add("R-NEST-2", "transposed", "3 by 2 groups; the child's view is (2, 3).", build(one(mk((2, 3), (1, 3)))))
    add("R-NEST-2", "column", "3 by 2 groups; the child's view is (6, 1).", build(one(mk((6, 1), (6, 1)))))
    e = lin(q=q3, s=Linear([[1, 2, 3, 4]], 4, (1, 4), s=Const(0.5))).enc()
    add("R-NEST-2", "too-few", "3 by 2 groups; the child has 4 elements.", build(one(e)))
    e = lin(q=q3, s=Linear([n + [7]], 4, (1, 7), s=Const(0.5))).enc()
    add("R-NEST-2", "too-many", "3 by 2 groups; the child has 7 elements.", build(one(e)))

    p = lambda perm: build(one(lin(s=Arr([1, 2, 3, 4], "f16"), perm=perm).enc()))
    add("R-PERM-1", "twice", "The permutation has column 2 twice and column 3 not at all.", p([1, 0, 2, 2, 4, 5, 6, 7]))
    add("R-PERM-1", "out-of-range", "The permutation has column 8 of 8.", p([1, 0, 2, 3, 4, 5, 6, 8]))
    add("R-PERM-1", "huge", "The permutation has column 2^32 - 1.", p([1, 0, 2, 3, 4, 5, 6, 2**32 - 1]))
    add("R-PERM-2", "identity", "The permutation is the identity.", p(range(8)))

    def starts(v):
        return build(one(edit_plane(lin(outliers=("rows", "f16", [([0, 7], [1, 2]), ([3], [4])])).enc(), "starts", lambda b: np.array(v, "<u8").tobytes())))
    add("R-OUT-1", "first", "The row starts begin with 1.", starts([1, 2, 3]))
    add("R-OUT-1", "descend", "The row starts are 0, 4, 3.", starts([0, 4, 3]))
    add("R-OUT-1", "end-too-small", "The last row start is 2, the outlier count 3.", starts([0, 2, 2]))
    add("R-OUT-1", "end-too-large", "The last row start is 4, the outlier count 3.", starts([0, 2, 4]))
    add("R-OUT-1", "huge", "A row start is 2^64 - 1.", starts([0, 2**64 - 1, 3]))
    o = lambda a, b: build(one(lin(outliers=("rows", "f16", [(a, [1, 2]), (b, [4])])).enc()))
    add("R-OUT-2", "order", "The columns of a row descend.", o([7, 0], [3]))
    add("R-OUT-2", "equal", "A row has the same column twice.", o([7, 7], [3]))
    add("R-OUT-2", "out-of-range", "A column is 8 of 8.", o([0, 8], [3]))
    add("R-OUT-2", "out-of-range-second-row", "A column of the second row is 65535.", o([0, 7], [65535]))
    c = lambda cs: build(one(lin(outliers=("columns", "f32", cs, [[1, 2], [3, 4]])).enc()))
    add("R-OUT-2", "columns-order", "The outlier columns descend.", c([5, 1]))
    add("R-OUT-2", "columns-equal", "An outlier column is there twice.", c([5, 5]))
    add("R-OUT-2", "columns-out-of-range", "An outlier column is 8 of 8.", c([5, 8]))

    def setbit(at, mask):
        def fn(b):
            assert b[at] & mask == 0
            b[at] |= mask
        return fn
    add("R-PACK-1", "high-nibble", "A padding code of 4 bits (column 32) is 1.", build(one(edit_plane(lin().enc(), "codes0", setbit(0, 0x10)))))
    add("R-PACK-1", "column-8", "A padding code of 4 bits (column 8, the first one) is 8.", build(one(edit_plane(lin().enc(), "codes0", setbit(8, 0x08)))))
    add("R-PACK-1", "second-row", "The last padding code of the second row is 8.", build(one(edit_plane(lin().enc(), "codes0", setbit(63, 0x80)))))
    add("R-PACK-1", "second-field", "A padding code of 3 bits (column 63) is 4.", build(one(edit_plane(lin(Q % 8, 3).enc(), "codes1", setbit(7, 0x80)))))
    add("R-PACK-1", "8-bits", "A padding code of 8 bits (column 63) is 1.", build(one(edit_plane(lin(bits=8).enc(), "codes0", setbit(63, 1)))))
    q = np.arange(66).reshape(1, 66) % 2
    add("R-PACK-1", "second-unit", "A padding code of 1 bit (column 66) is 1.", build(one(edit_plane(Linear(q, 1, (1, 66), s=Const(0.5)).enc(), "codes0", setbit(8 + 2, 1)))))
    e = lin(s=nested()).enc()
    edit_plane(e.children[0], "codes0", setbit(4, 1))
    add("R-PACK-1", "nested", "The first padding code of a nested encoding is 1.", build(one(e)))

    fo = lambda bb, be, n, name=b"Q4_0", data=b"\1\2\3\4", shape=(8,): build(one(foreign(bb, be, n, name, data), "F16", list(shape)))
    add("R-FOR-1", "elements-per-block-0", "The elements per block are 0.", fo(2, 0, 8))
    add("R-FOR-1", "bytes-per-block-0", "The bytes per block are 0.", fo(0, 4, 8))
    add("R-FOR-1", "elements", "The blocks have 8 elements, the tensor 9.", fo(2, 4, 8, shape=(9,)))
    add("R-FOR-1", "not-a-multiple", "10 elements in blocks of 4.", fo(2, 4, 10, shape=(10,)))
    for what, name in (("empty", b""), ("256-bytes", b"Q" * 256)):
        add("R-FOR-2", what, "The name of the block type has %d bytes." % len(name), fo(2, 4, 8, name))
    for what, name in (("space", b"Q4 0"), ("control", b"Q\x1f"), ("delete", b"Q\x7f"), ("high", "Q4é".encode()), ("nul", b"Q4_0\0")):
        add("R-FOR-2", what, "The name of the block type has a byte outside 0x21 to 0x7E.", fo(2, 4, 8, name))


def wide():
    """One row of 2^32 codes of one bit, compressed: 512 chunks of 1 MiB of zeros."""
    zeros = bytes(CHUNK)
    frame = zframe([("rle", 0, CHUNK)], content=CHUNK)
    n = 2**32
    e = lin(q=[[0, 0]], bits=1, group=(1, 2), s=Const(0.5), outliers=("rows", "f16", [([1], [1])])).enc()
    poke(e, COLS, "<Q", n)
    poke(e, GCOLS, "<Q", n)
    e.planes[0] = Plane([zeros] * 512, [(1, frame)] * 512)
    e.plane("columns").data = struct.pack("<I", 1)
    return build(one(e, "F16", [1, n]))


# ---- metadata, attachments, shards, sources, SHA-256, dead ranges

def table_rules():
    m = lambda *ms, **kw: build(File(metadata=[Meta(*x) for x in ms], **kw))
    add("R-META-1", "order", "Keys \"b\" and \"a\" are in this order.", m(("b", "u8", 1), ("a", "u8", 1), sort=False))
    add("R-META-1", "equal", "Two values have the same key.", m(("a", "u8", 1), ("a", "u8", 2), sort=False))
    add("R-META-2", "empty", "A key is empty.", m(("", "u8", 1)))
    add("R-META-2", "4097-bytes", "A key has 4097 bytes.", m(("k" * 4097, "u8", 1)))
    add("R-META-2", "not-utf-8", "A key is not UTF-8.", m((b"\xed\xbf\xbf", "u8", 1)))
    add("R-META-3", "type-13", "A type is 13.", m(("a", 13, b"\0")))
    add("R-META-3", "array-of-arrays", "The element type of an array is 12.", m(("a", 12, b"", 12)))
    add("R-META-3", "element-type-of-scalar", "The element type of a u8 is 1.", m(("a", 1, b"\0", 1)))
    add("R-META-3", "element-type-of-string", "The element type of a string is 11.", m(("a", 11, b"s", 11)))
    for name, t, n in (("bool-empty", 0, 0), ("bool-2", 0, 2), ("u16-3", 3, 3), ("i32-8", 6, 8), ("u64-4", 7, 4), ("f64-7", 10, 7)):
        add("R-META-4", name, "A scalar has %d bytes." % n, m(("a", t, bytes(n))))
    add("R-META-4", "array-u16-3", "An array of u16 has 3 bytes.", m(("a", 12, bytes(3), 3)))
    add("R-META-4", "array-f64-12", "An array of f64 has 12 bytes.", m(("a", 12, bytes(12), 10)))
    s = lambda b: m(("a", 12, b, 11))
    add("R-META-4", "array-string-cut-size", "An array of strings ends within a size.", s(struct.pack("<I", 1) + b"x" + b"\0\0\0"))
    add("R-META-4", "array-string-cut", "An array of strings ends within a string.", s(struct.pack("<I", 3) + b"ab"))
    add("R-META-4", "array-string-huge", "The size of a string in an array is 2^32 - 1.", s(struct.pack("<I", 2**32 - 1) + b"ab"))
    add("R-META-5", "bool", "A bool is 2.", m(("a", 0, b"\2")))
    add("R-META-5", "array-bool", "A bool in an array is 255.", m(("a", 12, b"\0\1\xff", 0)))
    add("R-META-5", "string", "A string is not UTF-8.", m(("a", 11, b"abc\xff")))
    add("R-META-5", "array-string", "A string in an array is not UTF-8.", s(struct.pack("<I", 1) + b"\xc3" + struct.pack("<I", 1) + b"\xa4"))

    a = lambda *names, **kw: build(File(attachments=[Attachment(n, b"") for n in names], **kw))
    add("R-ATT-1", "order", "Attachments \"b\" and \"a\" are in this order.", a("b", "a", sort=False))
    add("R-ATT-1", "equal", "Two attachments have the same name.", a("a", "a", sort=False))
    names = {"empty": "", "dot": ".", "dot-dot": "..", "parent": "../a", "folder-parent": "a/..", "folder-dot": "./a", "absolute": "/a", "folder": "a/",
             "three-components": "a/b/c", "two-slashes": "a//b", "slash": "/", "backslash": "a\\b", "colon": "c:a", "nul": "a\0b", "newline": "a\nb", "unit-separator": "\x1f",
             "delete": "a\x7f", "u0080": "a\u0080", "u009f": "\u009fa", "256-bytes": "a" * 256, "256-bytes-second": "a/" + "é" * 128}
    for what, n in names.items():
        add("R-ATT-2", what, "The name of an attachment is not a safe name.", a(n))
    add("R-ATT-2", "not-utf-8", "The name of an attachment is not UTF-8.", a(b"a\xffb"))
    add("R-ATT-2", "overlong-slash", "The name of an attachment is not UTF-8: an overlong '/'.", a(b"..\xc0\xafa"))
    f = File([w()], attachments=[Attachment("a", b"")])
    add("R-ATT-3", "past-end", "The plane of an attachment is 1, there is one plane.", build(f, tables=rec("attachments", 0, plane=1)))
    add("R-ATT-3", "huge", "The plane of an attachment is 2^32 - 2.", build(f, tables=rec("attachments", 0, plane=NO - 1)))

    one_ = File([w("one")])
    two = File([w("two")])
    extra("shard-of-one.ingot", build(one_))
    extra("shard-of-two.ingot", build(two))
    sh = lambda n, f, **kw: Shard("shard-of-%s.ingot" % n, f, **kw)
    add("R-SHD-1", "order", "The shards are in the wrong order.", build(File(shards=[sh("two", two), sh("one", one_)], sort=False)))
    empty = File()
    extra("shard-of-nothing.ingot", build(empty))
    add("R-SHD-1", "equal", "A shard, which has no tensors, is there twice.", build(File(shards=[sh("nothing", empty), sh("nothing", empty)], sort=False)))
    for what, n in {"parent": "../shard-of-one.ingot", "folder": "a/shard-of-one.ingot", "empty": "", "dot-dot": "..", "backslash": "a\\b", "colon": "c:x",
                    "control": "a\x01", "256-bytes": "s" * 256, "not-utf-8": b"\xff"}.items():
        add("R-SHD-2", what, "The name of a shard is not a safe name of one component.", build(File(shards=[Shard(n, one_)])))
    add("R-SHD-3", "flag-missing", "There are shards, the required feature is not set.", build(File(shards=[sh("one", one_)], required=0)))
    add("R-SHD-3", "flag-without-shards", "The required feature is set, there are no shards.", build(File([w()], required=1)))
    add("R-SHD-3", "tensors", "A file with shards has a tensor.", build(File([w("w")], shards=[sh("one", one_)])))
    add("R-SHD-4", "missing", "A shard is not there.", build(File(shards=[sh("one", one_), Shard("shard-of-missing.ingot", two)])))
    manifest = File(shards=[sh("one", one_)])
    extra("shard-of-manifest.ingot", build(manifest))
    add("R-SHD-4", "manifest", "A shard is a manifest.", build(File(shards=[sh("manifest", manifest)])))
    extra("shard-of-bad-slot.ingot", build(two, image=flip(8000)))
    add("R-SHD-4", "bad-slot", "Only one slot of a shard is good.", build(File(shards=[sh("bad-slot", two)])))
    extra("shard-of-bad-chunk.ingot", build(two, image=flip(8192)))
    add("R-SHD-4", "bad-chunk", "A byte of a tensor in a shard has changed.", build(File(shards=[sh("bad-chunk", two)])))
    extra("shard-of-text.ingot", b"not an Ingot file\n")
    add("R-SHD-4", "not-ingot", "A shard is a text file.", build(File(shards=[sh("text", empty)])))
    add("R-SHD-5", "names-digest", "The names digest of a shard is not the one in the manifest.",
        build(File(shards=[sh("one", one_, names_digest=two.names_digest()), sh("two", two)])))
    add("R-SHD-6", "stale", "The content digest of a shard is not the one in the manifest.",
        build(File(shards=[sh("one", one_), sh("two", two, content_digest=File([w("two", 5)]).content_digest())])))
    again = File([w("two", 3), w("one", 5)])
    extra("shard-of-two-again.ingot", build(again))
    add("R-SHD-7", "same-name", "Two shards have a tensor of the same name.", build(File(shards=[sh("one", one_), sh("two-again", again)])))

    sr = lambda *names, **kw: build(File(sources=[Source(n, b"source") for n in names], **kw))
    add("R-SRC-1", "order", "Sources \"b\" and \"a\" are in this order.", sr("b", "a", sort=False))
    add("R-SRC-1", "equal", "Two sources have the same name.", sr("a", "a", sort=False))
    for what, n in {"folder": "a/b", "parent": "..", "empty": "", "backslash": "a\\b", "256-bytes": "a" * 256, "not-utf-8": b"\xff", "control": "\x7f"}.items():
        add("R-SRC-1", what, "The name of a source is not a safe name of one component.", sr(n))

    f = lambda: simple(sources=[Source("s", b"source")], sha256=True)
    add("R-SHA-1", "too-few", "The last SHA-256, which is that of the source, is missing.", build(f(), tables=lambda T: T["sha256"].pop()))
    add("R-SHA-1", "too-many", "There is one SHA-256 too many.", build(f(), tables=lambda T: T["sha256"].append(dict(hash=bytes(32)))))
    add("R-SHA-2", "raw", "The SHA-256 of the first plane is wrong.", build(f(), tables=rec("sha256", 0, hash=lambda h: h[:31] + bytes([h[31] ^ 1]))))
    z = File([Tensor("w", "U8", [500], raw(bytes(500), [1]))], sha256=True)
    stored = z.tensors[0].parts[0][1].planes[0].stored()
    add("R-SHA-2", "stored-bytes", "The SHA-256 of a framed plane is that of its stored bytes.", build(z, tables=rec("sha256", 0, hash=hashlib.sha256(stored).digest())))

    add("R-FEAT-1", "set-without-frames", "The required feature zstd is set, there are no frames.", build(File([w()], required=2)))
    add("R-FEAT-1", "not-set", "The required feature zstd is not set, there are frames.", build(File([Tensor("w", "U8", [500], raw(bytes(500), [1]))], required=0)))

    f = File([w()], layout=lambda ps: ps + [Dead(b"first"), Dead(b"second"), INDEX])
    add("R-DEAD-1", "order", "Two dead ranges are in the wrong order.", build(f, tables=lambda T: T["dead"].reverse()))
    f = File([w()], layout=lambda ps: ps + [Dead(b""), INDEX])
    add("R-DEAD-1", "size-0", "A dead range has size 0.", build(f))


def make():
    FILES.clear()
    INDEX_JSON.clear()
    for fn in (file_and_header, index_rules, plane_rules, tensor_rules, encoding_rules, linear_rules, table_rules):
        fn()
    for rule, names in CORE.items():
        for n in names:
            assert "%s-%s.ingot" % (rule, n) in FILES, (rule, n)
    return FILES, INDEX_JSON
