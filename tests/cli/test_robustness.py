#!/usr/bin/env python3
"""Damage, kills, full disks, interrupts and bad input: test_robustness.py INGOT [MODULE | MODULE.CLASS.TEST ...]

The modules are robust_*.py beside this file. INGOT_KILLS=1000 kills so often (default: 100), INGOT_QUICK=1 takes samples,
INGOT_SEED repeats a run.
"""

import pathlib
import sys
import unittest

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import common  # noqa: E402

if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    common.INGOT = str(pathlib.Path(sys.argv[1]).resolve())
    names = sys.argv[2:] or [path.stem for path in sorted(HERE.glob("robust_*.py"))]
    suite = unittest.defaultTestLoader.loadTestsFromNames(names)
    result = unittest.TextTestRunner(verbosity=1).run(suite)
    sys.exit(not result.wasSuccessful() or result.testsRun == 0)
