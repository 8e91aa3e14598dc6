"""The reader on the vectors of tests/vectors: valid ones decode to what is expected, invalid ones break one rule."""

import json
import math
import os
import re
import sys
import unittest

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "spec", "reader"))

from ingot_reader import IngotError, examine, open_file                     # noqa: E402
from xxh3 import hash_text, xxh3_128                                        # noqa: E402

VECTORS = os.path.join(HERE, "..", "vectors")


def files(folder):
    path = os.path.join(VECTORS, folder)
    names = sorted(os.listdir(path)) if os.path.isdir(path) else []
    return [(name, os.path.join(path, name)) for name in names if name.endswith(".ingot")]


def same_bytes(expected, actual):
    """Bytes are given in hexadecimal digits, long ones by their size and hash."""
    if isinstance(expected, str):
        return expected == actual.hex()
    return expected == {"bytes": len(actual), "hash": hash_text(xxh3_128(actual))}


def same_floats(expected, actual):
    """Equal bits, where two NaN count as equal."""
    if not isinstance(expected, str):
        return same_bytes(expected, actual.astype("<f4").tobytes())
    wanted = np.frombuffer(bytes.fromhex(expected), "<f4")
    actual = actual.astype("<f4").reshape(-1)
    nan = np.isnan(wanted)
    return len(wanted) == len(actual) and (nan == np.isnan(actual)).all() and bool(
        (wanted.view("<u4") == actual.view("<u4"))[~nan].all())


def plain(value):
    """A metadata value as the expectations write it: floats that are not finite as text."""
    if isinstance(value, list):
        return [plain(v) for v in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


@unittest.skipUnless(files("valid"), "there are no vectors")
class Valid(unittest.TestCase):
    def test_no_violation(self):
        for name, path in files("valid"):
            with self.subTest(name):
                self.assertEqual([str(v) for v in examine(path).violations], [])

    def test_contents(self):
        for name, path in files("valid"):
            with open(path[:-len(".ingot")] + ".expected.json", encoding="utf-8") as file:
                expected = json.load(file)
            with self.subTest(name), open_file(path) as model:
                self.check(model, expected)

    def check(self, model, expected):
        self.assertEqual(model.content_digest(), expected["content_digest"])
        if not model.shards:                        # the text does not say what the names digest of a manifest is
            self.assertEqual(model.names_digest(), expected["names_digest"])
        self.assertEqual(sorted(model.tensors), sorted(expected["tensors"]))
        for name, tensor in expected["tensors"].items():
            with self.subTest(tensor=name):
                self.check_tensor(model, name, tensor)
        self.assertEqual({key: plain(value) for key, value in model.metadata.items()},
                         {key: entry["value"] for key, entry in expected["metadata"].items()})
        self.assertEqual(sorted(model.attachments), sorted(expected["attachments"]))
        for name, data in expected["attachments"].items():
            self.assertTrue(same_bytes(data, model.attachments[name]), name)
        self.assertEqual({s.name: {"size": s.size, "hash": s.hash} for s in model.sources}, expected["sources"])
        self.assertEqual({s.name: {"names_digest": s.names_digest, "content_digest": s.content_digest}
                          for s in model.shards}, expected.get("shards", {}))

    def check_tensor(self, model, name, expected):
        info = model.tensors[name]
        self.assertEqual((info.dtype, list(info.shape)), (expected["dtype"], expected["shape"]))
        if expected.get("refused"):
            self.assertRaises(IngotError, model.decode, name)
        if math.prod(d for d in info.shape if d) >= 1 << 60:
            self.assertRaises(IngotError, model.raw, name)      # empty, with dimensions that no array can have
            return
        if "raw" in expected:
            self.assertTrue(same_bytes(expected["raw"], model.raw(name).tobytes()))
        if "f32" in expected:
            values = model.decode(name)
            self.assertEqual((values.dtype, values.shape), (np.float32, info.shape))
            self.assertTrue(same_floats(expected["f32"], values))


@unittest.skipUnless(files("invalid"), "there are no vectors")
class Invalid(unittest.TestCase):
    def test_exactly_one_rule(self):
        for name, path in files("invalid"):
            rule = re.match(r"R-[A-Z]+-\d+", name)
            if rule is None:
                continue                            # a shard of a manifest
            with self.subTest(name):
                violations = examine(path).violations
                self.assertEqual({v.rule for v in violations}, {rule.group()}, [str(v) for v in violations])
                both_slots = name.endswith("-both.ingot")
                self.assertEqual(len(violations), 2 if both_slots else 1, [str(v) for v in violations])

    def test_reading_never_fails_otherwise(self):
        for name, path in files("invalid"):
            with self.subTest(name):
                try:
                    with open_file(path) as model:
                        for tensor in model.tensors:
                            model.decode(tensor)
                except IngotError as error:
                    self.assertTrue(str(error))


if __name__ == "__main__":
    unittest.main()
