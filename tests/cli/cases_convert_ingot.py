"""An .ingot file as the source of a conversion: everything as it is encoded, unless a recipe says otherwise."""

import shutil

from common import ROOT, Case, document, run
from peer_fixtures import rows

MODEL = ROOT / "models" / "austen-llama"
VALID = ROOT / "tests" / "vectors" / "valid"
INVALID = ROOT / "tests" / "vectors" / "invalid"
NOT_KEPT = ("ingot.generator", "ingot.recipe")


class FromIngot(Case):
    def facts(self, path):
        return document(self.check(0, "inspect", path, "--json"))

    def convert(self, source, name, *options):
        """The summary of a conversion that must succeed and give a valid file."""
        target = self.folder / name
        done = document(self.check(0, "convert", source, target, "--force", "--json", "--verify", *options))
        self.assertEqual(done["source"], "ingot")
        self.check(0, "validate", target)
        self.assertEqual(self.leftovers(), [])
        return done

    def make(self, name, *options):
        target = self.folder / name
        self.check(0, "convert", MODEL, target, "--quiet", *options)
        return target


class Verbatim(FromIngot):
    def same_records(self, a, b):
        self.assertEqual(a["content_digest"], b["content_digest"])
        self.assertEqual(a["sources"], b["sources"])
        self.assertEqual(*({k: v for k, v in x["metadata"].items() if k not in NOT_KEPT} for x in (a, b)))
        self.assertEqual(*([(x["name"], x["bytes"], x.get("sha256")) for x in y["attachments"]] for y in (a, b)))
        self.assertEqual(*([(t["name"], t["shape"], t["dtype"], t["encoding"]) for t in x["tensors"]] for x in (a, b)))

    def test_every_valid_vector(self):
        vectors = [path for path in sorted(VALID.glob("*.ingot")) if not path.name.startswith("newer")]
        self.assertGreater(len(vectors), 30)
        for path in vectors:
            with self.subTest(path.name):
                before = self.facts(path)
                done = self.convert(path, "x.ingot")
                self.assertEqual((done["quantized"], done["verified"]), (0, done["tensors"]))
                self.same_records(before, self.facts(self.folder / "x.ingot"))
                self.convert(path, "y.ingot", "--compress", "--shard-size", "1K", "--alignment", "64")
                self.assertEqual(before["content_digest"], self.facts(self.folder / "y.ingot")["content_digest"])
                self.convert(path, "z.ingot", "--split-columns", "3")
        for path in sorted(VALID.glob("newer*.ingot")):
            self.assertIn("newer", self.check(3, "convert", path, self.folder / "n.ingot").err)

    def test_every_invalid_vector(self):
        """Refused, or what is wrong with it does not get into the new file."""
        refused = 0
        for path in sorted(INVALID.glob("*.ingot")):
            with self.subTest(path.name):
                target = self.folder / "x.ingot"
                target.unlink(missing_ok=True)
                done = self.check_any((0, 3, 4), "convert", path, target, "--quiet")
                refused += done.returncode != 0
                if done.returncode == 0:
                    self.check(0, "validate", target)
                else:
                    self.assertEqual([p.name for p in self.folder.iterdir()], [])
                for kind in ("R-PERM", "R-OUT", "R-CHK", "R-FRM-7", "R-PACK"):
                    if path.name.startswith(kind):
                        self.assertEqual(done.returncode, 3, done.err)
        self.assertGreater(refused, 100)

    def check_any(self, codes, *arguments):
        done = run(*arguments)
        self.assertIn(done.returncode, codes, done.err)
        return done

    def test_a_file_of_every_kind_of_plane(self):
        source = self.make("a.ingot", "--preset", "int3-g128-o1", "--split-columns", "2")
        self.convert(source, "b.ingot")
        self.same_records(self.facts(source), self.facts(self.folder / "b.ingot"))
        self.assertEqual(self.facts(source)["metadata"]["ingot.recipe"], self.facts(self.folder / "b.ingot")["metadata"]["ingot.recipe"])
        again = (self.folder / "b.ingot").read_bytes()
        for threads in ("1", "4"):
            self.convert(self.folder / "b.ingot", "c.ingot", "--threads", threads)
            self.assertEqual((self.folder / "c.ingot").read_bytes(), again)

    def test_manifests(self):
        whole = self.make("a.ingot", "--preset", "int4-g128-o1")
        sharded = self.make("s.ingot", "--preset", "int4-g128-o1", "--shard-size", "600K")
        for source, options in ((sharded, ()), (sharded, ("--shard-size", "300K")), (whole, ("--shard-size", "1M"))):
            self.convert(source, "x.ingot", *options)
            self.assertEqual(self.facts(self.folder / "x.ingot")["content_digest"], self.facts(whole)["content_digest"])
        self.assertIn("source file", self.check(2, "convert", sharded, next(self.folder.glob("s-00001*")), "--force").err)

    def test_shards_that_are_the_source_are_not_removed(self):
        sharded = self.make("s.ingot", "--preset", "int4-g128", "--shard-size", "600K")
        shutil.copy(sharded, self.folder / "t.ingot")
        self.convert(sharded, "t.ingot")
        self.check(0, "validate", sharded)

    def test_a_folder(self):
        self.make("a.ingot", "--preset", "int4-g128")
        source = self.folder / "folder"
        source.mkdir()
        (self.folder / "a.ingot").rename(source / "a.ingot")
        (source / "config.json").write_text("not what is in the file", encoding="utf-8")
        self.convert(source, "b.ingot")
        self.same_records(self.facts(source / "a.ingot"), self.facts(self.folder / "b.ingot"))

    def test_sha256_of_sources(self):
        plain, hashed = self.make("a.ingot", "--preset", "int4-g128"), self.make("h.ingot", "--preset", "int4-g128", "--sha256")
        self.convert(hashed, "x.ingot")     # stays recorded
        self.assertEqual(self.facts(hashed)["sources"], self.facts(self.folder / "x.ingot")["sources"])
        self.convert(plain, "y.ingot", "--sha256")   # nobody knows those of the sources: the file itself is one
        self.assertEqual([s["name"] for s in self.facts(self.folder / "y.ingot")["sources"]], ["a.ingot"])

    def test_damage(self):
        source = self.make("a.ingot", "--preset", "int4-g128")
        data = bytearray(source.read_bytes())
        data[9000] ^= 1
        source.write_bytes(data)
        done = self.check(3, "convert", source, self.folder / "x.ingot")
        self.assertIn("R-CHK-1", done.err)
        self.assertEqual([p.name for p in self.folder.iterdir()], ["a.ingot"])


class Changed(FromIngot):
    def test_raw_tensors_are_quantized_as_from_any_source(self):
        raw = self.make("raw.ingot", "--preset", "none")
        for options in (("--preset", "int4-g128"), ("--preset", "int3-g128-o1", "--split-columns", "3"), ("--preset", "nf4", "--exclude", "layers.0")):
            self.convert(raw, "x.ingot", *options)
            direct = self.make("direct.ingot", *options)
            self.assertEqual((self.folder / "x.ingot").read_bytes(), direct.read_bytes(), options)
            direct.unlink()

    def test_what_is_quantized_needs_requantize(self):
        source = self.make("a.ingot", "--method", "linear", "--bits", "8", "--include", "embed")
        done = self.check(2, "convert", source, self.folder / "x.ingot", "--preset", "nf4")
        self.assertIn("--requantize", done.err)
        self.assertIn("8-bit", done.err)
        self.assertFalse((self.folder / "x.ingot").exists())
        done = self.convert(source, "x.ingot", "--preset", "nf4", "--requantize")
        self.assertGreater(done["quantized"], 0)
        self.assertIn("nf4", self.facts(self.folder / "x.ingot")["metadata"]["ingot.recipe"])
        self.assertGreater(done["imported"], 0)     # the embedding, which nf4 would not have chosen
        plan = self.check(0, "convert", source, self.folder / "y.ingot", "--dry-run").out
        self.assertIn("linear 8-bit", plan)

    def test_split_columns(self):
        for preset in ("int4-g128-o1", "int8-outliers", "int2-g64", "nf4"):
            for parts in (2, 3):
                with self.subTest(preset=preset, parts=parts):
                    source = self.make("a.ingot", "--preset", preset, "--force")
                    self.convert(source, "x.ingot", "--split-columns", str(parts))
                    self.check(0, "diff", source, self.folder / "x.ingot")
                    split, direct = self.facts(self.folder / "x.ingot"), self.facts(self.make("d.ingot", "--preset", preset, "--split-columns", str(parts), "--force"))
                    self.assertEqual(split["content_digest"], direct["content_digest"])

    def test_split_columns_of_imports(self):
        """K-quants, nested scales, act-order, axis 0: cut only where every value stays."""
        count = 0
        for system in ("gptq", "bitsandbytes", "hqq", "gguf"):
            for folder, row in rows(system):
                if row.get("must_refuse"):
                    continue
                source = folder if system != "gguf" else next(folder.glob("*.gguf"), None)
                if source is None:
                    continue
                with self.subTest(row["path"]):
                    self.check(0, "convert", source, self.folder / "a.ingot", "--quiet", "--force")
                    self.convert(self.folder / "a.ingot", "x.ingot", "--split-columns", "2")
                    facts = self.facts(self.folder / "x.ingot")
                    count += any("parts" in t["encoding"] for t in facts["tensors"])
        self.assertGreater(count, 10)
