"""ingot diff."""

import math
import struct

from common import SAFETENSORS, VALID, Case, document, expected_of, floats, read_safetensors, run, vectors, write_safetensors


class Diff(Case):
    def pair(self, a, b):
        write_safetensors(self.folder / "a.safetensors", a)
        write_safetensors(self.folder / "b.safetensors", b)
        return self.folder / "a.safetensors", self.folder / "b.safetensors"

    def compare(self, code, a, b):
        done = self.check(code, "diff", *self.pair(a, b), "--json")
        self.assertEqual(done.err, "")
        result = document(done)
        self.assertEqual(result["identical"], code == 0)
        self.assertEqual(self.check(code, "diff", *self.pair(a, b)).returncode, code)
        return {t["name"]: t for t in result["tensors"]}, result["total"]

    def test_every_vector_is_identical_to_itself(self):
        for vector in vectors():
            refused = any(t.get("refused") for t in expected_of(vector)["tensors"].values())
            with self.subTest(vector=vector.name):
                done = self.check(3 if refused else 0, "diff", vector, vector, "--json")
                for tensor in document(done)["tensors"]:
                    self.assertIn(tensor["result"], ("identical", "not comparable"))

    def test_an_export_is_identical_to_its_file(self):
        target = self.folder / "x.safetensors"
        for name in ("bits", "operands", "outliers", "aliases", "nested", "arithmetic"):
            vector = VALID / f"{name}.ingot"
            if vector.exists():
                self.check(0, "export", vector, target, "--dtype", "f32", "--force")
                self.check(0, "diff", vector, target)
                self.check(0, "diff", target, vector)

    def test_errors_are_what_they_say(self):
        tensors, total = self.compare(1, {"w": ("F32", [4], floats(3, 4, 0, 0))}, {"w": ("F32", [4], floats(3, 4, 0, 1))})
        w = tensors["w"]
        self.assertEqual((w["result"], w["differing_elements"]), ("differs", 1))
        self.assertAlmostEqual(w["relative_error"], 0.2)
        self.assertEqual(w["max_error"], 1)
        self.assertAlmostEqual(w["sqnr_db"], 10 * math.log10(25))
        self.assertEqual(total["relative_error"], w["relative_error"])

    def test_special_values(self):
        nan, inf = math.nan, math.inf
        same = {"w": ("F32", [5], floats(nan, inf, -inf, -0.0, 1))}
        other = {"w": ("F32", [5], struct.pack("<I", 0x7FC01234) + floats(inf, -inf, 0.0, 1))}
        self.compare(0, same, other)
        tensors, _ = self.compare(1, same, {"w": ("F32", [5], floats(0, inf, inf, 0, 1))})
        self.assertEqual((tensors["w"]["differing_elements"], tensors["w"]["incomparable_elements"]), (2, 2))
        self.assertEqual(tensors["w"]["relative_error"], 0)

    def test_dtypes_compare_by_value(self):
        half, brain = struct.pack("<2e", 1.5, -2), struct.pack("<2H", 0x3FC0, 0xC000)
        tensors, _ = self.compare(0, {"w": ("F16", [2], half)}, {"w": ("BF16", [2], brain)})
        self.assertEqual(tensors["w"]["result"], "identical")
        self.compare(0, {"w": ("F64", [2], struct.pack("<2d", 1.5, -2))}, {"w": ("F32", [2], floats(1.5, -2))})
        tensors, _ = self.compare(1, {"w": ("F64", [1], struct.pack("<d", 1 + 2**-40))}, {"w": ("F32", [1], floats(1))})
        self.assertEqual(tensors["w"]["max_error"], 2**-40)

    def test_what_is_no_float_is_compared_as_bytes(self):
        self.compare(0, {"i": ("I32", [2], b"12345678")}, {"i": ("I32", [2], b"12345678")})
        tensors, _ = self.compare(1, {"i": ("I32", [2], b"12345678")}, {"i": ("I32", [2], b"12345679")})
        self.assertEqual((tensors["i"]["result"], tensors["i"]["differing_elements"]), ("differs", 1))
        tensors, _ = self.compare(1, {"i": ("I32", [2], b"12345678")}, {"i": ("U32", [2], b"12345678")})
        self.assertEqual(tensors["i"]["result"], "dtype differs")

    def test_names_and_shapes(self):
        one = floats(1)
        tensors, total = self.compare(1, {"a": ("F32", [1], one), "s": ("F32", [1], one)},
                                      {"b": ("F32", [1], one), "s": ("F32", [1, 1], one)})
        self.assertEqual({n: t["result"] for n, t in tensors.items()}, {"a": "only in A", "b": "only in B", "s": "shape differs"})
        self.assertEqual((total["only_in_a"], total["only_in_b"], total["differing"]), (1, 1, 1))
        self.compare(0, {"e": ("F32", [0, 3], b"")}, {"e": ("F32", [0, 3], b"")})

    def test_folders_and_shards(self):
        sharded = SAFETENSORS / "sharded"
        self.check(0, "diff", sharded, sharded)
        self.check(0, "diff", VALID / "manifest.ingot", VALID / "manifest.ingot")

    def test_bad_checkpoints_are_refused(self):
        bad = sorted(SAFETENSORS.glob("bad_*"))
        self.assertTrue(bad)
        for folder in bad:
            self.check(3, "diff", folder, folder)

    def test_the_same_result_for_any_number_of_threads(self):
        target = self.folder / "x.safetensors"
        self.check(0, "export", VALID / "frames-chunks.ingot", target, "--dtype", "f16")
        self.assertTrue(read_safetensors(target))
        seen = {self.check_diff(target, threads) for threads in (1, 2, 5)}
        self.assertEqual(len(seen), 1)

    def check_diff(self, target, threads):
        done = run("diff", VALID / "frames-chunks.ingot", target, "--json", "--threads", threads)
        self.assertIn(done.returncode, (0, 1), done.err)
        return done.out


class Escape(Case):
    def test_hostile_names_are_printed_harmlessly(self):
        names = ["\x1b]0;title\x07", "a\nb: valid", "\u202eevil", "tab\tnul\u0000", "\u0085", "\u2028"]
        path = self.folder / "hostile.safetensors"
        write_safetensors(path, {name: ("F32", [1], floats(1)) for name in names})
        other = self.folder / "other.safetensors"
        write_safetensors(other, {})
        model = self.folder / "hostile.ingot"
        self.check(0, "convert", path, model, "--preset", "none", "--quiet")
        shown = [self.check(1, "diff", path, other).out, self.check(0, "inspect", model).out,
                 self.check(0, "inspect", model, "--bytes").out, self.check(2, "inspect", model, "--tensor", "\x1b").err]
        for text in shown:
            for bad in "\x1b\x07\t\u202e\u0000\u0085\u2028":
                self.assertNotIn(bad, text)
        self.assertFalse(any(line.startswith("b: valid") for text in shown for line in text.splitlines()))
        found = document(self.check(0, "inspect", model, "--json"))
        self.assertEqual(sorted(t["name"] for t in found["tensors"]), sorted(names))
