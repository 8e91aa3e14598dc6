"""A small, slow, straightforward writer of Ingot files, with hooks at every level.

A file is built in stages, and each stage can be disturbed by a hook. Everything that a later stage computes (offsets, tiling,
hashes, checksums, sizes) is computed from what the hook left behind. So a file with one thing wrong has nothing else wrong.

  model       File, Tensor, Enc, Plane: change any attribute before build()
  tables(T)   the records of all tables, as lists of dicts, before heap offsets are given out
  places(rs)  the regions with their offsets, before anything refers to them
  directory   the directory entries, before offsets are given out; entry keys: kind, size, count, data
  entries     the directory entries after that (key: offset)
  index       the bytes of the index, before it is hashed
  slots       the fields of both slots, before checksums
  image       the bytes of the whole file

Hooks are functions that change their argument in place. build() may run the stages more than once (the place of the index can
depend on its size), so a hook must do the same thing to a fresh argument each time.
"""
import hashlib
import struct

import numpy as np
import xxhash
import zstandard

CHUNK = 1 << 20
NO = 0xFFFFFFFF
MAGIC = b"\x89INGOT\r\n"

DTYPES = ["F32", "F16", "BF16", "F64", "F8_E4M3", "F8_E5M2", "I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8", "BOOL", "C64",
          "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"]
DTYPE_BYTES = [4, 2, 2, 8, 1, 1, 8, 4, 2, 1, 8, 4, 2, 1, 1, 8, 1, 1, 1]
META_TYPES = ["bool", "u8", "i8", "u16", "i16", "u32", "i32", "u64", "i64", "f32", "f64", "string", "array"]
META_FORMAT = ["<B", "<B", "<b", "<H", "<h", "<I", "<i", "<Q", "<q", "<f", "<d"]


def h128(data):
    return xxhash.xxh3_128_intdigest(bytes(data)).to_bytes(16, "little")


def h64(data):
    return xxhash.xxh3_64_intdigest(bytes(data))


def digest_text(h):
    return "xxh3:%032x" % int.from_bytes(h, "little")


class Rng:
    """xorshift64*: the same numbers everywhere, forever."""

    def __init__(self, seed):
        self.x = (seed * 0x9E3779B97F4A7C15 + 1) & (2**64 - 1)
        for _ in range(4):
            self.u64()

    def u64(self):
        x = self.x
        x ^= x >> 12
        x = (x ^ (x << 25)) & (2**64 - 1)
        x ^= x >> 27
        self.x = x
        return (x * 0x2545F4914F6CDD1D) & (2**64 - 1)

    def below(self, n):
        return (self.u64() >> 11) % n

    def ints(self, shape, n):
        return np.array([self.below(n) for _ in range(int(np.prod(shape)))], np.int64).reshape(shape)

    def floats(self, shape, lo=-1.0, hi=1.0):
        v = [lo + (hi - lo) * ((self.u64() >> 11) / 2.0**53) for _ in range(int(np.prod(shape)))]
        return np.array(v, np.float64).astype(np.float32).reshape(shape)

    def bytes(self, n):
        return bytes(self.below(256) for _ in range(n))


# ---- number types

def round_bf16(x):
    x = np.asarray(x, np.float32)
    b = x.view(np.uint32) if x.ndim else x.reshape(1).view(np.uint32)
    r = ((b.astype(np.uint64) + 0x7FFF + ((b >> 16) & 1)) & 0xFFFF0000).astype(np.uint32)
    r = np.where(np.isnan(x), np.uint32(0x7FC00000), r).astype(np.uint32)
    return r.view(np.float32).reshape(x.shape)


def round_f16(x):
    with np.errstate(all="ignore"):
        return np.asarray(x, np.float32).astype(np.float16).astype(np.float32)


ROUND = [lambda x: np.asarray(x, np.float32), round_f16, round_bf16]
TYPE = {"f32": 0, "f16": 1, "bf16": 2}


def to_bytes(values, typ):
    """The bytes of f32 values that typ (0 f32, 1 f16, 2 bf16) holds exactly after one rounding."""
    v = np.asarray(values, np.float32)
    if typ == 0:
        return v.astype("<f4").tobytes()
    if typ == 1:
        with np.errstate(all="ignore"):
            return v.astype("<f2").tobytes()
    return (round_bf16(v).view(np.uint32) >> 16).astype("<u2").tobytes()


# ---- Zstandard

def zstd(data, level=19, **kw):
    return zstandard.ZstdCompressor(level=level, write_content_size=True, write_dict_id=False, **kw).compress(bytes(data))


def zframe(blocks, content=None, window=None, dict_id=None, checksum=None, reserved=0):
    """A Zstandard frame by hand. blocks: ('raw', bytes), ('rle', byte, count), ('bad',). content: the stated content size or None.
    window: window descriptor byte; None: a single segment."""
    fhd = 0
    tail = b""
    if window is not None:
        tail += bytes([window])
    else:
        fhd |= 0x20
    if dict_id is not None:
        fhd |= 1
        tail += bytes([dict_id])
    if content is not None:
        fhd |= 0x80
        tail += struct.pack("<I", content)
    elif window is None:
        raise ValueError("a single segment states its content size")
    if checksum is not None:
        fhd |= 4
    out = struct.pack("<IB", 0xFD2FB528, fhd | reserved) + tail
    flat = []
    for b in blocks:
        if b[0] == "rle":
            n = b[2]
            while n > 0:
                flat.append((1, min(n, 131072), bytes([b[1]])))
                n -= 131072
        elif b[0] == "raw":
            flat.append((0, len(b[1]), b[1]))
        else:
            flat.append((3, 1, b"\0"))
    for i, (t, n, d) in enumerate(flat):
        out += struct.pack("<I", (n << 3) | (t << 1) | (i == len(flat) - 1))[:3] + d
    if checksum is not None:
        out += struct.pack("<I", checksum)
    return out


def transpose(data, width):
    n = len(data) // width
    return np.frombuffer(bytes(data), np.uint8).reshape(n, width).T.tobytes()


# ---- the model

class Plane:
    """data: the logical bytes, or a list of chunks. methods: None (raw), or for each chunk a method or (method, stored bytes)."""

    def __init__(self, data, methods=None, label=""):
        self.label = label
        self.data = data
        self.methods = methods
        self.declared = None       # a size that is not that of the data
        self.frame_order = None    # order in which the frames lie in the file

    def chunks(self):
        if isinstance(self.data, list):
            return self.data
        d = bytes(self.data)
        return [d[i:i + CHUNK] for i in range(0, len(d), CHUNK)]

    def size(self):
        return sum(len(c) for c in self.chunks())

    def frames(self):
        """(method, stored bytes) for each chunk, or None."""
        if self.methods is None:
            return None
        out = []
        for c, m in zip(self.chunks(), self.methods):
            if isinstance(m, tuple):
                out.append(m)
            elif m == 0:
                out.append((0, c))
            else:
                out.append((m, zstd(c if m == 1 else transpose(c, 2 if m == 2 else 4))))
        return out

    def stored(self):
        fr = self.frames()
        if fr is None:
            return b"".join(self.chunks())
        return b"".join(fr[i][1] for i in (self.frame_order or range(len(fr))))


class Dead:
    def __init__(self, data):
        self.data = data

    def stored(self):
        return self.data


class Hidden(Dead):
    """Bytes in the file that no table knows of."""


class Index:
    pass


INDEX = Index()


class Enc:
    def __init__(self, kind, payload=b"", planes=(), children=(), flags=1, model=None):
        self.kind, self.payload, self.flags = kind, bytearray(payload), flags
        self.planes, self.children, self.model = list(planes), list(children), model
        self.plane_table = None    # None: its planes go into the plane table

    def plane(self, label):
        return next(p for p in self.planes if p.label == label)

    def all(self):
        out = []
        for c in self.children:
            out += c.all()
        return out + [self]

    def digest_bytes(self):
        out = struct.pack("<HBBHH", self.kind, self.flags, len(self.children), len(self.payload), len(self.planes)) + bytes(self.payload)
        for p in self.planes:
            out += struct.pack("<Q", p.size()) + b"".join(h128(c) for c in p.chunks())
        for c in self.children:
            out += c.digest_bytes()
        return out


class Const:
    def __init__(self, value=None, bits=None):
        self.bits = bits if bits is not None else int(np.array(value, np.float32).view(np.uint32))

    def values(self):
        return np.array(self.bits, np.uint32).view(np.float32)


class Arr:
    """Values over the groups (or columns), rounded to the type once, here."""

    def __init__(self, values, typ):
        self.typ = TYPE[typ]
        self.v = ROUND[self.typ](np.asarray(values, np.float32)).reshape(-1)

    def values(self):
        return self.v

    def bytes(self):
        return to_bytes(self.v, self.typ)


FIELDS = {1: [1], 2: [2], 3: [2, 1], 4: [4], 5: [4, 1], 6: [4, 2], 7: [4, 2, 1], 8: [8]}


def pack(q, bits):
    """The planes of the fields of a matrix of codes, low field first."""
    q = np.asarray(q, np.int64)
    rows, n = q.shape
    units = -(-n // 64)
    padded = np.zeros((rows, units * 64), np.int64)
    padded[:, :n] = q
    out, shift = [], 0
    for f in FIELDS[bits]:
        v = ((padded >> shift) & ((1 << f) - 1)).reshape(rows, units, 8 // f, 8 * f)
        b = np.zeros((rows, units, 8 * f), np.int64)
        for k in range(8 // f):
            b |= v[:, :, k, :] << (f * k)
        out.append(b.astype(np.uint8).tobytes())
        shift += f
    return out


class Linear:
    """The linear encoding as numbers; enc() gives its bytes. q: codes, R by C (stored columns). group: (GR, GC).
    s, z, o: None, Const, Arr or Linear; t: None, Const or Arr. codebook: f32 values. perm: p[j].
    outliers: None, ('rows', type, [(columns, values) for each row]) or ('columns', type, columns, R by k values)."""

    def __init__(self, q, bits, group, s=None, z=None, o=None, t=None, codebook=None, perm=None, outliers=None, arithmetic="f32",
                 result="f32"):
        self.q = np.asarray(q, np.int64)
        self.bits, self.group = bits, group
        self.s, self.z, self.o, self.t = s, z, o, t
        self.codebook = None if codebook is None else np.asarray(codebook, np.float32)
        self.perm = None if perm is None else np.asarray(perm, np.int64)
        self.outliers, self.arithmetic, self.result = outliers, arithmetic, result

    def enc(self, nested=False, extra=b"", methods=None):
        R, C = self.q.shape
        count = otype = okind = 0
        planes = [Plane(b, label="codes%d" % i) for i, b in enumerate(pack(self.q.reshape(1, -1) if nested else self.q, self.bits))]
        if self.codebook is not None:
            planes.append(Plane(self.codebook.astype("<f4").tobytes(), label="codebook"))
        children = []
        ops = b""
        for name, x in (("s", self.s), ("z", self.z), ("o", self.o), ("t", self.t)):
            if x is None:
                ops += struct.pack("<BBHI", 0, 0, 0, 0)
            elif isinstance(x, Const):
                ops += struct.pack("<BBHI", 1, 0, 0, x.bits)
            elif isinstance(x, Arr):
                ops += struct.pack("<BBHI", 2, x.typ, 0, 0)
                planes.append(Plane(x.bytes(), label=name))
            else:
                ops += struct.pack("<BBHI", 3, 0, 0, 0)
                children.append(x.enc(nested=True) if isinstance(x, Linear) else x)
        if self.perm is not None:
            planes.append(Plane(self.perm.astype("<u4").tobytes(), label="perm"))
        if self.outliers is not None:
            otype = TYPE[self.outliers[1]]
            ctype = "<u2" if C <= 65536 else "<u4"
            if self.outliers[0] == "rows":
                okind = 1
                rows = self.outliers[2]
                start = np.concatenate([[0], np.cumsum([len(c) for c, _ in rows])])
                count = int(start[-1])
                planes.append(Plane(start.astype("<u8").tobytes(), label="starts"))
                planes.append(Plane(np.concatenate([np.asarray(c, np.int64) for c, _ in rows]).astype(ctype).tobytes(), label="columns"))
                planes.append(Plane(to_bytes(np.concatenate([np.asarray(v, np.float32) for _, v in rows]), otype), label="values"))
            else:
                okind = 2
                count = len(self.outliers[2])
                planes.append(Plane(np.asarray(self.outliers[2]).astype(ctype).tobytes(), label="columns"))
                planes.append(Plane(to_bytes(self.outliers[3], otype), label="values"))
        payload = struct.pack("<8B5Q", self.bits, TYPE[self.arithmetic], TYPE[self.result], self.codebook is not None,
                              self.perm is not None, okind, otype, 0, R, C, self.group[0], self.group[1], count) + ops
        if methods:
            for p in planes:
                if p.label in methods:
                    p.methods = methods[p.label]
        return Enc(2, payload + extra, planes, children, model=self)


class Raw:
    def __init__(self, data):
        self.data = data


def raw(data, methods=None, payload=b""):
    """A raw encoding of bytes (or of a numpy array)."""
    if isinstance(data, np.ndarray):
        data = data.tobytes()
    return Enc(1, payload, [Plane(data, methods, "raw")] if len(data) else [], model=Raw(data))


def foreign(block_bytes, block_elements, elements, name, data):
    return Enc(3, struct.pack("<IIQ", block_bytes, block_elements, elements) + name, [Plane(data, label="blocks")])


class Tensor:
    def __init__(self, name, dtype, shape, parts, axis=0, alias=None):
        self.name = name.encode() if isinstance(name, str) else name
        self.dtype = DTYPES.index(dtype) if isinstance(dtype, str) else dtype
        self.shape = list(shape)
        self.axis = axis
        if isinstance(parts, Enc):
            parts = [(self.shape[0] if self.shape else 1, parts)]
        self.parts = parts
        self.alias = alias         # another Tensor, whose parts these are

    def digest(self):
        out = struct.pack("<I", len(self.name)) + self.name
        out += struct.pack("<BBBBI", self.dtype, len(self.shape), self.axis, 0, len(self.parts))
        out += b"".join(struct.pack("<Q", d) for d in self.shape)
        for extent, e in self.parts:
            out += struct.pack("<Q", extent) + e.digest_bytes()
        return h128(out)


def alias(name, other):
    return Tensor(name, other.dtype, other.shape, other.parts, other.axis, other)


class Meta:
    """value: bytes as they are stored."""

    def __init__(self, key, typ, value, element=0):
        self.key = key.encode() if isinstance(key, str) else key
        self.typ = META_TYPES.index(typ) if isinstance(typ, str) else typ
        self.element = META_TYPES.index(element) if isinstance(element, str) else element
        self.text = value
        self.value = value if isinstance(value, bytes) else self.encode(value)

    def encode(self, v):
        def one(t, x):
            return x.encode() if t == 11 else struct.pack(META_FORMAT[t], x)
        if self.typ != 12:
            return one(self.typ, v)
        if self.element == 11:
            return b"".join(struct.pack("<I", len(x.encode())) + x.encode() for x in v)
        return b"".join(one(self.element, x) for x in v)


class Attachment:
    def __init__(self, name, data, methods=None):
        self.name = name.encode() if isinstance(name, str) else name
        self.plane = data if isinstance(data, Plane) else Plane(data, methods, "file") if len(data) else None


class Source:
    def __init__(self, name, data):
        self.name = name.encode() if isinstance(name, str) else name
        self.data = data


class Shard:
    def __init__(self, name, file, names_digest=None, content_digest=None):
        self.name = name.encode() if isinstance(name, str) else name
        self.file = file
        self.names = names_digest or file.names_digest()
        self.content = content_digest or file.content_digest()


class File:
    def __init__(self, tensors=(), metadata=(), attachments=(), shards=(), sources=(), sha256=False, alignment=64, major=0, minor=1,
                 generation=1, required=None, optional=0, layout=None, table_order=None, older=None, sort=True, trailing=b"",
                 slot_reserved=bytes(4000), extra_planes=()):
        self.tensors = sorted(tensors, key=lambda t: t.name) if sort else list(tensors)
        self.metadata = sorted(metadata, key=lambda m: m.key) if sort else list(metadata)
        self.attachments = sorted(attachments, key=lambda a: a.name) if sort else list(attachments)
        self.shards = sorted(shards, key=lambda s: s.name) if sort else list(shards)
        self.sources = sorted(sources, key=lambda s: s.name) if sort else list(sources)
        self.sha256, self.alignment, self.major, self.minor = sha256, alignment, major, minor
        self.generation, self.required, self.optional = generation, required, optional
        self.layout = layout            # planes -> list of Plane, Dead, Hidden, INDEX in the order of the file
        self.table_order = table_order  # planes in the order of the file -> planes in the order of the table
        self.older = older              # (slot number, its 4096 bytes): the slot that an edit leaves alone
        self.trailing = trailing
        self.slot_reserved = slot_reserved
        self.extra_planes = list(extra_planes)   # planes without an owner

    def all_tensors(self):
        return sorted(sum((s.file.all_tensors() for s in self.shards), list(self.tensors)), key=lambda t: t.name)

    def content_digest(self):
        return h128(b"".join(t.digest() for t in self.all_tensors()))

    def names_digest(self):
        return h128(b"".join(struct.pack("<I", len(t.name)) + t.name for t in self.tensors))


# ---- tables

TABLES = {  # name: (kind, format, fields)
    "tensors": (2, "<IHBBB3sII", ["heap", "name_size", "dtype", "rank", "axis", "reserved", "first_part", "part_count"]),
    "parts": (3, "<QI", ["extent", "encoding"]),
    "encodings": (4, "<HBBIIHH", ["kind", "flags", "child_count", "first_plane", "heap", "payload_size", "plane_count"]),
    "planes": (5, "<QQII", ["offset", "size", "first_chunk", "first_frame"]),
    "chunks": (6, "<16s", ["hash"]),
    "frames": (7, "<QIB3sQ", ["offset", "size", "method", "reserved", "hash"]),
    "metadata": (8, "<IHBBI", ["heap", "key_size", "type", "element", "value_size"]),
    "attachments": (9, "<IHHI", ["heap", "name_size", "reserved", "plane"]),
    "shards": (10, "<IHH16s16s", ["heap", "name_size", "reserved", "names", "content"]),
    "sources": (11, "<IHHQ16s", ["heap", "name_size", "reserved", "size", "hash"]),
    "dead": (12, "<QQ", ["offset", "size"]),
    "sha256": (13, "<32s", ["hash"]),
}
HEAP_ORDER = ["tensors", "encodings", "metadata", "attachments", "shards", "sources"]


class Region:
    def __init__(self, item, offset, data):
        self.item, self.offset, self.data = item, offset, data


def align(x, a):
    return -(-x // a) * a


class Builder:
    def __init__(self, file, hooks):
        self.f, self.hooks = file, hooks

    def hook(self, name, arg):
        if name in self.hooks:
            self.hooks[name](arg)

    def build(self):
        f = self.f
        self.collect()
        size, index = 0, b""
        for _ in range(4):
            regions = self.place(bytes(size))
            index = self.make_index(regions)
            if len(index) == size:
                break
            size = len(index)
        else:
            raise RuntimeError("no fixed point")
        end = 8192
        for r in regions:
            if r.item is INDEX:
                r.data = index
                index_at = r.offset
            end = max(end, r.offset + len(r.data))
        image = bytearray(end)
        for r in regions:
            image[r.offset:r.offset + len(r.data)] = r.data
        required = f.required
        if required is None:
            required = (1 if f.shards else 0) | (2 if self.tables["frames"] else 0)
        slots = [dict(magic=MAGIC, major=f.major, minor=f.minor, alignment=f.alignment, required=required, optional=f.optional,
                      generation=f.generation, file_end=end, index_offset=index_at, index_size=len(index), index_hash=h128(index),
                      reserved=f.slot_reserved, checksum=None) for _ in range(2)]
        self.hook("slots", slots)
        for i, s in enumerate(slots):
            b = slot_bytes(s)
            if f.older and f.older[0] == i:
                b = f.older[1]
            image[4096 * i:4096 * i + 4096] = b
        image += f.trailing
        self.hook("image", image)
        return bytes(image)

    def collect(self):
        """Encodings in table order, planes in their default order."""
        f = self.f
        self.encs, self.part_recs, self.planes = [], [], []
        self.runs = {}
        for t in f.tensors:
            if t.alias is not None:
                continue
            for _, e in t.parts:
                for x in e.all():
                    if any(x is y for y in self.encs):
                        continue
                    self.encs.append(x)
                    if x.plane_table is None:
                        self.planes += x.planes
        self.planes += [a.plane for a in f.attachments if a.plane is not None]
        self.planes += f.extra_planes
        unique = []
        for p in self.planes:
            if not any(p is u for u in unique):
                unique.append(p)
        self.planes = unique
        self.items = f.layout(self.planes) if f.layout else self.planes + [INDEX]
        self.in_file = [i for i in self.items if isinstance(i, Plane)]
        self.table_planes = f.table_order(self.in_file) if f.table_order else self.in_file
        self.cache = {}

    def stored(self, item):
        if id(item) not in self.cache:
            self.cache[id(item)] = item.stored()
        return self.cache[id(item)]

    def place(self, index):
        at, out = 8192, []
        for i in self.items:
            at = align(at, self.f.alignment)
            data = index if i is INDEX else self.stored(i)
            out.append(Region(i, at, data))
            at += len(data)
        self.hook("places", out)
        return out

    def make_index(self, regions):
        f = self.f
        at = {id(r.item): r.offset for r in regions}
        number = {id(p): i for i, p in enumerate(self.table_planes)}
        T = {k: [] for k in TABLES}
        T["_heap_tail"] = b""
        enc_number = {id(e): i for i, e in enumerate(self.encs)}
        runs = {}
        for t in f.tensors:
            owner = t.alias or t
            if id(owner) not in runs:
                runs[id(owner)] = len(T["parts"])
                for extent, e in owner.parts:
                    T["parts"].append(dict(extent=extent, encoding=enc_number[id(e)]))
            T["tensors"].append(dict(name_size=len(t.name), dtype=t.dtype, rank=len(t.shape), axis=t.axis, reserved=bytes(3),
                                     first_part=runs[id(owner)], part_count=len(t.parts),
                                     _piece=t.name + b"".join(struct.pack("<Q", d) for d in t.shape)))
        for e in self.encs:
            first = 0
            if e.planes:
                first = number[id(e.planes[0])] if e.plane_table is None else e.plane_table
            T["encodings"].append(dict(kind=e.kind, flags=e.flags, child_count=len(e.children), first_plane=first,
                                       payload_size=len(e.payload), plane_count=len(e.planes), _piece=bytes(e.payload)))
        hashes = {}
        for p in self.table_planes:
            fr = p.frames()
            T["planes"].append(dict(offset=at[id(p)], size=p.size() if p.declared is None else p.declared,
                                    first_chunk=len(T["chunks"]), first_frame=NO if fr is None else len(T["frames"])))
            for c in p.chunks():
                if id(c) not in hashes:
                    hashes[id(c)] = (c, h128(c))
                T["chunks"].append(dict(hash=hashes[id(c)][1]))
            if fr is not None:
                where, offset = {}, 0
                for i in (p.frame_order or range(len(fr))):
                    where[i] = offset
                    offset += len(fr[i][1])
                for i, (m, b) in enumerate(fr):
                    T["frames"].append(dict(offset=where[i], size=len(b), method=m, reserved=bytes(3), hash=h64(b)))
        for m in f.metadata:
            T["metadata"].append(dict(key_size=len(m.key), type=m.typ, element=m.element, value_size=len(m.value),
                                      _piece=m.key + m.value))
        for a in f.attachments:
            T["attachments"].append(dict(name_size=len(a.name), reserved=0, plane=NO if a.plane is None else number[id(a.plane)],
                                         _piece=a.name))
        for s in f.shards:
            T["shards"].append(dict(name_size=len(s.name), reserved=0, names=s.names, content=s.content, _piece=s.name))
        for s in f.sources:
            T["sources"].append(dict(name_size=len(s.name), reserved=0, size=len(s.data), hash=h128(s.data), _piece=s.name))
        for r in regions:
            if isinstance(r.item, Dead) and not isinstance(r.item, Hidden):
                T["dead"].append(dict(offset=r.offset, size=len(r.data)))
        if f.sha256:
            for p in self.table_planes:
                T["sha256"].append(dict(hash=hashlib.sha256(b"".join(p.chunks())).digest()))
            for s in f.sources:
                T["sha256"].append(dict(hash=hashlib.sha256(s.data).digest()))
        self.hook("tables", T)
        self.tables = T
        # the heap. _pad: bytes before the piece; _at: the piece is not stored, its offset is this
        heap = bytearray()
        for name in HEAP_ORDER:
            for r in T[name]:
                if "_at" in r:
                    r["heap"] = r["_at"]
                    continue
                heap += r.get("_pad", b"")
                r["heap"] = r.get("_offset", len(heap))
                heap += r["_piece"]
        heap += T["_heap_tail"]
        entries = []
        if heap:
            entries.append(dict(kind=1, size=1, count=len(heap), data=bytes(heap)))
        for name, (kind, fmt, fields) in TABLES.items():
            if not T[name]:
                continue
            data = b"".join(struct.pack(fmt, *[r[k] for k in fields]) + r.get("_tail", b"") for r in T[name])
            entries.append(dict(kind=kind, size=len(data) // len(T[name]), count=len(T[name]), data=data))
        self.hook("directory", entries)
        offset = align(8 + 24 * len(entries), 8)
        for e in entries:
            offset = align(offset, 8) + e.get("gap", 0)
            e["offset"] = offset
            e["at"] = offset
            offset += len(e["data"])
        self.hook("entries", entries)
        offset = max([e["at"] + len(e["data"]) for e in entries], default=8)
        index = bytearray(offset)
        index[0:8] = struct.pack("<II", len(entries), 0)
        for i, e in enumerate(entries):
            index[8 + 24 * i:32 + 24 * i] = struct.pack("<IIQQ", e["kind"], e["size"], e["offset"], e["count"])
            index[e["at"]:e["at"] + len(e["data"])] = e["data"]
        self.hook("index", index)
        return bytes(index)


def slot_bytes(s):
    b = struct.pack("<8sHHIQQQQQQ16s", s["magic"], s["major"], s["minor"], s["alignment"], s["required"], s["optional"],
                    s["generation"], s["file_end"], s["index_offset"], s["index_size"], s["index_hash"]) + s["reserved"]
    assert len(b) == 4080
    return b + (s["checksum"] or h128(b))


def build(file, **hooks):
    return Builder(file, hooks).build()
