"""SIGKILL at random moments: the old or the new content is there, whole. INGOT_KILLS says how many times (1000 for the full test)."""

import os
import sys

import robust
from common import MODEL, run

KILLS = int(os.environ.get("INGOT_KILLS", "30" if robust.QUICK else "100"))
AFTER_THE_END = 1.1  # of the time that a command takes: some have ended when the kill comes


class Kills(robust.Case):
    def setUp(self):
        super().setUp()
        self.before = self.after = self.ended = self.partial = 0
        self.rng = self.random()

    def tearDown(self):
        print(f"{self.id()}: of {self.before + self.after} kills {self.before} left the old content, {self.after} the new one "
              f"({self.ended} came after the end); {self.partial} left a partial file", file=sys.stderr)

    def count(self, ended, is_new, what):
        self.before += not is_new
        self.after += is_new
        self.ended += ended
        self.assertTrue(is_new or not ended, f"{what}: exit code 0, but the old content is there")

    def convert_again_and_again(self, target, kills, options, presets):
        def convert(preset):
            return ("convert", MODEL, target, "--force", "--preset", preset, *options)
        digests = {}
        for preset in presets:
            self.check(0, *convert(preset), "--quiet")
            digests[robust.digest(target)] = preset
        self.assertEqual(len(digests), len(presets))
        seconds = max(robust.seconds_of(*convert(preset), "--quiet", runs=3) for preset in presets) * AFTER_THE_END
        old = robust.digest(target)
        for number in range(kills):
            preset = next(p for d, p in digests.items() if d != old)
            ended = robust.kill_within(seconds, self.rng, *convert(preset))
            self.assert_valid(target)
            found = robust.digest(target)
            self.assertIn(found, digests, f"kill {number}: neither the old nor the new content")
            self.count(ended, found != old, f"kill {number}")
            self.partial += any(self.folder.glob(".*.partial"))
            old = found
        self.check(0, *convert(presets[0]), "--quiet")  # takes over what the last kill left
        return convert

    def test_convert(self):
        target = self.folder / "model.ingot"
        self.convert_again_and_again(target, KILLS, (), ("int4-g128", "int8"))
        self.assertEqual([p.name for p in self.folder.iterdir()], ["model.ingot"])

    def test_convert_shards(self):
        """The manifest and the shards that it names belong together, always."""
        target = self.folder / "model.ingot"
        self.convert_again_and_again(target, max(10, KILLS // 10), ("--shard-size", "700K"), ("int4-g128", "int8"))
        self.assertEqual(list(self.folder.glob(".*.partial")), [])

    def test_edit(self):
        target = robust.small_model.convert(self.folder)
        digest, attachments = robust.digest(target), run("inspect", target, "--json").out.count("config.json")
        def edit(number):
            return ("edit", target, "--set", f"step={number}")
        self.check(0, *edit("-1"), "--quiet")
        seconds = robust.seconds_of(*edit("-1"), "--quiet", runs=20) * AFTER_THE_END
        for number in range(KILLS):
            old = robust.metadata(target)
            ended = robust.kill_within(seconds, self.rng, *edit(number))
            self.assert_valid(target)
            found = robust.metadata(target)
            self.assertIn(found["step"], (old["step"], str(number)), f"kill {number}")
            self.assertEqual({**found, "step": ""}, {**old, "step": ""})
            self.assertEqual(robust.digest(target), digest)
            self.assertEqual(run("inspect", target, "--json").out.count("config.json"), attachments)
            self.count(ended, found["step"] == str(number), f"kill {number}")
            if number % 50 == 49:
                self.check(0, "edit", target, "--compact", "--quiet")
        self.check(0, *edit("end"), "--quiet")
        self.assertEqual(robust.metadata(target)["step"], "end")

    def test_compact(self):
        target = robust.small_model.convert(self.folder)
        digest = robust.digest(target)
        self.check(0, "edit", target, "--set", "note=0", "--quiet")
        dead = target.read_bytes()
        seconds = robust.seconds_of("edit", target, "--compact", "--quiet", runs=3) * AFTER_THE_END
        for number in range(max(10, KILLS // 10)):
            target.write_bytes(dead)
            ended = robust.kill_within(seconds, self.rng, "edit", target, "--compact")
            self.assert_valid(target)
            self.assertEqual((robust.digest(target), robust.metadata(target)["note"]), (digest, "0"))
            self.count(ended, target.stat().st_size < len(dead), f"kill {number}")
            self.partial += any(self.folder.glob(".*.partial"))
