"""One file with its structure read and checked: everything but the bytes of its planes."""

from findings import Findings
from header import File, read_header
from index import check_heap, check_reserved, read_index
from encoding_records import Context, check_encoding, check_records, owner_problem, read_encodings
from layout import ATTACHMENTS, PLANES, SHARDS, SOURCES
from linear import LinearData
from names import (check_attachment_planes, check_features, check_metadata, check_names, read_metadata, read_names)
from planes import check_dead, check_planes, check_regions, read_plane
from tensors import check_part_encodings, check_tensors, read_tensors

# A reader goes on with one good header slot (FORMAT.md, section 2).
TOLERATED = ("R-HDR-1", "R-HDR-2")


class Container:
    """A file. What could not be read because of broken rules is None."""

    def __init__(self, file, header, index):
        self.file, self.header, self.index = file, header, index
        self.planes = None
        self.encodings = self.roots = None
        self.tensors = None
        self.metadata = self.attachments = self.shards = self.sources = None

    def parts_of(self, tensor):
        return self.tensors.parts[tensor.first_part:tensor.first_part + tensor.part_count]

    def read_linear(self, encoding, place):
        """A linear encoding with the bytes of its planes, its hashes and the rules on its values checked."""
        return linear_data(encoding, lambda number, what: read_plane(self, number, f"{place}, plane {number} ({what})"))


def linear_data(encoding, read):
    """LinearData of an encoding and its children; `read` gets the number and the use of a plane."""
    children = [linear_data(child, read) for child in encoding.children]
    planes = [read(number, use.what) for number, use in zip(encoding.planes, encoding.uses)]
    return LinearData(encoding, planes, children)


def load(file, found):
    """Reads and checks the structure of a file: a Container, or None if its header or its directory is broken."""
    header = read_header(file, found)
    if header is None:
        return None
    index = read_index(file, header, found)
    if index is None:
        return None
    container = Container(file, header, index)
    check_reserved(index, found)
    heap_ok = check_heap(index, found)
    container.planes = check_planes(index, header, found)
    container.encodings = read_encodings(index, heap_ok)
    stray = _check_ownership(container, found)
    mark = found.mark()
    if heap_ok:
        _check_heap_users(container, stray is None, found)
    if stray and not any(v.rule == "R-ENC-5" for v in found.violations[mark:]):
        found.add("R-PLN-5", *stray)
    check_features(header, index, found)
    dead_ok = check_dead(index, found)
    if container.planes.placed and dead_ok and not stray:
        check_regions(file, header, index, container.planes, found)
    return container


def _check_ownership(container, found):
    """R-ENC-1, R-ENC-2, R-ATT-3; what is wrong by R-PLN-5, which is not reported if R-ENC-5 explains it."""
    index = container.index
    container.roots, planes_ok = check_records(container.encodings, index.count(PLANES), found)
    attached = check_attachment_planes(index, found)
    if planes_ok and attached is not None:
        return owner_problem(container.encodings, attached, index.count(PLANES))
    return None


def _check_heap_users(container, owned, found):
    """Everything whose fields lie in the heap. Sizes are compared only if all planes are `owned` as they should be."""
    index = container.index
    container.tensors = read_tensors(index)
    check_tensors(container.tensors, found)
    if container.roots is not None:
        _check_encodings(container, owned, found)
    container.metadata = read_metadata(index)
    check_metadata(container.metadata, found)
    container.attachments = read_names(index, ATTACHMENTS)
    container.shards = read_names(index, SHARDS)
    container.sources = read_names(index, SOURCES)
    check_names(container.attachments, ATTACHMENTS, found)
    check_names(container.shards, SHARDS, found)
    check_names(container.sources, SOURCES, found)


def _check_encodings(container, owned, found):
    table, planes = container.tensors, container.planes
    matched = check_part_encodings(table, container.roots, found)
    context = Context(found, planes.sizes if owned else None, planes.bad, container.header.newer)
    for part, number in enumerate(container.roots):
        owner = table.owner.get(part) if matched else None
        tensor = table.tensors[owner] if owner in table.good else None
        extent = table.parts[part][0] if tensor else None
        check_encoding(container.encodings[number], tensor, extent, context)


def open_container(path):
    """A file for reading: the first broken rule that a reader does not go on with is raised."""
    file = File(path)
    try:
        return load(file, Findings(strict=True, tolerated=TOLERATED))
    except BaseException:
        file.close()
        raise
