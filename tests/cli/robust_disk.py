"""Full disks: exit code 4, one message, and everything as it was. A file system of the test's own is made full where that is possible
(root, Linux); a limit on the size of files (RLIMIT_FSIZE) does something like it everywhere."""

import ctypes
import os
import resource
import subprocess
import unittest

import robust
from common import VALID, run

CLONE_NEWNS = 0x20000


def own_mounts():
    """A mount namespace for this process: what is mounted in it is gone with it. False where that is not allowed."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) != 0:
        return False
    return subprocess.run(["mount", "--make-rprivate", "/"], capture_output=True).returncode == 0


def limited(bytes_):
    return {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_, bytes_))}


class Disk(robust.Case):
    """The commands that write, with a target that exists and with one that does not."""

    def setUp(self):
        super().setUp()
        self.source = robust.small_model.checkpoint(self.folder / "source")
        self.model = robust.small_model.convert(self.folder, "model.ingot")
        self.folder = self.folder / "disk"
        self.folder.mkdir()

    def old_files(self):
        for name in ("old.ingot", "edited.ingot"):
            (self.folder / name).write_bytes((VALID / "everything.ingot").read_bytes())
        (self.folder / "old.safetensors").write_bytes(b"what was there")
        (self.folder / "out").mkdir()
        (self.folder / "out" / "config.json").write_bytes(b"{}")

    def commands(self):
        old, new = self.folder / "old.ingot", self.folder / "new.ingot"
        big = self.folder.parent / "big"
        big.write_bytes(os.urandom(200_000))
        bits = ("--bits", "4", "--quiet")
        return (
            ("convert", self.source, new, *bits),
            ("convert", self.source, old, "--force", *bits),
            ("convert", self.source, new, "--shard-size", "2K", *bits),
            ("convert", self.source, old, "--shard-size", "2K", "--force", "--compress", *bits),
            ("export", self.model, self.folder / "new.safetensors", "--dtype", "f32", "--quiet"),
            ("export", self.model, self.folder / "old.safetensors", "--force", "--quiet"),
            ("export", self.model, self.folder / "new", "--quiet"),
            ("export", self.model, f"{self.folder / 'new'}/", "--quiet"),
            ("export", self.model, self.folder / "out", "--force", "--quiet"),
            ("edit", self.folder / "edited.ingot", "--attach", f"big={big}", "--quiet"),
            ("edit", self.folder / "edited.ingot", "--set", "text=" + "x" * 100_000, "--quiet"),
        )


class FullDisk(Disk):
    PAGE = 4096

    @classmethod
    def setUpClass(cls):
        if os.geteuid() != 0 or not own_mounts():
            raise unittest.SkipTest("a file system can only be mounted as root")

    def mount(self, size):
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(self.folder)], capture_output=True)
        if done.returncode != 0:
            self.skipTest(f"mount: {done.stderr.decode()}")
        self.addCleanup(subprocess.run, ["umount", "-l", str(self.folder)])

    def leave(self, free):
        """Fills the disk up to a number of bytes."""
        filler = self.folder / "filler"
        filler.unlink(missing_ok=True)
        left = os.statvfs(self.folder).f_bavail * self.PAGE
        filler.write_bytes(bytes(left - free))

    def test_every_command_at_every_fill(self):
        """As many free pages as are not enough, from none on: wherever the disk gets full, nothing changes."""
        self.mount("1M")
        self.old_files()
        failed = 0
        for arguments in self.commands():
            for pages in range(60):
                self.leave(pages * self.PAGE)
                before = robust.snapshot(self.folder)
                done = run(*arguments)
                if done.returncode == 0:
                    break
                with self.subTest(arguments=[str(a)[:80] for a in arguments], free_pages=pages):
                    self.assertEqual(done.returncode, 4, done.err)
                    self.assert_one_message(done.err, "No space left on device")
                    self.assertEqual(robust.snapshot(self.folder), before)
                failed += 1
            else:
                self.assertEqual(done.returncode, 4)
            self.restore()
        self.assertGreater(failed, 30)

    def restore(self):
        for path in sorted(self.folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        self.old_files()


class FileSizeLimit(Disk):
    def test_every_command(self):
        self.old_files()
        for arguments in self.commands():
            for limit in (0, 1000, 7000):
                with self.subTest(arguments=[str(a)[:80] for a in arguments], limit=limit):
                    self.refuse(4, arguments, "File too large", **limited(limit))


class Output(robust.Case):
    def test_full(self):
        """What is printed counts, too."""
        if not os.path.exists("/dev/full"):
            self.skipTest("there is no /dev/full")
        for arguments in (("inspect", VALID / "everything.ingot"), ("inspect", VALID / "everything.ingot", "--json"), ("validate", VALID / "everything.ingot"),
                          ("presets",), ("presets", "--json"), ("diff", VALID / "outliers.ingot", VALID / "outliers.ingot")):
            with self.subTest(arguments=arguments), open("/dev/full", "wb") as full:
                process = robust.start(*arguments)
                process.communicate()
                self.assertEqual(process.returncode, 0)
                done = subprocess.run([robust.common.INGOT, *map(str, arguments)], stdout=full, stderr=subprocess.PIPE)
                self.assertEqual(done.returncode, 4)
                self.assert_one_message(done.stderr.decode(), "No space left on device")
