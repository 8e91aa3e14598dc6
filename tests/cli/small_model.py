"""A small checkpoint, and an .ingot file made from it that uses what the converter can write."""

import pathlib
import random
import struct

import common


def bf16(values):
    return b"".join(struct.pack("<f", v)[2:] for v in values)


def halfs(values):
    return struct.pack(f"<{len(values)}e", *values)


def checkpoint(folder, seed=1):
    """A Hugging Face folder: quantizable matrices of several dtypes and odd sizes, tensors that stay, compressible ones, attachments."""
    folder = pathlib.Path(folder)
    folder.mkdir()
    rng = random.Random(seed)
    normal = lambda n: [rng.gauss(0, 0.02) for _ in range(n)]
    common.write_safetensors(folder / "model.safetensors", {
        "model.layers.0.mlp.down_proj.weight": ("F16", [9, 130], halfs(normal(9 * 130))),
        "model.layers.0.mlp.up_proj.weight": ("BF16", [12, 64], bf16(normal(12 * 64))),
        "model.layers.0.self_attn.q_proj.weight": ("F32", [7, 65], common.floats(*normal(7 * 65))),
        "model.layers.0.input_layernorm.weight": ("F32", [300], common.floats(*[1.0 + i % 3 / 8 for i in range(300)])),
        "model.embed_tokens.weight": ("BF16", [6, 16], bf16(normal(6 * 16))),
        "model.layers.0.self_attn.rotary_emb.inv_freq": ("F32", [], common.floats(1.5)),
        "position_ids": ("I64", [40], struct.pack("<40q", *range(40))),
        "nothing": ("F16", [0, 4], b""),
    })
    (folder / "config.json").write_text('{"model_type": "llama", "hidden_size": 64}\n')
    (folder / "tokenizer_config.json").write_text('{"tokens": [' + ", ".join(f'"word {i % 7}"' for i in range(150)) + ']}\n')
    return folder


OPTIONS = ("--bits", "3", "--group-size", "32", "--outliers", "0.02", "--split-columns", "3", "--compress", "--sha256", "--alignment", "64")


def convert(folder, target="small.ingot", options=OPTIONS, seed=1):
    source = folder / f"source-{seed}"
    if not source.exists():
        checkpoint(source, seed)
    done = common.run("convert", source, folder / target, "--quiet", *options)
    assert done.returncode == 0, done.err
    return folder / target
