"""Damaged files, as the command line sees them. (Every single bit and length: test_flip_bits.py.)"""

import pathlib
import resource
import struct
import sys

import common
import robust
from common import INVALID, ROOT, VALID, run

sys.path.insert(0, str(ROOT / "tests" / "spec"))
from builder import Builder, xxh3_128     # noqa: E402

EVERYTHING = VALID / "everything.ingot"


def limit_memory():
    """4 GiB for a command; not with AddressSanitizer, which reserves terabytes and refuses huge allocations by itself."""
    if b"__asan_init" not in pathlib.Path(common.INGOT).read_bytes():
        resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))


class Damage(robust.Case):
    def commands(self, path):
        out = self.folder / "out.safetensors"
        return (("inspect", path), ("inspect", path, "--json"), ("export", path, out), ("diff", EVERYTHING, path), ("edit", path, "--set", "a=b"))

    def test_flipped_bits(self):
        data = bytearray(EVERYTHING.read_bytes())
        path = self.folder / "flipped.ingot"
        rng = self.random()
        for bit in rng.sample(range(len(data) * 8), 40 if robust.QUICK else 200):
            data[bit // 8] ^= 1 << bit % 8
            path.write_bytes(data)
            with self.subTest(byte=bit // 8, bit=bit % 8):
                self.assertEqual(run("validate", path, "--quiet").returncode, 1)
                done = run("inspect", path)     # header and index only
                self.assertIn(done.returncode, (0, 3), done.err)
            data[bit // 8] ^= 1 << bit % 8

    def test_damaged_index(self):
        """What every command reads: nothing of such a file is used."""
        path = self.folder / "damaged.ingot"
        for vector in sorted(INVALID.glob("R-HDR-10-*.ingot")) + sorted(INVALID.glob("R-TEN-*.ingot")):
            path.write_bytes(vector.read_bytes())
            for arguments in self.commands(path):
                with self.subTest(vector=vector.name, command=arguments[0]):
                    self.refuse(3, arguments, path.name, vector.name[:vector.name.index("-", 6)])

    def test_truncated(self):
        data = EVERYTHING.read_bytes()
        path = self.folder / "cut.ingot"
        rng = self.random()
        sizes = {0, 1, 4095, 4096, 8191, 8192, 8193, len(data) - 1} | set(rng.sample(range(len(data)), 20 if robust.QUICK else 92))
        for size in sorted(sizes):
            path.write_bytes(data[:size])
            with self.subTest(size=size):
                done = run("validate", path)
                self.assertEqual((done.returncode, done.err), (1, ""))
                for arguments in self.commands(path):
                    self.refuse(3, arguments, path.name)

    def test_hostile_dead_ranges(self):
        """In the wrong order, far outside, overflowing: found, and nothing is allocated for them."""
        path = self.folder / "dead.ingot"
        for dead in (((1 << 40, 4096), (8192, 64)), ((8192, 1 << 40), (64, 64)), ((1 << 63, 1 << 63), (8256, 64)), ((8320, 64), (8256, 1 << 50), (1 << 62, 1))):
            builder = Builder()
            builder.raw(b"a", 2, [32], bytes(range(64)))
            path.write_bytes(builder.build(dead))
            done = run("validate", path, preexec_fn=limit_memory)
            with self.subTest(dead=dead):
                self.assertEqual((done.returncode, done.err), (1, ""))
                self.assertIn("R-DEAD-1", done.out)

    def test_shards_of_a_broken_heap(self):
        """A manifest whose names lie outside its index: they are not looked at."""
        data = bytearray((VALID / "manifest.ingot").read_bytes())
        index = struct.unpack_from("<Q", data, 48)[0]
        size = struct.unpack_from("<Q", data, 56)[0]
        tables = {struct.unpack_from("<I", data, index + 8 + 24 * i)[0]: struct.unpack_from("<Q", data, index + 8 + 24 * i + 8)[0]
                  for i in range(struct.unpack_from("<I", data, index)[0])}
        struct.pack_into("<I", data, index + tables[10], 0xFFFFFF00)     # where the name of the first shard is
        data[64:80] = xxh3_128(bytes(data[index:index + size]))
        for slot in (0, 4096):
            data[slot + 64:slot + 80] = data[64:80]
            data[slot + 4080:slot + 4096] = xxh3_128(bytes(data[slot:slot + 4080]))
        path = self.folder / "manifest.ingot"
        path.write_bytes(data)
        done = run("validate", path)
        self.assertEqual((done.returncode, done.err), (1, ""), done.out)
        self.assertIn("R-HEAP-1", done.out)
        for arguments in self.commands(path):
            self.refuse(3, arguments, path.name, "R-HEAP-1")

    def test_missing(self):
        path = self.folder / "missing.ingot"
        self.refuse(4, ("validate", path), path)
        for arguments in self.commands(path):
            self.refuse(4, arguments, path)
