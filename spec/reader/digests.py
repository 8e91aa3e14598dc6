"""The names digest and the content digest (FORMAT.md, section 9)."""

import struct

from layout import CHUNKS
from xxh3 import xxh3_128


def sized_name(name):
    return struct.pack("<I", len(name)) + name


def names_digest(names):
    """Of the names (bytes) in order; 16 bytes, as a file stores a hash."""
    return xxh3_128(b"".join(map(sized_name, names)))


def content_digest(members):
    """Of (container, tensor) pairs, put in the order of the tensors' names."""
    members = sorted(members, key=lambda member: member[1].name)
    return xxh3_128(b"".join(tensor_digest(container, tensor) for container, tensor in members))


def tensor_digest(container, tensor):
    dims = tensor.dims
    data = [sized_name(tensor.name), struct.pack("<BBBBI", tensor.dtype, len(dims), tensor.axis, 0, tensor.part_count),
            struct.pack(f"<{len(dims)}Q", *dims)]
    for extent, encoding in container.parts_of(tensor):
        data.append(struct.pack("<Q", extent))
        data += encoding_bytes(container, container.encodings[encoding])
    return xxh3_128(b"".join(data))


def encoding_bytes(container, e):
    """The bytes of an encoding and its children in a tensor digest, as a list of pieces."""
    pieces = [struct.pack("<HBBHH", e.kind, e.flags, e.child_count, len(e.payload), e.plane_count), e.payload]
    for number in e.planes:
        plane = container.planes.planes[number]
        hashes = container.index[CHUNKS][plane.first_chunk:plane.first_chunk + plane.chunks]
        pieces += [struct.pack("<Q", plane.size), hashes["hash"].tobytes()]
    for child in e.children:
        pieces += encoding_bytes(container, child)
    return pieces
