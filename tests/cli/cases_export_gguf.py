"""ingot export --format gguf: what came from GGUF comes back, what came from elsewhere becomes what llama.cpp would make."""

import json
import shutil

import numpy as np

from cases_import_gguf import FIXTURES, Gguf, rows
from common import MODEL, VALID, Case, document, read_safetensors, write_safetensors

TYPES = {0: (4, 1), 1: (2, 1), 2: (18, 32), 3: (20, 32), 6: (22, 32), 7: (24, 32), 8: (34, 32), 10: (84, 256), 11: (110, 256),
         12: (144, 256), 13: (176, 256), 14: (210, 256), 16: (66, 256), 20: (18, 32), 23: (136, 256), 24: (1, 1), 25: (2, 1), 26: (4, 1), 27: (8, 1),
         28: (8, 1), 30: (2, 1), 34: (54, 256), 35: (66, 256), 39: (17, 32), 40: (36, 64), 41: (18, 128), 42: (18, 64)}


def tensors_of(gguf):
    """[(name, ne, type, bytes)] in the order of the file."""
    out = []
    for name, (ne, kind, offset) in gguf.tensors.items():
        size, elements = TYPES[kind]
        count = int(np.prod(ne, dtype=np.uint64)) // elements * size
        out.append((name, ne, kind, gguf.data[gguf.start + offset:gguf.start + offset + count]))
    return out


class ExportCase(Case):
    def convert(self, source, *options):
        target = self.folder / "x.ingot"
        self.check(0, "convert", source, target, "--force", "--quiet", *options)
        return target

    def export(self, source, *options):
        target = self.folder / "out.gguf"
        self.check(0, "export", source, target, "--force", "--quiet", *options)
        return Gguf(target)

    def digest(self, path):
        return document(self.check(0, "inspect", path, "--json"))["content_digest"]

    def checkpoint(self, name="source", **changes):
        """A copy of the small model with another configuration."""
        folder = self.folder / name
        shutil.copytree(MODEL, folder)
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        config.update(changes)
        (folder / "config.json").write_text(json.dumps(config))
        return folder


class RoundTrip(ExportCase):
    def test_every_fixture_comes_back_byte_for_byte(self):
        seen = 0
        for row in rows():
            if row.get("must_refuse"):
                continue
            with self.subTest(row["path"]):
                source = FIXTURES / row["path"] / "model.gguf"
                original, target = Gguf(source), self.convert(source)
                back = self.export(target)
                self.assertEqual(back.metadata, original.metadata)
                self.assertEqual(tensors_of(back), tensors_of(original))
                digest = self.digest(target)
                self.assertEqual(self.digest(self.convert(self.folder / "out.gguf")), digest)
                seen += 1
        self.assertEqual(seen, 20)

    def test_the_same_bytes_for_any_number_of_threads(self):
        target = self.convert(FIXTURES / "gguf" / "q4_k_m_mix" / "model.gguf")
        self.assertEqual(len({self.export(target, "--threads", n).data for n in (1, 2, 5)}), 1)

    def test_compressed_planes_and_split_columns(self):
        values = np.random.default_rng(3).standard_normal((6, 512)).astype("<f4")
        source = self.folder / "w.safetensors"
        write_safetensors(source, {"w": ("F32", [6, 512], values.tobytes())})
        options = ("--bits", 4, "--group-size", 32, "--symmetric", "--include", "w")
        whole = tensors_of(self.export(self.convert(source, *options)))
        self.assertEqual(whole[0][:3], ("w", [512, 6], 2))
        self.assertEqual(tensors_of(self.export(self.convert(source, *options, "--split-columns", 2))), whole)


class Types(ExportCase):
    def expect(self, kind, shape, *options):
        """One tensor of random values, quantized by Ingot: the type it becomes; the values stay."""
        values = np.random.default_rng(5).standard_normal(shape).astype("<f4")
        source = self.folder / "w.safetensors"
        write_safetensors(source, {"w": ("F32", list(shape), values.tobytes())})
        target = self.convert(source, "--include", "w", *options)
        found = tensors_of(self.export(target))
        self.assertEqual([t[:3] for t in found], [("w", list(shape)[::-1], kind)])
        for path, out in ((target, "a"), (self.folder / "out.gguf", "b")):
            if out == "b":
                path = self.convert(path)
            self.check(0, "export", path, self.folder / out, "--dtype", "f32", "--force", "--format", "safetensors", "--quiet")
        a, b = (read_safetensors(self.folder / out)["w"][2] for out in "ab")
        self.assertEqual(a, b)

    def test_the_type_follows_from_the_encoding(self):
        self.expect(2, (4, 128), "--bits", 4, "--group-size", 32, "--symmetric")
        self.expect(8, (4, 128), "--bits", 8, "--group-size", 32, "--symmetric")
        self.expect(6, (4, 64), "--bits", 5, "--group-size", 32, "--symmetric")

    def test_larger_groups_repeat_their_scale(self):
        self.expect(2, (4, 256), "--bits", 4, "--group-size", 128, "--symmetric")
        self.expect(8, (4, 96), "--bits", 8, "--group-size", "channel", "--symmetric")

    def test_what_has_no_type_is_refused_or_requantized(self):
        values = np.random.default_rng(6).standard_normal((4, 96)).astype("<f4")
        values[1, 32:64] = 0
        source, out = self.folder / "w.safetensors", self.folder / "out.gguf"
        write_safetensors(source, {"w": ("F32", [4, 96], values.tobytes()), "v": ("F32", [4, 24], values[:, :24].tobytes())})
        target = self.convert(source, "--bits", 3, "--group-size", 24, "--include", "[vw]")
        done = self.check(3, "export", target, out)
        self.assertIn("3-bit", done.err)
        self.assertIn("--requantize", done.err)
        self.assertFalse(out.exists())
        self.check(0, "export", target, self.folder / "f32.safetensors", "--dtype", "f32", "--quiet")
        decoded = {n: np.frombuffer(d, "<f4").reshape(s) for n, (_, s, d) in read_safetensors(self.folder / "f32.safetensors").items()}
        found = {t[0]: t for t in tensors_of(self.export(target, "--requantize"))}
        self.assertEqual(found["v"][2], 1)
        self.assertEqual(found["v"][3], decoded["v"].astype("<f2").tobytes())
        blocks = decoded["w"].reshape(-1, 32)
        scale = (np.abs(blocks).max(axis=1) / np.float32(127)).astype("<f4")
        inverse = np.divide(np.float32(1), scale, out=np.zeros_like(scale), where=scale != 0)
        scaled = blocks * inverse[:, None]
        codes = np.trunc(scaled + np.copysign(np.float32(0.5), scaled)).astype(np.int8)
        expected = b"".join(s.tobytes() + c.tobytes() for s, c in zip(scale.astype("<f2"), codes))
        self.assertEqual(found["w"][2:], (8, expected))

    def test_vectors_of_every_encoding_are_written_or_refused(self):
        """Nothing crashes, and what is refused leaves nothing."""
        for vector in sorted(VALID.glob("*.ingot")):
            with self.subTest(vector.name):
                target = self.folder / "out.gguf"
                target.unlink(missing_ok=True)
                for options in ((), ("--requantize",)):
                    done = self.run_export(vector, target, *options)
                    self.assertIn(done.returncode, (0, 3), done.err)
                    self.assertEqual(target.exists(), done.returncode == 0)
                    target.unlink(missing_ok=True)
                self.assertEqual(self.leftovers(), [])

    def run_export(self, *arguments):
        from common import run
        return run("export", *arguments, "--quiet")


def permuted(matrix, heads):
    return matrix.reshape(heads, 2, matrix.shape[0] // heads // 2, *matrix.shape[1:]).swapaxes(1, 2).reshape(matrix.shape)


class Llama(ExportCase):
    NAMES = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
             "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm",
             "post_attention_layernorm": "ffn_norm"}

    def expected_name(self, name):
        outer = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight", "lm_head.weight": "output.weight"}
        if name in outer:
            return outer[name]
        _, _, layer, rest = name.split(".", 3)
        return f"blk.{layer}.{self.NAMES[rest.removesuffix('.weight')]}.weight"

    def source_tensors(self):
        data = (MODEL / "model.safetensors").read_bytes()
        size = int.from_bytes(data[:8], "little")
        header = json.loads(data[8:8 + size])
        header.pop("__metadata__", None)
        return {name: np.frombuffer(data[8 + size + e["data_offsets"][0]:8 + size + e["data_offsets"][1]], "<f2").reshape(e["shape"])
                for name, e in header.items()}

    def test_names_rows_of_heads_and_norms(self):
        found = {t[0]: t for t in tensors_of(self.export(self.convert(MODEL, "--preset", "none")))}
        expected = {}
        for name, values in self.source_tensors().items():
            heads = 8 if "q_proj" in name else 2 if "k_proj" in name else 0
            values = permuted(values, heads) if heads else values
            kind = 0 if values.ndim == 1 else 1
            new = self.expected_name(name)
            expected[new] = (new, list(values.shape)[::-1], kind, values.astype("<f4" if kind == 0 else "<f2").tobytes())
        self.assertEqual(found, expected)

    def test_codes_are_kept_when_rows_move(self):
        """Quantizing and then permuting is permuting and then quantizing."""
        target = self.convert(MODEL, "--bits", 8, "--group-size", 32, "--symmetric")
        found = {t[0]: t for t in tensors_of(self.export(target))}
        self.check(0, "export", target, self.folder / "plain.safetensors", "--dtype", "f32", "--quiet")
        plain = read_safetensors(self.folder / "plain.safetensors")
        for name, heads in (("q_proj", 8), ("k_proj", 2), ("v_proj", 0)):
            _, ne, kind, data = found[f"blk.2.attn_{name[0]}.weight"]
            self.assertEqual(kind, 8)
            blocks = np.frombuffer(data, np.dtype([("d", "<f2"), ("q", "i1", 32)]))
            values = (blocks["d"].astype("<f4")[:, None] * blocks["q"].astype("<f4")).reshape(ne[::-1])
            _, shape, raw = plain[f"model.layers.2.self_attn.{name}.weight"]
            wanted = np.frombuffer(raw, "<f4").reshape(shape)
            self.assertTrue(np.array_equal(values, permuted(wanted, heads) if heads else wanted), name)

    def test_metadata_and_tokenizer(self):
        metadata = self.export(self.convert(MODEL, "--preset", "none")).metadata
        tokenizer = json.loads((MODEL / "tokenizer.json").read_text(encoding="utf-8"))
        vocab = sorted(tokenizer["model"]["vocab"], key=tokenizer["model"]["vocab"].get)
        self.assertEqual(next(iter(metadata)), "general.architecture")
        self.assertEqual(metadata.pop("tokenizer.ggml.tokens"), vocab)
        self.assertEqual(metadata.pop("tokenizer.ggml.merges"), [" ".join(pair) for pair in tokenizer["model"]["merges"]])
        self.assertEqual(metadata.pop("tokenizer.ggml.token_type"), [3, 3] + [1] * 1022)
        epsilon = metadata.pop("llama.attention.layer_norm_rms_epsilon")
        self.assertEqual(np.float32(epsilon), np.float32(1e-5))
        self.assertEqual(metadata, {
            "general.architecture": "llama", "general.name": "x", "general.file_type": 1, "general.quantization_version": 2,
            "llama.context_length": 512, "llama.embedding_length": 256, "llama.block_count": 4, "llama.feed_forward_length": 512,
            "llama.attention.head_count": 8, "llama.attention.head_count_kv": 2, "llama.attention.key_length": 32,
            "llama.attention.value_length": 32, "llama.rope.dimension_count": 32, "llama.rope.freq_base": 10000.0, "llama.vocab_size": 1024,
            "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "gpt-2", "tokenizer.ggml.bos_token_id": 0, "tokenizer.ggml.eos_token_id": 1,
            "tokenizer.ggml.add_bos_token": False, "tokenizer.ggml.add_eos_token": False})

    def test_biases_move_with_their_rows_and_rotary_tables_go(self):
        folder = self.checkpoint()
        bias = np.arange(256).astype("<f2")
        layer = "model.layers.0.self_attn."
        write_safetensors(folder / "model.safetensors", {layer + "q_proj.bias": ("F16", [256], bias.tobytes()), layer + "o_proj.bias": ("F16", [256], bias.tobytes()),
                                                         layer + "rotary_emb.inv_freq": ("F32", [16], bytes(64))})
        found = {t[0]: t[1:] for t in tensors_of(self.export(self.convert(folder, "--preset", "none")))}
        self.assertEqual(found, {"blk.0.attn_q.bias": ([256], 0, permuted(bias, 8).astype("<f4").tobytes()),
                                 "blk.0.attn_output.bias": ([256], 0, bias.astype("<f4").tobytes())})

    def test_shards(self):
        options = ("--bits", 8, "--group-size", 32, "--symmetric")
        whole = tensors_of(self.export(self.convert(MODEL, *options)))
        self.assertEqual(tensors_of(self.export(self.convert(MODEL, *options, "--shard-size", 1_000_000))), whole)

    def test_a_tied_head_is_left_out(self):
        names = [t[0] for t in tensors_of(self.export(self.convert(self.checkpoint(tie_word_embeddings=True), "--preset", "none")))]
        self.assertNotIn("output.weight", names)
        self.assertIn("token_embd.weight", names)

    def test_rope_scaling(self):
        rope = {"rope_type": "linear", "factor": 4.0, "rope_theta": 500000.0}
        metadata = self.export(self.convert(self.checkpoint("linear", rope_parameters=rope), "--preset", "none")).metadata
        self.assertEqual([metadata["llama.rope." + k] for k in ("scaling.type", "scaling.factor", "freq_base")], ["linear", 4.0, 500000.0])
        rope = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 128,
                "rope_theta": 10000.0}
        gguf = self.export(self.convert(self.checkpoint("llama3", rope_parameters=rope), "--preset", "none"))
        name, ne, kind, data = tensors_of(gguf)[0]
        self.assertEqual((name, ne, kind), ("rope_freqs.weight", [16], 0))
        waves = 2 * np.pi * 10000.0 ** (np.arange(0, 32, 2) / 32)
        smooth = (128 / waves - 1) / 3
        wanted = np.where(waves < 32, 1, np.where(waves > 128, 8, 1 / ((1 - smooth) / 8 + smooth)))
        self.assertTrue(np.allclose(np.frombuffer(data, "<f4"), wanted, rtol=1e-5))

    def sentence_piece(self, **model):
        tokens = ["<unk>", "<s>", "</s>", "<0x00>", "<0x0A>", "\u2581", "t", "h", "th", "\u2581th"]
        return {"added_tokens": [{"id": i, "content": tokens[i], "special": True} for i in range(3)],
                "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "\u2581"},
                                                                   {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}]},
                "pre_tokenizer": None,
                "model": {"type": "BPE", "unk_token": "<unk>", "byte_fallback": True, "vocab": {t: i for i, t in enumerate(tokens)},
                          "merges": ["t h", "\u2581 th"], **model}}

    def test_a_tokenizer_in_the_manner_of_sentence_piece(self):
        folder = self.checkpoint()
        (folder / "tokenizer.json").write_text(json.dumps(self.sentence_piece()))
        metadata = self.export(self.convert(folder, "--preset", "none")).metadata
        self.assertEqual(metadata["tokenizer.ggml.model"], "llama")
        self.assertEqual(metadata["tokenizer.ggml.token_type"][:11], [2, 3, 3, 6, 6, 1, 1, 1, 1, 1, 5])
        self.assertEqual(metadata["tokenizer.ggml.scores"][:10], [0, 0, 0, 0, 0, -3, -3, -3, 0, -1])
        self.assertEqual(metadata["tokenizer.ggml.tokens"][5:11], ["\u2581", "t", "h", "th", "\u2581th", "[PAD10]"])
        self.assertTrue(metadata["tokenizer.ggml.add_space_prefix"])

    def refuse(self, text, folder):
        target = self.convert(folder, "--preset", "none")
        out = self.folder / "out.gguf"
        self.assertIn(text, self.check(3, "export", target, out, "--quiet").err)
        self.assertFalse(out.exists())
        self.assertEqual(self.leftovers(), [])

    def test_what_is_not_known_is_refused_by_name(self):
        self.refuse("supported: llama, mistral", self.checkpoint("a", model_type="qwen2"))
        self.refuse("'dynamic'", self.checkpoint("b", rope_parameters={"rope_type": "dynamic", "factor": 2.0}))
        self.refuse("num_attention_heads", self.checkpoint("c", num_attention_heads=-1))
        self.refuse("for each of 7 heads", self.checkpoint("d", num_attention_heads=7))
        self.refuse("not a tensor of a llama model", self.checkpoint("e", num_hidden_layers=3))
        self.refuse("size of the vocabulary", self.checkpoint("f", vocab_size=1000))
        folder = self.checkpoint("g")
        (folder / "tokenizer.json").unlink()
        self.refuse("tokenizer.json", folder)
        (folder / "tokenizer.json").write_text(json.dumps(self.sentence_piece(type="Unigram")))
        self.refuse("'Unigram'", folder)
        tokenizer = json.loads((MODEL / "tokenizer.json").read_text(encoding="utf-8"))
        for key, value in (("ignore_merges", True), ("end_of_word_suffix", "</w>")):
            changed = {**tokenizer, "model": {**tokenizer["model"], key: value}}
            (folder / "tokenizer.json").write_text(json.dumps(changed))
            self.refuse(key, folder)
        tokenizer["pre_tokenizer"] = {"type": "Split", "pattern": {"Regex": "\\d"}, "behavior": "Isolated", "invert": False}
        (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
        self.refuse("is not known", folder)
        for junk in ([], {"model": 3}, {"model": {"type": "BPE", "vocab": [], "merges": 3}}, {**tokenizer, "pre_tokenizer": [3]}):
            (folder / "tokenizer.json").write_text(json.dumps(junk))
            self.refuse("tokenizer.json", folder)


class Targets(ExportCase):
    def test_the_name_decides_and_force_replaces(self):
        target = self.folder / "out.gguf"
        model = self.convert(FIXTURES / "gguf" / "q8_0" / "model.gguf")
        self.check(0, "export", model, target)
        self.assertEqual(target.read_bytes()[:4], b"GGUF")
        self.assertIn("--force", self.check(2, "export", model, target).err)
        self.check(0, "export", model, self.folder / "plain.gguf", "--format", "safetensors")
        read_safetensors(self.folder / "plain.gguf")
        self.check(0, "export", model, self.folder / "other", "--format", "gguf")
        self.assertEqual((self.folder / "other").read_bytes(), target.read_bytes())

    def test_a_folder_gets_the_attachments(self):
        self.check(0, "export", self.convert(MODEL, "--preset", "none"), f"{self.folder}/new/", "--format", "gguf")
        self.assertTrue({"model.gguf", "config.json", "tokenizer.json"} <= {p.name for p in (self.folder / "new").iterdir()})

    def test_options_of_other_formats(self):
        self.check(2, "export", VALID / "smallest.ingot", self.folder / "x.gguf", "--dtype", "f16")
        self.check(2, "export", VALID / "smallest.ingot", self.folder / "x", "--requantize")

    def test_include(self):
        model = self.convert(FIXTURES / "gguf" / "q8_0" / "model.gguf")
        self.assertEqual([t[0] for t in tensors_of(self.export(model, "--include", "output_norm"))], ["output_norm.weight"])
