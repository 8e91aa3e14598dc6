"""Tensors and their parts (FORMAT.md, section 5)."""

import math
from typing import NamedTuple

from findings import quoted
from layout import DTYPES, PARTS, TENSORS

MAX_NAME = 4096


class Tensor(NamedTuple):
    """A tensor record with its name (bytes) and dimensions from the heap."""
    number: int
    name: bytes
    dims: tuple
    dtype: int
    axis: int
    first_part: int
    part_count: int

    @property
    def place(self):
        return f"tensor {quoted(self.name)}"

    def part_shape(self, extent):
        dims = list(self.dims)
        if dims:
            dims[self.axis] = extent
        return tuple(dims)


class Tensors:
    """All tensors; `good` are those whose own fields can be relied on; `owner`: the first tensor of each part."""

    def __init__(self, tensors, parts):
        self.tensors = tensors
        self.parts = parts              # (extent, encoding)
        self.good = set()
        self.owner = {}


def is_utf8(data):
    try:
        data.decode("utf-8", "strict")
        return True
    except UnicodeDecodeError:
        return False


def check_order(items, rule, what, bad, found):
    """The rules that records ascend strictly by the bytes of their names; `bad` ones are left out."""
    before = None
    for i, name in enumerate(items):
        if i in bad:
            continue
        if before is not None and name <= before:
            found.add(rule, f"{what} {i}", f"the name {quoted(name)} does not follow {quoted(before)}")
        before = name


def read_tensors(index):
    tensors = []
    for i, row in enumerate(index.rows(TENSORS)):
        heap, name_size, dtype, rank, axis, _, first, count = row
        name = index.piece(heap, name_size)
        dims = index.piece(heap + name_size, 8 * rank)
        dims = tuple(int.from_bytes(dims[8 * k:8 * k + 8], "little") for k in range(rank))
        tensors.append(Tensor(i, name, dims, dtype, axis, first, count))
    return Tensors(tensors, index.rows(PARTS))


def check_tensors(table, found):
    """R-TEN-1 to 8. Needs whole pieces of the heap."""
    bad_names = set()
    for tensor in table.tensors:
        mark = found.mark()
        _check_fields(tensor, found)
        if found.clean(mark):
            table.good.add(tensor.number)
        elif found.violations[-1].rule == "R-TEN-2":
            bad_names.add(tensor.number)
    check_order([t.name for t in table.tensors], "R-TEN-1", "tensor", bad_names, found)
    if not _check_runs(table, found):
        table.good.clear()
    for number in sorted(set(table.owner.values()) & table.good):
        _check_extents(table, table.tensors[number], found)


def _check_fields(tensor, found):
    """R-TEN-2 to 6 for one tensor: the first that is broken."""
    place, rank, count = tensor.place, len(tensor.dims), tensor.part_count
    if len(tensor.name) > MAX_NAME:
        found.add("R-TEN-2", f"tensor {tensor.number}", f"the name has {len(tensor.name)} bytes, at most {MAX_NAME}")
    elif not is_utf8(tensor.name):
        found.add("R-TEN-2", place, "the name is not UTF-8")
    elif tensor.dtype >= len(DTYPES):
        found.add("R-TEN-3", place, f"the dtype is {tensor.dtype}, expected at most {len(DTYPES) - 1}")
    elif rank > 8:
        found.add("R-TEN-4", place, f"the rank is {rank}, expected at most 8")
    elif math.prod(tensor.dims) * DTYPES[tensor.dtype].size >= 1 << 63:
        size = math.prod(tensor.dims) * DTYPES[tensor.dtype].size
        found.add("R-TEN-5", place, f"the dimensions {tensor.dims} make {size} bytes, expected less than 2^63")
    elif count < 1:
        found.add("R-TEN-6", place, "the part count is 0, expected at least 1")
    elif count == 1 and tensor.axis != 0:
        found.add("R-TEN-6", place, f"the axis is {tensor.axis}, expected 0 with one part")
    elif count > 1 and tensor.axis >= rank:
        found.add("R-TEN-6", place, f"the axis is {tensor.axis}, expected less than the rank {rank}")


def _check_runs(table, found):
    """R-TEN-8: runs tile the part table or are those of an earlier tensor; fills `owner`. False if they are unknown."""
    end, total, runs = 0, len(table.parts), {}
    for tensor in table.tensors:
        run = tensor.first_part, tensor.part_count
        same = tensor.dtype, tensor.dims, tensor.axis
        if tensor.part_count == 0:
            return False                            # R-TEN-6
        if tensor.first_part == end and end + tensor.part_count <= total:
            table.owner.update((end + k, tensor.number) for k in range(tensor.part_count))
            end += tensor.part_count
            runs[run] = same
        elif run not in runs:
            found.add("R-TEN-8", tensor.place, f"the parts {run[0]} to {sum(run)} are neither those from {end} on "
                                               f"(of {total}) nor the run of an earlier tensor")
            return False
        elif runs[run] != same and tensor.number in table.good:
            found.add("R-TEN-8", tensor.place,
                      f"it is an alias of another dtype, shape or axis: {same}, not {runs[run]}")
            return False
    if end != total:
        found.add("R-TEN-8", "parts", f"the last run ends at {end}, the part table at {total}")
    return end == total


def _check_extents(table, tensor, found):
    """R-TEN-7."""
    extents = [e for e, _ in table.parts[tensor.first_part:tensor.first_part + tensor.part_count]]
    expected = tensor.dims[tensor.axis] if tensor.dims else 1
    if 0 in tensor.dims:
        wrong = extents != [tensor.dims[0]] and f"expected one part of extent {tensor.dims[0]}"
    elif 0 in extents:
        wrong = "expected each to be at least 1"
    else:
        wrong = sum(extents) != expected and f"expected the sum {expected}"
    if wrong:
        found.add("R-TEN-7", tensor.place, f"the extents of its parts are {_some(extents)}, {wrong}")
        table.good.discard(tensor.number)


def _some(values):
    text = ", ".join(map(str, values[:8]))
    return text + (f", ... ({len(values)} parts)" if len(values) > 8 else "")


def check_part_encodings(table, roots, found):
    """R-TEN-9; true if the parts have the roots in order."""
    stored = [encoding for _, encoding in table.parts]
    if stored == roots:
        return True
    for i, (a, b) in enumerate(zip(stored, roots)):
        if a != b:
            found.add("R-TEN-9", f"part {i}", f"the encoding is {a}, expected {b}, the root encoding of this number")
            return False
    found.add("R-TEN-9", "parts", f"there are {len(stored)} parts and {len(roots)} root encodings")
    return False
