"""The values of the expected files: ENCODINGS.md, one f32 operation at a time, from the numbers that were written (not from the
planes), so that a mistake in packing does not hide."""
import numpy as np

from ingot_writer import ROUND, TYPE, Arr, Const, Linear, Raw

F32 = np.float32


def operand(x, model):
    """The value of an operand for every stored element: an f32 array of R by C."""
    R, C = model.q.shape
    GR, GC = model.group
    if isinstance(x, Const):
        return np.full((R, C), x.values(), F32)
    if isinstance(x, Arr):
        v = x.values()
    elif isinstance(x, Linear):
        v = linear(x).reshape(-1)
    else:
        v = linear(x.model).reshape(-1)
    rows, cols = -(-R // GR), -(-C // GC)
    assert v.dtype == F32 and v.size == rows * cols
    grid = v.reshape(rows, cols)
    return grid[(np.arange(R) // GR)[:, None], (np.arange(C) // GC)[None, :]]


def linear(m):
    """The elements of a linear encoding, R by C, logical columns."""
    R, C = m.q.shape
    rnd = ROUND[TYPE[m.arithmetic]]
    with np.errstate(all="ignore"):
        w = m.q.astype(F32) if m.codebook is None else m.codebook[m.q]
        assert w.dtype == F32
        if m.z is not None:
            w = rnd(w - operand(m.z, m))
        if m.s is not None:
            w = rnd(operand(m.s, m) * w)
        if m.o is not None:
            w = rnd(w - operand(m.o, m))
        if m.perm is not None:
            logical = np.empty_like(w)
            logical[:, m.perm] = w
            w = logical
        if m.t is not None:
            t = np.full(C, m.t.values(), F32) if isinstance(m.t, Const) else m.t.values()
            w = rnd(w * t[None, :])
        if m.outliers is not None:
            w = w.copy()
            vt = ROUND[TYPE[m.outliers[1]]]
            if m.outliers[0] == "rows":
                for r, (cols, values) in enumerate(m.outliers[2]):
                    for c, h in zip(cols, vt(np.asarray(values, F32))):
                        w[r, c] = rnd(np.array([w[r, c]], F32) + np.array([h], F32))[0]
            else:
                cols = np.asarray(m.outliers[2])
                w[:, cols] = rnd(w[:, cols] + vt(np.asarray(m.outliers[3], F32)).reshape(R, len(cols)))
        w = ROUND[TYPE[m.result]](w)
    assert w.dtype == F32
    return w


def f8(bits, exponent, mantissa, bias, ieee):
    """One 8-bit float by its definition. ieee: the top exponent is infinity and NaN; else only 0x7F and 0xFF are NaN."""
    out = []
    for b in bits:
        b = int(b)
        sign = -1.0 if b & 0x80 else 1.0
        e = (b >> mantissa) & ((1 << exponent) - 1)
        m = b & ((1 << mantissa) - 1)
        if ieee and e == (1 << exponent) - 1:
            v = np.inf if m == 0 else np.nan
        elif not ieee and (b & 0x7F) == 0x7F:
            v = np.nan
        elif e == 0:
            v = m * 2.0 ** (1 - bias - mantissa)
        else:
            v = (1 + m / (1 << mantissa)) * 2.0 ** (e - bias)
        out.append(np.copysign(v, sign))
    return np.array(out, F32)


def raw(data, dtype):
    """The elements of a raw tensor of a floating dtype as f32 (one rounding)."""
    with np.errstate(all="ignore"):
        if dtype == 0:
            return np.frombuffer(data, "<f4").astype(F32)
        if dtype == 1:
            return np.frombuffer(data, "<f2").astype(F32)
        if dtype == 2:
            return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(F32)
        if dtype == 3:
            return np.frombuffer(data, "<f8").astype(F32)
        if dtype == 4:
            return f8(np.frombuffer(data, np.uint8), 4, 3, 7, False)
        if dtype == 5:
            return f8(np.frombuffer(data, np.uint8), 5, 2, 15, True)
    return None


def part_values(tensor, extent, enc):
    shape = list(tensor.shape)
    if shape:
        shape[tensor.axis] = extent
    if enc.kind == 1:
        v = raw(enc.model.data if isinstance(enc.model, Raw) else b"", tensor.dtype)
    elif enc.kind == 2:
        v = linear(enc.model)
    else:
        return None
    return None if v is None else v.reshape(shape)


def tensor_values(tensor):
    """f32 values or None."""
    parts = [part_values(tensor, extent, e) for extent, e in tensor.parts]
    if any(p is None for p in parts):
        return None
    return np.concatenate(parts, axis=tensor.axis) if len(parts) > 1 else parts[0]


def f32_bytes(v):
    """Little-endian, every NaN as 0x7FC00000."""
    b = np.ascontiguousarray(v, F32).reshape(-1).view(np.uint32).copy()
    b[np.isnan(v).reshape(-1)] = 0x7FC00000
    return b.astype("<u4").tobytes()
