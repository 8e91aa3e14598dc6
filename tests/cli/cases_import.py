"""Quantized checkpoints of other systems: imported without the loss of a bit."""

import json

import numpy as np

from common import Case, document
from peer_fixtures import differing, read_tensors, rounded, rows, widen, write_folder

SYSTEMS = {"gptq": 16, "awq": 4, "bitsandbytes": 8, "quanto": 7, "hqq": 13, "compressed_tensors": 13, "mlx": 8}
E2M1 = np.array([0, .5, 1, 1.5, 2, 3, 4, 6, -0.0, -.5, -1, -1.5, -2, -3, -4, -6], np.float32)


def e4m3(codes):
    """f32 values of float8_e4m3fn."""
    c = codes.astype(np.int64)
    exponent, mantissa = (c & 127) >> 3, c & 7
    value = np.where(exponent == 0, mantissa * 2.0**-9, (8 + mantissa) * 2.0 ** (exponent - 10.0))
    return np.where((c & 127) == 127, np.nan, np.where(c & 128, -value, value)).astype(np.float32)


class Imports(Case):
    def import_folder(self, source, *options):
        """Converts, checks in every way there is, and returns {name: (dtype, array)} of an export to f32."""
        target, out = self.folder / "x.ingot", self.folder / "out.safetensors"
        done = document(self.check(0, "convert", source, target, "--force", "--json", "--verify", *options))
        self.assertEqual((done["verified"], done["quantized"]), (done["tensors"], 0))
        self.assertGreater(done["imported"], 0)
        self.check(0, "validate", target)
        self.check(0, "diff", source, target)
        self.check(0, "export", target, out, "--force", "--dtype", "f32", "--quiet")
        return read_tensors(out)

    def compare(self, got, expected):
        for name, (dtype, array) in expected.items():
            self.assertIn(name, got)
            self.assertEqual(got[name][1].shape, array.shape, name)
            self.assertEqual(differing(got[name][1], widen(dtype, array)), 0, f"{name}: the values differ")


class Peers(Imports):
    def test_every_fixture_comes_back_bit_for_bit(self):
        for system, count in SYSTEMS.items():
            self.assertEqual(len(rows(system)), count)
            for folder, row in rows(system):
                with self.subTest(row["path"]):
                    expected = {name: t for name, t in read_tensors(folder / "expected.safetensors").items() if ".test_input" not in name}
                    self.assertGreater(len(expected), 0)
                    self.compare(self.import_folder(folder), expected)

    def test_the_same_bytes_for_any_number_of_threads(self):
        folder = rows("gptq")[-1][0]
        files = []
        for threads in ("1", "3"):
            self.check(0, "convert", folder, self.folder / f"{threads}.ingot", "--threads", threads, "--quiet")
            files.append((self.folder / f"{threads}.ingot").read_bytes())
        self.assertEqual(*files)

    def test_all_other_options(self):
        """Shards, compression, SHA-256: the same tensors."""
        folder = rows("bitsandbytes")[-1][0]
        digests = set()
        for options in ((), ("--shard-size", "20K"), ("--compress",), ("--sha256", "--alignment", "64")):
            target = self.folder / "x.ingot"
            digests.add(document(self.check(0, "convert", folder, target, "--force", "--json", "--verify", *options))["content_digest"])
            self.check(0, "validate", target)
        self.assertEqual(len(digests), 1)

    def test_nothing_is_quantized_twice_unless_asked(self):
        folder = rows("gptq")[0][0]
        target = self.folder / "x.ingot"
        done = self.check(2, "convert", folder, target, "--preset", "nf4")
        self.assertIn("--requantize", done.err)
        self.assertFalse(target.exists())
        done = document(self.check(0, "convert", folder, target, "--preset", "nf4", "--requantize", "--json"))
        self.assertGreater(done["quantized"], 0)
        self.assertEqual(done["imported"], 0)
        self.check(0, "validate", target)


class Layouts(Imports):
    """Layouts that no package at hand writes, made here by their definition."""

    def setUp(self):
        super().setUp()
        self.rng = np.random.default_rng(5)
        self.source = self.folder / "source"

    def halfs(self, *shape):
        return (self.rng.standard_normal(shape) * 0.01).astype("<f2")

    def expect(self, tensors, config, name, values):
        got = self.import_folder(write_folder(self.source, tensors, config))
        self.assertEqual(got[name][1].shape, values.shape)
        self.assertEqual(differing(got[name][1], values), 0)

    def test_awq_gemv(self):
        for n, k, group in ((48, 256, 128), (16, 256, 64), (24, 128, 32), (8, 1280, 128)):
            q, g = self.rng.integers(0, 16, (n, k)), k // group
            words = -(-g // 8)
            multiple = 1 if group >= 128 else 2 if group == 64 else 4
            words = -(-words // multiple) * multiple
            z, s = np.zeros((n, 8 * words), np.int64), np.zeros((n, 8 * words), "<f2")
            z[:, :g], s[:, :g] = self.rng.integers(0, 16, (n, g)), self.halfs(n, g)

            def pack(codes):
                return (codes.reshape(n, -1, 8) << (4 * np.arange(8))).sum(-1).astype("<u4").view("<i4")
            tensors = {"p.qweight": ("I32", pack(q)), "p.qzeros": ("I32", pack(z)), "p.scales": ("F16", s)}
            column = np.arange(k) // group
            value = rounded((q - z[:, column]).astype(np.float32) * s.astype(np.float32)[:, column], "F16")
            config = {"quantization_config": {"quant_method": "awq", "bits": 4, "group_size": group, "version": "gemv"}}
            with self.subTest(n=n, k=k, group=group):
                self.expect(tensors, config, "p.weight", value)

    def test_awq_gemv_fast(self):
        n, k, group = 12, 256, 64
        q, g = self.rng.integers(0, 16, (n, k)), k // group
        padded = 8 * (-(-g // 8) * 2)
        s, z = np.zeros((padded, n), "<f2"), np.zeros((padded, n), "<f2")
        s[:g], z[:g] = self.halfs(g, n), self.halfs(g, n)
        words = np.zeros((n // 4, k), np.uint16)
        for row in range(n):
            for column in range(k):
                r = column % 32
                t = 32 * ((column % 64) // 32) + 8 * ((r % 8) // 2) + 4 * (r % 2) + r // 8
                x = 64 * (row % 4) + t
                words[row // 4, 64 * (column // 64) + x // 4] |= q[row, column] << (4 * (x % 4))
        column = np.arange(k) // group
        value = rounded(q.astype(np.float32) * s.T.astype(np.float32)[:, column] + z.T.astype(np.float32)[:, column], "F16")
        config = {"quantization_config": {"quant_method": "awq", "bits": 4, "group_size": group, "version": "gemv_fast"}}
        self.expect({"p.qweight": ("I16", words.view("<i2")), "p.qzeros": ("F16", z), "p.scales": ("F16", s)}, config, "p.weight", value)

    def test_fp8_blocks(self):
        n, k = 200, 320
        codes = self.rng.integers(0, 256, (n, k)).astype("u1")
        config = {"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}}
        scale = (self.rng.random((2, 3)) + 0.5).astype("<f4")
        value = e4m3(codes) * scale[np.arange(n) // 128][:, np.arange(k) // 128]
        self.expect({"p.weight": ("F8_E4M3", codes), "p.weight_scale_inv": ("F32", scale)}, config, "p.weight", value)
        one = np.array([0.25], "<f4")
        self.expect({"p.weight": ("F8_E4M3", codes), "p.weight_scale": ("F32", one), "p.input_scale": ("F32", one)}, config, "p.weight", e4m3(codes) * one)

    def test_mxfp4_experts(self):
        experts, n, groups = 3, 10, 4
        blocks = self.rng.integers(0, 256, (experts, n, groups, 16)).astype("u1")
        scales = self.rng.integers(100, 140, (experts, n, groups)).astype("u1")
        codes = np.stack([blocks & 15, blocks >> 4], -1).reshape(experts, n, groups, 32)
        value = rounded((E2M1[codes] * np.exp2(scales.astype(np.float32) - 127)[..., None]).reshape(experts, n, 32 * groups), "BF16")
        name = "model.layers.0.mlp.experts.down_proj"
        tensors = {name + "_blocks": ("U8", blocks), name + "_scales": ("U8", scales), name + "_bias": ("F16", self.halfs(experts, n))}
        self.expect(tensors, {"quantization_config": {"quant_method": "mxfp4"}}, name, value)

    def test_quanto_integer_shifts(self):
        for dtype, name in (("I8", "_shift"), ("U8", "_shift"), ("I8", "_zeropoint")):
            n, k, group, bits = 6, 256, 128, 4
            q = self.rng.integers(0, 16, (n * k // group, group))
            packed = (q[: len(q) // 2] | q[len(q) // 2:] << 4).astype("u1")
            scale, shift = self.halfs(len(q), 1), self.rng.integers(0, 16, (len(q), 1)).astype("i1")
            value = rounded(scale.astype(np.float32) * (q - shift).astype(np.float32), "F16").reshape(n, k)
            p = "model.layers.0.mlp.up_proj"
            tensors = {p + ".weight._data._data": ("U8", packed), p + ".weight._scale": ("F16", scale),
                       p + f".weight.{name}": (dtype, shift.view("u1") if dtype == "U8" else shift)}
            self.expect(tensors, {"hidden_size": k, "intermediate_size": n}, p + ".weight", value)

    def test_gptq_per_module(self):
        """"dynamic": another width and group size for some modules, matched at the beginning of their names."""
        def module(p, n, k, bits, group):
            q, z = self.rng.integers(0, 1 << bits, (n, k)), self.rng.integers(0, 1 << bits, (k // group, n))
            s = self.halfs(k // group, n)

            def pack(lines):  # along the last axis
                flat = ((lines[..., None] >> np.arange(bits)) & 1).reshape(*lines.shape[:-1], -1, 32)
                return (flat.astype(np.uint64) << np.arange(32, dtype=np.uint64)).sum(-1).astype("<u4").view("<i4")
            column = np.arange(k) // group
            value = rounded((q - z.T[:, column]).astype(np.float32) * s.T.astype(np.float32)[:, column], "F16")
            return {p + ".qweight": ("I32", np.ascontiguousarray(pack(q).T)), p + ".qzeros": ("I32", pack(z)), p + ".scales": ("F16", s),
                    p + ".g_idx": ("I32", column.astype("<i4"))}, value
        a, a_value = module("model.layers.0.up_proj", 64, 128, 4, 64)
        b, b_value = module("model.layers.1.up_proj", 32, 96, 8, 32)
        c, c_value = module("model.layers.10.up_proj", 96, 128, 2, 128)
        config = {"quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 64, "checkpoint_format": "gptq_v2", "dynamic": {
            r"+:.*\.1\..*": {"bits": 8, "group_size": 32}, r"model\.layers\.10\.": {"bits": 2, "group_size": 128}, r"layers\.0": {"bits": 3}}}}
        got = self.import_folder(write_folder(self.source, {**a, **b, **c}, config))
        for name, value in (("model.layers.0.up_proj", a_value), ("model.layers.1.up_proj", b_value), ("model.layers.10.up_proj", c_value)):
            self.assertEqual(differing(got[name + ".weight"][1], value), 0, name)

    def test_what_cannot_be_kept_exactly(self):
        """Groups of unequal size in g_idx: refused, or decoded as the system does and quantized anew."""
        n, k, group = 64, 256, 64
        q, z = self.rng.integers(0, 16, (n, k)), self.rng.integers(0, 16, (k // group, n))
        s = (self.rng.random((k // group, n)) * 0.01 + 0.001).astype("<f2")
        g = (np.arange(k) // group).astype("<i4")
        g[7], g[100] = 3, 0
        value = rounded((q - z[g].T).astype(np.float32) * s.astype(np.float32)[g].T, "F16")

        def words(codes):   # along the first dimension
            return (codes.reshape(-1, 8, codes.shape[1]) << (4 * np.arange(8))[None, :, None]).sum(1).astype("<u4").view("<i4")
        tensors = {"p.qweight": ("I32", words(q.T)), "p.qzeros": ("I32", words(z.T).T.copy()), "p.scales": ("F16", s), "p.g_idx": ("I32", g), "p.bias": ("F16", self.halfs(n))}
        gptq = {"quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": group, "checkpoint_format": "gptq_v2"}}
        packed = {"p.weight_packed": ("I32", words(q.T).T.copy()), "p.weight_zero_point": ("I32", words(z.T)), "p.weight_scale": ("F16", s.T.copy()),
                  "p.weight_g_idx": ("I32", g), "p.weight_shape": ("I64", np.array([n, k], "<i8"))}
        compressed = {"quantization_config": {"quant_method": "compressed-tensors", "format": "pack-quantized", "config_groups": {"a": {
            "targets": ["Linear"], "weights": {"num_bits": 4, "type": "int", "strategy": "group", "group_size": group, "symmetric": False}}}}}
        for tensors, config, index in ((tensors, gptq, "p.g_idx"), (packed, compressed, "p.weight_g_idx")):
            with self.subTest(index):
                self.requantize(write_folder(self.source, tensors, config), index, value)
                damaged = {**tensors, index: ("I32", np.where(np.arange(k) == 9, 99, g).astype("<i4"))}
                done = self.check(3, "convert", write_folder(self.source, damaged, config), self.folder / "d.ingot", "--requantize")
                self.assertIn("is in group 99", done.err)
                self.assertFalse((self.folder / "d.ingot").exists())

    def requantize(self, source, index, value):
        target, out = self.folder / "x.ingot", self.folder / "out.safetensors"
        target.unlink(missing_ok=True)
        for options in ((), ("--preset", "nf4"), ("--dry-run",)):
            done = self.check(3, "convert", source, target, *options)
            for part in (index, "unequal", "p.weight", "--requantize", "int8-g128"):
                self.assertIn(part, done.err)
            self.assertFalse(target.exists())
        for options, bits, most in (((), 8, 0.005), (("--exclude", "weight"), 8, 0.005), (("--preset", "int4-g128"), 4, 0.12)):
            done = document(self.check(0, "convert", source, target, "--requantize", "--force", "--json", "--verify", *options))
            self.assertEqual((done["quantized"], done["imported"]), (1, 0))
            self.check(0, "validate", target)
            encoding = next(t for t in document(self.check(0, "inspect", target, "--json"))["tensors"] if t["name"] == "p.weight")["encoding"]
            self.assertIn(f"{bits}-bit", encoding)
            self.check(0, "export", target, out, "--force", "--dtype", "f32", "--quiet")
            error = read_tensors(out)["p.weight"][1] - value
            self.assertLess(np.linalg.norm(error) / np.linalg.norm(value), most)
            self.assertGreater(np.abs(error).max(), 0)
        self.check(1, "diff", source, target)
        self.assertIn("int8-g128", self.check(0, "convert", source, target, "--requantize", "--dry-run").out)

    def test_a_file_of_a_folder(self):
        """Its description lies beside it."""
        folder, _ = rows("gptq")[1]
        expected = {name: t for name, t in read_tensors(folder / "expected.safetensors").items() if ".test_input" not in name}
        self.compare(self.import_folder(folder / "model.safetensors"), expected)

    def test_names_that_only_look_like_a_system(self):
        """Plain weights, and a config.json that is somebody else's: nothing is made of them."""
        plain = {"attention.W_q": ("F16", self.halfs(4, 64)), "head.biases": ("F16", self.halfs(3)), "head.weight": ("F16", self.halfs(3, 4)), "my_blocks": ("I32", np.zeros(3, "<i4"))}
        others = write_folder(self.folder / "others", {"p.weight": ("F16", self.halfs(4, 64))}, {"quantization_config": {"quant_method": "gptq", "bits": 4}})
        self.check(0, "convert", others / "model.safetensors", self.folder / "x.ingot", "--verify")
        source = write_folder(self.source, plain, {})
        done = document(self.check(0, "convert", source, self.folder / "y.ingot", "--verify", "--json"))
        self.assertEqual((done["imported"], done["tensors"]), (0, 4))

    def test_nothing_grows(self):
        """Planes of 1 MiB and more take no more than their source and 1 %."""
        n, k = 1024, 4096
        groups = k // 64

        def words(*shape):
            return self.rng.integers(-2**31, 2**31, shape).astype("<i4")
        g_idx = self.rng.permutation(np.arange(k) // 64).astype("<i4")
        state = json.dumps({"quant_type": "nf4", "blocksize": 64, "dtype": "bfloat16", "shape": [n, k], "nested_blocksize": 256, "nested_dtype": "float32",
                            "nested_offset": 0.03}).encode()
        cases = {
            "gptq": ({"p.qweight": ("I32", words(k // 8, n)), "p.qzeros": ("I32", words(groups, n // 8)), "p.scales": ("F16", self.halfs(groups, n)), "p.g_idx": ("I32", g_idx)},
                     {"quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 64}}),
            "hqq": ({"p.W_q": ("I32", words(-(-n * groups // 10), 64) & 0x3FFFFFFF), "p.scale": ("F16", self.halfs(n * groups, 1)), "p.zero": ("F16", self.halfs(n * groups, 1)),
                     "p.shape": ("I64", np.array([n, k])), "p.nbits": ("I32", np.array(3, "<i4")), "p.group_size": ("I32", np.array(64, "<i4")), "p.axis": ("I32", np.array(1, "<i4"))}, {}),
            "nf4": ({"p.weight": ("U8", self.rng.integers(0, 256, (n * k // 2, 1)).astype("u1")), "p.weight.absmax": ("U8", self.rng.integers(0, 256, n * groups).astype("u1")),
                     "p.weight.quant_map": ("F32", np.zeros(16, "<f4")), "p.weight.nested_absmax": ("F32", self.rng.random(n * groups // 256).astype("<f4")),
                     "p.weight.nested_quant_map": ("F32", np.linspace(-1, 1, 256).astype("<f4")),
                     "p.weight.quant_state.bitsandbytes__nf4": ("U8", np.frombuffer(state, "u1"))}, {}),
        }
        for name, (tensors, config) in cases.items():
            with self.subTest(name):
                self.import_folder(write_folder(self.source, tensors, config))
                shown = document(self.check(0, "inspect", self.folder / "x.ingot", "--json"))["tensors"]
                self.assertEqual(len(shown), 1)
                self.assertLessEqual(shown[0]["bytes"], 1.01 * sum(array.nbytes for _, array in tensors.values()))

    def test_modelopt_nvfp4(self):
        n, k = 6, 64
        packed = self.rng.integers(0, 256, (n, k // 2)).astype("u1")
        scale, second = self.rng.integers(1, 126, (n, k // 16)).astype("u1"), np.array(0.0123, "<f4")
        codes = np.stack([packed & 15, packed >> 4], -1).reshape(n, k)
        value = rounded(E2M1[codes] * (e4m3(scale) * second)[:, np.arange(k) // 16], "BF16")
        tensors = {"p.weight": ("U8", packed), "p.weight_scale": ("F8_E4M3", scale), "p.weight_scale_2": ("F32", second), "p.input_scale": ("F32", second)}
        self.expect(tensors, {"quantization_config": {"quant_method": "modelopt", "quant_algo": "NVFP4"}}, "p.weight", value)
