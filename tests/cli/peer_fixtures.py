"""The checkpoints under tests/fixtures that other systems' own packages wrote, with the values that these decode."""

import json
import pathlib
import struct

import numpy as np

from common import ROOT

FIXTURES = ROOT / "tests" / "fixtures"
NUMPY = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U8": "u1", "U32": "<u4",
         "F8_E4M3": "u1", "F8_E5M2": "u1", "F8_E8M0": "u1"}


def rows(system):
    """[(folder, row of FIXTURES.json)]"""
    fixtures = json.loads((FIXTURES / system / "FIXTURES.json").read_text(encoding="utf-8"))["fixtures"]
    return [(FIXTURES / row["path"], row) for row in fixtures]


def read_tensors(path):
    """{name: (dtype, array)} of a safetensors file with its tensors in any order; BF16 and F8 as bit patterns."""
    data = pathlib.Path(path).read_bytes()
    size = struct.unpack_from("<Q", data)[0]
    header = json.loads(data[8:8 + size])
    header.pop("__metadata__", None)
    out = {}
    for name, e in header.items():
        begin, end = e["data_offsets"]
        out[name] = (e["dtype"], np.frombuffer(data[8 + size + begin:8 + size + end], NUMPY[e["dtype"]]).reshape(e["shape"]))
    return out


def write_tensors(path, tensors):
    header, at = {}, 0
    for name, (dtype, array) in tensors.items():
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [at, at + array.nbytes]}
        at += array.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    body = b"".join(np.ascontiguousarray(array).tobytes() for _, array in tensors.values())
    pathlib.Path(path).write_bytes(struct.pack("<Q", len(text)) + text + body)


def write_folder(folder, tensors, config):
    folder.mkdir(exist_ok=True)
    write_tensors(folder / "model.safetensors", tensors)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def widen(dtype, array):
    """f32 values of F32, F16 and BF16."""
    if dtype == "BF16":
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(np.float32)


def rounded(values, dtype):
    """f32 values after one rounding to nearest even, still f32."""
    if dtype == "F16":
        with np.errstate(over="ignore"):
            return values.astype(np.float16).astype(np.float32)
    if dtype == "BF16":
        bits = np.ascontiguousarray(values, np.float32).view(np.uint32).astype(np.uint64)
        near = (((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16) << 16).astype(np.uint32).view(np.float32)
        return np.where(np.isnan(values), values, near)
    return values.astype(np.float32)


def differing(got, wanted):
    """How many f32 values have other bits; any NaN equals any NaN."""
    a, b = np.ascontiguousarray(got, np.float32), np.ascontiguousarray(wanted, np.float32)
    return int(((a.view(np.uint32) != b.view(np.uint32)) & ~(np.isnan(a) & np.isnan(b))).sum())
