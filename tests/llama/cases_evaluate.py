"""Perplexity by its definition, continuations, what is printed."""

import re
import signal
import subprocess

import numpy as np

import llama_case
import reference
import tiny_model
from common import MODEL, document
from llama_case import LlamaCase


class Evaluate(LlamaCase):
    def setUp(self):
        super().setUp()
        self.file, self.config = self.model("plain")
        self.text = tiny_model.tokens(self.config, 70)
        self.tokens = self.save(self.text)
        self.weights = self.decoded(self.file)

    def losses(self, begin, end):
        part = self.text[begin:end]
        return list(reference.losses(reference.logits(self.weights, self.config, part), part))

    def expect(self, losses, *options, tokens=None):
        result = self.evaluate(self.file, "--tokens", tokens or self.tokens, *options)
        self.assertEqual(result["predicted_tokens"], len(losses))
        self.assertAlmostEqual(result["loss"], np.mean(losses), delta=1e-5)
        self.assertAlmostEqual(result["perplexity"], np.exp(np.mean(losses)), delta=1e-5 * result["perplexity"])
        return result

    def test_windows(self):
        windows = [self.losses(begin, begin + 20) for begin in (0, 20, 40)]
        result = self.expect(sum(windows, []), "--context", 20, "--batch", 6)
        self.assertEqual((result["windows"], result["left_out_tokens"], result["tokens"]), (3, 10, 60))
        for got, window in zip(result["window_losses"], windows, strict=True):
            self.assertAlmostEqual(got, np.mean(window), delta=1e-5)
        self.expect(sum(windows, []) + self.losses(60, 70), "--context", 20, "--tail")
        self.expect(windows[0], "--context", 20, "--limit", 39)
        self.expect(self.losses(0, 13), "--context", 20, "--limit", 13)
        self.expect(self.losses(0, 70))

    def test_a_real_model(self):
        """By the transformers library (tests/peers/llama_perplexity), from the same weights in F32: 34.325497 and 34.686175."""
        for preset, expected in (("none", 34.325497), ("int4-g128", 34.686175)):
            self.check(0, "convert", MODEL, self.folder / "real.ingot", "--preset", preset, "--quiet", "--force")
            result = self.evaluate(self.folder / "real.ingot", "--tokens", MODEL / "tokens_heldout.npy", "--context", 256, "--limit", 5120)
            self.assertEqual(result["predicted_tokens"], 20 * 255)
            self.assertAlmostEqual(result["perplexity"], expected, delta=2e-5)

    def test_stride(self):
        """Every token is predicted once, by the first window that has it."""
        expected = self.losses(0, 20) + self.losses(8, 28)[-8:] + self.losses(16, 36)[-8:]
        for batch in (3, 64):
            result = self.expect(expected, "--context", 20, "--stride", 8, "--limit", 40, "--batch", batch)
            self.assertEqual((result["windows"], result["left_out_tokens"]), (3, 4))
        self.expect(expected + self.losses(24, 40)[-4:], "--context", 20, "--stride", 8, "--limit", 40, "--tail")

    def test_rows_of_an_array(self):
        rows = self.save(self.text.reshape(7, 10), "rows.npy")
        expected = sum((self.losses(begin, begin + 10) for begin in range(0, 70, 10)), [])
        self.expect(expected, tokens=rows)
        self.expect(expected, "--context", 10, tokens=rows)
        self.expect(expected[:18], "--limit", 29, tokens=rows)
        self.llama(2, self.file, "--tokens", rows, "--context", 20)
        self.llama(3, self.file, "--tokens", rows, "--limit", 9)

    def test_dtypes_and_versions_of_arrays(self):
        expected = self.losses(0, 70)
        for dtype in ("<i4", "<i8", "<u2", "<u4"):
            self.expect(expected, tokens=self.save(self.text.astype(dtype), "x.npy"))
        for version in ((1, 0), (2, 0), (3, 0)):
            with open(self.folder / "y.npy", "wb") as file:
                np.lib.format.write_array(file, self.text, version=version)
            self.expect(expected, tokens=self.folder / "y.npy")

    def test_what_is_printed(self):
        out = self.llama(0, self.file, "--tokens", self.tokens, "--context", 20).out
        self.assertRegex(out, r"^perplexity  \d+\.\d{6}   57 predictions in 3 windows of 20 tokens\n"
                              r"left out    10 tokens after the last window\nspeed       \d+\.\d tokens/s ")
        done = self.llama(0, self.file, "--tokens", self.tokens, "--context", 300)
        self.assertEqual(done.err, "")
        longer = self.save(tiny_model.tokens(self.config, 300), "long.npy")
        self.assertIn("made for 256 positions", self.llama(0, self.file, "--tokens", longer, "--context", 300).err)
        self.assertEqual(self.llama(0, self.file, "--tokens", longer, "--context", 300, "--quiet").err, "")
        help_text = self.llama(0, "--help").out
        for word in ("-ln p(token)", "--stride", "Exit codes", "llm-int8", "INGOT_THREADS"):
            self.assertIn(word, help_text)
        self.assertRegex(self.llama(0, "--version").out, r"^ingot-llama \d+\.\d+\.\d+\n$")

    def test_the_likeliest_continuation(self):
        prompt, count = self.text[:11], 9
        tokens = list(prompt)
        for _ in range(count):
            tokens.append(int(reference.logits(self.weights, self.config, np.array(tokens))[-1].argmax()))
        arguments = (self.file, "--tokens", self.tokens, "--limit", 11, "--generate", count)
        for batch in (1, 4, 64):
            result = document(self.llama(0, *arguments, "--json", "--batch", batch))
            self.assertEqual(result["tokens"], tokens[11:])
            self.assertEqual((result["prompt_tokens"], result["generated_tokens"]), (11, 9))
        out = self.llama(0, *arguments).out
        self.assertTrue(out.startswith(" ".join(map(str, tokens[11:])) + "\nprompt "), out)
        self.assertTrue(re.search(r"generation  \d+\.\d tokens/s   8 tokens", out))
        rows = self.save(self.text[:22].reshape(2, 11), "rows.npy")
        result = document(self.llama(0, self.file, "--tokens", rows, "--generate", count, "--json"))
        self.assertEqual(result["tokens"], tokens[11:])
        self.assertEqual(self.llama(0, self.file, "--tokens", self.tokens, "--generate", 1).out.count("\n"), 2)

    def test_interrupted(self):
        long = self.save(tiny_model.tokens(self.config, 2_000_000), "long.npy")
        out = self.folder / "logits.npy"
        process = subprocess.Popen([llama_case.BINARY, self.file, "--tokens", long, "--logits", out, "--context", "64"],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            process.wait(1)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
        printed, complaint = process.communicate()
        self.assertEqual(process.returncode, 130)
        self.assertEqual((printed, complaint), (b"", b"ingot-llama: interrupted\n"))
        self.assertFalse(out.exists() or self.leftovers())

    def test_lost_output_is_a_failure(self):
        with open("/dev/full", "wb") as full:
            done = subprocess.run([llama_case.BINARY, self.file, "--tokens", self.tokens], stdout=full, stderr=subprocess.PIPE)
        self.assertEqual(done.returncode, 4)
        self.llama(4, self.file, "--tokens", self.tokens, "--logits", "/dev/full/x.npy")
        self.llama(4, self.file, "--tokens", self.tokens, "--logits", self.folder / "no folder" / "x.npy")
