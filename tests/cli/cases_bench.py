"""ingot bench: that it measures everything it says it does; how fast that is, is nobody's business here."""

import math
import signal
import subprocess
import time

import common
from common import INVALID, MODEL, VALID, Case, document

# On the CPU.
SECTIONS = {"yardsticks": ["yardsticks"], "decode": ["decode, in cache", "decode, out of cache"], "gemv": ["products, 1 row"],
            "gemm": ["products, many rows"], "open": ["open and read one tensor"], "verify": ["verify everything, cached"]}


class Bench(Case):
    def figures(self, *arguments, **options):
        """Figures of a run as {(section, row, column): figure}, after looking at the document as a whole."""
        result = document(self.check(0, "bench", "--quick", "--json", *arguments, **options))
        for member in ("version", "cpu", "target"):
            self.assertTrue(result[member])
        self.assertEqual((result["device"], result["quick"]), ("cpu", True))
        self.assertGreaterEqual(result["cores"], result["threads"])
        for f in result["figures"]:
            for number in ("value", "share", "yardstick_value"):
                self.assertTrue(math.isfinite(f[number]) and f[number] > 0, f)
            fraction = f["yardstick_value"] / f["value"] if f["unit"] == "ms" else f["value"] / f["yardstick_value"]
            self.assertAlmostEqual(f["share"], fraction, delta=1e-6 * f["share"])
            self.assertIn(f["unit"], ("GB/s", "GFLOP/s", "ms"))
            self.assertTrue(f["yardstick"])
            self.assertEqual(f["name"], f"{f['row']}, {f['column']}")
        figures = {(f["section"], f["row"], f["column"]): f for f in result["figures"]}
        self.assertEqual(len(figures), len(result["figures"]), "names are unique")
        return figures

    def test_every_section(self):
        figures = self.figures("--threads", "1", env={"TMPDIR": str(self.folder)})
        self.assertEqual({section for section, _, _ in figures}, {s for names in SECTIONS.values() for s in names})
        for section in SECTIONS["decode"]:
            for row in [*(f"{bits}-bit" for bits in range(1, 9)), "nf4"]:
                for group in ("g16", "g32", "g64", "g128", "row"):
                    for column in ("f32", "f16", "bf16"):
                        self.assertIn((section, f"{row} {group}", column), figures)
        for row in ("2-bit g128", "3-bit g128", "4-bit g128", "8-bit g128", "nf4 g64", "4-bit g128 1 % outliers"):
            for column in ("int8", "int16", "f32"):
                self.assertIn(("products, 1 row", row, column), figures)
        for row in ("4-bit g128, 32 rows", "4-bit g128, 512 rows"):
            for column in ("f32", "int8", "llm.int8"):
                self.assertIn(("products, many rows", row, column), figures)
        self.assertEqual(list(self.folder.iterdir()), [], "temporary files are gone")

    def test_sections_by_name(self):
        figures = self.figures("--only", "gemv,verify")
        self.assertEqual({section for section, _, _ in figures}, {*SECTIONS["gemv"], *SECTIONS["verify"]})

    def test_a_file(self):
        model = self.folder / "model.ingot"
        self.check(0, "convert", MODEL, model, "--preset", "int4-g128", "--quiet")
        figures = self.figures(model, "--threads", "1")
        sections = {section for section, _, _ in figures}
        self.assertEqual(sections, {"yardsticks", "decode", *SECTIONS["gemv"], *SECTIONS["gemm"], *SECTIONS["open"], *SECTIONS["verify"]})
        rows = {row for section, row, _ in figures if section == "decode"}
        self.assertTrue(any("4-bit" in row for row in rows) and any("raw" in row for row in rows), rows)

    def test_files_of_every_kind(self):
        for vector in ("everything", "empty", "smallest"):
            path = VALID / f"{vector}.ingot"
            if path.exists():
                self.figures(path, "--threads", "1", "--only", "decode,gemv,open,verify")

    def test_a_table(self):
        text = self.check(0, "bench", "--quick", "--quiet", "--only", "yardsticks,open", env={"TMPDIR": str(self.folder)}).out
        for word in ("memset", "memcpy", "8-stream memory read", "multiply-adds", "1000 tensors", "share of", "--quick"):
            self.assertIn(word, text)

    def test_what_cannot_be_done(self):
        for device in ("abacus", "cuda:", "cuda:x", "cuda:-1", "cpu:0"):
            self.assertIn(f"--device is '{device}'", self.check(2, "bench", "--device", device).err)
        self.assertIn("no such section", self.check(2, "bench", "--quick", "--only", "upload").err)
        self.assertIn("there is no device 99" if common.has_gpu() else "CUDA", self.check(3, "bench", "--device", "cuda:99").err)
        self.check(2, "bench", "--only", "bogus")
        self.check(4, "bench", "--quick", self.folder / "nowhere.ingot")
        self.check(3, "bench", "--quick", MODEL / "config.json")
        self.check(3, "bench", "--quick", INVALID / "R-CHK-1-raw.ingot")
        self.check(4, "bench", "--quick", "--only", "open", env={"TMPDIR": str(self.folder / "nowhere")})

    def test_ctrl_c_leaves_nothing_behind(self):
        for _ in range(20):
            process = subprocess.Popen([common.INGOT, "bench", "--only", "verify,open", "--quiet"], stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE, env={**common.os.environ, "TMPDIR": str(self.folder)})
            while process.poll() is None and not list(self.folder.rglob("bench.ingot")):
                time.sleep(0.005)
            process.send_signal(signal.SIGINT)
            out, error = process.communicate()
            self.assertEqual(list(self.folder.iterdir()), [])
            self.assertIn(process.returncode, (0, 130), error)
            if process.returncode == 130:
                self.assertEqual((out, error), (b"", b"ingot: interrupted\n"))
                return
        self.fail("never interrupted at its work")
