#!/usr/bin/env python3
"""The `ingot` command from outside: test_cli.py INGOT [unittest's options]. The cases are in cases_*.py beside this file."""

import pathlib
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import common  # noqa: E402

if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    common.INGOT = str(pathlib.Path(sys.argv.pop(1)).resolve())
    loader = unittest.defaultTestLoader
    modules = [path.stem for path in sorted(pathlib.Path(__file__).resolve().parent.glob("cases_*.py"))]
    if len(sys.argv) > 1:
        unittest.main(module=None, argv=[sys.argv[0], *sys.argv[1:]])
    suite = unittest.TestSuite(loader.loadTestsFromName(name) for name in modules)
    result = unittest.TextTestRunner(verbosity=1).run(suite)
    sys.exit(not result.wasSuccessful() or result.testsRun == 0)
