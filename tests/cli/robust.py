"""What the tests of damage, kills, full disks and interrupts share."""

import hashlib
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import common
import small_model

QUICK = os.environ.get("INGOT_QUICK", "0") not in ("", "0")


def snapshot(folder):
    """What is in a folder and below: {path: hash of the contents}; hidden files too."""
    folder = pathlib.Path(folder)
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() if p.is_file() else "folder"
            for p in sorted(folder.rglob("*"))}


def digest(path):
    return common.document(common.run("inspect", path, "--json"))["content_digest"]


def metadata(path):
    return common.document(common.run("inspect", path, "--json"))["metadata"]


def seconds_of(*arguments, runs=5):
    """How long a command takes, the median of some runs."""
    times = []
    for _ in range(runs):
        start = time.monotonic()
        done = common.run(*arguments)
        assert done.returncode == 0, done.err
        times.append(time.monotonic() - start)
    return sorted(times)[len(times) // 2]


def start(*arguments, **options):
    return subprocess.Popen([common.INGOT, *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


def kill_within(seconds, rng, *arguments):
    """Starts a command and kills it at a random moment of the time that it takes. True if it had ended by then."""
    process = start(*arguments, "--quiet")
    time.sleep(rng.uniform(0, seconds))
    process.send_signal(signal.SIGKILL)
    error = process.communicate()[1].decode()
    assert process.returncode in (0, -signal.SIGKILL), f"{arguments}: exit code {process.returncode}: {error}"
    return process.returncode == 0


class Case(common.Case):
    def assert_one_message(self, error, *names):
        """One line "ingot: ..." that says what it is about."""
        self.assertRegex(error, r"\Aingot: [^\n]+\n\Z")
        for name in names:
            self.assertIn(str(name), error)

    def refuse(self, code, arguments, *names, **options):
        """The command fails with a code and one message; everything in the test's folder is as it was."""
        before = snapshot(self.folder)
        done = common.run(*arguments, **options)
        self.assertEqual(done.returncode, code, f"{' '.join(map(str, arguments))}\n{done.out}{done.err}")
        self.assert_one_message(done.err, *names)
        self.assertEqual(done.out, "")
        self.assertEqual(snapshot(self.folder), before, f"{' '.join(map(str, arguments))} changed what was there")
        return done

    def assert_valid(self, path):
        done = common.run("validate", path)
        self.assertEqual(done.returncode, 0, f"torn: {done.out}{done.err}")

    def random(self):
        seed = int(os.environ.get("INGOT_SEED", time.time_ns() % 1000000))
        print(f"{self.id()}: INGOT_SEED={seed}", file=sys.stderr)
        return random.Random(seed)


__all__ = ["QUICK", "Case", "digest", "kill_within", "metadata", "seconds_of", "small_model", "snapshot", "start"]
