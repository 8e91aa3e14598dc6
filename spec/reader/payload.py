"""The payload of a linear encoding: its fields, the planes and children it asks for (ENCODINGS.md, section 2.2)."""

import struct
from typing import NamedTuple

from layout import ceil_div

PAYLOAD_SIZE = 80
FORM_ABSENT, FORM_CONSTANT, FORM_ARRAY, FORM_NESTED = range(4)
OUTLIERS_NONE, OUTLIERS_SPARSE, OUTLIERS_COLUMNS = range(3)
VALUE_SIZES = (4, 2, 2)         # f32, f16, bf16
FIELDS = {1: (1,), 2: (2,), 3: (2, 1), 4: (4,), 5: (4, 1), 6: (4, 2), 7: (4, 2, 1), 8: (8,)}
ONE, ZERO = 0x3F800000, 0
NEUTRAL = {"s": ONE, "z": ZERO, "o": ZERO, "t": ONE}


class Operand(NamedTuple):
    name: str
    form: int
    type: int
    reserved: int
    constant: int


class Linear(NamedTuple):
    """The fields of the payload."""
    bits: int
    arithmetic: int
    result: int
    codebook: int
    permutation: int
    outliers: int
    outlier_type: int
    reserved: int
    rows: int
    columns: int
    group_rows: int
    group_columns: int
    outlier_count: int
    s: Operand
    z: Operand
    o: Operand
    t: Operand

    @property
    def operands(self):
        return self.s, self.z, self.o, self.t

    @property
    def grid(self):
        """The number of groups: (R', G)."""
        return ceil_div(self.rows, self.group_rows), ceil_div(self.columns, self.group_columns)

    @property
    def nested(self):
        return [op for op in (self.s, self.z, self.o) if op.form == FORM_NESTED]


class PlaneUse(NamedTuple):
    """What a plane holds: `what` is codes, codebook, s, z, o, t, permutation, starts, columns or values."""
    what: str
    size: int
    detail: int             # codes: the bits of the field; arrays and values: their type


def parse_linear(payload):
    operands = [Operand(name, *struct.unpack_from("<BBHI", payload, 48 + 8 * i)) for i, name in enumerate("szot")]
    return Linear(*struct.unpack_from("<8B5Q", payload), *operands)


def code_rows(linear, nested):
    """How codes are laid out: (rows, codes in a row); those of a nested encoding are one row (section 3)."""
    return (1, linear.rows * linear.columns) if nested else (linear.rows, linear.columns)


def plane_uses(linear, nested):
    """The planes of a linear encoding in order, as section 2.2 lists them."""
    rows, columns = linear.rows, linear.columns
    n_rows, n_codes = code_rows(linear, nested)
    groups = linear.grid[0] * linear.grid[1]
    uses = [PlaneUse("codes", n_rows * ceil_div(n_codes, 64) * 8 * f, f) for f in FIELDS[linear.bits]]
    if linear.codebook:
        uses.append(PlaneUse("codebook", 4 << linear.bits, 0))
    for op in linear.operands:
        if op.form == FORM_ARRAY:
            uses.append(PlaneUse(op.name, (columns if op.name == "t" else groups) * VALUE_SIZES[op.type], op.type))
    if linear.permutation:
        uses.append(PlaneUse("permutation", 4 * columns, 0))
    if linear.outliers:
        values = linear.outlier_count
        if linear.outliers == OUTLIERS_SPARSE:
            uses.append(PlaneUse("starts", 8 * (rows + 1), 0))
        else:
            values *= rows
        uses.append(PlaneUse("columns", linear.outlier_count * (2 if columns <= 65536 else 4), 0))
        uses.append(PlaneUse("values", values * VALUE_SIZES[linear.outlier_type], linear.outlier_type))
    return uses


def check_linear(linear, elements):
    """The first broken rule of the payload alone, as (rule, message), or None.

    `elements` is E of a root, None if unknown or for a child.
    """
    for rules in (_check_choices, _check_operand_fields, _check_outlier_count, _check_shape, _check_operands):
        broken = rules(linear, elements)
        if broken:
            return broken
    return None


def _check_choices(p, _):
    """R-LIN-1, and R-IDX-7 for the reserved bytes of the payload."""
    if p.reserved:
        return "R-IDX-7", f"the reserved byte 7 of the payload is {p.reserved}"
    if not 1 <= p.bits <= 8:
        return "R-LIN-1", f"bits is {p.bits}, expected 1 to 8"
    for name in ("arithmetic", "result", "outlier_type", "outliers"):
        if getattr(p, name) > 2:
            return "R-LIN-1", f"{name} is {getattr(p, name)}, expected at most 2"
    for name in ("codebook", "permutation"):
        if getattr(p, name) > 1:
            return "R-LIN-1", f"{name} is {getattr(p, name)}, expected at most 1"
    return None


def _check_operand_fields(p, _):
    """R-LIN-4, R-LIN-5, and R-IDX-7 for the reserved bytes of the operands."""
    for op in p.operands:
        most = FORM_ARRAY if op.name == "t" else FORM_NESTED
        if op.reserved:
            return "R-IDX-7", f"the reserved bytes of {op.name} are 0x{op.reserved:04x}"
        if op.form > most:
            return "R-LIN-4", f"the form of {op.name} is {op.form}, expected at most {most}"
        if op.type > (2 if op.form == FORM_ARRAY else 0):
            return "R-LIN-4", f"the type of {op.name} is {op.type} with the form {op.form}"
        if op.constant and op.form != FORM_CONSTANT:
            return "R-LIN-4", f"the constant of {op.name} is 0x{op.constant:08x} with the form {op.form}, expected 0"
        if op.form == FORM_CONSTANT and op.constant == NEUTRAL[op.name]:
            return "R-LIN-5", f"the constant of {op.name} is the neutral 0x{op.constant:08x}"
    return None


def _check_outlier_count(p, _):
    """R-LIN-8 without the upper bound."""
    if bool(p.outliers) != bool(p.outlier_count):
        return "R-LIN-8", f"the outlier count is {p.outlier_count} with outliers {p.outliers}"
    if not p.outliers and p.outlier_type:
        return "R-LIN-8", f"the outlier type is {p.outlier_type} without outliers"
    return None


def _check_shape(p, elements):
    """R-LIN-2, R-LIN-3 and the upper bound of R-LIN-8."""
    if p.rows < 1 or p.columns < 1 or p.rows * p.columns >= 1 << 48:
        return "R-LIN-2", f"the view is {p.rows} x {p.columns}, expected at least 1 x 1 and less than 2^48 elements"
    if (p.permutation or p.outliers) and p.columns >= 1 << 32:
        return "R-LIN-2", f"there are {p.columns} columns, expected less than 2^32 with a permutation or outliers"
    if elements is not None and p.rows * p.columns != elements:
        return "R-LIN-2", f"the view is {p.rows} x {p.columns}, expected {elements} elements"
    if not 1 <= p.group_rows <= p.rows or not 1 <= p.group_columns <= p.columns:
        return "R-LIN-3", f"groups are {p.group_rows} x {p.group_columns} in a view of {p.rows} x {p.columns}"
    most = p.columns if p.outliers == OUTLIERS_COLUMNS else p.rows * p.columns
    if p.outlier_count > most:
        return "R-LIN-8", f"the outlier count is {p.outlier_count}, expected at most {most}"
    return None


def _check_operands(p, _):
    """R-LIN-6."""
    for op in p.operands:
        count = p.columns if op.name == "t" else p.grid[0] * p.grid[1]
        if op.form in (FORM_ARRAY, FORM_NESTED) and count == 1:
            return "R-LIN-6", f"{op.name} has the form {op.form} and one element"
    return None


def check_child(child, parent):
    """R-NEST-1 and R-NEST-2, as (rule, message), or None. `parent` is None if its groups are not known."""
    wrong = [name for name in ("result", "permutation", "outliers") if getattr(child, name)]
    wrong += ["t"] if child.t.form else []
    if wrong:
        return "R-NEST-1", f"a nested encoding has {', '.join(wrong)}"
    if parent is not None:
        grid = parent.grid
        if (child.rows, child.columns) not in (grid, (1, grid[0] * grid[1])):
            return "R-NEST-2", (f"the view is {child.rows} x {child.columns}, "
                                f"the groups of the parent are {grid[0]} x {grid[1]}")
    return None
