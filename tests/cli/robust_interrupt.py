"""Ctrl-C: exit code 130, nothing left behind, what was there as it was."""

import random
import signal
import struct
import time

import robust

MEGABYTES = 60 if robust.QUICK else 200


def large_checkpoint(path):
    """A safetensors file of F16 matrices: 64 Ki normal values, over and over."""
    rng = random.Random(1)
    block = robust.small_model.halfs([rng.gauss(0, 0.02) for _ in range(1 << 16)])
    rows, count = 5120, MEGABYTES // 10
    header, end = {}, 0
    for i in range(count):
        header[f"model.layers.{i}.mlp.up_proj.weight"] = {"dtype": "F16", "shape": [rows, 1024], "data_offsets": [end, end + rows * 2048]}
        end += rows * 2048
    text = robust.common.json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _ in range(end // len(block)):
            file.write(block)


class Interrupts(robust.Case):
    @classmethod
    def setUpClass(cls):
        cls.shared = robust.common.tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.shared.cleanup)
        cls.source = robust.common.pathlib.Path(cls.shared.name) / "large.safetensors"
        large_checkpoint(cls.source)
        cls.model = cls.source.with_name("large.ingot")
        done = robust.common.run("convert", cls.source, cls.model, "--quiet")
        assert done.returncode == 0, done.err

    def interrupt(self, when, *arguments, number=signal.SIGINT):
        """Starts a command, interrupts it when `when` says so; it must stop soon, with one message, and leave all as it was."""
        before = robust.snapshot(self.folder)
        for _ in range(20):
            process = robust.start(*arguments)
            when(process)
            asked = time.monotonic()
            process.send_signal(number)
            out, error = process.communicate()
            took = time.monotonic() - asked
            if process.returncode == 130:
                self.assertEqual(out, b"")
                self.assert_one_message(error.decode())
                self.assertEqual(robust.snapshot(self.folder), before)
                self.assertLess(took, 5)
                return
            self.assertIn(process.returncode, (0, -number), error)  # it had ended, or had not begun
            if process.returncode == 0:
                self.restore(before)
        self.fail(f"{arguments[0]}: never interrupted at its work, 20 times")

    def interrupt_at_work(self, *arguments):
        """For commands that write nothing to wait for: a later moment after each try that came too early, an earlier one else."""
        delay = 0.05

        def when(process):
            nonlocal delay
            time.sleep(delay)
            delay *= 2 / 3 if process.poll() is not None else 1.25

        self.interrupt(when, *arguments)

    def restore(self, before):
        for path in self.folder.rglob("*"):
            if str(path.relative_to(self.folder)) not in before:
                path.unlink()

    def once_it_writes(self, partial):
        def when(process):
            while process.poll() is None and not (partial.exists() and partial.stat().st_size > 100_000):
                time.sleep(0.001)
        return when

    def test_convert(self):
        target = self.folder / "out.ingot"
        options = ("--bits", "4", "--group-size", "128", "--clip", "mse", "--quiet")
        for number in (signal.SIGINT, signal.SIGTERM):
            self.interrupt(self.once_it_writes(self.folder / ".out.ingot.partial"), "convert", self.source, target, *options, number=number)

    def test_convert_over_an_old_file(self):
        target = self.folder / "out.ingot"
        target.write_bytes(b"what was there")
        for options in (("--compress",), ("--sha256", "--preset", "nf4")):
            self.interrupt(self.once_it_writes(self.folder / ".out.ingot.partial"), "convert", self.source, target, "--force", *options, "--quiet")

    def test_convert_to_shards(self):
        """Shards that were finished go, too."""
        target = self.folder / "out.ingot"
        def when(process):
            while process.poll() is None and not list(self.folder.glob("out-00002-*")):
                time.sleep(0.001)
        self.interrupt(when, "convert", self.source, target, "--shard-size", "15M", "--quiet")

    def test_validate(self):
        self.interrupt_at_work("validate", "--quiet", *[self.model] * 300)

    def test_export(self):
        target = self.folder / "out.safetensors"
        partial = self.folder / ".out.safetensors.partial"
        self.interrupt(self.once_it_writes(partial), "export", self.model, target, "--dtype", "f32", "--quiet")
        target.write_bytes(b"what was there")
        self.interrupt(self.once_it_writes(partial), "export", self.model, target, "--dtype", "f32", "--force", "--quiet")

    def test_diff(self):
        self.interrupt_at_work("diff", self.source, self.model)
