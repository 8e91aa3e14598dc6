"""A file opened for reading: its tensors with those of its shards, their values, metadata, attachments, digests."""

from typing import NamedTuple

import numpy as np

from container import open_container
from digests import content_digest, names_digest
from findings import Findings, IngotError, quoted
from layout import DEAD, DTYPES, FOREIGN, KIND_NAMES, LINEAR, NONE32, RAW
from linear import widen
from names import metadata_value
from planes import read_plane
from shards import check_shards
from xxh3 import hash_text


class Part(NamedTuple):
    """A part of a tensor: its extent along the axis and its encoding record."""
    extent: int
    encoding: object

    @property
    def kind(self):
        return KIND_NAMES.get(self.encoding.kind, f"kind {self.encoding.kind}")


class TensorInfo(NamedTuple):
    """A tensor as a reader shows it."""
    name: str
    dtype: str
    shape: tuple
    axis: int
    parts: list
    container: object
    record: object


class Source(NamedTuple):
    name: str
    size: int
    hash: str


class Shard(NamedTuple):
    name: str
    names_digest: str
    content_digest: str


def open_file(path):
    """Opens a file, and the shards of a manifest; raises IngotError with the first broken rule."""
    main = open_container(path)
    try:
        return Model(main)
    except BaseException:
        main.file.close()
        raise


class Model:
    """What a file holds. Planes are read, and their hashes checked, when a tensor or an attachment is asked for."""

    def __init__(self, main):
        self.main = main
        self.header = main.header
        self.shards = [Shard(n.decode(), hash_text(a), hash_text(b)) for n, a, b in main.shards]
        self.containers = [main] + check_shards(main, Findings(strict=True), lambda shard, inner: None)
        members = [(c, t) for c in self.containers for t in c.tensors.tensors]
        self._members = sorted(members, key=lambda member: member[1].name)
        self.tensors = {info.name: info for info in map(_info, self._members)}
        self.metadata = {key.decode(): metadata_value(*rest) for key, *rest in main.metadata}
        self.sources = [Source(n.decode(), size, hash_text(h)) for n, size, h in main.sources]
        self.dead_ranges = main.index.rows(DEAD)
        self.attachments = _Attachments(main)

    def close(self):
        for container in self.containers:
            container.file.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def content_digest(self):
        return hash_text(content_digest(self._members))

    def names_digest(self):
        return hash_text(names_digest([t.name for _, t in self._members]))

    # ---- values ----

    def _tensor(self, name):
        if name not in self.tensors:
            raise IngotError(f"there is no tensor {quoted(name)}")
        return self.tensors[name]

    def decode(self, name):
        """The values as f32: linear encodings by their formula, raw floating dtypes converted (one rounding)."""
        info = self._tensor(name)
        return _join(info, [self._decode_part(info, part) for part in info.parts])

    def raw(self, name):
        """The elements in the dtype's own numpy type; bit patterns where numpy has none (layout.Dtype)."""
        info = self._tensor(name)
        return _join(info, [self._raw_part(info, part) for part in info.parts])

    def codes(self, name):
        """The stored codes (uint8, R x C, stored column order); a list of these if there are several parts."""
        return self._each_linear(name, lambda data: data.codes())

    def scales(self, name):
        return self.operand(name, "s")

    def zero_points(self, name):
        return self.operand(name, "z")

    def offsets(self, name):
        return self.operand(name, "o")

    def operand(self, name, which):
        """s, z or o over the groups (R' x G), t over the columns, as f32; None if absent; a list for several parts."""
        return self._each_linear(name, lambda data: data.operand(which))

    def linear(self, name):
        """The LinearData of a tensor; a list if it has several parts."""
        return self._each_linear(name, lambda data: data)

    def _each_linear(self, name, what):
        info = self._tensor(name)
        results = [what(self._linear_part(info, part)) for part in info.parts]
        return results[0] if len(results) == 1 else results

    def _linear_part(self, info, part):
        encoding, place = part.encoding, info.record.place
        if encoding.kind != LINEAR:
            raise IngotError(f"{place}: the encoding is {part.kind}, not linear")
        data = info.container.read_linear(encoding, place)
        for problem in data.problems():
            raise IngotError.of(problem[0], f"{place}, {problem[1]}", problem[2])
        return data

    def _raw_part(self, info, part):
        encoding, place, dtype = part.encoding, info.record.place, DTYPES[info.record.dtype]
        if encoding.kind != RAW:
            raise IngotError(f"{place}: the encoding is {part.kind}, not raw")
        data = b"".join(read_plane(info.container, n, f"{place}, plane {n} (elements)") for n in encoding.planes)
        return _shaped(np.frombuffer(data, dtype.array), info, part)

    def _decode_part(self, info, part):
        if part.encoding.kind == LINEAR:
            return _shaped(self._linear_part(info, part).values(), info, part)
        if part.encoding.kind == RAW:
            if not DTYPES[info.record.dtype].floating:
                raise IngotError(f"{info.record.place}: the dtype {info.dtype} is not a floating one")
            return to_f32(self._raw_part(info, part), info.dtype)
        what = f"block type {quoted(part.encoding.foreign.name)}" if part.encoding.kind == FOREIGN else "unknown"
        raise IngotError(f"{info.record.place}: the encoding is {part.kind} ({what}) and cannot be decoded")


def _info(member):
    container, t = member
    parts = [Part(extent, container.encodings[e]) for extent, e in container.parts_of(t)]
    return TensorInfo(t.name.decode(), DTYPES[t.dtype].name, t.dims, t.axis, parts, container, t)


def _shaped(values, info, part):
    """Elements in the shape of their part. An empty tensor may have dimensions that no array can have (R-TEN-5)."""
    try:
        return values.reshape(info.record.part_shape(part.extent))
    except (ValueError, OverflowError) as error:
        raise IngotError(f"{info.record.place}: no array has the shape {list(info.shape)}: {error}") from None


def _join(info, parts):
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=info.axis)


# ---- raw floating dtypes as f32 ----

def _f8_e4m3_table():
    """e4m3fn: bias 7, no infinities, NaN with all bits of exponent and mantissa set."""
    codes = np.arange(256)
    exponent, mantissa = codes >> 3 & 15, codes & 7
    values = np.where(exponent == 0, np.ldexp(mantissa / 8.0, -6), np.ldexp(1 + mantissa / 8.0, exponent - 7))
    values[codes & 127 == 127] = np.nan
    return np.where(codes >> 7, -values, values).astype(np.float32)


_F8_E4M3 = _f8_e4m3_table()
_F8_E5M2 = (np.arange(256, dtype=np.uint16) << np.uint16(8)).view(np.float16).astype(np.float32)


def to_f32(raw, dtype):
    """Raw elements of a floating dtype as f32: exact, but for F64, which is rounded once."""
    if dtype == "BF16":
        return widen(raw.tobytes(), 2).reshape(raw.shape)
    if dtype in ("F8_E4M3", "F8_E5M2"):
        return (_F8_E4M3 if dtype == "F8_E4M3" else _F8_E5M2)[raw]
    with np.errstate(all="ignore"):
        return raw.astype(np.float32)


class _Attachments:
    """name -> bytes; each is read when it is asked for."""

    def __init__(self, container):
        self._container = container
        self._planes = {name.decode(): plane for name, plane in container.attachments}

    def __iter__(self):
        return iter(self._planes)

    def __len__(self):
        return len(self._planes)

    def __contains__(self, name):
        return name in self._planes

    def __getitem__(self, name):
        plane = self._planes[name]
        if plane == NONE32:
            return b""
        return read_plane(self._container, plane, f"attachment {quoted(name)}, plane {plane}")

    def items(self):
        return [(name, self[name]) for name in self]
