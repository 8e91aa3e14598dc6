#!/usr/bin/env python3
"""ingot-llama --device cuda from outside: test_gpu.py INGOT INGOT_LLAMA [--emulated]. Where there is no GPU it says why and passes; an
emulated one has to be there."""

import pathlib
import sys
import unittest

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "cli")]
import common  # noqa: E402
import gpu_cases  # noqa: E402
import llama_case  # noqa: E402
import tiny_model  # noqa: E402


class Probe(llama_case.LlamaCase):
    def runTest(self):
        model, config = self.model("plain")
        self.done = llama_case.run(model, "--tokens", self.save(tiny_model.tokens(config, 4)), "--device", "cuda")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    common.INGOT = str(pathlib.Path(sys.argv.pop(1)).resolve())
    llama_case.BINARY = str(pathlib.Path(sys.argv.pop(1)).resolve())
    gpu_cases.EMULATED = "--emulated" in sys.argv
    probe = Probe()
    if not unittest.TextTestRunner(verbosity=0).run(probe).wasSuccessful():
        sys.exit(1)
    if probe.done.returncode != 0:
        print(probe.done.err.strip())
        sys.exit(1 if gpu_cases.EMULATED or not ("CUDA" in probe.done.err and probe.done.returncode == 3) else 0)
    names = [a for a in sys.argv[1:] if not a.startswith("-")]
    loader = unittest.defaultTestLoader
    suite = loader.loadTestsFromNames(names, gpu_cases) if names else loader.loadTestsFromModule(gpu_cases)
    result = unittest.TextTestRunner(verbosity=1).run(suite)
    sys.exit(not result.wasSuccessful() or result.testsRun == 0)
