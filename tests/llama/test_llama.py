#!/usr/bin/env python3
"""ingot-llama from outside: test_llama.py INGOT INGOT_LLAMA [unittest's options]. The cases are in cases_*.py beside this file."""

import pathlib
import sys
import unittest

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "cli")]
import common  # noqa: E402
import llama_case  # noqa: E402

if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    common.INGOT = str(pathlib.Path(sys.argv.pop(1)).resolve())
    llama_case.BINARY = str(pathlib.Path(sys.argv.pop(1)).resolve())
    loader = unittest.defaultTestLoader
    modules = [path.stem for path in sorted(HERE.glob("cases_*.py"))]
    if len(sys.argv) > 1:
        unittest.main(module=None, argv=[sys.argv[0], *sys.argv[1:]])
    suite = unittest.TestSuite(loader.loadTestsFromName(name) for name in modules)
    result = unittest.TextTestRunner(verbosity=1).run(suite)
    sys.exit(not result.wasSuccessful() or result.testsRun == 0)
