"""GGUF files that gguf-py wrote: imported without loss of a bit, and refused where they are damaged."""

import json
import pathlib
import struct

import numpy as np

from common import ROOT, Case, document, read_safetensors

FIXTURES = ROOT / "tests" / "fixtures"
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}


def rows():
    return json.loads((FIXTURES / "gguf" / "FIXTURES.json").read_text(encoding="utf-8"))["fixtures"]


def read_any_safetensors(path):
    """{name: (dtype, shape, bytes)} of a file with its tensors in any order."""
    data = pathlib.Path(path).read_bytes()
    size = struct.unpack_from("<Q", data)[0]
    header = json.loads(data[8:8 + size])
    header.pop("__metadata__", None)
    return {name: (e["dtype"], e["shape"], data[8 + size + e["data_offsets"][0]:8 + size + e["data_offsets"][1]]) for name, e in header.items()}


class Gguf:
    """The parts of a GGUF file, by its own rules."""

    def __init__(self, path):
        self.data, self.at = pathlib.Path(path).read_bytes(), 8
        tensors, keys = self.take("Q"), self.take("Q")
        self.metadata = {}
        for _ in range(keys):
            key = self.text()
            self.metadata[key] = self.value(self.take("I"))
        self.tensors = {}
        for _ in range(tensors):
            name = self.text()
            ne = [self.take("Q") for _ in range(self.take("I"))]
            self.tensors[name] = (ne, self.take("I"), self.take("Q"))
        alignment = self.metadata.get("general.alignment", 32)
        self.start = (self.at + alignment - 1) // alignment * alignment

    def take(self, kind):
        value = struct.unpack_from("<" + kind, self.data, self.at)[0]
        self.at += struct.calcsize("<" + kind)
        return value

    def text(self):
        size = self.take("Q")
        self.at += size
        return self.data[self.at - size:self.at].decode()

    def value(self, kind):
        if kind == 8:
            return self.text()
        if kind == 9:
            element, count = self.take("I"), self.take("Q")
            return [self.value(element) for _ in range(count)]
        return self.take(SCALARS[kind])


class Import(Case):
    def convert(self, source, *options):
        target = self.folder / "x.ingot"
        self.check(0, "convert", source, target, "--force", "--quiet", "--verify", *options)
        return target

    def test_every_good_fixture_comes_back_bit_for_bit(self):
        seen = 0
        for row in rows():
            if row.get("must_refuse"):
                continue
            with self.subTest(row["path"]):
                model, target, out = FIXTURES / row["path"] / "model.gguf", self.folder / "x.ingot", self.folder / "out.safetensors"
                self.convert(model)
                self.check(0, "validate", target)
                self.check(0, "diff", model, target)
                self.check(0, "export", target, out, "--force", "--dtype", "f32", "--quiet")
                got = read_safetensors(out)
                expected_file = model.parent / "expected.safetensors"
                expected = read_any_safetensors(expected_file) if expected_file.exists() else {}
                self.assertEqual(len(expected), row.get("expected_tensors", 0))
                for name, (dtype, shape, data) in expected.items():
                    self.assertEqual(got[name][:2], (dtype, shape), name)
                    self.assertTrue(got[name][2] == data, f"{name}: the values differ")
                seen += 1
        self.assertEqual(seen, 20)

    def test_every_bad_fixture_is_refused(self):
        seen = 0
        for row in rows():
            if not row.get("must_refuse"):
                continue
            with self.subTest(row["path"]):
                done = self.check(3, "convert", FIXTURES / row["path"] / "model.gguf", self.folder / "x.ingot")
                self.assertIn("model.gguf: ", done.err)
                self.assertEqual(list(self.folder.iterdir()), [])
                seen += 1
        self.assertEqual(seen, 20)

    def test_nothing_grows(self):
        """Bits per weight are those of the blocks, where rows are whole units of 64."""
        for name, bits in (("q4_0", 4.5), ("q8_0", 8.5), ("q2_k", 2.625), ("q3_k", 3.4375), ("q4_k", 4.5), ("q5_k", 5.5), ("q6_k", 6.5625),
                           ("iq4_xs", 4.25)):
            target = self.convert(FIXTURES / "gguf" / name / "model.gguf")
            tensors = [t for t in document(self.check(0, "inspect", target, "--json"))["tensors"] if t["kind"] == "linear"]
            self.assertTrue(tensors)
            for tensor in tensors:
                if tensor["shape"][-1] % 64 == 0 and tensor["elements"] > 4096:
                    self.assertLess(tensor["bits_per_weight"], 1.02 * bits, name)

    def test_metadata_keeps_its_types_and_tensors_their_bytes(self):
        path = FIXTURES / "gguf" / "all_kv_types" / "model.gguf"
        gguf = Gguf(path)
        target = self.convert(path)
        shown = document(self.check(0, "inspect", target, "--json"))
        self.assertEqual({key: value for key, value in shown["metadata"].items() if key.startswith("gguf.")},
                         {"gguf." + key: value for key, value in gguf.metadata.items()})
        self.check(0, "export", target, self.folder / "out.safetensors", "--quiet")
        out = read_safetensors(self.folder / "out.safetensors")
        self.assertEqual(sorted(out), sorted(gguf.tensors))
        for name, (ne, _, offset) in gguf.tensors.items():
            _, shape, data = out[name]
            self.assertEqual(shape, ne[::-1])
            self.assertEqual(data, gguf.data[gguf.start + offset:gguf.start + offset + len(data)])

    def test_diff_sees_one_changed_block(self):
        path = FIXTURES / "gguf" / "q4_k" / "model.gguf"
        gguf = Gguf(path)
        name, at = next((n, offset) for n, (_, kind, offset) in gguf.tensors.items() if kind == 12)
        data = bytearray(gguf.data)
        for i in range(144 + 16, 2 * 144):  # the codes of the second block; the first one has a scale of 0
            data[gguf.start + at + i] ^= 1
        changed = self.folder / "changed.gguf"
        changed.write_bytes(data)
        done = self.check(1, "diff", changed, self.convert(path))
        self.assertIn(name, done.out)

    def test_a_source_against_plain_weights(self):
        """diff of a GGUF file itself, without a conversion."""
        path = FIXTURES / "gguf" / "q6_k" / "model.gguf"
        plain = path.parent / "expected.safetensors"
        done = document(self.check(1, "diff", path, plain, "--json"))  # the file also has tensors that are not quantized
        results = {t["name"]: t["result"] for t in done["tensors"]}
        for name in read_any_safetensors(plain):
            self.assertEqual(results[name], "identical", name)


class Foreign(Case):
    def write(self, kind, elements, data):
        name = b"w"
        head = b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + struct.pack("<Q", 1) + name + struct.pack("<IQIQ", 1, elements, kind, 0)
        path = self.folder / "model.gguf"
        path.write_bytes(head + bytes(-len(head) % 32) + data)
        return path

    def test_blocks_without_a_formula_are_kept_and_not_decoded(self):
        data = np.random.default_rng(1).bytes(3 * 66)
        source = self.write(16, 768, data)
        target = self.folder / "x.ingot"
        self.check(0, "convert", source, target, "--quiet", "--verify")
        self.check(0, "validate", target)
        tensor = document(self.check(0, "inspect", target, "--json"))["tensors"][0]
        self.assertEqual((tensor["kind"], tensor["bytes"]), ("foreign", 198))
        self.assertIn("ggml.IQ2_XXS", tensor["encoding"])
        self.assertIn("cannot be decoded", self.check(3, "export", target, self.folder / "out", "--quiet").err)
        self.assertIn("IQ2_XXS", self.check(3, "diff", source, target).err)
