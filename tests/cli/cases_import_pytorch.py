"""PyTorch checkpoints: what torch itself loads comes out bit for bit, and what must not be read is refused."""

import json
import struct
import zipfile

import numpy as np

from common import PYTORCH, Case, document, read_safetensors, run


def cases():
    rows = json.loads((PYTORCH / "FIXTURES.json").read_text(encoding="utf-8"))["fixtures"]
    return [(PYTORCH.parent / row["path"], row) for row in rows]


def source_of(folder):
    """The folder itself, or the checkpoint in it where expected.safetensors makes two."""
    if any((folder / name).exists() for name in ("pytorch_model.bin", "pytorch_model.bin.index.json")):
        return folder
    return next(path for path in folder.iterdir() if path.suffix in (".pt", ".pth"))


def storage(key, kind, count):
    """The persistent id of a storage as a pickle, and what puts it on the stack."""
    def text(s):
        return b"X" + struct.pack("<I", len(s)) + s.encode()
    return b"(" + text("storage") + f"ctorch\n{kind}\n".encode() + text(key) + text("cpu") + b"J" + struct.pack("<i", count) + b"tQ"


def numbers(*values):
    return b"(" + b"".join(b"J" + struct.pack("<i", v) for v in values) + b"t"


def tensor(name, key, kind, count, offset, shape, strides):
    return (b"X" + struct.pack("<I", len(name)) + name.encode() + b"ctorch._utils\n_rebuild_tensor_v2\n(" +
            storage(key, kind, count) + b"J" + struct.pack("<i", offset) + numbers(*shape) + numbers(*strides) +
            b"\x89ccollections\nOrderedDict\n)Rt" + b"R")


def write_checkpoint(path, entries, storages):
    """A zip archive with a dict of `entries` (pickled keys and values)."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("model/data.pkl", b"\x80\x02}(" + b"".join(entries) + b"u.")
        for key, data in storages.items():
            archive.writestr(f"model/data/{key}", data)
        archive.writestr("model/version", "3\n")


class ImportPyTorch(Case):
    def export(self, source, *options):
        model, target = self.folder / "m.ingot", self.folder / "out.safetensors"
        self.check(0, "convert", source, model, "--force", "--quiet", *(options or ("--preset", "none")), "--verify")
        self.check(0, "validate", model)
        self.check(0, "export", model, target, "--force", "--quiet")
        return read_safetensors(target)

    def test_every_fixture(self):
        seen = [0, 0]
        for folder, row in cases():
            with self.subTest(case=folder.name):
                refused = row.get("must_refuse", False)
                seen[refused] += 1
                if refused:
                    done = self.check(3, "convert", folder, self.folder / "bad.ingot", "--preset", "none")
                    self.assertEqual(len(done.err.splitlines()), 1, done.err)
                    self.assertEqual([p.name for p in self.folder.iterdir() if p.name.startswith("bad")], [])
                    continue
                expected = self.read_expected(folder / "expected.safetensors")
                self.assertEqual(len(expected), row["expected_tensors"])
                self.assertEqual(self.export(source_of(folder)), expected)
                self.check(0, "diff", source_of(folder), folder / "expected.safetensors")
        self.assertEqual(seen, [6, 4])

    def read_expected(self, path):
        data = path.read_bytes()
        size = struct.unpack_from("<Q", data)[0]
        header = json.loads(data[8:8 + size])
        header.pop("__metadata__", None)
        body = data[8 + size:]
        return {name: (e["dtype"], e["shape"], body[slice(*e["data_offsets"])]) for name, e in header.items()}

    def test_plain_values_become_metadata(self):
        model = self.folder / "m.ingot"
        self.check(0, "convert", PYTORCH / "zip_nested" / "checkpoint.pth", model, "--preset", "none", "--quiet")
        metadata = document(self.check(0, "inspect", model, "--json"))["metadata"]
        self.assertEqual((metadata["pytorch.epoch"], metadata["pytorch.lr"], metadata["pytorch.note"]), (3, 1e-4, "a é note"))
        self.assertFalse(any("_metadata" in key for key in metadata))

    def test_ties_become_aliases(self):
        model = self.folder / "m.ingot"
        self.check(0, "convert", PYTORCH / "zip_ties", model, "--preset", "none", "--quiet")
        self.assertEqual(document(self.check(0, "inspect", model, "--json"))["alias_count"], 1)

    def test_large_views(self):
        """Several blocks of each: transposed, cut out, spread, permuted, repeated, rows longer than what is read at once."""
        rng = np.random.default_rng(7)
        a = rng.standard_normal((1500, 1700)).astype("<f4")
        h = rng.standard_normal((3, 2, 1000, 300)).astype("<f2")
        t = ("a", "FloatStorage", a.size)
        u = ("h", "HalfStorage", h.size)
        views = {
            "rows": (a[3:], t, 3 * 1700, (1497, 1700), (1700, 1)),
            "transposed": (a.T, t, 0, (1700, 1500), (1, 1700)),
            "cut": (a[:, 100:900], t, 100, (1500, 800), (1700, 1)),
            "column": (a[:, 5], t, 5, (1500,), (1700,)),
            "spread": (a[::7, ::3], t, 0, (215, 567), (7 * 1700, 3)),
            "repeated": (np.broadcast_to(a[2], (900, 1700)), t, 2 * 1700, (900, 1700), (0, 1)),
            "long_rows": (a.reshape(2, -1)[:, :1200000], t, 0, (2, 1200000), (1275000, 1)),
            "scattered": (np.broadcast_to(a.reshape(-1)[::5000, None], (510, 3000)), t, 0, (510, 3000), (5000, 0)),
            "permuted": (h.transpose(3, 0, 2, 1), u, 0, (300, 3, 1000, 2), (1, 600000, 300, 300000)),
            "swapped": (h.transpose(1, 0, 2, 3), u, 0, (2, 3, 1000, 300), (300000, 600000, 300, 1)),
        }
        path = self.folder / "views.pt"
        write_checkpoint(path, [tensor(name, *of, *where) for name, (_, of, *where) in views.items()],
                         {"a": a.tobytes(), "h": h.tobytes()})
        got = self.export(path)
        self.assertEqual(sorted(got), sorted(views))
        for name, (values, _, _, shape, _) in views.items():
            with self.subTest(view=name):
                self.assertEqual((got[name][1], got[name][2] == values.tobytes()), (list(shape), True))
        dense = self.folder / "dense.pt"
        write_checkpoint(dense, [tensor("w.weight", "t", "FloatStorage", a.size, 0, (1700, 1500), (1500, 1))],
                         {"t": np.ascontiguousarray(a.T).tobytes()})
        write_checkpoint(path, [tensor("w.weight", *t, 0, (1700, 1500), (1, 1700))], {"a": a.tobytes()})
        self.check(0, "diff", path, dense)
        self.assertEqual(self.export(path, "--preset", "int4-g128"), self.export(dense, "--preset", "int4-g128"))

    def test_truncations_are_refused(self):
        for name in ("zip_views", "legacy"):
            whole = (PYTORCH / name / "pytorch_model.bin").read_bytes()
            path = self.folder / "cut.bin"
            for size in (2, 14, 15, 100, 700, len(whole) // 2, len(whole) - 1):
                path.write_bytes(whole[:size])
                done = run("convert", path, self.folder / "cut.ingot", "--quiet")
                self.assertEqual(done.returncode, 3, (name, size, done.err))
                self.assertFalse((self.folder / "cut.ingot").exists())

    def test_compressed_members_are_refused_by_name(self):
        path = self.folder / "packed.pt"
        with zipfile.ZipFile(PYTORCH / "zip_ties" / "pytorch_model.bin") as archive, \
                zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
            for name in archive.namelist():
                packed.writestr(name, archive.read(name))
        self.assertIn("compressed", self.check(3, "convert", path, self.folder / "m.ingot").err)

    def test_tars_are_refused_by_name(self):
        path = self.folder / "old.pt"
        path.write_bytes(b"sys_info".ljust(257, b"\0") + b"ustar\x0000".ljust(255, b"\0"))
        self.assertIn("tar archive", self.check(3, "convert", path, self.folder / "m.ingot").err)
