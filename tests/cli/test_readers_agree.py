#!/usr/bin/env python3
"""Two readers, one meaning: test_readers_agree.py INGOT

Converts checkpoints with presets and options. The spec's independent reader has to accept each file without a violation, to have the same content
digest, and to decode the values that `ingot export --dtype f32` writes, bit for bit; these have to be the values that follow from the reader's codes,
scales and zero-points by the formula; outliers have to be the source's values. INGOT_QUICK=1: every fourth conversion.
"""

import json
import os
import pathlib
import sys
import unittest

import numpy as np

sys.dont_write_bytecode = True
ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent), str(ROOT / "spec" / "reader")]

import common                                                               # noqa: E402
import ingot_reader                                                         # noqa: E402
import peer_fixtures                                                        # noqa: E402
from peer_fixtures import rounded                                           # noqa: E402

QUICK = os.environ.get("INGOT_QUICK", "0") not in ("", "0")
NUMPY = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}


def conversions():
    """The options of each conversion."""
    presets = [p["name"] for p in common.document(common.run("presets", "--json"))["presets"]]
    yield from (("--preset", name) for name in presets)
    yield from (("--preset", name, "--split-columns", "3") for name in ("int4-g128", "int3-g128-o1", "int8-outliers", "nf4"))
    yield from (("--preset", name, "--shard-size", "600K") for name in ("none", "int4-g128"))
    yield from (("--preset", name, "--compress", "--sha256") for name in ("none", "int8", "int2-g64-o1"))
    yield ("--preset", "int3-g128", "--compress", "--shard-size", "300K", "--split-columns", "2", "--alignment", "4096")
    for bits in range(1, 9):
        for kind in ((), ("--symmetric",), ("--zero-point", "float")):
            yield ("--bits", str(bits), "--group-size", "48", *kind)
    for size in ("tensor", "channel", "1", "7", "64", "100000"):
        for scale in ("f32", "bf16"):
            yield ("--bits", "4", "--group-size", size, "--scale-dtype", scale)
    for kind in ("unstructured", "columns"):
        for ratio in ("0.001", "0.01", "0.3", "0.99"):
            yield ("--bits", "3", "--group-size", "64", "--outliers", ratio, "--outlier-kind", kind)
        yield ("--bits", "2", "--zero-point", "float", "--outliers", "0.02", "--outlier-kind", kind, "--split-columns", "5")
        yield ("--method", "nf4", "--outliers", "0.02", "--outlier-kind", kind)
    yield ("--method", "fp4", "--group-size", "tensor")
    yield ("--bits", "3", "--clip", "mse", "--outliers", "0.01")


def odd_checkpoint(path, huge=False):
    """Shapes and values that are easy to get wrong."""
    rng = np.random.default_rng(3)
    layers = iter(range(100))

    def put(tensors, values, dtype="F32"):
        bits = np.ascontiguousarray(values, np.float32)
        data = (bits.view("<u4") >> np.uint32(16)).astype("<u2") if dtype == "BF16" else bits.astype(NUMPY[dtype])
        tensors[f"model.layers.{next(layers)}.mlp.up_proj.weight"] = (dtype, list(values.shape), data.tobytes())

    tensors = {}
    for shape in ((1, 1), (1, 200), (200, 1), (3, 63), (3, 64), (3, 65), (5, 127), (2, 129), (17, 50), (2, 3, 70)):
        for dtype in ("F32", "F16", "BF16"):
            put(tensors, rng.normal(0, 0.02, shape).astype(np.float32), dtype)
    put(tensors, np.zeros((4, 100), np.float32))
    put(tensors, np.full((4, 100), -0.75, np.float32))
    put(tensors, np.full((4, 100), -0.0, np.float32))
    put(tensors, np.repeat(rng.normal(0, 1, (4, 2)), 64, axis=1).astype(np.float32))    # constant within groups
    put(tensors, np.abs(rng.normal(0, 1, (4, 130))).astype(np.float32) + 5)             # far from zero
    put(tensors, (rng.normal(0, 1, (4, 130)) * 1e-42).astype(np.float32))               # subnormal
    put(tensors, (rng.normal(0, 1, (4, 130)) * 1e-6).astype(np.float32), "F16")         # scales below f16's range
    mixed = rng.normal(0, 0.02, (6, 130)).astype(np.float32)
    mixed[0, 0], mixed[3, 129] = 1000, -30000
    put(tensors, mixed)
    if huge:                                                                            # scales above it
        put(tensors, (rng.normal(0, 1, (4, 130)) * 1e37).astype(np.float32))
        put(tensors, np.where(rng.random((4, 130)) < 0.5, -1e38, 1e38).astype(np.float32))
    common.write_safetensors(path, tensors)
    return path


def source_values(path):
    """{name: f32 values} of a safetensors file."""
    found = {}
    data = pathlib.Path(path).read_bytes()
    size = int.from_bytes(data[:8], "little")
    for name, entry in json.loads(data[8:8 + size]).items():
        if name == "__metadata__":
            continue
        begin, end = (8 + size + at for at in entry["data_offsets"])
        raw = data[begin:end]
        if entry["dtype"] == "BF16":
            values = (np.frombuffer(raw, "<u2").astype(np.uint32) << np.uint32(16)).view(np.float32)
        elif entry["dtype"] in NUMPY:
            values = np.frombuffer(raw, NUMPY[entry["dtype"]]).astype(np.float32)
        else:
            continue
        found[name] = values.reshape(entry["shape"])
    return found


def by_the_formula(data):
    """The values of one linear encoding from codes, scales, zero-points, ...: (s * (m(q) - z) - o) * t, outliers added, with its roundings."""
    rows, columns = data.p.rows, data.p.columns
    group = np.arange(rows)[:, None] // data.p.group_rows, np.arange(columns)[None, :] // data.p.group_columns
    codes, book, order = data.codes(), data.codebook(), data.permutation()
    values = codes.astype(np.float32) if book is None else book[codes]
    scales, zero_points, offsets, column_scales = (data.operand(name) for name in "szot")
    arithmetic, result = (("F32", "F16", "BF16")[kind] for kind in (data.p.arithmetic, data.p.result))
    with np.errstate(all="ignore"):
        if zero_points is not None:
            values = rounded(values - zero_points[group], arithmetic)
        if scales is not None:
            values = rounded(scales[group] * values, arithmetic)
        if offsets is not None:
            values = rounded(values - offsets[group], arithmetic)
        if order is not None:
            values = values[:, np.argsort(order)]
        if column_scales is not None:
            values = rounded(values * column_scales[None, :], arithmetic)
        if data.outliers() is not None:
            r, c, h = data.outliers()
            values[r, c] = values[r, c] + h
        values = rounded(values, result)
    assert values.dtype == np.float32
    return values


def bits_of(values):
    """NaN equals NaN."""
    values = np.ascontiguousarray(values, np.float32)
    return np.where(np.isnan(values), np.float32(np.nan), values).view(np.uint32).reshape(-1)


class ReadersAgree(common.Case):
    def compare(self, source, options, originals):
        target = self.folder / "model.ingot"
        report = common.document(self.check(0, "convert", source, target, "--force", "--json", *options))
        self.assertEqual([str(v) for v in ingot_reader.examine(str(target)).violations], [])
        self.check(0, "validate", target)
        exported = self.folder / "values.safetensors"
        self.check(0, "export", target, exported, "--dtype", "f32", "--force", "--quiet")
        values = common.read_safetensors(exported)
        document = common.document(self.check(0, "inspect", target, "--json"))
        with ingot_reader.open_file(str(target)) as model:
            digest = model.content_digest()
            self.assertEqual((digest if digest.startswith("xxh3:") else "xxh3:" + digest, report["content_digest"]), (document["content_digest"],) * 2)
            self.assertEqual(sorted(model.tensors), sorted(values))
            for name in model.tensors:
                self.compare_tensor(model, name, values[name], originals.get(name))
        return report

    def compare_tensor(self, model, name, exported, original):
        info = model.tensors[name]
        if exported[0] != "F32":        # not a floating dtype: verbatim
            self.assertEqual(exported[2], model.raw(name).tobytes(), name)
            return
        decoded = model.decode(name)
        self.assertEqual(decoded.shape, tuple(exported[1]))
        found = np.frombuffer(exported[2], "<f4")
        different = np.flatnonzero(bits_of(found) != bits_of(decoded))
        self.assertEqual(different.size, 0, f"{name}: export and the reader differ at {different[:5]}: {found[different[:5]]}, {decoded.reshape(-1)[different[:5]]}")
        if all(part.kind == "raw" for part in info.parts):
            if original is not None:
                self.assertTrue((bits_of(decoded) == bits_of(original)).all(), name)
            return
        pieces, start = [], 0
        parts = model.linear(name)
        for part, data in zip(info.parts, parts if isinstance(parts, list) else [parts]):
            piece = by_the_formula(data)
            shape = [*info.shape]
            shape[info.axis] = part.extent
            pieces.append(piece.reshape(shape))
            if data.outliers() is not None and original is not None:
                self.compare_outliers(name, data, piece, np.take(original, range(start, start + part.extent), axis=info.axis).reshape(piece.shape))
            start += part.extent
        computed = np.concatenate(pieces, axis=info.axis)
        self.assertTrue((bits_of(computed) == bits_of(decoded)).all(), f"{name}: not the values of the formula")

    def compare_outliers(self, name, data, values, original):
        rows, columns, _ = data.outliers()
        self.outliers += len(rows)
        self.inexact += int((values[rows, columns] != original[rows, columns]).sum())     # -0 may come back as +0

    def run_all(self, source, originals):
        done = 0
        for number, options in enumerate(conversions()):
            if QUICK and number % 4:
                continue
            with self.subTest(" ".join(options)):
                self.outliers = self.inexact = 0
                report = self.compare(source, options, originals)
                self.assertEqual(self.inexact, report["inexact_outliers"], "outliers that do not come back exactly are counted")
                if "0.001" not in options:      # may be none at all
                    self.assertEqual(self.outliers > 0, "outliers" in " ".join(options) or "-o1" in " ".join(options))
            for path in self.folder.glob("model*.ingot"):
                path.unlink()
            done += 1
        print(f"{source.name}: {done} conversions", file=sys.stderr)

    def test_bundled_checkpoint(self):
        self.run_all(common.MODEL, source_values(common.MODEL / "model.safetensors"))

    def test_imported_gguf(self):
        sources = [path for path in sorted((ROOT / "tests" / "fixtures" / "gguf").glob("*/model.gguf")) if not path.parent.name.startswith("bad_")]
        self.assertEqual(len(sources), 20)
        for source in sources:
            with self.subTest(source.parent.name):
                self.compare(source, (), {})

    def test_imported_from_other_systems(self):
        """The specification's reader decodes what the importers made to the same bits."""
        for system in ("gptq", "awq", "bitsandbytes", "quanto", "hqq", "compressed_tensors", "mlx"):
            for folder, _ in peer_fixtures.rows(system):
                with self.subTest(f"{system}/{folder.name}"):
                    self.compare(folder, (), {})

    def test_odd_shapes_and_values(self):
        source = odd_checkpoint(self.folder / "odd.safetensors")
        self.run_all(source, source_values(source))

    def test_huge_values(self):
        source = odd_checkpoint(self.folder / "huge.safetensors", huge=True)
        originals = source_values(source)
        for bits in ("1", "2", "4", "8"):
            for scale in ("f32", "bf16"):
                for kind in ((), ("--symmetric",), ("--zero-point", "float"), ("--outliers", "0.01"), ("--clip", "mse")):
                    options = ("--bits", bits, "--scale-dtype", scale, "--group-size", "64", *kind)
                    with self.subTest(" ".join(options)):
                        self.outliers = self.inexact = 0
                        self.compare(source, options, originals)

    def test_not_finite(self):
        source = self.folder / "source.safetensors"
        values = np.random.default_rng(5).normal(0, 0.02, (6, 130)).astype(np.float32)
        values[0, 3], values[2, 64], values[5, 129] = np.nan, np.inf, -np.inf
        common.write_safetensors(source, {"model.layers.0.mlp.up_proj.weight": ("F32", [6, 130], values.tobytes())})
        for options in (("--preset", "int4-g128"), ("--preset", "nf4"), ("--preset", "int8"), ("--bits", "3", "--outliers", "0.01"),
                        ("--bits", "3", "--outliers", "0.02", "--outlier-kind", "columns"), ("--bits", "4", "--clip", "mse")):
            with self.subTest(" ".join(options)):
                self.outliers = self.inexact = 0
                self.compare(source, (*options, "--allow-nonfinite"), {})


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    common.INGOT = str(pathlib.Path(sys.argv.pop(1)).resolve())
    unittest.main()
