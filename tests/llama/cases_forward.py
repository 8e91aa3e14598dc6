"""The forward pass against numpy in double precision."""

import json
import shutil

import numpy as np

import reference
import tiny_model
from common import MODEL, ROOT
from llama_case import LlamaCase, distance, spread

# A product of 64 columns in f32 errs by some 2^-21 of its terms (ingot.h, "products"), twenty of them after each other with norms in
# between, and scores of some 40 in a softmax, by more: the largest error of a logit, by their spread. Measured: 5e-6 to 3e-5.
F32 = 1e-4
# 2^-14 and 2^-7.9 of the largest activation in each product: the mean of squares, by the spread. Activations rounded so in a plain
# implementation give 4e-4 and 0.06.
INT16 = 2e-3
INT8 = 0.15
ENCODINGS = {"none": ("--preset", "none"), "int8": ("--preset", "int8"), "int4": ("--bits", "4", "--group-size", "32"),
             "nf4": ("--preset", "nf4"), "outliers": ("--bits", "3", "--group-size", "16", "--outliers", "0.02")}
LENGTH = 50


class Forward(LlamaCase):
    def compare(self, model, config, tokens, tolerance, *options, measure=distance):
        rows, result = self.logits(model, "--tokens", self.save(tokens), "--context", len(tokens), *options)
        expected = self.expected(model, config, tokens)
        self.assertEqual(rows.shape, expected.shape)
        self.assertLess(measure(rows, expected), tolerance)
        loss = reference.losses(expected, tokens).mean()
        self.assertAlmostEqual(result["loss"], loss, delta=tolerance * loss)
        self.assertAlmostEqual(result["perplexity"], np.exp(result["loss"]), delta=1e-9 * result["perplexity"])

    def test_every_kind_of_model(self):
        for name, config in tiny_model.CONFIGS.items():
            with self.subTest(name):
                model, _ = self.model(name)
                self.compare(model, config, tiny_model.tokens(config, LENGTH), F32)

    def test_every_encoding(self):
        for name, options in ENCODINGS.items():
            for kind in ("plain", "tied"):
                with self.subTest(f"{kind}, {name}"):
                    model, config = self.model(kind, *options)
                    self.compare(model, config, tiny_model.tokens(config, LENGTH), F32)

    def test_a_quantized_embedding_is_head_and_table(self):
        model, config = self.model("tied", "--bits", "4", "--group-size", "16", "--include", "embed_tokens|proj")
        self.compare(model, config, tiny_model.tokens(config, LENGTH), F32)

    def test_every_precision(self):
        for name, options in ENCODINGS.items():
            model, config = self.model("plain", *options)
            tokens = tiny_model.tokens(config, LENGTH)
            for precision, tolerance in (("int16", INT16), ("int8", INT8), ("llm-int8", INT8)):
                with self.subTest(f"{name}, {precision}"):
                    self.compare(model, config, tokens, tolerance, "--precision", precision, measure=spread)

    def test_mistakes_would_be_seen(self):
        """What the tolerances are worth: wrong pairs in the rotary embedding, and heads shared in the wrong order, err by far more."""
        model, config = self.model("plain")
        tokens = tiny_model.tokens(config, LENGTH)
        right = self.expected(model, config, tokens)
        for mistake in ("neighbours", "interleaved_heads"):
            wrong = self.expected(model, config, tokens, **{mistake: True})
            self.assertGreater(spread(wrong, right), 3 * INT8)
        for change in ({"rope_theta": 11000.0}, {"rms_norm_eps": 1e-3}):
            self.assertGreater(distance(self.expected(model, {**config, **change}, tokens), right), 10 * F32)

    def test_batches_and_threads_agree(self):
        model, config = self.model("wide")
        tokens = self.save(tiny_model.tokens(config, 130))
        first, _ = self.logits(model, "--tokens", tokens, "--context", 130, "--batch", 64)
        for batch, threads in ((1, 1), (7, 2), (64, 3), (1000, 1)):
            rows, result = self.logits(model, "--tokens", tokens, "--context", 130, "--batch", batch, "--threads", threads)
            self.assertLess(distance(rows, first), F32)
            self.assertEqual(result["predicted_tokens"], 129)

    def test_every_way_to_open(self):
        model, config = self.model("plain", "--bits", "4", "--group-size", "32", "--compress")
        arguments = (model, "--tokens", self.save(tiny_model.tokens(config, 40)))
        rows = self.logits(*arguments)[0]
        for verify in ("lazy", "open", "off"):
            self.assertTrue(np.array_equal(self.logits(*arguments, "--verify", verify)[0], rows))

    def test_shards_and_split_columns(self):
        for options in (("--shard-size", "40K"), ("--split-columns", "2"), ("--bits", "4", "--group-size", "16", "--split-columns", "3")):
            model, config = self.model("plain", *options)
            self.compare(model, config, tiny_model.tokens(config, LENGTH), F32)


class Imported(LlamaCase):
    def test_checkpoints_that_others_quantized(self):
        for path in ("gptq/whole_model_w4_g32_actorder", "bitsandbytes/whole_model_nf4_double"):
            with self.subTest(path):
                source, model = ROOT / "tests" / "fixtures" / path, self.folder / "x.ingot"
                self.check(0, "convert", source, model, "--force", "--quiet")
                config = json.loads((source / "config.json").read_text(encoding="utf-8"))
                tokens = tiny_model.tokens(config, 60)
                rows, _ = self.logits(model, "--tokens", self.save(tokens))
                # Their values are rounded to f16 and bf16; products may skip that (ingot.h): 2^-11 and 2^-8 of each weight.
                self.assertLess(distance(rows, self.expected(model, config, tokens)), 0.05)

    def through_gguf(self, name, **changes):
        """The small real model with a changed configuration, and the same after it was a GGUF file."""
        source = self.folder / name
        shutil.copytree(MODEL, source)
        config = {**json.loads((source / "config.json").read_text(encoding="utf-8")), **changes}
        (source / "config.json").write_text(json.dumps(config))
        paths = [self.folder / f"{name}{end}" for end in (".ingot", ".gguf", "-back.ingot")]
        self.check(0, "convert", source, paths[0], "--quiet", "--bits", "8", "--group-size", "32", "--symmetric")
        self.check(0, "export", paths[0], paths[1], "--quiet")
        self.check(0, "convert", paths[1], paths[2], "--quiet")
        return paths[0], paths[2], config

    def test_names_and_row_order_of_gguf(self):
        llama3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "rope_theta": 10000.0,
                  "original_max_position_embeddings": 64}
        yarn = {"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 128, "rope_theta": 10000.0}
        for name, changes in (("plain", {}), ("tied", {"tie_word_embeddings": True}), ("llama3", {"rope_parameters": llama3}),
                              ("linear", {"rope_parameters": {"rope_type": "linear", "factor": 2.0}}), ("yarn", {"rope_parameters": yarn})):
            with self.subTest(name):
                straight, back, config = self.through_gguf(name, **changes)
                tokens = self.save(tiny_model.tokens(config, 96))
                if name == "tied":  # the checkpoint has a head, which GGUF leaves out
                    self.assertEqual(self.evaluate(back, "--tokens", tokens)["predicted_tokens"], 95)
                    continue
                rows, result = self.logits(straight, "--tokens", tokens)
                others, other = self.logits(back, "--tokens", tokens)
                # Norms, factors and the base pass through f32; the codes are the same.
                self.assertLess(distance(others, rows), 10 * F32)
                self.assertAlmostEqual(other["loss"], result["loss"], delta=1e-4)
