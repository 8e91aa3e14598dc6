"""Bad input: an error that names the thing, and the exit code."""

import json

import numpy as np

import tiny_model
from common import VALID
from llama_case import LlamaCase, run


class BadModel(LlamaCase):
    def setUp(self):
        super().setUp()
        self.config = tiny_model.CONFIGS["plain"]
        self.tokens = self.save(tiny_model.tokens(self.config, 30))

    def refuse(self, text, *, config=None, tensors=None, code=3):
        file, _ = self.model("plain", config=config, tensors=tensors)
        done = self.llama(code, file, "--tokens", self.tokens)
        self.assertIn(text, done.err)
        self.assertIn(str(file), done.err)

    def test_tensors(self):
        whole = tiny_model.weights(self.config)
        for name in ("lm_head.weight", "model.norm.weight", "model.embed_tokens.weight", "model.layers.1.mlp.up_proj.weight",
                     "model.layers.0.self_attn.k_proj.weight"):
            self.refuse(f"no tensor '{name}'", tensors={n: t for n, t in whole.items() if n != name})
            self.refuse(f"'{name}' has the shape", tensors={**whole, name: whole[name][:-1]})
        name = "model.layers.1.mlp.down_proj.weight"
        self.refuse("has the shape [96, 64], by config.json it must be [64, 96]", tensors={**whole, name: whole[name].T.copy()})
        self.refuse("has the shape [1, 64, 96]", tensors={**whole, name: whole[name][None]})
        self.refuse("q_proj.bias", config={**self.config, "attention_bias": True}, tensors=whole)
        self.refuse("gate_proj.bias", config={**self.config, "mlp_bias": True}, tensors=whole)
        self.refuse("no tensor 'model.layers.2.", config={**self.config, "num_hidden_layers": 4_000_000_000}, tensors=whole)

    def test_configurations(self):
        whole = tiny_model.weights(self.config)
        for key in ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"):
            missing = {k: v for k, v in self.config.items() if k != key}
            self.refuse(f"{key} is missing", config=missing, tensors=whole)
            for value in (0, -1, 1.5, "64", 2**32, [1], True):
                self.refuse(f"{key} is {json.dumps(value)}", config={**self.config, key: value}, tensors=whole)
        llama3 = {k: v for k, v in tiny_model.LLAMA3.items() if k != "low_freq_factor"}
        for change, text in (({"model_type": "qwen2"}, "model_type is 'qwen2'; supported: llama, mistral"), ({"model_type": 3}, "model_type"),
                             ({"hidden_act": "gelu"}, "hidden_act is 'gelu'"), ({"num_key_value_heads": 3}, "4 heads cannot share 3"),
                             ({"head_dim": 15}, "15 values"), ({"rms_norm_eps": "x"}, "rms_norm_eps"), ({"tie_word_embeddings": 1}, "tie_word_embeddings"),
                             ({"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}, "'dynamic'; supported: default, linear, llama3, yarn"),
                             ({"rope_scaling": {"type": "longrope"}}, "'longrope'"), ({"rope_scaling": {"type": "linear"}}, "factor is missing"),
                             ({"rope_scaling": llama3}, "low_freq_factor is missing"), ({"rope_theta": -1}, "rope_theta"),
                             ({"partial_rotary_factor": 0.5}, "partial_rotary_factor"), ({"head_dim": None, "num_attention_heads": 7}, "hidden_size 64")):
            self.refuse(text, config={**self.config, **change}, tensors=whole)

    def with_config(self, text):
        (self.folder / "config.json").write_bytes(text)
        file, _ = self.model("plain")
        self.check(0, "edit", file, "--detach", "config.json")
        if text:
            self.check(0, "edit", file, "--attach", f"config.json={self.folder / 'config.json'}")
        return self.llama(3, file, "--tokens", self.tokens).err

    def test_what_is_no_configuration(self):
        whole = json.dumps(self.config).encode()
        self.assertIn("neither config.json", self.with_config(b""))
        self.assertIn("not an object", self.with_config(b"[]"))
        self.assertIn("'hidden_size' stands twice", self.with_config(whole[:-1] + b', "hidden_size": 32}'))
        self.assertIn("deeper than", self.with_config(whole[:-1] + b', "x": ' + b"[" * 100 + b"]" * 100 + b"}"))
        for text in (b"{", whole[:-1], b"{\"a\": nan}", b"\xff\xfe{}", whole + b"x"):
            self.assertIn("config.json", self.with_config(text))

    def test_damage(self):
        file, _ = self.model("plain")
        name = "model.layers.1.mlp.up_proj.weight"
        data = bytearray(file.read_bytes())
        values = tiny_model.weights(self.config)[name].tobytes()
        at = data.find(values)
        self.assertGreater(at, 0)
        data[at + 100] ^= 1
        file.write_bytes(data)
        for verify in ("lazy", "open"):
            done = self.llama(3, file, "--tokens", self.tokens, "--verify", verify)
            self.assertIn("R-CHK-1", done.err)
            self.assertIn(name, done.err)
        self.llama(0, file, "--tokens", self.tokens, "--verify", "off")
        file.write_bytes(data[:-1])
        self.assertIn("R-", self.llama(3, file, "--tokens", self.tokens).err)

    def test_files_that_are_no_model(self):
        self.llama(4, self.folder / "nothing.ingot", "--tokens", self.tokens)
        self.llama(3, self.tokens, "--tokens", self.tokens)
        for vector in sorted(VALID.glob("*.ingot")):
            self.llama(3, vector, "--tokens", self.tokens)

    def test_text_from_files_is_escaped(self):
        done = self.llama(3, *self.model("plain", config={**self.config, "model_type": "\x1b[31m"})[:1], "--tokens", self.tokens)
        self.assertNotIn("\x1b", done.err)
        self.assertNotIn("\x1b", self.llama(4, "\x1b[31m", "--tokens", self.tokens).err)


class BadTokens(LlamaCase):
    def setUp(self):
        super().setUp()
        self.file, self.config = self.model("plain")

    def refuse(self, text, array, code=3):
        path = self.folder / "x.npy"
        if isinstance(array, bytes):
            path.write_bytes(array)
        else:
            np.save(path, array)
        done = self.llama(code, self.file, "--tokens", path)
        self.assertIn(text, done.err)
        self.assertIn(str(path), done.err)

    def test_ids(self):
        good = tiny_model.tokens(self.config, 30).astype("<i8")
        for id in (131, -1, 2**31, 2**40, -2**63):
            bad = good.copy()
            bad[17] = id
            self.refuse(f"token {id} at place 17 is out of range: the vocabulary has 131", bad)
        self.refuse("at least 2 tokens", good[:1])
        self.refuse("at least 2 tokens", good[:0])
        self.refuse("at least 2 tokens", good.reshape(30, 1))
        self.llama(3, self.file, "--tokens", self.save(good[:0]), "--generate", 3)

    def test_arrays(self):
        for array, text in ((np.zeros(9, "<f4"), "dtype '<f4'; supported: <i4, <i8, <u2, <u4"), (np.zeros(9, ">i4"), "'>i4'"), (np.zeros(9, "<u8"), "'<u8'"),
                            (np.zeros(9, [("a", "<i4")]), "header"), (np.zeros((3, 3, 3), "<i4"), "3 dimensions"), (np.zeros((), "<i4"), "0 dimensions"),
                            (np.asfortranarray(np.zeros((3, 4), "<i4")), "Fortran")):
            self.refuse(text, array)

    def image(self, header, data=b"", version=1):
        return b"\x93NUMPY" + bytes([version, 0]) + len(header).to_bytes(2 if version == 1 else 4, "little") + header + data

    def test_headers(self):
        good = b"{'descr': '<i4', 'fortran_order': False, 'shape': (2,), }\n"
        for data in (b"", b"\x93NUMP", b"\x93NUMPY", b"\x93NUMPY\x01\x00\xff\xff", self.image(good, b"", 1)[:30], self.image(good, b"", 4),
                     self.image(good, bytes(7)), self.image(good, bytes(9)), self.image(good.replace(b"(2,)", b"(2305843009213693954,)"), bytes(8)),
                     self.image(good.replace(b"(2,)", b"(4294967296, 4294967296)"), bytes(8)), self.image(b" " * 70000, b"", 2),
                     self.image(good.replace(b"(2,)", b"(99999999999999999999,)")), self.image(good.replace(b"(2,)", b"(-2,)"), bytes(8)),
                     self.image(good.replace(b"'shape'", b"'shade'"), bytes(8)), self.image(good.replace(b"}", b""), bytes(8)),
                     self.image(good.replace(b"}", b"} x"), bytes(8)), self.image(good.replace(b"False", b"Falsch"), bytes(8)),
                     self.image(good.replace(b"'<i4'", b"'<i4"), bytes(8)), self.image(good.replace(b"False,", b""), bytes(8)),
                     self.image(b"{}", bytes(8)), self.image(good[:1] + b"'descr': '<i8', " + good[1:], bytes(16)), b"PK\x03\x04"):
            with self.subTest(data=data[:100]):
                self.refuse("x.npy", data)
        rng = np.random.default_rng(3)
        whole = self.image(good, np.array([1, 2], "<i4").tobytes())
        for _ in range(60):
            data = bytearray(whole)
            data[rng.integers(len(data))] = rng.integers(256)
            (self.folder / "y.npy").write_bytes(data)
            self.assertIn(run(self.file, "--tokens", self.folder / "y.npy").returncode, (0, 3))

    def test_files(self):
        self.llama(4, self.file, "--tokens", self.folder / "nothing.npy")
        self.llama(4, self.file, "--tokens", self.folder)
        whole = self.save(tiny_model.tokens(self.config, 30)).read_bytes()
        for size in (0, 5, 9, 50, 127, 128, len(whole) - 1):
            self.refuse("x.npy", whole[:size])


class Usage(LlamaCase):
    def test_wrong_command_lines(self):
        file, config = self.model("plain")
        tokens = self.save(tiny_model.tokens(config, 30))
        for arguments in ((), (file,), ("--tokens", tokens), (file, "--tokens", tokens, "--bogus"), (file, "--tokens", tokens, "--context", 1),
                          (file, "--tokens", tokens, "--context", "x"), (file, "--tokens", tokens, "--context", 2**40), (file, "--tokens", tokens, "--batch", 0),
                          (file, "--tokens", tokens, "--precision", "f64"), (file, "--tokens", tokens, "--verify", "maybe"),
                          (file, "--tokens", tokens, "--threads", 0), (file, "--tokens", tokens, "--context", 8, "--stride", 9),
                          (file, "--tokens", tokens, "--stride", 2048), (file, "--tokens", tokens, "--generate", 3, "--context", 9),
                          (file, "--tokens", tokens, "--generate", 0), (file, "--tokens", tokens, "--limit", 0), (file, tokens, "--tokens", tokens)):
            self.llama(2, *arguments)
        self.llama(2, file, "--tokens", tokens, env={"INGOT_THREADS": "many"})
        self.llama(2, file, "--tokens", tokens, env={"INGOT_TARGET": "abacus"})
        for threads in ("1", "3"):
            self.llama(0, file, "--tokens", tokens, env={"INGOT_THREADS": threads})
