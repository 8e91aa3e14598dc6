"""ingot validate, on all conformance vectors."""

import json

from common import INVALID, VALID, Case, document, run, vectors


class Validate(Case):
    def test_valid_vectors(self):
        done = self.check(0, "validate", "--json", *vectors())
        result = document(done)
        self.assertEqual(done.err, "")
        self.assertTrue(result["valid"])
        self.assertEqual([f["file"] for f in result["files"]], [str(v) for v in vectors()])
        for file in result["files"]:
            self.assertEqual((file["valid"], file["violations"]), (True, []))
        self.assertIn(f"{len(vectors())} valid", self.check(0, "validate", *vectors()).out)
        self.assertEqual(self.check(0, "validate", "--quiet", *vectors()).out, "")

    def test_invalid_vectors_break_exactly_their_rule(self):
        index = json.loads((INVALID / "index.json").read_text(encoding="utf-8"))
        self.assertGreater(len(index), 100)
        for name, entry in index.items():
            with self.subTest(file=name):
                self.assertTrue(name.startswith(entry["rule"] + "-") or name == entry["rule"] + ".ingot", name)
                file = document(self.check(1, "validate", "--json", INVALID / name))["files"][0]
                self.assertIs(file["valid"], False)
                self.assertEqual({v["rule"] for v in file["violations"]}, {entry["rule"]}, file["violations"])
                for violation in file["violations"]:
                    self.assertTrue(violation["message"])
        rules = {entry["rule"] for entry in index.values()}
        on_disk = {p.name for p in INVALID.glob("R-*.ingot")}
        self.assertLessEqual(set(index), on_disk)
        self.assertGreater(len(rules), 60)

    def test_text_names_rule_place_and_count(self):
        text = self.check(1, "validate", INVALID / "R-CHK-1-raw.ingot").out
        self.assertIn("R-CHK-1", text)
        self.assertIn("not valid: 1 violation", text)

    def test_structure_only_does_not_read_planes(self):
        self.check(0, "validate", "--structure-only", INVALID / "R-CHK-1-raw.ingot")
        self.check(1, "validate", "--structure-only", next(INVALID.glob("R-HDR-2-*.ingot")))

    def test_the_worst_of_several_files_counts(self):
        good, bad, nowhere = VALID / "smallest.ingot", INVALID / "R-CHK-1-raw.ingot", self.folder / "nowhere"
        self.check(1, "validate", good, bad, good)
        self.check(4, "validate", bad, nowhere, good)
        result = document(run("validate", "--json", good, bad, nowhere))
        self.assertEqual([f["valid"] for f in result["files"]], [True, False, None])
        self.assertFalse(result["valid"])

    def test_what_is_no_ingot_file_is_not_valid(self):
        for data in (b"", b"\x89INGOT\r\n", b"x" * 10000):
            path = self.folder / "x"
            path.write_bytes(data)
            self.check(1, "validate", path)

    def test_bytes_after_the_end_are_a_warning(self):
        path = self.folder / "tail.ingot"
        path.write_bytes((VALID / "smallest.ingot").read_bytes() + b"tail")
        file = document(self.check(0, "validate", "--json", path))["files"][0]
        self.assertEqual(len(file["warnings"]), 1)
        self.assertIn("4 bytes", file["warnings"][0])
