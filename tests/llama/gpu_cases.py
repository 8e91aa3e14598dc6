"""The engine on a GPU: against numpy in double precision and against itself on the CPU. The same for a real GPU and an emulated one."""

import json
import os

import numpy as np

import reference
import tiny_model
from common import MODEL, document
from llama_case import LlamaCase, distance, spread

EMULATED = False  # set by test_gpu.py
# Activations, keys and values are rounded to f16 (2^-11) or bf16 (2^-8): random errors, in the mean of squares by the spread of the logits;
# the largest is some times that. Measured: 1.1e-3 to 2.8e-3 and 9e-3 to 1.4e-2, the largest at most 12 times as large.
BOUND = {"f16": 5e-3, "bf16": 3e-2}
LARGEST = 16
INT8 = 0.15  # as on the CPU
LENGTH = 50


class Gpu(LlamaCase):
    def both(self, model, tokens, *options, cpu=()):
        """The logits and results of both engines."""
        arguments = (model, "--tokens", self.save(tokens), "--context", len(tokens))
        rows, result = self.logits(*arguments, "--device", "cuda", *options)
        expected, other = self.logits(*arguments, *cpu)
        self.assertEqual(rows.shape, expected.shape)
        self.assertNotIn(result["device"], ("", "cpu"))
        self.assertGreater(result["device_memory_bytes"], 0)
        self.assertEqual(other["device"], "cpu")
        return rows, expected, result, other

    def compare(self, model, config, tokens, *options, bound=BOUND["f16"], cpu=()):
        rows, expected, result, other = self.both(model, tokens, *options, cpu=cpu)
        self.assertLess(spread(rows, expected), bound)
        self.assertLess(distance(rows, expected), LARGEST * bound)
        self.assertAlmostEqual(result["loss"], other["loss"], delta=bound * other["loss"])
        exact = self.expected(model, config, tokens)
        self.assertLess(spread(rows, exact), bound)
        # The losses are those of the logits.
        losses = reference.losses(rows, tokens)
        self.assertAlmostEqual(result["loss"], losses.mean(), delta=1e-5 * losses.mean())

    def test_every_kind_of_model(self):
        for name, config in tiny_model.CONFIGS.items():
            with self.subTest(name):
                model, _ = self.model(name)
                self.compare(model, config, tiny_model.tokens(config, LENGTH))

    def test_every_encoding(self):
        for name, options in {"int8": ("--preset", "int8"), "int4": ("--bits", "4", "--group-size", "32"), "nf4": ("--preset", "nf4"),
                              "outliers": ("--bits", "3", "--group-size", "16", "--outliers", "0.02"),
                              "embedding": ("--bits", "4", "--group-size", "16", "--include", "embed_tokens|proj")}.items():
            with self.subTest(name):
                model, config = self.model("tied", *options)
                self.compare(model, config, tiny_model.tokens(config, 20))

    def test_activations_in_bf16(self):
        model, config = self.model("wide", "--bits", "4", "--group-size", "16")
        self.compare(model, config, tiny_model.tokens(config, LENGTH), "--activations", "bf16", bound=BOUND["bf16"])

    def test_integers(self):
        model, config = self.model("plain", "--preset", "int8")
        tokens = tiny_model.tokens(config, 20)
        for precision in ("int8", "llm-int8"):
            with self.subTest(precision):
                rows, expected, *_ = self.both(model, tokens, "--precision", precision)
                self.assertLess(spread(rows, expected), INT8)

    def test_batches(self):
        model, config = self.model("wide", "--bits", "4", "--group-size", "16")
        tokens = tiny_model.tokens(config, 70)
        rows = {batch: self.both(model, tokens, "--batch", batch)[0] for batch in (1, 7, 64, 1000)}
        for batch in rows:
            self.assertLess(spread(rows[batch], rows[1000]), BOUND["f16"])

    def test_windows_of_a_text(self):
        model, config = self.model("window")
        tokens = self.save(tiny_model.tokens(config, 64))
        arguments = (model, "--tokens", tokens, "--context", 20, "--stride", 11, "--tail")
        results = [self.evaluate(*arguments, "--device", device) for device in ("cuda", "cpu")]
        np.testing.assert_allclose(results[0]["window_losses"], results[1]["window_losses"], rtol=BOUND["f16"])
        self.assertEqual(results[0]["predicted_tokens"], results[1]["predicted_tokens"])

    def test_names_of_gguf(self):
        """Pairs next to each other in the rotary embedding."""
        model, gguf, back = (self.folder / f"x{end}" for end in (".ingot", ".gguf", "-back.ingot"))
        self.check(0, "convert", MODEL, model, "--quiet", "--bits", "8", "--group-size", "32", "--symmetric")
        self.check(0, "export", model, gguf, "--quiet")
        self.check(0, "convert", gguf, back, "--quiet")
        config = json.loads((MODEL / "config.json").read_text(encoding="utf-8"))
        rows, expected, *_ = self.both(back, tiny_model.tokens(config, 6))
        self.assertLess(spread(rows, expected), BOUND["f16"])

    def test_the_likeliest_continuation(self):
        model, config = self.model("plain", "--bits", "4", "--group-size", "32")
        tokens = self.save(tiny_model.tokens(config, 11))
        arguments = (model, "--tokens", tokens, "--generate", 8)
        expected = document(self.llama(0, *arguments, "--json"))["tokens"]
        for batch in (1, 4, 64):
            result = document(self.llama(0, *arguments, "--json", "--device", "cuda:0", "--batch", batch))
            self.assertEqual(result["tokens"], expected)
            self.assertGreater(result["generation_tokens_per_second"], 0)
        out = self.llama(0, *arguments, "--device", "cuda").out
        self.assertTrue(out.startswith(" ".join(map(str, expected)) + "\nprompt "), out)
        self.assertRegex(out, r"\ndevice      \S.*, at most \d+\.\d MiB of its memory, activations in f16\n$")

    def test_damage(self):
        file, config = self.model("plain")
        name = "model.layers.1.mlp.up_proj.weight"
        data = bytearray(file.read_bytes())
        at = data.find(tiny_model.weights(config)[name].tobytes())
        self.assertGreater(at, 0)
        data[at + 100] ^= 1
        file.write_bytes(data)
        arguments = (file, "--tokens", self.save(tiny_model.tokens(config, 10)), "--device", "cuda")
        done = self.llama(3, *arguments)
        self.assertIn("R-CHK-1", done.err)
        self.assertIn(name, done.err)
        self.llama(0, *arguments, "--verify", "off")

    def test_what_cannot_be_done(self):
        model, config = self.model("plain")
        arguments = (model, "--tokens", self.save(tiny_model.tokens(config, 10)))
        self.assertIn("there is no device 99", self.llama(3, *arguments, "--device", "cuda:99").err)
        for options in (("--device", "cuda:x"), ("--device", "cuda:"), ("--device", "gpu"), ("--device", "cuda", "--activations", "f32"),
                        ("--device", "cuda", "--precision", "int16")):
            self.llama(2, *arguments, *options)
        wide = {**tiny_model.CONFIGS["plain"], "head_dim": 258}
        model, _ = self.model("plain", config=wide, target="wide.ingot")
        done = self.llama(3, model, "--tokens", self.save(tiny_model.tokens(wide, 10)), "--device", "cuda")
        self.assertIn("heads of 258 values; on a GPU at most 256 are supported", done.err)


class Failing(LlamaCase):
    """A GPU that has too little memory, or fails in the middle: an error that names it, and nothing leaks (the emulated one looks)."""

    def setUp(self):
        super().setUp()
        if not EMULATED:
            self.skipTest("a real GPU does not fail when told to")
        self.file, config = self.model("plain")
        self.arguments = (self.file, "--tokens", self.save(tiny_model.tokens(config, 12)), "--device", "cuda")

    def test_memory(self):
        needed = self.evaluate(*self.arguments)["device_memory_bytes"]
        for share in (0.01, 0.3, 0.7, 0.99):
            done = self.llama(4, *self.arguments, env={"EMULATED_MEMORY": str(int(share * needed))})
            self.assertIn("emulated", done.err)
            self.assertIn("bytes", done.err)
            self.assertIn("the weights take" if share < 0.3 else "", done.err)

    def test_device(self):
        # 12 rows of the embedding, 13 kernels and products a layer, the last norm, the head, the losses.
        for at in (1, 12, 13, 20, 39, 40, 41):
            done = self.llama(4, *self.arguments, env={"EMULATED_FAIL_AT": str(at)})
            self.assertIn("emulated", done.err)
            self.assertIn("failed", done.err)


class RealModel(LlamaCase):
    def test_perplexity(self):
        """Of the bundled model in 4 bits, the CPU's within a thousandth."""
        model = self.folder / "austen.ingot"
        self.check(0, "convert", MODEL, model, "--preset", "int4-g128", "--quiet")
        limit = 64 if EMULATED else 4096
        if EMULATED and os.environ.get("INGOT_QUICK") == "1":
            limit = 24
        arguments = (model, "--tokens", MODEL / "tokens_heldout.npy", "--context", min(limit, 256), "--limit", limit)
        gpu, cpu = (self.evaluate(*arguments, "--device", device) for device in ("cuda", "cpu"))
        self.assertAlmostEqual(gpu["loss"], cpu["loss"], delta=1e-3 * cpu["loss"])
        self.assertEqual(json.dumps(gpu["predicted_tokens"]), json.dumps(cpu["predicted_tokens"]))
