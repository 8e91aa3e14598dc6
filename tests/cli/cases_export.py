"""ingot export: the values of every vector come out as the specification says."""

import os

import numpy as np

from common import VALID, Case, expected_of, hash_text, names_regex_without, read_safetensors, vectors, write_safetensors

FLOATING = {"F32": 4, "F16": 2, "BF16": 2, "F64": 8, "F8_E4M3": 1, "F8_E5M2": 1}


def same_floats(got, wanted):
    """Bits are equal, or both are NaN."""
    a, b = np.frombuffer(got, "<u4"), np.frombuffer(wanted, "<u4")
    nan = [(x & 0x7FFFFFFF) > 0x7F800000 for x in (a, b)]
    return a.shape == b.shape and bool(np.all((a == b) | (nan[0] & nan[1])))


def rounded(values, dtype):
    """f32 bytes to those of another type, to nearest even; without NaN (which keep no payload)."""
    f = np.frombuffer(values, "<f4")
    if dtype == "F16":
        with np.errstate(over="ignore"):
            return f.astype("<f2").tobytes()
    bits = f.view("<u4").astype(np.uint64)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2").tobytes()


class Values(Case):
    def blob_equal(self, got, blob, compare=lambda a, b: a == b):
        if isinstance(blob, dict):
            self.assertEqual((len(got), hash_text(got)), (blob["bytes"], blob["hash"]))
        else:
            self.assertTrue(compare(got, bytes.fromhex(blob)))

    def export(self, vector, *options):
        expected = expected_of(vector)["tensors"]
        refused = [name for name, tensor in expected.items() if tensor.get("refused")]
        kept = {name: tensor for name, tensor in expected.items() if name not in refused}
        target = self.folder / "out.safetensors"
        if refused:
            target.unlink(missing_ok=True)
            self.assertIn("cannot be decoded", self.check(3, "export", vector, target, *options).err)
            self.assertFalse(target.exists())
            options = (*options, "--include", names_regex_without(refused))
            if not kept:
                self.check(2, "export", vector, target, *options)
                return {}, {}
        self.check(0, "export", vector, target, "--quiet", "--force", *options)
        tensors = read_safetensors(target)
        self.assertEqual(sorted(tensors), sorted(kept))
        for name, (_, shape, _) in tensors.items():
            self.assertEqual(shape, kept[name]["shape"])
        return tensors, kept

    def test_f32_is_exactly_what_the_vector_expects(self):
        for vector in vectors():
            tensors, expected = self.export(vector, "--dtype", "f32")
            for name, (dtype, _, data) in tensors.items():
                with self.subTest(vector=vector.name, tensor=name[:60]):
                    e = expected[name]
                    floating = e["dtype"] in FLOATING
                    self.assertEqual(dtype, "F32" if floating else e["dtype"])
                    self.blob_equal(data, e["f32" if floating else "raw"], same_floats if floating else bytes.__eq__)

    def test_by_default_raw_tensors_are_copied_and_others_rounded_to_their_dtype(self):
        for vector in vectors():
            tensors, expected = self.export(vector)
            for name, (dtype, _, data) in tensors.items():
                with self.subTest(vector=vector.name, tensor=name[:60]):
                    e = expected[name]
                    if "raw" in e:
                        self.assertEqual(dtype, e["dtype"])
                        self.blob_equal(data, e["raw"])
                    else:
                        self.assertEqual(dtype, e["dtype"] if e["dtype"] in ("F16", "BF16") else "F32")
                        self.check_rounded(data, dtype, e["f32"])

    def check_rounded(self, data, dtype, blob):
        if isinstance(blob, dict):
            return
        values = bytes.fromhex(blob)
        if dtype == "F32":
            self.assertTrue(same_floats(data, values))
        elif not np.isnan(np.frombuffer(values, "<f4")).any():
            self.assertEqual(data, rounded(values, dtype))

    def test_f16_and_bf16_are_one_rounding_of_f32(self):
        for vector in vectors():
            for option, dtype in (("f16", "F16"), ("bf16", "BF16")):
                tensors, expected = self.export(vector, "--dtype", option)
                for name, (got, _, data) in tensors.items():
                    e = expected[name]
                    if e["dtype"] in FLOATING:
                        with self.subTest(vector=vector.name, tensor=name[:60], dtype=dtype):
                            self.assertEqual(got, dtype)
                            self.check_rounded(data, dtype, e["f32"])

    def test_f64_is_rounded_once(self):
        values = np.array([1 + 2**-11 + 2**-40, 1 + 2**-8 + 2**-40, -65519.999999, 2**-25 * (1 + 2**-40)], "<f8")
        source = self.folder / "source.safetensors"
        write_safetensors(source, {"w": ("F64", [4], values.tobytes())})
        self.check(0, "convert", source, self.folder / "m.ingot", "--preset", "none", "--quiet")
        self.check(0, "export", self.folder / "m.ingot", self.folder / "f16.safetensors", "--dtype", "f16", "--quiet")
        self.assertEqual(read_safetensors(self.folder / "f16.safetensors")["w"][2], values.astype("<f2").tobytes())
        self.check(0, "export", self.folder / "m.ingot", self.folder / "bf16.safetensors", "--dtype", "bf16", "--quiet")
        self.assertEqual(read_safetensors(self.folder / "bf16.safetensors")["w"][2].hex(), "803f813f80c70033")

    def test_the_same_bytes_for_any_number_of_threads(self):
        target = self.folder / "out.safetensors"
        for vector in (VALID / "frames-chunks.ingot", VALID / "bits.ingot"):
            seen = set()
            for threads in (1, 2, 5):
                self.check(0, "export", vector, target, "--force", "--threads", threads, "--dtype", "bf16")
                seen.add(target.read_bytes())
            self.assertEqual(len(seen), 1)


class Targets(Case):
    def test_an_existing_file_is_kept_without_force(self):
        target = self.folder / "x.safetensors"
        target.write_text("mine")
        self.assertIn("--force", self.check(2, "export", VALID / "smallest.ingot", target).err)
        self.assertEqual(target.read_text(), "mine")
        self.check(0, "export", VALID / "smallest.ingot", target, "--force")
        self.assertIn("w", read_safetensors(target))
        self.assertEqual(self.leftovers(), [])

    def test_a_folder_gets_the_attachments(self):
        vector = VALID / "attachments.ingot"
        expected = expected_of(vector)["attachments"]
        target = f"{self.folder}/new/"
        self.check(0, "export", vector, target)
        found = {str(p.relative_to(target)): p.read_bytes() for p in (self.folder / "new").rglob("*") if p.is_file()}
        read_safetensors(self.folder / "new" / "model.safetensors")
        found.pop("model.safetensors")
        self.assertEqual(sorted(found), sorted(expected))
        for name, blob in expected.items():
            self.assertEqual(found[name] if isinstance(blob, str) else hash_text(found[name]),
                             bytes.fromhex(blob) if isinstance(blob, str) else blob["hash"])
        self.check(2, "export", vector, target)
        self.check(0, "export", vector, target, "--force")
        self.assertEqual(self.leftovers(), [])

    def test_links_are_not_followed(self):
        vector, out, victim = VALID / "attachments.ingot", self.folder / "out", self.folder / "victim"
        victim.mkdir()
        out.mkdir()
        (out / "folder").symlink_to(victim)
        self.check(2, "export", vector, out)
        self.assertEqual(list(victim.iterdir()), [])
        (out / "folder").unlink()
        for path in out.iterdir():
            path.unlink() if not path.is_dir() else None
        (victim / "file").write_text("mine")
        (out / "config.json").symlink_to(victim / "file")
        self.check(2, "export", vector, out)
        self.check(0, "export", vector, out, "--force")
        self.assertEqual((victim / "file").read_text(), "mine")
        self.assertFalse((out / "config.json").is_symlink())

    def test_a_new_folder_is_removed_again_when_nothing_came_of_it(self):
        bad = self.folder / "bad.ingot"
        data = bytearray((VALID / "smallest.ingot").read_bytes())
        data[8192] ^= 1
        bad.write_bytes(data)
        self.check(3, "export", bad, f"{self.folder}/new/")
        self.assertFalse((self.folder / "new").exists())

    def test_what_cannot_be_written(self):
        self.check(4, "export", VALID / "smallest.ingot", self.folder / "no" / "x")
        self.check(4, "export", VALID / "smallest.ingot", f"{self.folder}/no/x/")
        self.check(2, "export", VALID / "smallest.ingot", "")
        self.check(2, "export", VALID / "smallest.ingot", self.folder / "x", "--format", "awq")
        self.check(2, "export", VALID / "smallest.ingot", self.folder / "x", "--requantize")

    def test_include(self):
        target = self.folder / "x"
        self.check(0, "export", VALID / "bits.ingot", target, "--include", "^bits [34]$")
        self.assertEqual(sorted(read_safetensors(target)), ["bits 3", "bits 4"])
        self.check(2, "export", VALID / "bits.ingot", target, "--force", "--include", "nothing has this name")
        self.check(2, "export", VALID / "bits.ingot", target, "--force", "--include", "(")

    def test_aliases_are_written_under_both_names(self):
        target = self.folder / "x"
        done = self.check(0, "export", VALID / "aliases.ingot", target)
        self.assertIn("no aliases", done.out)
        self.assertEqual(sorted(read_safetensors(target)), sorted(expected_of(VALID / "aliases.ingot")["tensors"]))

    def test_modes_are_those_of_ordinary_files(self):
        target = self.folder / "x"
        self.check(0, "export", VALID / "smallest.ingot", target)
        mask = os.umask(0)
        os.umask(mask)
        self.assertEqual(target.stat().st_mode & 0o777, 0o666 & ~mask)
