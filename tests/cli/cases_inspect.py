"""ingot inspect."""

import math

from common import INVALID, VALID, Case, document, expected_of, run, vectors


def clean(text):
    """Whether text is safe to print: no control characters but the ends of lines, nothing that turns text around."""
    return not any((ord(c) < 0x20 and c != "\n") or 0x7F <= ord(c) < 0xA0 or 0x202A <= ord(c) <= 0x202E or 0x2066 <= ord(c) <= 0x2069
                   for c in text)


class Json(Case):
    def test_says_what_is_expected_of_each_vector(self):
        for vector in vectors():
            with self.subTest(vector=vector.name):
                done = self.check(0, "inspect", vector, "--json")
                self.assertEqual(done.err, "")
                model, expected = document(done), expected_of(vector)
                self.assertEqual(model["content_digest"], expected["content_digest"])
                self.assertEqual([t["name"] for t in model["tensors"]], list(expected["tensors"]))
                for tensor in model["tensors"]:
                    e = expected["tensors"][tensor["name"]]
                    self.assertEqual((tensor["dtype"], tensor["shape"]), (e["dtype"], e["shape"]))
                    planes = [p for part in tensor["parts"] for p in all_planes(part["encoding"])]
                    elements = math.prod(tensor["shape"])
                    self.assertEqual(tensor["stored_bytes"], sum(p["stored_bytes"] for p in planes))
                    self.assertEqual(tensor["bytes"], sum(p["bytes"] for p in planes))
                    self.assertEqual(tensor["bits_per_weight"], 8 * tensor["bytes"] / elements if elements else 0)
                self.assertEqual(model["metadata"], {k: m["value"] for k, m in expected["metadata"].items()})
                self.assertEqual(sorted(a["name"] for a in model["attachments"]), sorted(expected["attachments"]))
                self.assertEqual({s["name"]: s["hash"] for s in model["sources"]},
                                 {name: s["hash"] for name, s in expected["sources"].items()})
                self.assertEqual({s["name"]: s["content_digest"] for s in model["shards"]},
                                 {name: s["content_digest"] for name, s in expected.get("shards", {}).items()})
                self.assertRegex(model["format_version"], r"^\d+\.\d+$")

    def test_an_alias_names_its_original_and_counts_once(self):
        model = document(self.check(0, "inspect", VALID / "aliases.ingot", "--json"))
        aliases = [t for t in model["tensors"] if "alias_of" in t]
        originals = {t["name"]: t for t in model["tensors"] if "alias_of" not in t}
        self.assertTrue(aliases)
        self.assertEqual(model["alias_count"], len(aliases))
        self.assertEqual(model["parameters"], sum(t["elements"] for t in originals.values()))
        for alias in aliases:
            self.assertEqual(alias["shape"], originals[alias["alias_of"]]["shape"])

    def test_a_manifest_lists_the_tensors_of_its_shards(self):
        model = document(self.check(0, "inspect", VALID / "manifest.ingot", "--json"))
        self.assertEqual({t["shard"] for t in model["tensors"]}, {s["name"] for s in model["shards"]})
        self.assertEqual(model["file_size"], sum((VALID / n).stat().st_size for n in
                                                 ["manifest.ingot", *(s["name"] for s in model["shards"])]))


def all_planes(encoding):
    operands = (encoding.get(name) or {} for name in ("scale", "zero_point", "offset"))
    nested = [o["encoding"] for o in operands if o.get("form") == "nested"] + encoding.get("children", [])
    return encoding["planes"] + [p for e in nested for p in e["planes"]]


class Pages(Case):
    def test_every_vector_has_a_page_fit_to_print(self):
        for vector in vectors():
            with self.subTest(vector=vector.name):
                for options in ((), ("--bytes",)):
                    done = self.check(0, "inspect", vector, *options)
                    self.assertTrue(clean(done.out), vector)
                page = self.check(0, "inspect", vector).out
                self.assertIn(expected_of(vector)["content_digest"], page)

    def test_every_tensor_has_a_page(self):
        for vector in vectors():
            tensors = expected_of(vector)["tensors"]
            if len(tensors) > 200:
                continue
            for name, tensor in tensors.items():
                if "\0" in name:
                    continue  # not to be had on a command line
                with self.subTest(vector=vector.name, tensor=name[:60]):
                    done = self.check(0, "inspect", vector, "--tensor", name)
                    self.assertTrue(clean(done.out))
                    self.assertEqual("figures" in done.out, not tensor.get("refused", False))
                    found = document(self.check(0, "inspect", vector, "--tensor", name, "--json"))["tensors"]
                    self.assertEqual([t["name"] for t in found], [name])

    def test_figures_count_every_element(self):
        for vector, name, bits in ((VALID / "bits.ingot", "bits 3", 3), (VALID / "bits.ingot", "bits 8", 8)):
            tensor = document(self.check(0, "inspect", vector, "--tensor", name, "--json"))["tensors"][0]
            codes = tensor["statistics"]["codes"][0]
            self.assertEqual(len(codes["histogram"]), 1 << bits)
            self.assertEqual(sum(codes["histogram"]), tensor["elements"])
            self.assertEqual(tensor["statistics"]["values"]["count"], tensor["elements"])

    def test_an_unknown_name_gets_suggestions(self):
        done = self.check(2, "inspect", VALID / "bits.ingot", "--tensor", "bit 3")
        self.assertIn("'bits 3'", done.err)

    def test_the_dump_has_every_field(self):
        text = self.check(0, "inspect", VALID / "smallest.ingot", "--bytes").out
        page = (VALID.parents[2] / "spec" / "examples" / "smallest.md").read_text(encoding="utf-8")
        rows = [line.split("  ", 1) for line in page.splitlines() if len(line) > 6 and line[6:8] == "  "]
        dumped = {line[2:8]: line[10:57].strip() for line in text.splitlines() if len(line) > 8 and line[8:10] == "  "}
        compared = 0
        for offset, rest in rows:
            if 0x2000 <= int(offset, 16) < 0x2040:
                continue  # the plane, which is not header or index
            self.assertEqual(dumped.get(offset), rest[:47].strip(), offset)
            compared += 1
        self.assertGreater(compared, 50)


class Damage(Case):
    def test_bad_files_are_refused_with_their_rule_and_still_dumped(self):
        refused = 0
        for path in sorted(INVALID.glob("R-*.ingot")):
            with self.subTest(file=path.name):
                rule = "-".join(path.name.split("-")[:3])
                for options in ((), ("--bytes",)):
                    done = self.check_any(("inspect", path, *options))
                    if done.returncode != 0:
                        refused += 1
                        if options != ("--bytes",):
                            self.assertEqual(done.out, "")
                        self.assertIn(rule.removesuffix(".ingot"), done.err)
                    self.assertTrue(clean(done.out + done.err))
        self.assertGreater(refused, 100)

    def check_any(self, arguments):
        done = run(*arguments)
        self.assertIn(done.returncode, (0, 3, 4), done.err)
        self.assertEqual(done.returncode == 0, done.err == "")
        return done

    def test_damage_in_a_plane_is_found_when_it_is_read(self):
        model = document(self.check(0, "inspect", VALID / "smallest.ingot", "--json"))
        plane = model["tensors"][0]["parts"][0]["encoding"]["planes"][0]
        data = bytearray((VALID / "smallest.ingot").read_bytes())
        data[plane["offset"]] ^= 1
        bad = self.folder / "bad.ingot"
        bad.write_bytes(data)
        self.check(0, "inspect", bad)
        done = self.check(3, "inspect", bad, "--tensor", "w")
        self.assertIn("R-CHK-1", done.err)
        self.assertEqual(done.out, "")
        self.check(3, "export", bad, self.folder / "x")
        self.check(3, "diff", bad, VALID / "smallest.ingot")
        self.assertEqual([p.name for p in self.folder.iterdir()], ["bad.ingot"])
