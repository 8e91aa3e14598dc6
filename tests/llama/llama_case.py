"""What the tests of ingot-llama share."""

import os
import subprocess

import numpy as np

import reference
import tiny_model
from common import Case, document, read_safetensors

BINARY = None  # set by test_llama.py


def run(*arguments, env=None, **options):
    """Runs the engine; nothing it does may be a crash."""
    done = subprocess.run([BINARY, *map(str, arguments)], capture_output=True, env={**os.environ, **(env or {})}, timeout=300, **options)
    assert done.returncode in (0, 2, 3, 4, 130), f"{arguments}: exit code {done.returncode}: {done.stderr.decode(errors='replace')}"
    done.out, done.err = done.stdout.decode(), done.stderr.decode()
    return done


class LlamaCase(Case):
    def model(self, name="plain", *options, config=None, tensors=None, target=None):
        """A tiny model as an .ingot file, and its configuration."""
        config = config or tiny_model.CONFIGS[name]
        target = self.folder / (target or f"{name}.ingot")
        folder = self.folder / f"source-{len(list(self.folder.iterdir()))}"
        tiny_model.write(folder, config, tensors)
        self.check(0, "convert", folder, target, "--force", "--quiet", *(options or ("--preset", "none")))
        return target, config

    def save(self, array, name="tokens.npy"):
        np.save(self.folder / name, array)
        return self.folder / name

    def llama(self, code, *arguments, **options):
        done = run(*arguments, **options)
        self.assertEqual(done.returncode, code, f"{' '.join(map(str, arguments))}\n{done.out}{done.err}")
        if code != 0:
            self.assertTrue(done.err.startswith("ingot-llama: "), done.err)
            self.assertEqual(done.out, "")
        return done

    def evaluate(self, *arguments):
        return document(self.llama(0, *arguments, "--json", "--quiet"))

    def logits(self, *arguments):
        out = self.folder / "logits.npy"
        result = self.evaluate(*arguments, "--logits", out)
        rows = np.load(out)
        self.assertEqual(rows.dtype, np.dtype("<f4"))
        return rows.astype(np.float64), result

    def decoded(self, model):
        """The weights of a file as f32, by the exporter."""
        out = self.folder / "decoded.safetensors"
        self.check(0, "export", model, out, "--format", "safetensors", "--dtype", "f32", "--force", "--quiet")
        return {n: np.frombuffer(d, "<f4").reshape(s) for n, (_, s, d) in read_safetensors(out).items()}

    def expected(self, model, config, tokens, **mistakes):
        return reference.logits(self.decoded(model), config, tokens, **mistakes)


def distance(got, expected):
    """The largest error of a logit, as a share of the spread of the logits."""
    return np.abs(got - expected).max() / expected.std()


def spread(got, expected):
    """The error of logits in the mean of squares, as a share of their spread: for errors that are random, as roundings are."""
    return (got - expected).std() / expected.std()
