#!/usr/bin/env python3
"""The same input and recipe give the same bytes: for any number of threads and, given several binaries, for any compiler.

    test_determinism.py INGOT [INGOT ...]

Converts the bundled checkpoint with every preset, with 1, 2 and 3 threads, once plain and once compressed, by each binary, and compares
the files byte by byte. INGOT_QUICK=1 leaves out 3 threads. Exit status 1 names the first difference.
"""

import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL = ROOT / "models" / "austen-llama"
QUICK = os.environ.get("INGOT_QUICK", "0") not in ("", "0")
THREADS = (1, 2) if QUICK else (1, 2, 3)


def run(*arguments):
    done = subprocess.run([str(a) for a in arguments], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, arguments))}: exit code {done.returncode}\n{done.stderr}")
    return done.stdout


def presets(ingot):
    names = [preset["name"] for preset in json.loads(run(ingot, "presets", "--json"))["presets"]]
    assert len(names) >= 6, f"only {len(names)} presets: {names}"
    return names


def convert(ingot, folder, preset, threads, options):
    out = pathlib.Path(folder) / "out.ingot"
    run(ingot, "convert", MODEL, out, "--preset", preset, "--threads", threads, "--quiet", "--force", *options)
    return hashlib.sha256(out.read_bytes()).hexdigest()


def main(binaries):
    compared = 0
    with tempfile.TemporaryDirectory() as folder:
        for preset in presets(binaries[0]):
            for options in ((), ("--compress", "--sha256")):
                first = None
                for ingot in binaries:
                    for threads in THREADS:
                        digest = convert(ingot, folder, preset, threads, options)
                        first = first or digest
                        if digest != first:
                            sys.exit(f"preset {preset} {' '.join(options)}: {ingot} with {threads} threads wrote other bytes than "
                                     f"{binaries[0]} with {THREADS[0]}")
                        compared += 1
    print(f"{compared} conversions by {len(binaries)} binaries with {THREADS} threads: the same bytes for each preset")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1:])
