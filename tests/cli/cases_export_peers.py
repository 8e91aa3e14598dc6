"""ingot export --format gptq and compressed-tensors: what other systems read has the values that the file has."""

import json

from common import MODEL, VALID
from peer_exports import Exports, decode_compressed, decode_gptq
from peer_fixtures import FIXTURES, differing, read_tensors, rounded, rows, widen

# Shorter last groups; zero-points of 2^bits.
CT_CANNOT = ("w4_g64_ragged_v2", "autogptq_w4_g32_zero_0")


class RoundTrips(Exports):
    def test_gptq(self):
        for folder, row in rows("gptq"):
            with self.subTest(row["path"]):
                # Zero-points that v1 stores less one are stored as they are: a nested encoding with another constant.
                before = json.loads((folder / "quantize_config.json").read_text(encoding="utf-8"))
                v1 = before.get("checkpoint_format", "gptq") == "gptq"
                config = self.round_trip(folder, "gptq", digest=before["sym"] or not v1)
                self.assertEqual(config["desc_act"], "actorder" in folder.name or "shuffled" in folder.name)
                self.assertEqual(config["meta"]["quantizer"][0].split(":")[0], "ingot")
                self.assertEqual(config["sym"], before["sym"])
                if before["sym"] and v1:
                    # Word for word what came in: AutoGPTQ and others know v1 only, and would add one to v2's zero-points.
                    self.assertEqual((config["checkpoint_format"], config["format"]), ("gptq", "gptq"))
                    parts = [read_tensors(path) for path in sorted(folder.glob("model*.safetensors"))]
                    self.same_bytes(read_tensors(self.folder / "gptq" / "model.safetensors"), {k: v for part in parts for k, v in part.items()})

    def test_compressed_tensors(self):
        for folder, row in rows("compressed_tensors"):
            with self.subTest(row["path"]):
                config = self.round_trip(folder, "compressed-tensors")
                self.assertEqual(config["quantization_status"], "compressed")
                # transformers refuses packed zero-points unless it is told to decompress while it loads.
                self.assertEqual(config.get("dequantize", False), "asym" in folder.name)
                if not folder.name.startswith(("old_pack_w3", "int8")):  # the packing of old; one byte a code
                    self.same_bytes(read_tensors(self.folder / "compressed-tensors" / "model.safetensors"), read_tensors(folder / "model.safetensors"))

    def test_from_one_system_to_another(self):
        for system, form in (("awq", "gptq"), ("awq", "compressed-tensors"), ("gptq", "compressed-tensors")):
            for folder, row in rows(system):
                if form != "gptq" and folder.name in CT_CANNOT:
                    continue
                with self.subTest(row["path"], form=form):
                    self.round_trip(folder, form, digest=False)


class Presets(Exports):
    """Ingot's own quantization: its results in f32 are rounded to the type of the scales."""

    def test_values(self):
        for preset in ("int8", "int8-g128", "int4-g128", "int4-sym-g128", "int3-g128", "int2-g64"):
            source, _ = self.convert(MODEL, "m.ingot", "--preset", preset)
            values = self.values(source)
            for form in ("gptq", "compressed-tensors"):
                with self.subTest(preset=preset, form=form):
                    _, tensors, config = self.export(source, form)
                    decoded = decode_gptq(tensors, config) if form == "gptq" else decode_compressed(tensors)
                    dtype = "F32" if preset == "int8" else "F16"
                    for module, value in decoded.items():
                        self.assertEqual(differing(value, rounded(values.pop(module + ".weight"), dtype)), 0, module)
                    self.assertEqual({n: a for n, (_, a) in tensors.items() if n in values}.keys(), values.keys())
                    values = self.values(source)

    def test_config_and_attachments(self):
        source, _ = self.convert(MODEL, "m.ingot", "--preset", "int4-sym-g128")
        folder, _, config = self.export(source, "gptq")
        self.assertEqual((config["bits"], config["group_size"], config["sym"], config["desc_act"]), (4, 128, True, False))
        self.assertNotIn("dynamic", config)
        for name in ("tokenizer.json", "generation_config.json"):
            self.assertEqual((folder / name).read_bytes(), (MODEL / name).read_bytes())
        whole = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        whole.pop("quantization_config")
        self.assertEqual(whole, json.loads((MODEL / "config.json").read_text(encoding="utf-8")))
        folder, _, config = self.export(source, "compressed-tensors")
        self.assertFalse((folder / "quantize_config.json").exists())
        self.assertEqual(config["ignore"], ["lm_head"])
        (group,) = config["config_groups"].values()
        self.assertEqual((group["targets"], group["weights"]["strategy"], group["weights"]["symmetric"]), (["Linear"], "group", True))

    def test_modules_that_differ(self):
        recipe = self.folder / "recipe.json"
        recipe.write_text(json.dumps({"name": "mixed", "rules": [
            {"match": r"layers\.1\.mlp\.up", "method": "keep"},
            {"match": r"layers\.2\.", "method": "linear", "bits": 3, "group_size": 64, "symmetric": True},
            {"match": "down_proj", "method": "linear", "bits": 5, "group_size": "channel"},
            {"match": "_proj", "method": "linear", "bits": 4, "group_size": 128}]}))
        source, _ = self.convert(MODEL, "m.ingot", "--recipe", recipe)
        values = self.values(source)
        for form in ("gptq", "compressed-tensors"):
            folder, tensors, config = self.export(source, form)
            decoded = decode_gptq(tensors, config) if form == "gptq" else decode_compressed(tensors)
            for module, value in decoded.items():
                self.assertEqual(differing(value, rounded(values[module + ".weight"], "F16")), 0, module)
            self.convert(folder, "b.ingot")
            back = self.values(self.folder / "b.ingot")
            self.same({module: back[module + ".weight"] for module in decoded}, decoded)
            if form == "gptq":
                self.assertEqual((config["bits"], config["group_size"], config["checkpoint_format"]), (4, 128, "gptq_p"))
                self.assertEqual(config["dynamic"][r"-:^model\.layers\.1\.mlp\.up_proj$"], {})
                self.assertEqual(config["modules_in_block_to_quantize"], [sorted(decoded)])
                self.assertEqual(config["dynamic"][r"+:^model\.layers\.2\.mlp\.up_proj$"], {"bits": 3, "group_size": 64})
                self.assertEqual(config["dynamic"][r"+:^model\.layers\.0\.mlp\.down_proj$"], {"bits": 5, "group_size": -1})
            else:
                self.assertEqual(sorted(config["ignore"]), ["lm_head", "model.layers.1.mlp.up_proj"])
                self.assertEqual(len(config["config_groups"]), 3)
                # Told to decompress while it loads, transformers would take all for the first group's.
                self.assertNotIn("dequantize", config)

    def test_fused_layers(self):
        """vLLM asks by one name about q, k and v, and about gate and up: it is there if the parts agree."""
        recipe = self.folder / "recipe.json"
        recipe.write_text(json.dumps({"name": "mixed", "rules": [
            {"match": r"layers\.1\.mlp", "method": "keep"},
            {"match": r"layers\.2\.", "method": "linear", "bits": 8, "group_size": 64, "symmetric": True},
            {"match": r"layers\.3\..*[qk]_proj", "method": "linear", "bits": 8, "group_size": 64, "symmetric": True},
            {"match": "_proj", "method": "linear", "bits": 4, "group_size": 128, "symmetric": True}]}))
        source, _ = self.convert(MODEL, "m.ingot", "--recipe", recipe)
        _, _, config = self.export(source, "gptq")
        eight = {"bits": 8, "group_size": 64}
        fused = {name: what for name, what in config["dynamic"].items() if "qkv" in name or "gate_up" in name}
        self.assertEqual(fused, {r"-:^model\.layers\.1\.mlp\.gate_up_proj$": {}, r"+:^model\.layers\.2\.mlp\.gate_up_proj$": eight,
                                 r"+:^model\.layers\.2\.self_attn\.qkv_proj$": eight})

    def test_output_head(self):
        source, _ = self.convert(MODEL, "m.ingot", "--preset", "int4-sym-g128", "--include", "^lm_head")
        _, _, config = self.export(source, "gptq")
        self.assertTrue(config["lm_head"])
        self.assertNotIn("dynamic", config)
        self.assertIn("lm_head", self.check(0, "export", source, self.folder / "gptq", "--format", "gptq", "--force").out)
        _, _, config = self.export(source, "compressed-tensors")
        (group,) = config["config_groups"].values()
        self.assertEqual((group["targets"], config["ignore"]), (["Linear", "lm_head"], []))

    def test_zero_points_in_a_part_of_the_modules(self):
        """One scheme, which transformers and the fused layers of vLLM need: all have zero-points, some of them 8."""
        recipe = self.folder / "recipe.json"
        recipe.write_text(json.dumps({"name": "mixed", "rules": [
            {"match": "[qv]_proj", "method": "linear", "bits": 4, "group_size": 128, "symmetric": True},
            {"match": "_proj", "method": "linear", "bits": 4, "group_size": 128}]}))
        source, digest = self.convert(MODEL, "m.ingot", "--recipe", recipe)
        folder, tensors, config = self.export(source, "compressed-tensors")
        (group,) = config["config_groups"].values()
        self.assertEqual((group["targets"], group["weights"]["symmetric"], config["dequantize"]), (["Linear"], False, True))
        words = tensors["model.layers.0.self_attn.q_proj.weight_zero_point"][1]
        self.assertEqual(set(words.view("<u4").flat), {0x88888888})
        values = self.values(source)
        for module, value in decode_compressed(tensors).items():
            self.assertEqual(differing(value, rounded(values[module + ".weight"], "F16")), 0, module)
        _, tensors, config = self.export(source, "gptq")
        self.assertEqual((config["sym"], config["checkpoint_format"]), (False, "gptq_v2"))

    def test_notes_say_who_cannot_load_it(self):
        for preset, form, words in (("int4-g128", "gptq", "vLLM's GPTQ has 4 or 8 bits"), ("int4-sym-g128", "gptq", ""),
                                    ("int4-g128", "compressed-tensors", "")):
            source, _ = self.convert(MODEL, "m.ingot", "--preset", preset)
            done = self.check(0, "export", source, self.folder / form, "--format", form, "--force")
            self.assertEqual("note:" in done.out, bool(words), done.out)
            self.assertIn(words, done.out)
        source, _ = self.convert(FIXTURES / "gptq" / "whole_model_w4_g32_actorder", "m.ingot")
        done = self.check(0, "export", source, self.folder / "compressed-tensors", "--format", "compressed-tensors", "--force")
        self.assertIn("note: permuted columns (act-order) are read by compressed-tensors before 0.19 only", done.out)

    def test_the_same_bytes_for_any_number_of_threads(self):
        source, _ = self.convert(MODEL, "m.ingot", "--preset", "int4-g128")
        for form in ("gptq", "compressed-tensors"):
            seen = {(self.export(source, form, "--threads", threads)[0] / "model.safetensors").read_bytes() for threads in (1, 3)}
            self.assertEqual(len(seen), 1)


class Dense(Exports):
    def test_decoded_weights_are_not_called_quantized(self):
        """A folder of plain safetensors: its config.json says nothing of the quantization that was."""
        folder = next(f for f, _ in rows("gptq") if (f / "quantize_config.json").exists())
        model, out = self.folder / "x.ingot", self.folder / "dense"
        self.check(0, "convert", folder, model, "--quiet")
        self.check(0, "export", model, f"{out}/", "--quiet")
        config = json.loads((out / "config.json").read_text(encoding="utf-8"))
        original = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        self.assertEqual(config, {key: value for key, value in original.items() if key != "quantization_config"})
        self.assertFalse((out / "quantize_config.json").exists())
        self.check(0, "diff", folder, out)
        self.check(0, "convert", out, self.folder / "y.ingot", "--quiet")
        self.check(0, "export", model, self.folder / "file.safetensors", "--quiet")
        self.assertEqual(sorted(p.name for p in self.folder.iterdir()), ["dense", "file.safetensors", "x.ingot", "y.ingot"])


class Refusals(Exports):
    def test_by_name_and_without_a_trace(self):
        source, _ = self.convert(MODEL, "m.ingot", "--preset", "nf4")
        for form in ("gptq", "compressed-tensors"):
            done = self.check(3, "export", source, self.folder / "out", "--format", form)
            self.assertIn("model.layers.0.mlp.down_proj.weight", done.err)
            self.assertIn("codebook", done.err)
            self.assertFalse((self.folder / "out").exists())
            self.check(2, "export", source, self.folder / "out", "--format", form, "--requantize")

    def test_an_existing_folder_is_kept_without_force(self):
        source, _ = self.convert(MODEL, "m.ingot", "--preset", "int4-g128")
        folder, _, _ = self.export(source, "gptq")
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        self.check(2, "export", source, folder, "--format", "gptq")
        self.assertEqual({path.name: path.read_bytes() for path in folder.iterdir()}, before)

    def test_requantize_writes_them_decoded(self):
        recipe = self.folder / "recipe.json"
        recipe.write_text(json.dumps({"name": "mixed", "rules": [
            {"match": r"layers\.1\.mlp\.up", "method": "nf4"}, {"match": "_proj", "method": "linear", "bits": 4, "group_size": 128}]}))
        source, _ = self.convert(MODEL, "m.ingot", "--recipe", recipe)
        name = "model.layers.1.mlp.up_proj"
        for form in ("gptq", "compressed-tensors"):
            self.assertIn(name, self.check(3, "export", source, self.folder / "out", "--format", form).err)
            self.assertFalse((self.folder / "out").exists())
            _, tensors, config = self.export(source, form, "--requantize")
            dtype, array = tensors[name + ".weight"]
            self.assertEqual(dtype, "F16")
            self.assertEqual(differing(widen(dtype, array), rounded(self.values(source)[name + ".weight"], "F16")), 0)
            self.assertIn(name, json.dumps(config).replace("\\", ""))

    def test_what_compressed_tensors_cannot_hold(self):
        for name, reason in zip(CT_CANNOT, ("shorter", "zero-points")):
            source, _ = self.convert(FIXTURES / "gptq" / name, "m.ingot")
            self.assertIn(reason, self.check(3, "export", source, self.folder / "out", "--format", "compressed-tensors").err)

    def test_what_is_no_model(self):
        self.check(3, "export", VALID / "bits.ingot", self.folder / "out", "--format", "gptq")
        self.check(2, "export", VALID / "smallest.ingot", "", "--format", "gptq")
