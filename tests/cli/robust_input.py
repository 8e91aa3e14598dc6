"""Bad input: one message that names file, tensor and values, the exit code of the README, and everything as it was."""

import json
import os
import shutil
import struct
import subprocess

import robust
from common import SAFETENSORS, VALID, floats, run, write_safetensors

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
ZIP = b"PK\3\4\x14\0\0\0\0\0"
WEIGHT = "model.layers.0.mlp.up_proj.weight"


class Sources(robust.Case):
    """What `convert` refuses."""

    def refuse_source(self, code, source, *names, options=()):
        target = self.folder / "target.ingot"
        self.refuse(code, ("convert", source, target, *options), *names)
        target.write_bytes(b"what was there")
        self.refuse(code, ("convert", source, target, "--force", *options), *names)
        target.unlink()

    def test_fixtures(self):
        bad = sorted(SAFETENSORS.glob("bad_*"))
        self.assertGreater(len(bad), 10)
        for folder in bad:
            with self.subTest(folder.name):
                self.refuse_source(3, folder, folder / "model.safetensors")

    def test_missing(self):
        self.refuse_source(4, self.folder / "nothing", self.folder / "nothing", "No such file")

    def test_foreign(self):
        for name, data in (("empty", b""), ("picture", PNG + bytes(1000)), ("archive", ZIP + bytes(1000)), ("noise", bytes(range(256)) * 20),
                           ("text", b"not a checkpoint\n"), ("one", b"\0"), ("zeros", bytes(100_000))):
            path = self.folder / name
            path.write_bytes(data)
            with self.subTest(name):
                self.refuse_source(3, path, path)

    def test_empty_folder(self):
        (self.folder / "source").mkdir()
        self.refuse_source(3, self.folder / "source", "source", "no checkpoint")

    def test_not_a_file(self):
        os.mkfifo(self.folder / "pipe")
        for path in (self.folder / "pipe", "/dev/null", "/dev/zero"):
            with self.subTest(path=str(path)):
                done = run("convert", path, self.folder / "o.ingot")
                self.assertIn(done.returncode, (3, 4))
                self.assert_one_message(done.err, path)

    def test_hostile_offsets(self):
        cases = {
            "overlap": {"a": [0, 16], "b": [8, 24]},
            "backwards": {"a": [16, 0], "b": [16, 32]},
            "huge": {"a": [0, 16], "b": [16, 2 ** 64 - 1]},
            "past 64 bits": {"a": [0, 16], "b": [16, 2 ** 64 + 16]},
            "negative": {"a": [-16, 0], "b": [0, 16]},
            "fraction": {"a": [0, 16.0], "b": [16, 32]},
        }
        for name, offsets in cases.items():
            header = json.dumps({n: {"dtype": "F32", "shape": [4], "data_offsets": o} for n, o in offsets.items()}).encode()
            path = self.folder / "model.safetensors"
            path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(32))
            with self.subTest(name):
                self.refuse_source(3, path, path)

    def test_deep_json(self):
        header = b'{"a":' + b"[" * 100_000
        path = self.folder / "model.safetensors"
        path.write_bytes(struct.pack("<Q", len(header)) + header)
        self.refuse_source(3, path, path)

    def test_every_truncation(self):
        data = (SAFETENSORS / "odd_shapes" / "model.safetensors").read_bytes()
        path = self.folder / "model.safetensors"
        step = 7 if robust.QUICK else 1
        for size in range(0, len(data), step):
            path.write_bytes(data[:size])
            done = run("convert", path, self.folder / "o.ingot")
            self.assertEqual(done.returncode, 3, f"cut to {size}: {done.err}")
            self.assert_one_message(done.err, path)
        self.assertEqual(len(list(self.folder.iterdir())), 1)


class Shards(robust.Case):
    def setUp(self):
        super().setUp()
        self.source = self.folder / "source"
        shutil.copytree(SAFETENSORS / "sharded", self.source)
        self.shards = sorted(self.source.glob("*.safetensors"))

    def test_absent_shard(self):
        self.shards[2].unlink()
        self.refuse(4, ("convert", self.source, self.folder / "o.ingot"), "model.safetensors.index.json", self.shards[2].name, "No such file")

    def test_truncated_shard(self):
        self.shards[2].write_bytes(self.shards[2].read_bytes()[:-1])
        self.refuse(3, ("convert", self.source, self.folder / "o.ingot"), self.shards[2].name, "truncated")

    def test_duplicate_tensor(self):
        self.shards[1].write_bytes(self.shards[0].read_bytes())
        self.refuse(3, ("convert", self.source, self.folder / "o.ingot"), self.shards[0].name, self.shards[1].name)

    def test_index_outside_its_folder(self):
        index = self.source / "model.safetensors.index.json"
        document = json.loads(index.read_text())
        for name in ("../outside.safetensors", "/etc/passwd", "a/../../b", "", "..", "x\n.safetensors"):
            changed = {**document, "weight_map": {t: name for t in document["weight_map"]}}
            index.write_text(json.dumps(changed))
            with self.subTest(name):
                self.refuse(3, ("convert", self.source, self.folder / "o.ingot"), "model.safetensors.index.json")

    def test_tensor_that_no_shard_has(self):
        index = self.source / "model.safetensors.index.json"
        document = json.loads(index.read_text())
        document["weight_map"]["absent.weight"] = self.shards[0].name
        index.write_text(json.dumps(document))
        self.refuse(3, ("convert", self.source, self.folder / "o.ingot"), "absent.weight", self.shards[0].name)

    def test_ingot_shards(self):
        """A manifest whose shard is absent, foreign or stale."""
        for path in list(VALID.glob("manifest*.ingot")):
            shutil.copy(path, self.folder)
        first, manifest = self.folder / "manifest-00001-of-00002.ingot", self.folder / "manifest.ingot"
        commands = (("inspect", manifest), ("export", manifest, self.folder / "x.safetensors"), ("diff", manifest, VALID / "empty.ingot"))
        data = first.read_bytes()
        first.unlink()
        for arguments in commands:
            self.refuse(3, arguments, manifest.name, first.name, "R-SHD-4")
        self.assertEqual(run("validate", manifest).returncode, 1)
        first.write_bytes((VALID / "everything.ingot").read_bytes())
        for arguments in commands:
            self.refuse(3, arguments, manifest.name, first.name)
        self.assertEqual(run("validate", manifest).returncode, 1)
        first.write_bytes(data)
        self.check(0, "validate", manifest)


class Values(robust.Case):
    def test_not_finite(self):
        for value, position in ((float("nan"), 7), (float("inf"), 130), (float("-inf"), 0)):
            values = [0.5 - i % 11 / 10 for i in range(4 * 64)]
            values[position] = value
            path = self.folder / "model.safetensors"
            write_safetensors(path, {WEIGHT: ("F32", [4, 64], floats(*values)), "model.norm.weight": ("F32", [1], floats(1))})
            for options in (("--bits", "4"), ("--preset", "nf4"), ("--preset", "int8-outliers"), ("--preset", "int3-g128-o1")):
                with self.subTest(value=value, options=options):
                    self.refuse(3, ("convert", path, self.folder / "o.ingot", *options), WEIGHT, "--allow-nonfinite")
                    self.check(0, "convert", path, self.folder / "o.ingot", "--allow-nonfinite", "--quiet", *options)
                    self.check(0, "validate", self.folder / "o.ingot")
                    (self.folder / "o.ingot").unlink()

    def test_kept_as_they_are(self):
        """A tensor that is not quantized keeps every bit, NaN and infinities too."""
        self.check(0, "convert", SAFETENSORS / "all_16bit_patterns", self.folder / "o.ingot", "--quiet", "--bits", "4")
        self.check(0, "diff", SAFETENSORS / "all_16bit_patterns", self.folder / "o.ingot")


class Targets(robust.Case):
    def setUp(self):
        super().setUp()
        self.source = robust.small_model.checkpoint(self.folder / "source")
        self.model = robust.small_model.convert(self.folder, "model.ingot")
        self.weights = self.source / "model.safetensors"

    def test_inside_the_source(self):
        link = self.folder / "link"
        link.symlink_to(self.source)
        for target in (self.source / "o.ingot", self.folder / "source" / ".." / "source" / "o.ingot", link / "o.ingot"):
            for force in ((), ("--force",)):
                self.refuse(2, ("convert", self.source, target, *force), target, "source")
        self.refuse(2, ("convert", link, self.source / "o.ingot"), "source")

    def test_equal_to_the_source(self):
        (self.folder / "link").symlink_to(self.weights)
        for target in (self.weights, self.folder / "link"):
            for force in ((), ("--force",)):
                self.refuse(2, ("convert", self.weights, target, *force), target)

    def test_export_onto_itself(self):
        (self.folder / "link").symlink_to(self.model)
        for target in (self.model, self.folder / "link"):
            for force in ((), ("--force",)):
                self.refuse(2, ("export", self.model, target, *force), target)

    def test_export_onto_a_shard(self):
        manifest = self.folder / "sharded.ingot"
        self.check(0, "convert", self.source, manifest, "--shard-size", "2K", "--quiet")
        for target in self.folder.glob("sharded*.ingot"):
            self.refuse(2, ("export", manifest, target, "--force"), target)

    def test_attachment_onto_the_model(self):
        """A stranger's file may not replace itself or the tool's other inputs."""
        note = self.folder / "note"
        note.write_text("text")
        self.check(0, "edit", self.model, "--attach", f"model.ingot={note}", "--quiet")
        self.refuse(2, ("export", self.model, self.folder, "--force"), self.model)

    def test_exists(self):
        old = self.folder / "old"
        old.write_bytes(b"what was there")
        self.refuse(2, ("convert", self.source, old), old, "--force")
        self.refuse(2, ("export", self.model, old), old, "--force")
        out = self.folder / "out"
        out.mkdir()
        (out / "config.json").write_bytes(b"{}")
        self.refuse(2, ("export", self.model, out), out / "config.json", "--force")

    def test_folder(self):
        (self.folder / "out").mkdir()
        for force in ((), ("--force",)):
            self.refuse(2, ("convert", self.source, self.folder / "out", *force), self.folder / "out")
        self.refuse(4, ("convert", self.source, self.folder / "absent" / "o.ingot"), self.folder / "absent")
        self.refuse(4, ("export", self.model, self.folder / "absent" / "o.safetensors"), self.folder / "absent")

    def test_locked(self):
        """Two at once: the second one is refused, the first one's work is not disturbed."""
        import fcntl
        target = self.folder / "o.ingot"
        with open(self.folder / ".o.ingot.partial", "wb") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            self.refuse(4, ("convert", self.source, target), "another process")
        with open(self.model, "rb") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            self.refuse(4, ("edit", self.model, "--set", "a=b"), self.model)
        self.check(0, "convert", self.source, target, "--quiet")    # takes the partial file over
        self.assertFalse((self.folder / ".o.ingot.partial").exists())

    def test_partial_is_a_link(self):
        """Nothing is written through a link that somebody else has put there."""
        victim = self.folder / "victim"
        victim.write_bytes(b"what was there")
        (self.folder / ".o.ingot.partial").symlink_to(victim)
        self.refuse(4, ("convert", self.source, self.folder / "o.ingot"), "o.ingot.partial")
