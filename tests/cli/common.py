"""What the tests of the command line share: running it, the vectors, small files of its formats."""

import json
import os
import pathlib
import re
import struct
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
VALID = ROOT / "tests" / "vectors" / "valid"
INVALID = ROOT / "tests" / "vectors" / "invalid"
SAFETENSORS = ROOT / "tests" / "fixtures" / "safetensors"
PYTORCH = ROOT / "tests" / "fixtures" / "pytorch"
MODEL = ROOT / "models" / "austen-llama"
COMMANDS = ("convert", "inspect", "validate", "export", "diff", "edit", "presets", "bench")

INGOT = None  # the binary; set by test_cli.py


def run(*arguments, env=None, **options):
    """Runs the command; nothing it does may be a crash."""
    done = subprocess.run([INGOT, *map(str, arguments)], capture_output=True, env={**os.environ, **(env or {})}, timeout=300, **options)
    assert done.returncode in (0, 1, 2, 3, 4, 130), f"{arguments}: exit code {done.returncode}: {done.stderr.decode(errors='replace')}"
    done.out, done.err = done.stdout.decode(), done.stderr.decode()
    return done


def document(done):
    """The only JSON document on standard output; NaN and Infinity are no JSON."""
    def refuse(text):
        raise ValueError(f"{text} is not JSON")
    return json.loads(done.out, parse_constant=refuse)


def has_gpu():
    """Whether `ingot` can use one; else it says what is missing."""
    done = run("bench", "--device", "cuda", "--quick", "--quiet", "--json", "--only", "yardsticks")
    assert done.returncode in (0, 3) and (done.returncode == 0 or "CUDA" in done.err), done.err
    return done.returncode == 0


def vectors():
    found = sorted(VALID.glob("*.ingot"))
    assert found, f"no vectors in {VALID}"
    return found


def expected_of(vector):
    return json.loads(vector.with_suffix("").with_suffix(".expected.json").read_text(encoding="utf-8"))


def read_safetensors(path):
    """{name: (dtype, shape, bytes)}, after checking what every reader relies on."""
    data = pathlib.Path(path).read_bytes()
    size = struct.unpack_from("<Q", data)[0]
    assert size % 8 == 0
    header = json.loads(data[8:8 + size])
    assert header.pop("__metadata__")["format"] in ("pt", "mlx")
    body, end, tensors = data[8 + size:], 0, {}
    for name, entry in header.items():
        begin, stop = entry["data_offsets"]
        assert begin == end, "tensors follow each other"
        end = stop
        tensors[name] = (entry["dtype"], entry["shape"], body[begin:stop])
    assert end == len(body)
    return tensors


def write_safetensors(path, tensors):
    """tensors: {name: (dtype, shape, bytes)}"""
    header, body = {}, b""
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    pathlib.Path(path).write_bytes(struct.pack("<Q", len(text)) + text + body)


def floats(*values):
    return struct.pack(f"<{len(values)}f", *values)


def names_regex_without(names):
    return "^(?!(" + "|".join(re.escape(name) for name in names) + ")$)" if names else ""


class Case(unittest.TestCase):
    """A test with a folder of its own."""

    maxDiff = 2000

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def check(self, code, *arguments, **options):
        done = run(*arguments, **options)
        self.assertEqual(done.returncode, code, f"{' '.join(map(str, arguments))}\n{done.out}{done.err}")
        if code not in (0, 1):
            self.assertTrue(done.err.startswith("ingot: "), done.err)
        return done

    def leftovers(self):
        return [p.name for p in self.folder.rglob("*.partial")]


def hash_text(data):
    """XXH3-128 of bytes, by the spec's independent reader."""
    sys.path.insert(0, str(ROOT / "spec" / "reader"))
    import xxh3
    return xxh3.hash_text(xxh3.xxh3_128(data))
