"""Linear encodings: unpacking of codes, the rules on stored values, the formula (ENCODINGS.md, sections 2 and 3)."""

import numpy as np

from payload import FIELDS, FORM_ABSENT, FORM_ARRAY, FORM_CONSTANT, FORM_NESTED, OUTLIERS_SPARSE, code_rows

VALUE_TYPES = ("<f4", "<f2", "<u2")         # f32, f16, the bits of bf16


# ---- numbers (section 2.1) ----

def widen(data, kind):
    """Stored f32, f16 or bf16 values as f32, exactly."""
    values = np.frombuffer(data, VALUE_TYPES[kind])
    if kind == 2:
        return (values.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return values.astype(np.float32)


def to_f16(x):
    """One rounding to f16, to nearest even, and back to f32."""
    with np.errstate(all="ignore"):
        return np.asarray(x, np.float32).astype(np.float16).astype(np.float32)


def to_bf16(x):
    """One rounding to bf16, to nearest even, and back to f32."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    rounded = bits + np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1))
    rounded = np.where(bits & np.uint32(0x7FFFFFFF) > np.uint32(0x7F800000), bits | np.uint32(0x400000), rounded)
    return (rounded & np.uint32(0xFFFF0000)).view(np.float32).reshape(np.shape(x))


ROUND = (lambda x: x, to_f16, to_bf16)


# ---- packing (section 3) ----

def unpack_field(data, rows, codes, field):
    """One plane of codes: the `field` bits of each code, as a matrix of whole units (64 columns each)."""
    units = -(-codes // 64)
    packed = np.frombuffer(data, np.uint8).reshape(rows, units, 1, 8 * field)
    shifts = np.arange(0, 8, field, dtype=np.uint8).reshape(1, 1, -1, 1)
    return (packed >> shifts & np.uint8((1 << field) - 1)).reshape(rows, units * 64)


def unpack_codes(planes, rows, codes, bits):
    """The codes of all fields together, padding included."""
    out, shift = np.zeros((rows, -(-codes // 64) * 64), np.uint8), 0
    for data, field in zip(planes, FIELDS[bits]):
        out |= unpack_field(data, rows, codes, field) << np.uint8(shift)
        shift += field
    return out


# ---- one encoding with its stored values ----

class LinearData:
    """A linear encoding, the bytes of its planes (as `uses` lists them) and the same of its children."""

    def __init__(self, encoding, planes, children):
        self.p = encoding.linear
        self.nested = encoding.parent is not None
        self.uses = encoding.uses
        self.first_plane = encoding.first_plane
        self.planes = planes
        self.children = dict(zip((op.name for op in self.p.nested), children))
        self.rows, self.row_codes = code_rows(self.p, self.nested)

    def _plane(self, what):
        return next((d for d, use in zip(self.planes, self.uses) if use.what == what), None)

    def _place(self, what):
        return f"plane {self.first_plane + [use.what for use in self.uses].index(what)} ({what})"

    def padded_codes(self):
        planes = [d for d, use in zip(self.planes, self.uses) if use.what == "codes"]
        return unpack_codes(planes, self.rows, self.row_codes, self.p.bits)

    def codes(self):
        """The stored codes, R x C, in stored column order."""
        return self.padded_codes()[:, :self.row_codes].reshape(self.p.rows, self.p.columns)

    def codebook(self):
        data = self._plane("codebook")
        return None if data is None else np.frombuffer(data, "<f4").astype(np.float32)

    def operand(self, name):
        """s, z or o over the groups (R' x G), t over the columns; f32; None if absent."""
        op = getattr(self.p, name)
        shape = (self.p.columns,) if name == "t" else self.p.grid
        if op.form == FORM_ABSENT:
            return None
        if op.form == FORM_CONSTANT:
            return np.broadcast_to(np.array([op.constant], "<u4").view("<f4").astype(np.float32)[0], shape)
        if op.form == FORM_NESTED:
            return self.children[name].values().reshape(shape)
        return widen(self._plane(name), op.type).reshape(shape)

    def permutation(self):
        data = self._plane("permutation")
        return None if data is None else np.frombuffer(data, "<u4").astype(np.int64)

    def outliers(self):
        """(rows, columns, values) of the outliers, None without them (section 2.5)."""
        if not self.p.outliers:
            return None
        columns = self._outlier_columns()
        values = widen(self._plane("values"), self.p.outlier_type)
        if self.p.outliers == OUTLIERS_SPARSE:
            starts = np.frombuffer(self._plane("starts"), "<u8").astype(np.int64)
            return np.repeat(np.arange(self.p.rows), np.diff(starts)), columns, values
        rows = np.repeat(np.arange(self.p.rows), len(columns))
        return rows, np.tile(columns, self.p.rows), values

    def _outlier_columns(self):
        return np.frombuffer(self._plane("columns"), "<u2" if self.p.columns <= 65536 else "<u4").astype(np.int64)

    # ---- the formula (sections 2 to 2.5) ----

    def values(self):
        """The elements, R x C in logical column order, as f32 that hold values of the result type."""
        p, rounded = self.p, ROUND[self.p.arithmetic]
        codes, book = self.codes(), self.codebook()
        x = codes.astype(np.float32) if book is None else book[codes]
        s, z, o, t = (self.operand(name) for name in "szot")
        order = self.permutation()
        with np.errstate(all="ignore"):
            if z is not None:
                x = rounded(x - self._spread(z))
            if s is not None:
                x = rounded(self._spread(s) * x)
            if o is not None:
                x = rounded(x - self._spread(o))
            if t is not None:
                x = rounded(x * (t if order is None else t[order]))
        if order is not None:
            logical = np.empty_like(x)
            logical[:, order] = x
            x = logical
        self._add_outliers(x, rounded)
        return ROUND[p.result](x)

    def _spread(self, values):
        """Values of the groups as values of the elements, in stored column order."""
        p = self.p
        rows = np.repeat(values, p.group_rows, axis=0)[:p.rows]
        return np.repeat(rows, p.group_columns, axis=1)[:, :p.columns]

    def _add_outliers(self, x, rounded):
        stored = self.outliers()
        if stored is not None:
            rows, columns, values = stored
            with np.errstate(all="ignore"):
                x[rows, columns] = rounded(x[rows, columns] + values)

    # ---- the rules on stored values ----

    def problems(self):
        """Broken rules among the values of this encoding and its children, as (rule, place, message)."""
        found = self._check_padding() + self._check_arrays() + self._check_permutation() + self._check_outliers()
        for name, child in self.children.items():
            below = child.problems()
            found += below or child.check_distinct(name)
        return found

    def _check_padding(self):
        """R-PACK-1."""
        found = []
        for k, use in enumerate(self.uses):
            if use.what == "codes":
                padding = unpack_field(self.planes[k], self.rows, self.row_codes, use.detail)[:, self.row_codes:]
                if padding.any():
                    row, at = (int(v[0]) for v in np.nonzero(padding))
                    column = self.row_codes + at
                    message = f"row {row} has {padding[row, at]} in the padding column {column}, expected 0"
                    found.append(("R-PACK-1", f"plane {self.first_plane + k} (codes)", message))
        return found

    def _check_arrays(self):
        """R-LIN-7 for arrays."""
        found = []
        for op in self.p.operands:
            if op.form == FORM_ARRAY:
                bits = np.frombuffer(self._plane(op.name), "<u4" if op.type == 0 else "<u2")
                if (bits == bits[0]).all():
                    message = f"all {len(bits)} elements have the bits 0x{bits[0]:x}"
                    found.append(("R-LIN-7", self._place(op.name), message))
        return found

    def check_distinct(self, name):
        """R-LIN-7 for a nested encoding, the operand `name` of its parent."""
        plain = all(op.form in (FORM_ABSENT, FORM_CONSTANT) for op in (self.p.s, self.p.z, self.p.o))
        codes = self.codes()
        if plain and (codes == codes[0, 0]).all():
            return [("R-LIN-7", self._place("codes"), f"all codes of the nested {name} are {codes[0, 0]}")]
        return []

    def _check_permutation(self):
        """R-PERM-1 and 2."""
        order = self.permutation()
        if order is None:
            return []
        columns = np.arange(self.p.columns)
        if (order == columns).all():
            return [("R-PERM-2", self._place("permutation"), "it is the identity")]
        if not (np.sort(order) == columns).all():
            return [("R-PERM-1", self._place("permutation"), _permutation_fault(order, self.p.columns))]
        return []

    def _check_outliers(self):
        """R-OUT-1 and 2."""
        p = self.p
        if not p.outliers:
            return []
        columns, first = self._outlier_columns(), np.zeros(p.outlier_count, bool)
        first[:1] = True
        if p.outliers == OUTLIERS_SPARSE:
            starts = np.frombuffer(self._plane("starts"), "<u8")
            if starts[0] != 0 or starts[-1] != p.outlier_count or (starts[1:] < starts[:-1]).any():
                message = f"the row starts go from {starts[0]} to {starts[-1]}, not up to {p.outlier_count}"
                return [("R-OUT-1", self._place("starts"), message)]
            inside = starts[starts < p.outlier_count].astype(np.int64)
            first[inside] = True
        wrong = (columns >= p.columns) | ~(first | (columns > np.concatenate(([-1], columns[:-1]))))
        if wrong.any():
            at = int(np.flatnonzero(wrong)[0])
            before = "" if first[at] else f" after {columns[at - 1]}"
            message = f"entry {at} is the column {columns[at]}{before} (of {p.columns})"
            return [("R-OUT-2", self._place("columns"), message)]
        return []


def _permutation_fault(order, columns):
    large = order[order >= columns]
    if len(large):
        return f"it has the column {large[0]} (of {columns})"
    counts = np.bincount(order, minlength=columns)
    twice = np.flatnonzero(counts > 1)
    return f"it has the column {twice[0]} {counts[twice[0]]} times"
