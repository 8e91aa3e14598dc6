#!/usr/bin/env python3
"""Every rule of the texts is kept: a vector that breaks it, a check in the C++ sources, a check in the reader. And nothing cites a
rule that the texts do not have."""

import json
import pathlib
import re
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
TEXTS = ("FORMAT.md", "ENCODINGS.md", "SECURITY.md", "CHANGES.md")
RULE = re.compile(r"R-[A-Z]+-[0-9]+")


def defined():
    """rule -> text, of the rules that a text states: bold, at the beginning of a paragraph or anywhere else."""
    rules = {}
    for text in TEXTS[:2]:
        for rule in re.findall(r"\*\*(R-[A-Z0-9]+-[0-9]+)\*\*", (ROOT / "spec" / text).read_text(encoding="utf-8")):
            assert rule not in rules, f"{rule} is defined in {rules[rule]} and in {text}"
            rules[rule] = text
    return rules


def code(path):
    """A source file without its comments: a rule that is only talked about is not checked."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        text = re.sub(r'(?m)^\s*#.*$|\s#\s.*$', "", text)
        return re.sub(r'(?s)""".*?"""', "", text)
    return re.sub(r"(?m)//.*$", "", re.sub(r"(?s)/\*.*?\*/", "", text))


def cited(paths):
    return {rule for path in paths for rule in re.findall(r'"(R-[A-Z0-9]+-[0-9]+)"', code(path))}


class Rules(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.rules = defined()
        cls.vectors = json.loads((ROOT / "tests" / "vectors" / "invalid" / "index.json").read_text(encoding="utf-8"))
        cls.cpp = cited(sorted(ROOT.glob("format/*.cc")) + sorted(ROOT.glob("format/*.h")) + sorted(ROOT.glob("runtime/*.cc")))
        cls.reader = cited(sorted(ROOT.glob("spec/reader/*.py")))

    def check(self, what, have):
        self.assertEqual(sorted(set(self.rules) - have), [], f"rules without {what}")
        self.assertEqual(sorted(have - set(self.rules)), [], f"{what} for rules that no text has")

    def test_there_are_rules(self):
        self.assertGreater(len(self.rules), 50)

    def test_vectors(self):
        self.check("an invalid vector", {entry["rule"] for entry in self.vectors.values()})

    def test_vectors_are_there(self):
        folder = ROOT / "tests" / "vectors" / "invalid"
        for name, entry in self.vectors.items():
            self.assertTrue((folder / name).is_file(), name)
            self.assertTrue(name.startswith(entry["rule"] + "-"), name)
        files = {p.name for p in folder.glob("*.ingot") if not p.name.startswith("shard-of-")}
        self.assertEqual(files, set(self.vectors))

    def test_validator(self):
        self.check("a check in format/ or runtime/", self.cpp)

    def test_reader(self):
        self.check("a check in spec/reader/", self.reader)

    def test_texts(self):
        """The texts, the vectors' notes and the sources cite no rule that does not exist. (R-R and R-W are what readers and writers do; no file breaks
        them. They stand in the texts without being bold.)"""
        behaviour = {rule for text in TEXTS for rule in re.findall(r"R-[RW]-[0-9]+", (ROOT / "spec" / text).read_text(encoding="utf-8"))}
        paths = [ROOT / "spec" / text for text in TEXTS] + [ROOT / "tests" / "vectors" / "README.md", ROOT / "README.md"]
        paths += [p for folder in ("format", "kernels", "runtime", "convert", "tools", "spec/reader") for p in sorted((ROOT / folder).rglob("*"))
                  if p.suffix in (".cc", ".h", ".py")]
        for path in paths:
            for rule in RULE.findall(path.read_text(encoding="utf-8")):
                self.assertTrue(rule in self.rules or rule in behaviour, f"{path} cites {rule}")


if __name__ == "__main__":
    unittest.main()
