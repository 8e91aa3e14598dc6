"""Quantized checkpoints that are damaged, incomplete or contradict themselves: refused with what is wrong, nothing written."""

import json
import shutil

import numpy as np

from common import Case
from peer_fixtures import FIXTURES, read_tensors, write_tensors


class Bad(Case):
    def setUp(self):
        super().setUp()
        self.source = self.folder / "source"

    def take(self, name):
        """A fixture in a folder of its own, to be damaged: its tensors and its config.json."""
        shutil.rmtree(self.source, ignore_errors=True)
        shutil.copytree(FIXTURES / name, self.source)
        (self.source / "expected.safetensors").unlink()
        (self.source / "quantize_config.json").unlink(missing_ok=True)
        return read_tensors(self.source / "model.safetensors"), json.loads((self.source / "config.json").read_text(encoding="utf-8"))

    def refuse(self, tensors, config, *parts):
        write_tensors(self.source / "model.safetensors", tensors)
        (self.source / "config.json").write_text(json.dumps(config), encoding="utf-8")
        (self.folder / "x.ingot").unlink(missing_ok=True)
        done = self.check(3, "convert", self.source, self.folder / "x.ingot", "--quiet")
        self.assertEqual(len(done.err.splitlines()), 1, done.err)
        for part in parts:
            self.assertIn(part, done.err)
        self.assertEqual(sorted(p.name for p in self.folder.iterdir()), ["source"])

    def each_missing(self, name, suffixes, kept=()):
        """Every tensor of a module is needed; `kept`: those whose absence is no error."""
        tensors, config = self.take(name)
        for tensor in list(tensors):
            if not tensor.endswith(tuple(suffixes)) or tensor.endswith(tuple(kept)):
                continue
            with self.subTest(fixture=name, missing=tensor):
                self.refuse({n: t for n, t in tensors.items() if n != tensor}, config)

    def test_missing_tensors(self):
        self.each_missing("gptq/w4_g32_asym_v2", [".qweight", ".qzeros", ".scales", ".g_idx"])
        self.each_missing("awq/gemm_w4_g64", [".qweight", ".qzeros", ".scales"])
        self.each_missing("bitsandbytes/nf4_b128_double_f16", [".weight", ".absmax", ".nested_absmax", ".nested_quant_map"], ["norm.weight", "embed_tokens.weight"])
        self.each_missing("quanto/qint4_f16", ["._data", "._scale", "._shift"])
        self.each_missing("hqq/w4_g64_axis1", [".scale", ".zero", ".shape", ".nbits"])
        self.each_missing("compressed_tensors/pack_w4_g128_asym", [".weight_packed", ".weight_scale", ".weight_shape"])
        self.each_missing("mlx/w4_g64_float16", ["proj.weight", ".scales", ".biases"])

    def test_shapes_that_do_not_fit(self):
        for name, suffixes in (("gptq/w3_g64_asym_v2", (".qweight", ".qzeros", ".scales", ".g_idx")), ("awq/gemm_w8_g64_gptqmodel", (".qweight", ".qzeros")),
                               ("bitsandbytes/nf4_b64", (".weight.absmax",)), ("quanto/qint2_f32", ("._scale", "._shift")), ("hqq/w3_g64_axis0", (".W_q", ".scale", ".zero")),
                               ("compressed_tensors/int8_channel_asym", (".weight_scale", ".weight_zero_point")), ("mlx/w3_g32_bfloat16", (".scales", ".biases"))):
            tensors, config = self.take(name)
            for tensor, (dtype, array) in tensors.items():
                if tensor.endswith(suffixes):
                    for axis in range(array.ndim):
                        if array.shape[axis] > 1:
                            with self.subTest(fixture=name, tensor=tensor, axis=axis):
                                self.refuse({**tensors, tensor: (dtype, np.delete(array, -1, axis))}, config)

    def test_wrong_types(self):
        for name, suffix in (("gptq/w4_g32_asym_v2", ".qweight"), ("awq/gemm_w4_g64", ".qzeros"), ("hqq/w4_g64_axis1", ".zero"), ("mlx/w8_g64_float16", ".scales")):
            tensors, config = self.take(name)
            tensor = next(n for n in tensors if n.endswith(suffix))
            dtype, array = tensors[tensor]
            other = {"I32": ("F32", "<f4"), "F16": ("I16", "<i2")}[dtype]
            self.refuse({**tensors, tensor: (other[0], array.view(other[1]))}, config, tensor, other[0])

    def test_groups_of_gptq(self):
        tensors, config = self.take("gptq/w4_g128_actorder_sym_v1")
        name = next(n for n in tensors if n.endswith(".g_idx"))
        for value, message in ((99, "is in group 99"), (-1, "is in group -1"), (0, "unequal")):
            g = tensors[name][1].copy()
            g[-1] = value if g[-1] != value else 1 - value
            self.refuse({**tensors, name: ("I32", g)}, config, name, message)

    def test_configurations_that_contradict_the_tensors(self):
        tensors, config = self.take("gptq/w4_g32_asym_v2")
        for key, value, message in (("bits", 8, "codes of 8 bits"), ("bits", 9, "must be from 2 to 8"), ("bits", "4", "must be a whole number"), ("bits", None, "missing"),
                                    ("group_size", 64, ".qzeros"), ("group_size", 0, "group_size is 0"), ("checkpoint_format", "marlin", "marlin"),
                                    ("quant_method", "exl2", "exl2"), ("quant_method", "bitsandbytes", "no tensor"), ("quant_method", 3, "must be a text"),
                                    ("dynamic", {"(": {}}, "dynamic"), ("dynamic", {"-:model": {}}, "not quantized"), ("dynamic", [], "must be an object")):
            changed = {**config["quantization_config"], key: value}
            with self.subTest(key=key, value=value):
                self.refuse(tensors, {**config, "quantization_config": changed}, message)
        self.refuse(tensors, {**config, "quantization_config": [1]}, "must be an object")

    def test_hostile_patterns(self):
        tensors, config = self.take("gptq/w4_g32_asym_v2")
        changed = {**config["quantization_config"], "dynamic": {"([a-z0-9_.]+)+[^a-z0-9_.]": {"bits": 8}}}
        self.refuse(tensors, {**config, "quantization_config": changed}, "match limit")

    def test_two_descriptions_that_disagree(self):
        tensors, config = self.take("gptq/w4_g32_asym_v2")
        (self.source / "quantize_config.json").write_text(json.dumps({**config["quantization_config"], "checkpoint_format": "gptq"}), encoding="utf-8")
        self.refuse(tensors, config, "checkpoint_format", "quantize_config.json")

    def test_no_description(self):
        for name in ("gptq/w4_g32_asym_v2", "awq/gemm_w4_g64", "compressed_tensors/pack_w4_g128_asym", "mlx/w4_g64_float16"):
            tensors, _ = self.take(name)
            with self.subTest(name):
                for extra in self.source.glob("*.json"):
                    extra.unlink()
                self.refuse(tensors, {"model_type": "llama"}, "config.json")

    def test_bitsandbytes_states(self):
        tensors, config = self.take("bitsandbytes/nf4_b64")
        name = next(n for n in tensors if "quant_state" in n)
        state = json.loads(tensors[name][1].tobytes())
        for key, value, message in (("blocksize", 63, "blocksize"), ("blocksize", 32, "absmax"), ("blocksize", 8192, "blocksize"), ("quant_type", "nf5", "nf5"), ("shape", [3, 5], "bytes"),
                                    ("shape", [1 << 62, 8], "elements"), ("shape", [-1, 4], "whole numbers"), ("shape", "x", "list"), ("dtype", "float64", "float64")):
            text = np.frombuffer(json.dumps({**state, key: value}).encode(), "u1")
            with self.subTest(key=key, value=value):
                self.refuse({**tensors, name: ("U8", text)}, config, message)
        for text in (b"", b"{", b"[]", b'{"quant_type":"nf4","quant_type":"nf4"}', b"\xff"):
            self.refuse({**tensors, name: ("U8", np.frombuffer(text, "u1"))}, config, name)

    def test_hqq_values(self):
        tensors, config = self.take("hqq/w4_g64_axis1")
        for key, value, message in (("nbits", 3, "packed in"), ("nbits", 7, "nbits is 7"), ("axis", 2, "axis is 2"), ("group_size", 0, "groups of 0"), ("group_size", 63, "groups of 63")):
            name = next(n for n in tensors if n.endswith("." + key))
            with self.subTest(key=key, value=value):
                self.refuse({**tensors, name: ("I32", np.array(value, "<i4"))}, config, message)
        name = next(n for n in tensors if n.endswith(".compute_dtype"))
        self.refuse({**tensors, name: ("U8", np.frombuffer(b"__import__('os').system('true')", "u1"))}, config, "compute_dtype")
        self.refuse({**tensors, name.replace("compute_dtype", "quant_zero"): ("U8", np.array(1, "u1"))}, config, "quantized again")

    def test_quanto_shapes(self):
        """The shape is not in the file: config.json has to say it."""
        tensors, config = self.take("quanto/qint4_f16")
        self.refuse(tensors, {"model_type": "llama"}, "shape")

    def test_a_tensor_that_is_there_twice(self):
        tensors, config = self.take("gptq/w4_g32_asym_v2")
        name = next(n for n in tensors if n.endswith(".qweight")).replace(".qweight", ".weight")
        self.refuse({**tensors, name: ("F16", np.zeros((2, 2), "<f2"))}, config, name, "twice")
