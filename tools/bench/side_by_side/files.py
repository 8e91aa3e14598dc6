"""Files of made-up weights: safetensors and GGUF, written by hand, and what `ingot convert` makes of them."""
import ctypes
import json
import os
import struct
import subprocess

import numpy as np

ROWS = COLUMNS = 4096
# Types of GGUF with their numbers; all but the last two are made by ggml's own quantization.
TYPES = {"q4_0": 2, "q4_1": 3, "q5_0": 6, "q8_0": 8, "q2_K": 10, "q3_K": 11, "q4_K": 12, "q5_K": 13, "q6_K": 14, "iq4_nl": 20, "iq4_xs": 23, "f16": 1,
         "bf16": 30}
# Ingot's own encodings, the options that make them, and ggml's types of about as many bits.
OWN = {
    "int2-g64": ({"bits": 2, "group_size": 64}, ("q2_K",)),
    "int3-g128": ({"bits": 3, "group_size": 128}, ("q3_K",)),
    "int4-g128": ({"bits": 4, "group_size": 128}, ("q4_0", "q4_1", "q4_K", "iq4_nl", "iq4_xs")),
    "int4-sym-g128": ({"bits": 4, "group_size": 128, "symmetric": True}, ("q4_0", "q4_1", "q4_K", "iq4_nl", "iq4_xs")),
    "nf4": ({"method": "nf4", "group_size": 64}, ("q4_0", "q4_1", "q4_K", "iq4_nl", "iq4_xs")),
    "int8-g128": ({"bits": 8, "group_size": 128}, ("q8_0",)),
}


def write_safetensors(path, tensors):
    """tensors: (name, dtype, shape, bytes, a function that gives them)."""
    header, at = {}, 0
    for name, dtype, shape, size, _ in tensors:
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for *_, data in tensors:
            file.write(data())


def gguf_text(text):
    return struct.pack("<Q", len(text)) + text.encode()


def write_gguf(path, tensors):
    """tensors: (name, number of the type, shape, bytes, a function that gives them). Version 3; the sizes are multiples of 32."""
    head = bytearray(b"GGUF" + struct.pack("<IQQ", 3, len(tensors), 1) + gguf_text("general.architecture") + struct.pack("<I", 8) + gguf_text("llama"))
    at = 0
    for name, number, shape, size, _ in tensors:
        head += gguf_text(name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *reversed(shape)) + struct.pack("<IQ", number, at)
        at += size
    head += bytes(-len(head) % 32)
    with open(path, "wb") as file:
        file.write(head)
        for *_, data in tensors:
            file.write(data())


def many_tensors(write, dtype, path, count):
    """Tensors of 32 values, as safetensors or GGUF."""
    data = np.random.default_rng(1).standard_normal((count, 32), dtype=np.float32)
    write(path, [(f"t{i}", dtype, (32,), 128, lambda i=i: data[i].tobytes()) for i in range(count)])


def weights():
    return np.random.default_rng(0).standard_normal((ROWS, COLUMNS), dtype=np.float32) * np.float32(0.02)


def quantized(library, values):
    """{type: its bytes}, by ggml."""
    base = ctypes.CDLL(library)
    base.ggml_quantize_chunk.restype = base.ggml_row_size.restype = ctypes.c_size_t
    base.ggml_quantize_chunk.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p]
    base.ggml_row_size.argtypes = [ctypes.c_int, ctypes.c_int64]
    for name, number in TYPES.items():
        out = np.empty(base.ggml_row_size(number, COLUMNS) * ROWS, np.uint8)
        importance = np.ones(COLUMNS, np.float32)
        base.ggml_quantize_chunk(number, values.ctypes.data, out.ctypes.data, 0, ROWS, COLUMNS, importance.ctypes.data)
        yield name, out.tobytes()


def convert(ingot, source, target, *options):
    if not os.path.exists(target):
        subprocess.run((ingot, "convert", source, target, "--quiet", *options), check=True)
    return target


def weight_name(kind):
    return f"blk.0.{kind}.weight"


def matrices(folder, ingot, library):
    """Paths: GGUF with a matrix of each type, the same as .ingot, and .ingot with Ingot's own encodings of the same weights."""
    gguf, source, recipe = (os.path.join(folder, name) for name in ("types.gguf", "own.safetensors", "own.json"))
    if not os.path.exists(gguf):
        tensors = [(weight_name(n), TYPES[n], (ROWS, COLUMNS), len(data), lambda data=data: data) for n, data in quantized(library, weights())]
        write_gguf(gguf, tensors)
    if not os.path.exists(source):
        halfs = weights().astype(np.float16).tobytes()
        write_safetensors(source, [(weight_name(n), "F16", (ROWS, COLUMNS), len(halfs), lambda: halfs) for n in OWN])
        with open(recipe, "w", encoding="utf-8") as file:
            json.dump({"name": "own", "rules": [{"match": weight_name(n).replace(".", "\\."), "method": "linear", **how} for n, (how, _) in OWN.items()]}, file)
    return gguf, convert(ingot, gguf, os.path.join(folder, "types.ingot")), convert(ingot, source, os.path.join(folder, "own.ingot"), "--recipe", recipe)
