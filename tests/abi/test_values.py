#!/usr/bin/env python3
"""The C interface against the spec's independent reader: test_values.py DUMP INGOT

DUMP (tests/abi/dump.c) writes down what the interface says about a file; here that is compared with what the reader in Python finds, bit for bit: every
valid vector, in every mode of access and verification, and what the importers make of other systems' checkpoints. INGOT_QUICK=1: fewer modes and imports.
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

import numpy as np

sys.dont_write_bytecode = True
ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "cli"), str(ROOT / "spec" / "reader")]

import common                                                               # noqa: E402
import ingot_reader                                                         # noqa: E402
import peer_fixtures                                                        # noqa: E402
from layout import DTYPES                                                   # noqa: E402

QUICK = os.environ.get("INGOT_QUICK", "0") not in ("", "0")
MODES = ((), ("copy",), ("off",), ("open",), ("copy", "off"), ("copy", "open"), ("small", "one"), ("copy", "small"))
DUMP = None


def text(field):
    return b"" if field == "-" else bytes.fromhex(field)


class Dump:
    """What DUMP says of a file."""

    def __init__(self, path, folder, mode):
        done = subprocess.run([DUMP, path, folder, *mode], capture_output=True, timeout=600, check=False)
        assert done.returncode == 0, f"{path} {mode}: {done.returncode}: {done.stdout.decode()[-500:]} {done.stderr.decode()}"
        self.tensors, self.metadata, self.attachments = {}, {}, {}
        for line in done.stdout.decode().splitlines():
            fields = line.split(" ")
            if fields[0] == "model":
                self.files, self.digest = int(fields[1]), fields[3]
            elif fields[0] == "metadata":
                self.metadata[text(fields[1]).decode()] = (int(fields[2]), int(fields[3]), int(fields[4]), text(fields[5]))
            elif fields[0] == "attachment":
                self.attachments[text(fields[1]).decode()] = text(fields[2])
            elif fields[0] == "tensor":
                current = self.tensors[text(fields[2]).decode()] = {
                    "number": int(fields[1]), "dtype": int(fields[3]), "can_decode": fields[4] == "1", "is_alias": fields[5] == "1",
                    "shape": tuple(map(int, fields[7:])), "refused": None}
                for ending in ("f32", "f16", "bf16", "raw"):
                    file = folder / f"{fields[1]}.{ending}"
                    current[ending] = file.read_bytes() if file.exists() else None
                    file.unlink(missing_ok=True)
            elif fields[0] == "refused":
                current["refused"] = line


class ValuesTest(common.Case):
    def compare(self, path, mode):
        dump = Dump(path, self.folder, mode)
        with ingot_reader.open_file(str(path)) as model:
            self.assertEqual("xxh3:" + dump.digest, model.content_digest())
            self.assertEqual(list(dump.tensors), list(model.tensors))
            for name, found in dump.tensors.items():
                info = model.tensors[name]
                self.assertEqual(found["shape"], tuple(info.shape), name)
                self.assertEqual(DTYPES[found["dtype"]].name, info.dtype, name)
                self.compare_values(model, name, info, found)
            self.compare_extras(model, dump)
        return dump

    def compare_values(self, model, name, info, found):
        kinds = {part.kind for part in info.parts}
        if not kinds <= {"raw", "linear"}:
            self.assertFalse(found["can_decode"], name)
            self.assertIn("cannot be decoded: its encoding is", found["refused"])
            self.assertIn(f"'{name}'", found["refused"])
            return
        if 0 in info.shape:
            self.assertEqual((found["raw"], found["f32"] or b""), (b"", b""), name)
            return
        if kinds == {"raw"}:
            self.assertEqual(found["raw"], np.ascontiguousarray(model.raw(name)).tobytes(), name)
        else:
            self.assertIsNone(found["raw"])
        if not found["can_decode"]:
            self.assertNotIn(info.dtype, ("F32", "F16", "BF16", "F64", "F8_E4M3", "F8_E5M2"), name)
            return
        wanted = np.ascontiguousarray(model.decode(name), np.float32).reshape(-1)
        got = np.frombuffer(found["f32"], "<f4")
        self.assertEqual(got.size, wanted.size, name)
        self.assertEqual(peer_fixtures.differing(got, wanted), 0, name)
        if info.dtype == "F64" and kinds == {"raw"}:        # rounded once, from F64
            return
        for dtype, numpy_type in (("F16", "<f2"), ("BF16", "<u2")):
            narrow = np.frombuffer(found[dtype.lower()], numpy_type)
            self.assertEqual(peer_fixtures.differing(peer_fixtures.widen(dtype, narrow), peer_fixtures.rounded(wanted, dtype)), 0, (name, dtype))

    def compare_extras(self, model, dump):
        self.assertEqual(sorted(dump.attachments), sorted(model.attachments))
        for name, data in dump.attachments.items():
            self.assertEqual(data, bytes(model.attachments[name]), name)
        self.assertEqual(sorted(dump.metadata), sorted(model.metadata))

    def test_vectors(self):
        for path in common.vectors():
            for mode in MODES[:2] if QUICK else MODES:
                with self.subTest(path.name, mode=mode):
                    dump = self.compare(path, mode)
                    self.compare_metadata(path, dump)

    def compare_metadata(self, path, dump):
        """The bytes and counts of values, as the vectors have them."""
        for key, entry in common.expected_of(path).get("metadata", {}).items():
            kind, element, count, value = dump.metadata[key]
            self.assertEqual(common_hex(entry["hex"], value), True, key)
            self.assertEqual(count, len(entry["value"]) if isinstance(entry["value"], list) else 1, key)

    def test_imports(self):
        done = 0
        for system in ("gptq", "awq", "bitsandbytes", "quanto", "hqq", "compressed_tensors", "mlx"):
            for number, (folder, _) in enumerate(peer_fixtures.rows(system)):
                done += self.compare_import(folder, number)
        sources = [p for p in sorted((ROOT / "tests" / "fixtures" / "gguf").glob("*/model.gguf")) if not p.parent.name.startswith("bad_")]
        for number, source in enumerate(sources):
            done += self.compare_import(source, number)
        self.assertGreater(done, 20)

    def compare_import(self, source, number):
        if QUICK and number % 4:
            return 0
        with self.subTest(str(source)):
            target = self.folder / "import.ingot"
            self.check(0, "convert", source, target, "--quiet", "--force", *(("--compress",) if number % 2 else ()))
            self.compare(target, MODES[number % len(MODES)])
        return 1


def common_hex(expected, value):
    if isinstance(expected, str):
        return value.hex() == expected
    return len(value) == expected["bytes"] and common.hash_text(value) == expected["hash"]


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    DUMP = str(pathlib.Path(sys.argv.pop(1)).resolve())
    common.INGOT = str(pathlib.Path(sys.argv.pop(1)).resolve())
    unittest.main()
