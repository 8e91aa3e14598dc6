#!/usr/bin/env python3
"""Every single bit flipped, and every length cut to, of the vector that has every feature and of a file that was converted just now.

    test_flip_bits.py INGOT FLIP_BITS        INGOT_QUICK=1: every 7th bit and length

The damage is done in process by FLIP_BITS (flip_bits.cc), since there are hundreds of thousands of files to look at.
"""

import pathlib
import subprocess
import sys
import tempfile

import common
import small_model


def main(ingot, flip_bits):
    common.INGOT = ingot
    with tempfile.TemporaryDirectory() as folder:
        fresh = small_model.convert(pathlib.Path(folder))
        return subprocess.run([flip_bits, str(common.VALID / "everything.ingot"), str(fresh)]).returncode


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
