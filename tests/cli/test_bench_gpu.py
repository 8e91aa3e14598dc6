#!/usr/bin/env python3
"""`ingot bench --device cuda`: test_bench_gpu.py INGOT [--emulated]. That every figure is measured, not how fast. Where there is no GPU it
says why and passes; an emulated one has to be there."""

import math
import pathlib
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import common  # noqa: E402
from common import MODEL, Case, document  # noqa: E402

WAYS = ("f16", "bf16", "int8", "llm.int8")
SECTIONS = {"yardsticks": {"yardsticks"}, "upload": {"upload, file cached"}, "decode": {"decode"},
            "gemv": {"products, 1 row", "products, 2 to 16 rows"}, "gemm": {"products, many rows"}}


class GpuBench(Case):
    def figures(self, *arguments, **options):
        result = document(self.check(0, "bench", "--quick", "--json", "--device", "cuda", "--threads", "1", *arguments, **options))
        self.assertNotIn(result["device"], ("", "cpu"))
        for f in result["figures"]:
            for number in ("value", "share", "yardstick_value"):
                self.assertTrue(math.isfinite(f[number]) and f[number] > 0, f)
            self.assertAlmostEqual(f["share"], f["value"] / f["yardstick_value"], delta=1e-6 * f["share"])
            self.assertIn(f["unit"], ("GB/s", "GFLOP/s"))
        figures = {(f["section"], f["row"], f["column"]): f for f in result["figures"]}
        self.assertEqual(len(figures), len(result["figures"]), "names are unique")
        return figures

    def test_yardsticks_and_upload(self):
        figures = self.figures("--only", "yardsticks,upload", env={"TMPDIR": str(self.folder)})
        self.assertEqual({section for section, _, _ in figures}, SECTIONS["yardsticks"] | SECTIONS["upload"])
        self.assertEqual({column for section, _, column in figures if section in SECTIONS["upload"]}, {"verified", "not verified"})
        self.assertEqual(list(self.folder.iterdir()), [], "temporary files are gone")

    def test_decode(self):
        figures = self.figures("--only", "decode")
        for row in [*(f"{bits}-bit" for bits in range(1, 9)), "nf4"]:
            for group in ("g16", "g32", "g64", "g128", "row"):
                self.assertIn(("decode", f"{row} {group}", "f16"), figures)

    def test_products(self):
        figures = self.figures("--only", "gemv,gemm")
        for row in ("2-bit g128", "3-bit g128", "4-bit g128", "8-bit g128", "nf4 g64", "4-bit g128 1 % outliers"):
            for way in WAYS:
                self.assertIn(("products, 1 row", row, way), figures)
        self.assertEqual({section for section, _, _ in figures}, SECTIONS["gemv"] | SECTIONS["gemm"])

    def test_a_file(self):
        model = self.folder / "model.ingot"
        self.check(0, "convert", MODEL, model, "--preset", "int4-g128", "--quiet", "--include", "layers.0.*(k|v)_proj", "--force")
        figures = self.figures(model, "--only", "yardsticks,upload,decode")
        self.assertEqual({section for section, _, _ in figures}, SECTIONS["yardsticks"] | SECTIONS["upload"] | SECTIONS["decode"])
        rows = {row for section, row, _ in figures if section == "decode"}
        self.assertTrue(any("4-bit" in row for row in rows) and any("raw" in row for row in rows), rows)

    def test_products_of_a_file(self):
        figures = self.figures(common.VALID / "everything.ingot", "--only", "gemv")
        self.assertEqual({column for _, _, column in figures}, set(WAYS))

    def test_a_table(self):
        text = self.check(0, "bench", "--quick", "--quiet", "--device", "cuda:0", "--only", "yardsticks").out
        for word in ("multiprocessor", "copy on the device", "tensor cores", "share of"):
            self.assertIn(word, text)

    def test_what_cannot_be_done(self):
        self.assertIn("there is no device 99", self.check(3, "bench", "--device", "cuda:99").err)
        self.assertIn("no such section", self.check(2, "bench", "--quick", "--device", "cuda", "--only", "open").err)
        self.check(4, "bench", "--quick", "--device", "cuda", self.folder / "nowhere.ingot")
        self.check(3, "bench", "--quick", "--device", "cuda", MODEL / "config.json")
        self.check(3, "bench", "--quick", "--device", "cuda", common.INVALID / "R-CHK-1-raw.ingot")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    common.INGOT = str(pathlib.Path(sys.argv.pop(1)).resolve())
    emulated = "--emulated" in sys.argv
    if emulated:
        sys.argv.remove("--emulated")
    if not common.has_gpu():
        print(common.run("bench", "--device", "cuda").err.strip())
        sys.exit(1 if emulated else 0)
    unittest.main(argv=[sys.argv[0], *sys.argv[1:]])
