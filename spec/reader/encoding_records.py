"""Encoding records: roots and children, payloads, planes (FORMAT.md, section 6; ENCODINGS.md, sections 1, 2 and 4)."""

import math
import struct
from typing import NamedTuple

from findings import quoted
from layout import DTYPES, ENCODINGS, FOREIGN, LINEAR, RAW
from payload import PAYLOAD_SIZE, check_child, check_linear, parse_linear, plane_uses

REQUIRED = 1


class Foreign(NamedTuple):
    """The payload of a foreign encoding."""
    block_bytes: int
    block_elements: int
    elements: int
    name: bytes


class Encoding:
    """An encoding record; `linear`, `foreign` and `uses` are set once the payload has been found good."""

    def __init__(self, number, row, payload):
        self.number = number
        self.kind, self.flags, self.child_count, self.first_plane, _, _, self.plane_count = row
        self.payload = payload          # None: the heap is broken
        self.children = []
        self.parent = None
        self.linear = None
        self.foreign = None
        self.uses = None
        self.misplaced = False          # R-ENC-2 is broken
        self.sound = False              # nothing is wrong with the record and the sizes of its planes

    @property
    def planes(self):
        return range(self.first_plane, self.first_plane + self.plane_count)


def read_encodings(index, heap_ok):
    return [Encoding(i, row, index.piece(row[4], row[5]) if heap_ok else None)
            for i, row in enumerate(index.rows(ENCODINGS))]


def check_records(encodings, plane_count, found):
    """R-ENC-1 and R-ENC-2: (the numbers of the roots, None if unknown; whether all planes are in the table)."""
    mark = found.mark()
    for e in encodings:
        if e.child_count > e.number:
            found.add("R-ENC-1", f"encoding {e.number}",
                      f"it has {e.child_count} children and {e.number} records before it")
            continue
        children = encodings[e.number - e.child_count:e.number]
        parents = [c.number for c in children if c.child_count]
        if parents:
            found.add("R-ENC-1", f"encoding {e.number}", f"its child, encoding {parents[0]}, has children itself")
    forest, mark = found.clean(mark), found.mark()
    for e in encodings:
        if e.planes.stop > plane_count:
            e.misplaced = True
            found.add("R-ENC-2", f"encoding {e.number}",
                      f"its planes are {e.planes.start} to {e.planes.stop}, the table has {plane_count}")
    planes_ok = found.clean(mark)
    return (_link(encodings) if forest else None), planes_ok


def _link(encodings):
    """Gives each encoding its children; the roots in ascending order."""
    roots, at = [], len(encodings) - 1
    while at >= 0:
        root = encodings[at]
        root.children = encodings[at - root.child_count:at]
        for child in root.children:
            child.parent = root
        roots.append(at)
        at -= 1 + root.child_count
    return roots[::-1]


def owner_problem(encodings, attached, plane_count):
    """R-PLN-5: None if each plane has exactly one owner, else the first that has not, as (place, message)."""
    owners = [[] for _ in range(plane_count)]
    for e in encodings:
        for plane in e.planes:
            owners[plane].append(f"encoding {e.number}")
    for i, plane in attached:
        owners[plane].append(f"attachment {i}")
    wrong = [plane for plane, names in enumerate(owners) if len(names) != 1]
    if not wrong:
        return None
    listed = ", ".join(owners[wrong[0]][:4]) or "none"
    more = f" ({len(wrong)} planes are wrong in this way)" if len(wrong) > 1 else ""
    return f"plane {wrong[0]}", f"its owners are: {listed}; expected exactly one{more}"


class Context(NamedTuple):
    """What the check of an encoding needs from elsewhere."""
    found: object
    sizes: list             # of planes; None: not known; an entry None: that plane's size is not known
    bad: set                # planes whose bytes are not to be looked at; those of a wrong size are added
    newer: bool


def check_encoding(root, tensor, extent, context):
    """Checks a root and its children. `tensor` is None if it is not known whose part this is."""
    elements = math.prod(tensor.part_shape(extent)) if tensor else None
    place = f"{tensor.place}, encoding {root.number}" if tensor else f"encoding {root.number}"
    problem = _check_record(root, context, elements, tensor)
    if problem:
        context.found.add(problem[0], place, problem[1])
    root.sound = problem is None and not root.misplaced and context.sizes is not None
    for child in root.children:
        problem = _check_child_record(child, root, context)
        if problem:
            context.found.add(problem[0], f"{place}, its child {child.number}", problem[1])
        child.sound = problem is None and not child.misplaced and context.sizes is not None


def _check_record(e, context, elements, tensor):
    """The first broken rule of a root, as (rule, message), or None."""
    if e.misplaced:
        return None
    problem = _check_flags(e) or _check_payload_size(e, context.newer)
    if problem:
        return problem
    if elements == 0 and e.kind != RAW:
        return "R-RAW-1", f"the tensor has no elements and an encoding of kind {e.kind}, expected raw (1)"
    if e.kind == RAW:
        return _check_raw(e, context, elements, tensor)
    if e.kind == FOREIGN:
        return _check_foreign(e, context, elements)
    if e.kind == LINEAR:
        return _check_linear_record(e, context, elements, tensor)
    return None


def _check_flags(e):
    """R-ENC-3."""
    if e.flags & ~REQUIRED:
        return "R-ENC-3", f"reserved flags are set: 0x{e.flags:02x}"
    if RAW <= e.kind <= FOREIGN and not e.flags & REQUIRED:
        return "R-ENC-3", f"the flag required is not set with the kind {e.kind}"
    return None


def _check_payload_size(e, newer):
    """R-ENC-4; the name of a foreign encoding is R-FOR-2's."""
    size = len(e.payload)
    expected = {RAW: 0, LINEAR: PAYLOAD_SIZE, FOREIGN: 16}.get(e.kind)
    if expected is None or size == expected or (size > expected and (e.kind == FOREIGN or newer)):
        return None
    return "R-ENC-4", f"the payload of kind {e.kind} has {size} bytes, expected {expected}"


def _check_counts(e, planes, children):
    """R-ENC-5."""
    if e.plane_count != planes:
        return "R-ENC-5", f"it has {e.plane_count} planes, expected {planes}"
    if e.child_count != children:
        return "R-ENC-5", f"it has {e.child_count} children, expected {children}"
    return None


def _check_size(e, context, k, size, what):
    """R-ENC-6 for plane k of the encoding."""
    number = e.first_plane + k
    if context.sizes is None or number >= len(context.sizes) or context.sizes[number] is None:
        return None
    if context.sizes[number] != size:
        context.bad.add(number)
        return "R-ENC-6", f"plane {number} ({what}) has {context.sizes[number]} bytes, expected {size}"
    return None


def _check_raw(e, context, elements, tensor):
    if elements is None:
        return _check_counts(e, min(e.plane_count, 1), 0)
    size = elements * DTYPES[tensor.dtype].size
    problem = _check_counts(e, 1 if size else 0, 0)
    return problem or (_check_size(e, context, 0, size, "elements") if size else None)


def _check_foreign(e, context, elements):
    """R-FOR-1 and R-FOR-2."""
    block_bytes, block_elements, count = struct.unpack_from("<IIQ", e.payload)
    name = e.payload[16:]
    if not block_bytes or not block_elements:
        return "R-FOR-1", f"a block has {block_elements} elements and {block_bytes} bytes, expected at least 1"
    if elements is not None and count != elements:
        return "R-FOR-1", f"the number of elements is {count}, expected {elements}"
    if count % block_elements:
        return "R-FOR-1", f"{count} elements are not a multiple of the {block_elements} of a block"
    if not 1 <= len(name) <= 255 or any(not 0x21 <= c <= 0x7E for c in name):
        return "R-FOR-2", f"the name of the block type is {quoted(name)}, expected 1 to 255 bytes of 0x21 to 0x7e"
    e.foreign = Foreign(block_bytes, block_elements, count, name)
    return _check_counts(e, 1, 0) or _check_size(e, context, 0, count // block_elements * block_bytes, "blocks")


def _check_linear_record(e, context, elements, tensor):
    """The rules R-LIN of section 2 that need no plane, R-ENC-5 and 6."""
    linear = parse_linear(e.payload)
    problem = check_linear(linear, elements)
    if problem:
        return problem
    e.linear = linear
    if tensor and not DTYPES[tensor.dtype].floating:
        return "R-LIN-9", f"the tensor has the dtype {DTYPES[tensor.dtype].name}, expected a floating one"
    return _check_linear_planes(e, context, False)


def _check_linear_planes(e, context, nested):
    uses = plane_uses(e.linear, nested)
    problem = _check_counts(e, len(uses), len(e.linear.nested))
    if problem:
        return problem
    e.uses = uses
    for k, use in enumerate(uses):
        problem = _check_size(e, context, k, use.size, use.what)
        if problem:
            return problem
    return None


def _check_child_record(e, parent, context):
    """The first broken rule of a child, as (rule, message), or None."""
    if e.misplaced:
        return None
    if parent.kind == LINEAR and e.kind != LINEAR:
        return "R-NEST-1", f"a nested encoding has the kind {e.kind}, expected linear (2)"
    problem = _check_flags(e) or _check_payload_size(e, context.newer)
    if problem or e.kind != LINEAR:
        return problem
    linear = parse_linear(e.payload)
    problem = check_linear(linear, None)
    if problem:
        return problem
    if parent.kind != LINEAR:
        return None
    problem = check_child(linear, parent.linear)
    if problem:
        return problem
    e.linear = linear
    return _check_linear_planes(e, context, True)
