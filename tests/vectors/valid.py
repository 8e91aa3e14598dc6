"""The valid vectors. Each function returns {file name: File} or {file name: (File, bytes)}."""
import struct

import numpy as np

from ingot_writer import (CHUNK, DTYPE_BYTES, DTYPES, INDEX, Arr, Attachment, Const, Dead, Enc, File, Linear, Meta, Plane, Rng, Shard,
                          Source, Tensor, alias, align, build, foreign, h128, raw, zframe, zstd)

VECTORS = []
ON_DEMAND = {"chunks-raw", "frames-method-0-middle", "alignment-16384"}   # large: not checked in, made by `make.py --all`


def vector(f):
    VECTORS.append(f)
    return f


def codes(rng, rows, cols, bits):
    """Random codes among which every value occurs if there is room."""
    q = rng.ints((rows, cols), 1 << bits)
    n = min(1 << bits, q.size)
    q.reshape(-1)[:n] = np.arange((1 << bits) - n, 1 << bits)
    return q


def groups(q, group):
    return -(-q.shape[0] // group[0]), -(-q.shape[1] // group[1])


def array(rng, q, group, typ, lo=0.01, hi=0.1):
    return Arr(rng.floats(groups(q, group), lo, hi), typ)


def f16(values):
    return np.asarray(values, "<f2").tobytes()


def tensor(name, dtype, enc, shape=None):
    return Tensor(name, dtype, shape or enc.model.q.shape, enc)


@vector
def smallest():
    return {"smallest": File([Tensor("w", "F16", [2, 3], raw(f16([0.5, -1, 2, 0, 65504, -0.0])))])}


@vector
def empty():
    return {"empty": File()}


@vector
def raw_dtypes():
    special = {
        "F32": np.array([0, 0x80000000, 1, 0x3F800000, 0x7F800000, 0xFF800000, 0x7FC00001, 0x7F7FFFFF], "<u4").tobytes(),
        "F16": np.array([0, 0x8000, 1, 0x03FF, 0x3C00, 0x7BFF, 0x7C00, 0xFC00, 0x7E01], "<u2").tobytes(),
        "BF16": np.array([0, 0x8000, 1, 0x007F, 0x3F80, 0x7F7F, 0x7F80, 0xFF80, 0x7FC1], "<u2").tobytes(),
        "F64": np.array([0.0, -0.0, 1 / 3, 1e-40, 1e-46, 7.1e-46, 1e300, -1e300, np.inf, np.nan, 1 + 2.0**-24, 1 + 3 * 2.0**-24,
                         3.4028235677973366e38, 3.4028235677973362e38], "<f8").tobytes(),
        "F8_E4M3": bytes(range(256)),
        "F8_E5M2": bytes(range(256)),
    }
    rng = Rng(3)
    tensors = []
    for i, d in enumerate(DTYPES):
        data = special.get(d) or (bytes([0, 1, 1, 0, 1]) if d == "BOOL" else rng.bytes(5 * DTYPE_BYTES[i]))
        n = len(data) // DTYPE_BYTES[i]
        tensors.append(Tensor("%02d %s" % (i, d), d, [n], raw(data)))
    return {"raw-dtypes": File(tensors)}


@vector
def shapes():
    big = "長い名前/" + "é" * 100
    long_name = (big * 40).encode()[:4095] + b"x" * 8
    cut = 4096
    while True:   # 4096 bytes that end with whole characters
        try:
            (long_name[:cut]).decode()
            break
        except UnicodeDecodeError:
            cut -= 1
    long_name = long_name[:cut] + b"!" * (4096 - cut)
    q = codes(Rng(4), 6, 4, 2)
    tensors = [
        Tensor("scalar", "F32", [], raw(np.array([1.5], "<f4"))),
        Tensor("scalar linear", "F32", [], Linear([[3]], 2, (1, 1), s=Const(0.5)).enc()),
        Tensor("zero", "F32", [0], raw(b"")),
        Tensor("zero inside", "I8", [3, 0, 2], raw(b"")),
        Tensor("zero with huge dimensions", "F64", [2**63, 2**62, 0], raw(b"")),
        Tensor("zero first, huge", "C64", [0, 2**64 - 1], raw(b"")),
        Tensor("rank 8", "I16", [1, 2, 1, 3, 1, 2, 1, 1], raw(np.arange(12, dtype="<i2"))),
        Tensor("rank 8 linear", "BF16", [1, 2, 1, 3, 1, 2, 1, 2], Linear(codes(Rng(5), 12, 2, 4), 4, (1, 2), z=Const(8)).enc()),
        Tensor("one dimension linear", "F16", [24], Linear(q.reshape(1, 24), 2, (1, 24), z=Const(1.5)).enc()),
        Tensor("", "U8", [2], raw(b"\x01\x02")),
        Tensor('quotes " \' and \\', "U8", [1], raw(b"\x03")),
        Tensor("new\nline\ttab\0nul\x7f\u0085", "U8", [1], raw(b"\x04")),
        Tensor("模型.слой.ω.🦜", "U8", [1], raw(b"\x05")),
        Tensor("edge of UTF-8 \u07ff\u0800\ud7ff\ue000\uffff\U00010000\U0010ffff\u0080\u007f", "U8", [1], raw(b"\x06")),
        Tensor(long_name, "U8", [1], raw(b"\x07")),
    ]
    return {"shapes": File(tensors)}


@vector
def no_heap():
    """A scalar with an empty name: the heap has no bytes, so there is no heap table."""
    return {"no-heap": File([Tensor("", "F32", [], raw(np.array([-2.25], "<f4")))])}


@vector
def bits():
    tensors = []
    for b in range(1, 9):
        rng = Rng(10 + b)
        q = codes(rng, 3, 150, b)
        tensors.append(tensor("bits %d" % b, "F32", Linear(q, b, (1, 150), s=Const(0.125), z=Const(2.0 ** (b - 1) - 0.5)).enc()))
        q = codes(rng, 2, 64, b)
        tensors.append(tensor("bits %d, whole unit" % b, "F16", Linear(q, b, (1, 32), s=array(rng, q, (1, 32), "f16")).enc()))
    return {"bits": File(tensors)}


@vector
def codebook():
    rng = Rng(20)
    nf4 = [-1.0, -0.6961928, -0.52507305, -0.3949175, -0.28444138, -0.18477343, -0.091050036, 0.0, 0.0795803, 0.1609302, 0.2461123,
           0.33791524, 0.44070983, 0.562617, 0.72295684, 1.0]
    q4, q8, q3, q1 = codes(rng, 4, 70, 4), codes(rng, 3, 100, 8), codes(rng, 2, 65, 3), codes(rng, 2, 10, 1)
    g = (1, 32)
    return {"codebook": File([
        tensor("4 bits", "F32", Linear(q4, 4, g, codebook=nf4, s=array(rng, q4, g, "f32")).enc()),
        tensor("8 bits", "BF16", Linear(q8, 8, (1, 100), codebook=np.sort(rng.floats(256))).enc()),
        tensor("3 bits, equal and descending entries", "F16",
               Linear(q3, 3, (2, 65), codebook=[3, 3, 2, 1, 0, -0.0, -1, -1e-30], s=Const(-1.0)).enc()),
        tensor("1 bit, zero-point", "F64", Linear(q1, 1, (1, 5), codebook=[0.1, -7], z=Arr([1, 2, 3, 4], "bf16")).enc()),
    ])}


@vector
def zero_points():
    rng = Rng(30)
    q, g = codes(rng, 3, 100, 4), (1, 32)
    n = groups(q, g)
    q8 = codes(rng, 2, 100, 8)
    return {"zero-points": File([
        tensor("constant", "F32", Linear(q, 4, g, s=array(rng, q, g, "f16"), z=Const(8)).enc()),
        tensor("constant -0", "F32", Linear(q, 4, g, s=Const(bits=0x80000000), z=Const(bits=0x80000000)).enc()),
        tensor("nested identity", "F16",
               Linear(q, 4, g, s=array(rng, q, g, "f16"), z=Linear(rng.ints(n, 16), 4, (1, n[1]))).enc()),
        tensor("nested identity 3 bits, one row", "F16",
               Linear(q, 4, g, s=array(rng, q, g, "f16"), z=Linear(rng.ints((1, n[0] * n[1]), 8), 3, (1, 5))).enc()),
        tensor("nested 8 bits with a constant", "BF16",
               Linear(q8, 8, (1, 25), s=array(rng, q8, (1, 25), "bf16"), z=Linear(rng.ints((2, 4), 256), 8, (2, 4), z=Const(-0.5))).enc()),
        tensor("array f16", "F32", Linear(q, 4, g, s=array(rng, q, g, "f32"), z=array(rng, q, g, "f16", 6, 9)).enc()),
        tensor("array f32", "F32", Linear(q, 4, g, s=array(rng, q, g, "f16"), z=array(rng, q, g, "f32", 6, 9)).enc()),
        tensor("array bf16, no scale", "F32", Linear(q, 4, g, z=array(rng, q, g, "bf16", 6, 9)).enc()),
    ])}


@vector
def operands():
    rng = Rng(40)
    q, g = codes(rng, 3, 80, 5), (1, 32)
    n = groups(q, g)
    ts = []
    for typ in ("f32", "f16", "bf16"):
        ts.append(tensor("s " + typ, "F32", Linear(q, 5, g, s=array(rng, q, g, typ)).enc()))
        ts.append(tensor("o " + typ, "F32", Linear(q, 5, g, o=array(rng, q, g, typ)).enc()))
        ts.append(tensor("t " + typ, "F32", Linear(q, 5, g, t=Arr(rng.floats(80, 0.5, 1.5), typ)).enc()))
        ts.append(tensor("all " + typ, "F32", Linear(q, 5, g, s=array(rng, q, g, typ), z=array(rng, q, g, typ, 10, 20),
                                                     o=array(rng, q, g, typ, -1, 1), t=Arr(rng.floats(80, 0.5, 1.5), typ)).enc()))
    ts += [
        tensor("nothing", "F32", Linear(q, 5, g).enc()),
        tensor("s constant", "F32", Linear(q, 5, g, s=Const(0.1)).enc()),
        tensor("o constant", "F32", Linear(q, 5, g, o=Const(0.1)).enc()),
        tensor("t constant", "F32", Linear(q, 5, g, s=Const(1 / 3), t=Const(-0.7)).enc()),
        tensor("constants", "F32", Linear(q, 5, g, s=Const(0.1), z=Const(3.3), o=Const(-1.7), t=Const(1.1)).enc()),
        tensor("o nested", "F32", Linear(q, 5, g, s=Const(0.1), o=Linear(rng.ints(n, 64), 6, (1, 2), s=Const(0.01), o=Const(0.3))).enc()),
        tensor("mixed types", "F32", Linear(q, 5, g, s=array(rng, q, g, "bf16"), z=array(rng, q, g, "f16", 10, 20),
                                            o=array(rng, q, g, "f32", -1, 1), t=Arr(rng.floats(80, 0.5, 1.5), "f16")).enc()),
        tensor("array of +0 and -0", "F32", Linear(q[:, :2], 5, (3, 1), o=Arr([0.0, -0.0], "f32")).enc()),
        tensor("one column, t constant", "F32", Linear(q[:, :1], 5, (1, 1), s=Arr([1, 1, 2], "f16"), t=Const(3.0)).enc()),
    ]
    return {"operands": File(ts)}


def double_quantized(rng, q, group, inner):
    """Scales as 8-bit codes with a codebook and their own f32 scales, over one row."""
    n = groups(q, group)
    sq = codes(rng, 1, n[0] * n[1], 8)
    return Linear(sq, 8, (1, inner), codebook=np.sort(rng.floats(256)), s=array(rng, sq, (1, inner), "f32", 0.001, 0.002),
                  o=Const(-0.0123))


@vector
def nested():
    rng = Rng(50)
    ts = []
    q = codes(rng, 4, 200, 4)
    ts.append(tensor("double quantization", "BF16", Linear(q, 4, (1, 16), z=Const(8), s=double_quantized(rng, q, (1, 16), 20)).enc()))
    q = codes(rng, 40, 48, 3)   # SpQR: statistics of 16 rows share one second-level scale and zero-point
    g = (1, 16)
    n = groups(q, g)
    sq, zq = codes(rng, *n, 3), codes(rng, *n, 3)
    ts.append(tensor("SpQR", "F16", Linear(
        q, 3, g,
        s=Linear(sq, 3, (16, 1), s=array(rng, sq, (16, 1), "f16"), z=array(rng, sq, (16, 1), "f16", 0, 3)),
        z=Linear(zq, 3, (16, 1), s=array(rng, zq, (16, 1), "f16"), z=array(rng, zq, (16, 1), "f16", 0, 3)),
        outliers=("rows", "f16", [([r % 48], [r / 4]) if r % 7 == 0 else ([], []) for r in range(40)])).enc()))
    q = codes(rng, 2, 512, 4)   # K-quants: super-blocks of 256
    g = (1, 32)
    sq, oq = codes(rng, 2, 16, 6), codes(rng, 2, 16, 6)
    ts.append(tensor("K-quant", "F32", Linear(q, 4, g, s=Linear(sq, 6, (1, 8), s=array(rng, sq, (1, 8), "f16")),
                                              o=Linear(oq, 6, (1, 8), s=array(rng, oq, (1, 8), "f16"))).enc()))
    q = codes(rng, 3, 130, 2)
    g = (2, 13)
    n = groups(q, g)
    ts.append(tensor("s, z and o", "F32", Linear(
        q, 2, g, s=Linear(codes(rng, 1, n[0] * n[1], 7), 7, (1, 3), s=Const(0.25), arithmetic="bf16"),
        z=Linear(codes(rng, *n, 2), 2, (1, 1)), o=Linear(codes(rng, *n, 1), 1, (2, 10), codebook=[0.75, -0.25])).enc()))
    q = codes(rng, 1, 300, 4)   # more than one unit of nested codes
    ts.append(tensor("many nested codes", "F32", Linear(q, 4, (1, 3), s=Linear(codes(rng, 1, 100, 5), 5, (1, 100), s=Const(2.0**-7),
                                                                              arithmetic="f16")).enc()))
    q = codes(rng, 70, 3, 4)    # several rows of the nested view share one packed row
    ts.append(tensor("nested rows", "F32", Linear(q, 4, (1, 1), z=Linear(codes(rng, 70, 3, 4), 4, (70, 3))).enc()))
    return {"nested": File(ts)}


@vector
def groups_ragged():
    rng = Rng(60)
    q = codes(rng, 7, 50, 4)
    g = (3, 16)
    ts = [
        tensor("3 by 16", "F32", Linear(q, 4, g, s=array(rng, q, g, "f16"), z=array(rng, q, g, "bf16", 6, 9),
                                        o=array(rng, q, g, "f32")).enc()),
        tensor("whole tensor", "F32", Linear(q, 4, (7, 50), s=Const(0.5)).enc()),
        tensor("columns", "F32", Linear(q, 4, (7, 1), s=array(rng, q, (7, 1), "f32")).enc()),
        tensor("all but one", "F32", Linear(q, 4, (6, 49), s=array(rng, q, (6, 49), "f16")).enc()),
        tensor("nested ragged", "F32", Linear(q, 4, (2, 3), s=Linear(codes(rng, 4, 17, 4), 4, (3, 5),
                                                                     s=Arr(rng.floats((2, 4)), "bf16"))).enc()),
    ]
    return {"groups-ragged": File(ts)}


@vector
def views():
    rng = Rng(70)
    q1, q2 = codes(rng, 1, 6 * 50, 4), codes(rng, 60, 5, 4)
    ts = [
        tensor("one row", "F32", Linear(q1, 4, (1, 64), s=array(rng, q1, (1, 64), "f16"), z=Const(8)).enc(), [6, 50]),
        tensor("groups are columns", "F32", Linear(q2, 4, (60, 1), s=array(rng, q2, (60, 1), "f16"), z=Const(7)).enc(), [6, 50]),
        tensor("three dimensions", "F32", Linear(q2, 4, (2, 2), s=array(rng, q2, (2, 2), "f16")).enc(), [3, 20, 5]),
        tensor("merged", "F32", Linear(q2, 4, (60, 2), s=array(rng, q2, (60, 2), "f16"), t=Arr(rng.floats(5), "f32")).enc(), [300]),
    ]
    return {"views": File(ts)}


@vector
def arithmetic():
    rng = Rng(80)
    ts = []
    g = (1, 8)
    for a in ("f32", "f16", "bf16"):
        for r in ("f32", "f16", "bf16"):
            q = codes(rng, 4, 40, 6)
            perm = np.argsort(rng.ints(40, 1 << 40), kind="stable")
            for full in (False, True):
                ts.append(tensor("%s to %s%s" % (a, r, ", everything" if full else ""), "F32", Linear(
                    q, 6, g, s=array(rng, q, g, "f32"), o=array(rng, q, g, "f32", 0.3, 4), z=array(rng, q, g, "f32", 20, 40),
                    t=Arr(rng.floats(40, 0.5, 1.5), "f32") if full else None,
                    codebook=rng.floats(64, -40, 60) if full else None, perm=perm if full else None,
                    outliers=("rows", "f32", [([r1, r1 + 9, 30], rng.floats(3, -3, 3)) for r1 in range(4)]) if full else None,
                    arithmetic=a, result=r).enc()))
            ts.append(tensor("%s to %s, codebook alone" % (a, r), "F32",
                             Linear(q[:1], 6, (1, 40), codebook=rng.floats(64, -3, 3), arithmetic=a, result=r).enc()))
    # 7.4 of ENCODINGS.md; overflow, subnormals and midpoints in the small types
    ts.append(tensor("worked example", "BF16", Linear([[3]], 2, (1, 1), s=Const(0.10205078125), o=Const(0.0986328125),
                                                      arithmetic="bf16").enc()))
    ts.append(tensor("f16 overflow in between", "F32", Linear([[0, 1, 2, 3]], 2, (1, 4), s=Const(32760.0), t=Const(0.25),
                                                              arithmetic="f16").enc()))
    ts.append(tensor("f16 subnormal in between", "F32", Linear([[0, 1, 2, 3]], 2, (1, 4), s=Const(2.0**-25), t=Const(2.0**20),
                                                               arithmetic="f16").enc()))
    ts.append(tensor("bf16 overflow by rounding", "F32", Linear([[0, 1]], 1, (1, 2), s=Const(bits=0x7F7FFFFF), arithmetic="bf16").enc()))
    ts.append(tensor("f16 result, midpoints", "F32", Linear([[1, 2, 3, 4, 5, 6, 7]], 3, (1, 7), s=Const(1 + 2.0**-11), result="f16").enc()))
    ts.append(tensor("f16 result, 65520", "F32", Linear([[0, 1, 2, 3]], 2, (1, 4), codebook=[65519.996, 65520, -65520, 2.0**-25],
                                                        result="f16").enc()))
    # s * (m - z) in f32 must not be fused with - o: 1.0000001 * 1.0000001 - 1.0000002
    ts.append(tensor("no fused multiply-add", "F32", Linear([[0, 1]], 1, (1, 2), codebook=[1.0000001, 3.0000002], s=Const(1.0000001),
                                                            o=Const(1.0000002)).enc()))
    q = codes(rng, 2, 16, 4)
    ts.append(tensor("nested arithmetic differs", "F16", Linear(
        q, 4, (1, 4), s=Linear(codes(rng, 2, 4, 6), 6, (1, 4), s=Const(0.0123), o=Const(0.0511), arithmetic="f16"), z=Const(7.5),
        arithmetic="bf16", result="f16").enc()))
    return {"arithmetic": File(ts)}


@vector
def permutation():
    rng = Rng(90)
    q, g = codes(rng, 3, 70, 4), (1, 16)
    perm = np.argsort(rng.ints(70, 1 << 40), kind="stable")
    kw = dict(s=array(rng, q, g, "f16"), z=array(rng, q, g, "f16", 6, 9), perm=perm)
    rows = ("rows", "f16", [([0, 3, 69], [1, 2, -3]), ([], []), ([5], [0.5])])
    cols = ("columns", "f32", [1, 68], rng.floats((3, 2)))
    return {"permutation": File([
        tensor("alone", "F32", Linear(q, 4, g, **kw).enc()),
        tensor("with t", "F32", Linear(q, 4, g, t=Arr(rng.floats(70, 0.5, 2), "f32"), **kw).enc()),
        tensor("with outliers", "F32", Linear(q, 4, g, outliers=rows, **kw).enc()),
        tensor("with t and outlier columns", "F32", Linear(q, 4, g, t=Arr(rng.floats(70, 0.5, 2), "bf16"), outliers=cols, **kw).enc()),
        tensor("reversed, one row", "F32", Linear(q[:1], 4, (1, 7), s=array(rng, q[:1], (1, 7), "f32"), perm=np.arange(70)[::-1]).enc()),
        tensor("two columns", "F32", Linear(q[:, :2], 4, (3, 1), s=Arr([1, 2], "f32"), perm=[1, 0]).enc()),
    ])}


@vector
def outliers():
    rng = Rng(100)
    q, g = codes(rng, 6, 90, 4), (1, 30)
    ts = []
    for typ in ("f32", "f16", "bf16"):
        rows = [([0, 1, 89], rng.floats(3, -9, 9)), ([], []), ([], []), (list(range(90)), rng.floats(90, -9, 9)), ([44], [37.25]), ([], [])]
        ts.append(tensor("rows " + typ, "F32", Linear(q, 4, g, s=array(rng, q, g, "f16"), z=Const(8), outliers=("rows", typ, rows)).enc()))
        ts.append(tensor("columns " + typ, "F32", Linear(q, 4, g, s=array(rng, q, g, "f16"), z=Const(8), o=Const(0.1),
                                                         outliers=("columns", typ, [0, 17, 89], rng.floats((6, 3), -9, 9))).enc()))
    ts.append(tensor("rows, one value", "F32", Linear(q, 4, g, outliers=("rows", "f32", [([], [])] * 5 + [([89], [1e-40])])).enc()))
    ts.append(tensor("rows, every value", "F32", Linear(q[:2, :3], 4, (2, 3), outliers=("rows", "f16", [([0, 1, 2], [1, 2, 3])] * 2)).enc()))
    ts.append(tensor("all columns", "F32", Linear(q[:2, :3], 4, (2, 3), outliers=("columns", "bf16", [0, 1, 2], [[1, 2, 3], [4, 5, 6]])).enc()))
    ts.append(tensor("in another view", "F32", Linear(q.reshape(1, 540), 4, (1, 540),
                                                      outliers=("rows", "f16", [([100, 539], [3, 4])])).enc(), [6, 90]))
    return {"outliers": File(ts)}


@vector
def outliers_wide():
    """Column numbers of four bytes from 65537 columns on; two bytes for 65536."""
    n = 65600
    q = np.zeros((1, n), np.int64)
    q[0, ::5] = 1
    wide = Linear(q, 1, (1, n), s=Const(0.5), z=Const(0.5), outliers=("rows", "f16", [([0, 65535, 65536, n - 1], [1, 2, 3, 4])]))
    n2 = 65536
    edge = Linear(q[:, :n2], 1, (1, n2), s=Const(0.5), outliers=("columns", "f32", [7, 65535], [[1, 2]]))
    return {"outliers-wide": File([
        tensor("65600 columns", "F32", wide.enc(methods={"codes0": [1]})),
        tensor("65536 columns", "F32", edge.enc(methods={"codes0": [1]})),
    ])}


@vector
def special_values():
    inf, nan = np.inf, np.nan
    cb = np.array([-inf, -3.4028235e38, -1e-38, -1e-45, -0.0, 0.0, 1e-45, 1e-40, 1.1754944e-38, 1.0, 3.4028235e38, inf, nan, 65504, 65520, 2.0**-24],
                  np.float32)
    q = np.arange(16).reshape(1, 16)
    ts = [
        tensor("codebook", "F32", Linear(q, 4, (1, 16), codebook=cb).enc()),
        tensor("codebook to f16", "F32", Linear(q, 4, (1, 16), codebook=cb, result="f16").enc()),
        tensor("codebook to bf16", "F32", Linear(q, 4, (1, 16), codebook=cb, result="bf16").enc()),
        tensor("codebook, halved", "F32", Linear(q, 4, (1, 16), codebook=cb, s=Const(0.5)).enc()),
        tensor("codebook, doubled", "F32", Linear(q, 4, (1, 16), codebook=cb, t=Const(2.0)).enc()),
        tensor("codebook, negated, minus -0", "F32", Linear(q, 4, (1, 16), codebook=cb, s=Const(-1.0), z=Const(bits=0x80000000)).enc()),
        tensor("zero scale", "F32", Linear(q, 4, (1, 16), codebook=cb, s=Const(0.0)).enc()),
        tensor("infinite scale", "F32", Linear(q, 4, (1, 16), s=Const(inf), z=Const(8.0)).enc()),
        tensor("NaN offset", "F32", Linear(q, 4, (1, 16), o=Const(bits=0x7FC00000)).enc()),
        tensor("special arrays", "F32", Linear(q, 4, (1, 2), s=Arr([inf, -inf, nan, 0.0, -0.0, 1e-45, 3e38, 1], "f32"), z=Const(7.0)).enc()),
        tensor("special arrays f16", "F32", Linear(q, 4, (1, 2), s=Arr([inf, -inf, nan, 0.0, -0.0, 2.0**-24, 65504, 1], "f16"), z=Const(7.0)).enc()),
        tensor("special arrays bf16", "F32", Linear(q, 4, (1, 2), s=Arr([inf, -inf, nan, 0.0, -0.0, 1e-40, 3e38, 1], "bf16"), z=Const(7.0)).enc()),
        tensor("f32 subnormal product", "F32", Linear(q, 4, (1, 16), s=Const(bits=0x00000003), z=Const(8.0), t=Const(0.5)).enc()),
        tensor("-0 and outliers", "F32", Linear([[0, 0, 0]], 1, (1, 3), s=Const(-1.0),
                                                outliers=("rows", "f32", [([0, 1], [0.0, -0.0])])).enc()),
        tensor("special outliers", "F32", Linear([[1, 1, 1, 1, 1]], 1, (1, 5), codebook=[0, inf],
                                                 outliers=("rows", "f32", [([0, 1, 2, 3], [inf, -inf, nan, 1])])).enc()),
    ]
    return {"special-values": File(ts)}


def three_parts(rng):
    e = [Linear(codes(rng, 2, 24, 2), 2, (1, 8), s=Arr(rng.floats((2, 3)), "f16")).enc(),
         Linear(codes(rng, 3, 24, 4), 4, (1, 8), z=Const(8), s=Linear(codes(rng, 3, 3, 4), 4, (1, 3), s=Const(0.125))).enc(),
         Linear(codes(rng, 1, 24, 7), 7, (1, 24), s=Const(0.01)).enc()]
    return Tensor("axis 0", "F16", [6, 24], list(zip([2, 3, 1], e)))


@vector
def parts():
    rng = Rng(110)
    e = [Linear(codes(rng, 4, 10, 3), 3, (1, 5), s=Arr(rng.floats((4, 2)), "bf16")).enc(),
         raw(to_f32(rng.floats((4, 5)))),
         Linear(codes(rng, 4, 66, 5), 5, (1, 66), s=Arr(rng.floats(4), "f32"), perm=np.arange(66)[::-1]).enc()]
    experts = [Linear(codes(rng, 3, 20, b), b, (1, 10), s=Arr(rng.floats((3, 2)), "f16"), t=Arr(rng.floats(20), "f16")).enc()
               for b in (2, 4, 1, 8)]
    two = [Linear(codes(rng, 6, 20, b), b, (3, 10), s=Arr(rng.floats((2, 2)), "f16")).enc() for b in (3, 6)]
    mid = [Linear(codes(rng, 4, 6, 4), 4, (1, 6), s=Const(0.5)).enc(), Linear(codes(rng, 1, 12, 6), 6, (1, 12), s=Const(0.25)).enc()]
    last = [raw(bytes([1, 2, 3, 4])), raw(bytes([5, 6]))]
    return {"parts": File([
        three_parts(rng),
        Tensor("axis 1", "F32", [4, 81], list(zip([10, 5, 66], e)), axis=1),
        Tensor("experts", "BF16", [4, 3, 20], [(1, x) for x in experts]),
        Tensor("experts in twos", "BF16", [4, 3, 20], [(2, x) for x in two]),
        Tensor("middle axis", "F16", [2, 3, 6], list(zip([2, 1], mid)), axis=1),
        Tensor("integers", "U8", [2, 3], list(zip([2, 1], last)), axis=1),
    ])}


def to_f32(v):
    return np.asarray(v, "<f4").tobytes()


@vector
def aliases():
    rng = Rng(120)
    head = Tensor("lm_head", "F16", [2, 40], Linear(codes(rng, 2, 40, 4), 4, (1, 20), s=Arr(rng.floats((2, 2)), "f16"), z=Const(8)).enc())
    p = three_parts(rng)
    r = Tensor("b raw", "I32", [3], raw(np.array([1, 2, 3], "<i4")))
    return {"aliases": File([head, alias("zz embed", head), p, alias("axis 0 again", p), alias("axis 0 and again", p), r, alias("c raw", r)])}


META = [
    ("bool false", "bool", 0), ("bool true", "bool", 1), ("u8", "u8", 255), ("i8", "i8", -128), ("u16", "u16", 65535), ("i16", "i16", -32768),
    ("u32", "u32", 2**32 - 1), ("i32", "i32", -2**31), ("u64", "u64", 2**64 - 1), ("i64", "i64", -2**63), ("f32", "f32", 0.1),
    ("f64", "f64", 0.1), ("f32 nan", "f32", b"\x00\x00\xc0\x7f"), ("f64 -inf", "f64", float("-inf")), ("string", "string", "Grüße, 世界 🦜\n\0"),
    ("string empty", "string", ""), ("ingot.generator", "string", "vectors 1"), ("ingot.recipe", "string", '{"rules": []}'),
]


@vector
def metadata():
    ms = [Meta(*m) for m in META]
    samples = [[0, 1, 1], [0, 255], [-1, 1], [0, 65535], [-5, 5], [1, 2**32 - 1], [-1, 0], [2**64 - 1], [-2**63, 2**63 - 1],
               [0.5, -0.0], [1e300, 1e-300], ["", "a", "Ω", ""]]
    names = ["bool", "u8", "i8", "u16", "i16", "u32", "i32", "u64", "i64", "f32", "f64", "string"]
    for n, v in zip(names, samples):
        ms.append(Meta("array " + n, "array", v, n))
        ms.append(Meta("array empty " + n, "array", [], n))
    ms.append(Meta("k" * 4096, "u8", 1))
    ms.append(Meta("键", "u8", 2))
    ms.append(Meta("\0", "u8", 3))
    return {"metadata": File(metadata=ms)}


@vector
def attachments():
    return {"attachments": File([Tensor("w", "F16", [2], raw(f16([1, 2])))], attachments=[
        Attachment("config.json", b'{"a": 1}\n'), Attachment("empty.txt", b""), Attachment("folder/file.txt", b"in a folder\n"),
        Attachment("folder/empty", b""), Attachment("名.txt", bytes(range(256)) * 4, methods=[1]), Attachment("x" * 255 + "/" + "y" * 255, b"z"),
        Attachment("...", b"three dots are a name"), Attachment(" ", b" "), Attachment("same bytes", b"z")])}


@vector
def sources():
    w = [Tensor("w", "F16", [2], raw(f16([1, 2])))]
    src = [Source("model.safetensors", b"the source file"), Source("other.gguf", b"")]
    return {"sources": File(w, sources=src),
            "sha256": File(w, sources=src, sha256=True, attachments=[Attachment("a", b"attached"), Attachment("b", b"b" * 500, methods=[1])]),
            "sha256-sources-only": File(sources=src, sha256=True),
            "sha256-no-sources": File(w, sha256=True)}


def pattern(width, elements, period):
    """Bytes that compress well in byte planes."""
    v = (np.arange(elements) % period).astype(np.uint32) * (0x01010101 if width == 4 else 0x0101)
    return v.astype("<u%d" % width).tobytes()


@vector
def frames():
    rng = Rng(130)
    noise = rng.bytes(1000)
    two = pattern(2, CHUNK // 2 + 500, 97)
    four = pattern(4, CHUNK // 4 + 77, 31)
    mixed = bytes(CHUNK) + two[:CHUNK] + four[:CHUNK] + noise
    middle = b"\xaa" * CHUNK + b"\x55" * CHUNK + b"\xaa" * 4000
    hand = bytes([7]) * 3000
    n = 4096
    return {
        "frames": File([
            Tensor("method 1", "U8", [3000], raw(hand, [1])),
            Tensor("method 2", "F16", [2000], raw(pattern(2, 2000, 50), [2])),
            Tensor("method 3", "F32", [1000], raw(pattern(4, 1000, 50), [3])),
            Tensor("not framed", "U8", [3], raw(b"\x01\x02\x03")),
            Tensor("linear", "F32", [2, 600], Linear(np.arange(1200).reshape(2, 600) // 75, 4, (1, 10), codebook=np.linspace(-1, 1, 16),
                                                     s=Arr(np.repeat([1, 2, 4], 40), "f16")).enc(methods={"codes0": [1], "s": [2]})),
        ]),
        "frames-chunks": File([
            Tensor("1, 2, 3, 0", "U8", [len(mixed)], raw(mixed, [1, 2, 3, 0])),
            Tensor("2, 2", "F16", [len(two) // 2], raw(two, [2, 2])),
            Tensor("3, 1", "F32", [len(four) // 4], raw(four, [3, 1])),
            Tensor("one whole chunk", "U8", [CHUNK], raw(bytes(CHUNK), [1])),
            Tensor("two whole chunks", "I8", [2, CHUNK], raw(b"\x11" * (2 * CHUNK), [1, 1])),
        ]),
        "frames-method-0-middle": File([Tensor("1, 0, 1", "U8", [len(middle)], raw(middle, [1, 0, 1]))]),
        "frames-zstd": File([
            Tensor("window of 1 MiB", "U8", [3000], raw(hand, [(1, zframe([("rle", 7, 3000)], content=3000, window=0x50))])),
            Tensor("window of 1 KiB", "U8", [3000], raw(hand, [(1, zframe([("rle", 7, 1024)] * 2 + [("rle", 7, 952)], content=3000, window=0))])),
            Tensor("checksum", "U8", [3000], raw(hand, [(1, zstd(hand, write_checksum=True))])),
            Tensor("raw, empty and repeated blocks", "U8", [40], raw(b"abc" + b"z" * 37, [(1, zframe([("raw", b"abc"), ("raw", b""), ("rle", 122, 37)],
                                                                                                 content=40))])),
            Tensor("one byte less than the chunk", "U8", [14], raw(b"a" * 14, [(1, zframe([("rle", 97, 14)], content=14))])),
            Tensor("level 1", "U8", [n], raw(pattern(2, n // 2, 999), [(1, zstd(pattern(2, n // 2, 999), 1))])),
        ]),
    }


@vector
def chunks_raw():
    data = b"\x5a" * CHUNK + b"\x5b" * 100
    return {"chunks-raw": File([Tensor("w", "U8", [len(data)], raw(data)), Tensor("v", "U8", [4], raw(b"\x01\x02\x03\x04"))])}


@vector
def manifest():
    rng = Rng(140)
    a = File([Tensor("a", "F16", [2, 2], raw(f16([1, 2, 3, 4]))), Tensor("c", "F32", [1, 8], Linear(codes(rng, 1, 8, 3), 3, (1, 8), s=Const(0.5)).enc())])
    b = File([Tensor("b", "F16", [3], raw(f16([5, 6, 7]))), Tensor("d", "U8", [4], raw(b"\1\2\3\4"))], metadata=[Meta("shard", "u8", 2)])
    m = File(shards=[Shard("manifest-00001-of-00002.ingot", a), Shard("manifest-00002-of-00002.ingot", b)], metadata=[Meta("title", "string", "two shards")],
             attachments=[Attachment("config.json", b"{}")])
    return {"manifest": m, "manifest-00001-of-00002": a, "manifest-00002-of-00002": b}


def edit_base():
    return dict(tensors=[Tensor("w", "F16", [2, 3], raw(f16([1, 2, 3, 4, 5, 6])))], metadata=[Meta("title", "string", "first")],
                attachments=[Attachment("config.json", b"old config"), Attachment("keep.txt", b"kept")])


def edited(slot, **kw):
    """Generation 1, then config.json replaced. slot: the one that the edit writes."""
    base = edit_base()
    first = File(**base, **kw)
    old = build(first)
    old_index = old[struct.unpack_from("<Q", old, 48)[0]:][:struct.unpack_from("<Q", old, 56)[0]]
    w, gone, keep = base["tensors"][0].parts[0][1].planes[0], base["attachments"][0].plane, base["attachments"][1].plane
    new = Attachment("config.json", b"a new and longer config")
    f = File(base["tensors"], [Meta("title", "string", "second"), Meta("added", "u32", 7)], [new, base["attachments"][1]], generation=2,
             older=(1 - slot, old[4096 * (1 - slot):][:4096]),
             layout=lambda planes: [w, Dead(gone.stored()), keep, Dead(old_index), new.plane, INDEX], **kw)
    return f, dict(w=w, gone=gone, keep=keep, new=new, old_index=old_index, base=base)


@vector
def edits():
    out = {}
    for slot in (0, 1):
        out["edited-slot-%d" % slot] = edited(slot)[0]
    out["edited-4096"] = edited(1, alignment=4096)[0]
    # the second edit removes keep.txt, adds a compressed file; the dead ranges around the old index become one
    f2, x = edited(1)
    second = build(f2)
    at, size = struct.unpack_from("<QQ", second, 4096 + 48)
    gap = lambda b: b + bytes(align(len(b), 64) - len(b))
    run = gap(x["gone"].stored()) + gap(x["keep"].stored()) + x["old_index"]
    new = Attachment("tokenizer.json", b"token " * 200, methods=[1])
    out["edited-twice"] = File(x["base"]["tensors"], [Meta("title", "string", "third")], [x["new"], new], generation=3,
                               older=(1, second[4096:8192]),
                               layout=lambda planes: [x["w"], Dead(run), x["new"].plane, Dead(second[at:at + size]), new.plane, INDEX])
    # an older slot whose file_end and index offset lead nowhere: they count only in the current slot
    f, _ = edited(1)
    b = bytearray(f.older[1][:4080])
    struct.pack_into("<Q", b, 40, 2**50)
    struct.pack_into("<Q", b, 48, 3)
    f.older = (0, bytes(b) + h128(bytes(b)))
    out["edited-older-slot-dangling"] = f
    # generation 1 and 2 differ only in metadata, no plane is dead
    base = edit_base()
    first = build(File(**base))
    at, size = struct.unpack_from("<QQ", first, 48)
    ps = [base["tensors"][0].parts[0][1].planes[0]] + [a.plane for a in base["attachments"]]
    out["edited-metadata"] = File(base["tensors"], [], base["attachments"], generation=2, older=(0, first[:4096]),
                                  layout=lambda planes: ps + [Dead(first[at:at + size]), INDEX])
    return out


@vector
def alignments():
    q = codes(Rng(150), 2, 70, 3)
    t = lambda: [tensor("w", "F32", Linear(q, 3, (1, 35), s=Arr([1, 2, 3, 4], "f16")).enc()), Tensor("v", "U8", [1], raw(b"\x01"))]
    return {"alignment-64": File(t()), "alignment-128": File(t(), alignment=128), "alignment-4096": File(t(), alignment=4096),
            "alignment-8192": File(t()[1:], alignment=8192), "alignment-16384": File(t()[1:], alignment=16384)}


@vector
def warn_trailing():
    t = [Tensor("w", "F16", [2], raw(f16([1, 2])))]
    return {"warn-trailing-bytes": File(t, trailing=b"an edit that did not finish"),
            "warn-trailing-zeros": File(t, trailing=bytes(100))}


@vector
def region_order():
    """The index first, planes in another order than their encodings, planes of a parent before those of its child."""
    rng = Rng(160)
    q = codes(rng, 2, 40, 4)
    a = tensor("a", "F32", Linear(q, 4, (1, 10), s=Linear(codes(rng, 2, 4, 6), 6, (1, 2), s=Arr(rng.floats((2, 2)), "f16")), z=Const(8)).enc())
    b = Tensor("b", "U8", [3], raw(b"\1\2\3"))
    att = Attachment("file", b"first of the planes")
    ea, eb = a.parts[0][1], b.parts[0][1]
    return {"index-first": File([a, b], attachments=[att], layout=lambda ps: [INDEX] + ps),
            "plane-order": File([a, b], attachments=[att], sha256=True,
                                layout=lambda ps: [att.plane] + eb.planes + [INDEX] + ea.planes + ea.children[0].planes)}


def unknown_tensors():
    child = Enc(78, b"child", [Plane(b"child plane")], flags=0)
    return [Tensor("required", "F32", [4, 4], Enc(77, b"payload", [Plane(b"some codes"), Plane(b"compressed " * 50, [1])])),
            Tensor("not required", "I8", [4, 4], Enc(77, b"", [], flags=0)),
            Tensor("with a child", "BF16", [3], Enc(77, b"\0" * 300, [Plane(b"x")], [child], flags=0)),
            Tensor("kind 65535", "C64", [], Enc(65535, b"", [Plane(b"y")], flags=1)),
            Tensor("kind 0", "C64", [], Enc(0, b"", [Plane(b"y")], flags=0)),
            Tensor("just below 2^63", "U8", [2**63 - 1], Enc(77, b"", [Plane(b"z")], flags=0)),
            Tensor("one part unknown", "U8", [2, 2], [(1, raw(b"\1\2")), (1, Enc(77, b"", [], flags=0))]),
            Tensor("readable", "F16", [2], raw(f16([1, 2])))]


@vector
def unknown_kind():
    return {"unknown-kind": File(unknown_tensors())}


LONGER = {"tensors": 4, "parts": 4, "encodings": 8, "planes": 8, "chunks": 16, "frames": 8, "metadata": 4, "attachments": 4, "shards": 8,
          "sources": 8, "dead": 16, "sha256": 32}


def longer(T):
    for name, n in LONGER.items():
        for r in T[name]:
            r["_tail"] = b"\xa5" * n


def unknown_table(entries):
    entries.append(dict(kind=14, size=5, count=3, data=b"fifteen bytes.."))
    entries.append(dict(kind=1000, size=8, count=1, data=b"\xff" * 8))


@vector
def newer():
    rng = Rng(170)
    q = codes(rng, 3, 70, 3)
    nested_e = Linear(q, 3, (1, 35), s=Linear(codes(rng, 3, 2, 4), 4, (1, 2), s=Const(0.5)).enc(nested=True, extra=b"\x01" * 8),
                      outliers=("rows", "f16", [([1], [1]), ([], []), ([69], [2])])).enc(extra=b"new field of 17b.")
    src = [Source("model.safetensors", b"the source file")]
    ts = lambda: [tensor("linear", "F32", nested_e), Tensor("raw", "F16", [2], raw(f16([1, 2]), payload=b"new")),
                  Tensor("unknown", "F32", [4], Enc(900, b"?", [Plane(b"codes")], flags=1)),
                  Tensor("parts", "U8", [2], [(1, raw(b"\1")), (1, raw(b"\2"))])]
    kw = dict(metadata=[Meta("m", "u8", 1)], attachments=[Attachment("a", b"a" * 100, methods=[1])], sources=src, sha256=True, minor=7)
    slot = b"\x77" * 4000
    full = File(ts(), slot_reserved=slot, optional=1 << 40, **kw)
    shard = File([Tensor("w", "F16", [2], raw(f16([1, 2])))], minor=2)
    m = File(shards=[Shard("newer-manifest-00001-of-00001.ingot", shard)], minor=2)
    return {"newer-minor": (full, dict(tables=longer, directory=unknown_table)),
            "newer-minor-same": File([Tensor("w", "F16", [2], raw(f16([1, 2])))], minor=65535),
            "newer-minor-edited": (edited_newer(), dict(tables=longer)),
            "newer-manifest": (m, dict(tables=longer)), "newer-manifest-00001-of-00001": shard,
            "optional-features": File([Tensor("w", "F16", [2], raw(f16([1, 2])))], optional=2**64 - 1)}


def edited_newer():
    """A file of minor 1 that a newer program has edited: only the new slot is of the newer minor version."""
    f, _ = edited(1)
    f.minor = 3
    return f


@vector
def foreign_blocks():
    rng = Rng(180)
    a = Tensor("q4", "F32", [2, 64], foreign(18, 32, 128, b"Q4_0", rng.bytes(72)))
    parts = [(1, foreign(1, 1, 3, b"!", rng.bytes(3))), (1, raw(b"\1\2\3"))]
    return {"foreign": File([a, Tensor("mixed", "U8", [2, 3], parts), Tensor("long name", "F16", [4], foreign(7, 4, 4, b"~" * 255, rng.bytes(7))),
                             Tensor("compressed", "BF16", [40, 32], Enc(3, struct.pack("<IIQ", 34, 32, 1280) + b"Q8_0", [Plane(bytes(1360), [1])]))])}


@vector
def everything():
    rng = Rng(190)
    q, g = codes(rng, 4, 20, 3), (2, 7)
    n = groups(q, g)
    perm = np.argsort(rng.ints(20, 1 << 40), kind="stable")
    s = Linear(codes(rng, *n, 4), 4, (1, 3), s=Arr(rng.floats(n[0]), "bf16"), codebook=np.linspace(-1, 1, 16))
    full = Linear(q, 3, g, codebook=rng.floats(8), s=s, z=Linear(codes(rng, 1, n[0] * n[1], 2), 2, (1, 6)),
                  o=Linear(codes(rng, *n, 5), 5, (2, 3), s=Const(0.125)), t=Arr(rng.floats(20), "f16"), perm=perm,
                  outliers=("rows", "f16", [([3, 19], [1.5, -2]), ([], []), ([0], [8]), ([], [])]), arithmetic="bf16", result="f16")
    head = Tensor("head", "BF16", [2, 12], Linear(codes(rng, 2, 12, 4), 4, (1, 6), s=Arr(rng.floats((2, 2)), "f32"), z=Arr([7, 8, 9, 8], "f16"),
                                                  o=Const(0.5), outliers=("columns", "bf16", [2, 11], rng.floats((2, 2)))).enc())
    parts_ = Tensor("parts", "F32", [2, 9], [(2, Linear(codes(rng, 2, 2, 8), 8, (1, 2), s=Const(0.01), arithmetic="f16").enc()),
                                             (4, Linear(codes(rng, 2, 4, 1), 1, (2, 4), z=Const(0.5),
                                                        t=Const(0.3)).enc()),
                                             (3, raw(to_f32(rng.floats((2, 3)))))], axis=1)
    seven = Tensor("seven", "F64", [1, 2, 35], Linear(codes(rng, 1, 70, 7), 7, (1, 35), s=Arr([0.25, 0.5], "f16")).enc())
    tied = raw(np.array([3, 1, 2], "<i4"))
    t = [tensor("full", "F16", full.enc()), head, alias("tied head", head), parts_, seven,
         Tensor("scalar", "F64", [], raw(np.array([0.1], "<f8"))), Tensor("zero", "BOOL", [0, 3], raw(b"")), Tensor("", "I32", [3], tied),
         Tensor("method 2", "BF16", [48], raw(pattern(2, 48, 2), [2])), Tensor("method 3", "F32", [24], raw(pattern(4, 24, 1), [3])),
         Tensor("foreign", "F32", [32], foreign(18, 32, 32, b"Q4_0", rng.bytes(18))),
         Tensor("unknown", "F32", [2], Enc(77, b"pay", [Plane(b"load")], [Enc(78, b"", [Plane(b"c")], flags=0)], flags=0))]
    ms = [Meta("a", "array", ["", "b"], "string"), Meta("b", "bool", 1), Meta("f", "f64", 0.5), Meta("u", "array", [1, 2], "u16"),
          Meta("ingot.generator", "string", "vectors"), Meta("i", "i32", -1)]
    return {"everything": File(t, ms, [Attachment("a.txt", b"a" * 60, methods=[1]), Attachment("d/b", b"b"), Attachment("empty", b"")],
                               sources=[Source("s.safetensors", b"source")], sha256=True)}
