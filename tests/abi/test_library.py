#!/usr/bin/env python3
"""libingot.so from outside: test_library.py LIBINGOT BUILD SOURCE

What it exports and needs; the header by itself, in C and C++, by each compiler there is; installed into an empty prefix, programs built with pkg-config and
with CMake's find_package, the README's example among them.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

LIBRARY = BUILD = SOURCE = None
NEEDED = {"libfmt", "libzstd", "libxxhash", "libcrypto", "libtbb", "libhwy", "libstdc++", "libm", "libgcc_s", "libc", "ld-linux-x86-64"}
STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]


def run(*command, **options):
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=600, check=False, **options)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}"
    return done.stdout


class LibraryTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def test_symbols(self):
        """What is exported is the list, which is what the header declares."""
        lines = [line.split() for line in run("nm", "-D", "--defined-only", LIBRARY).splitlines()]
        exported = sorted(fields[2].split("@")[0] for fields in lines if fields[1] != "A")
        listed = (SOURCE / "tests" / "abi" / "symbols.txt").read_text(encoding="utf-8").split()
        self.assertEqual(exported, listed)
        header = (SOURCE / "runtime" / "ingot.h").read_text(encoding="utf-8")
        self.assertEqual(sorted(set(re.findall(r"\b(ingot_\w+)\(", re.sub(r"/\*.*?\*/", "", header, flags=re.S)))), listed)

    def test_needed(self):
        needed = re.findall(r"\(NEEDED\).*\[(.*?)\.so", run("readelf", "-d", LIBRARY))
        self.assertLessEqual(set(needed), NEEDED)
        self.assertIn("[libingot.so.0]", run("readelf", "-d", LIBRARY))

    def test_header(self):
        """It compiles by itself, in the oldest languages that have its types."""
        program = self.folder / "header.c"
        program.write_text('#include "ingot.h"\nint main(void) { return (int)sizeof(ingot_product) - 64; }\n', encoding="utf-8")
        compilers = [c for c in ("gcc", "clang") if shutil.which(c)]
        self.assertTrue(compilers)
        for compiler in compilers:
            for language, standard in (("c", "c99"), ("c", "c11"), ("c++", "c++11"), ("c++", "c++20")):
                run(compiler, "-x", language, f"-std={standard}", *STRICT, "-I", SOURCE / "runtime", "-fsyntax-only", program)

    def examples(self):
        """The C programs of the README, under their number."""
        blocks = re.findall(r"```c\n(.*?)```", (SOURCE / "README.md").read_text(encoding="utf-8"), flags=re.S)
        self.assertTrue(blocks)
        for number, block in enumerate(blocks):
            path = self.folder / f"example{number}.c"
            path.write_text(block, encoding="utf-8")
            yield path

    def check_example(self, binary, prefix):
        model = SOURCE / "tests" / "vectors" / "valid" / "everything.ingot"
        out = run(binary, model, env={**os.environ, "LD_LIBRARY_PATH": str(prefix / "lib")})
        self.assertRegex(out, r"tensor \d+: \d+ rows, row 0 sums up to ")
        refused = subprocess.run([binary, "/no/such/file"], capture_output=True, text=True, check=False,
                                 env={**os.environ, "LD_LIBRARY_PATH": str(prefix / "lib")})
        self.assertEqual(refused.returncode, 1)
        self.assertIn("/no/such/file", refused.stderr)

    def test_install(self):
        prefix = self.folder / "prefix"
        run("cmake", "--install", BUILD, "--prefix", prefix)
        library = next(prefix.rglob("libingot.so"))
        if library.parent != prefix / "lib":        # Debian's multiarch
            (prefix / "lib").mkdir(exist_ok=True)
            for file in library.parent.glob("libingot.so*"):
                shutil.copy(file, prefix / "lib")
        self.assertTrue((prefix / "include" / "ingot.h").exists())
        self.assertTrue((prefix / "bin" / "ingot").exists())
        for path in self.examples():
            self.by_pkg_config(path, prefix, library)
            self.by_cmake(path, prefix)

    def by_pkg_config(self, path, prefix, library):
        environment = {**os.environ, "PKG_CONFIG_PATH": str(library.parent / "pkgconfig")}
        flags = run("pkg-config", "--cflags", "--libs", "ingot", env=environment).split()
        self.assertEqual(run("pkg-config", "--modversion", "ingot", env=environment).strip()[:2], "0.")
        for compiler in filter(shutil.which, ("gcc", "clang")):
            binary = self.folder / f"by-pkg-config-{compiler}"
            run(compiler, "-std=c11", *STRICT, path, *flags, "-o", binary)
            self.check_example(binary, prefix)

    def by_cmake(self, path, prefix):
        project = self.folder / "project"
        project.mkdir()
        (project / "CMakeLists.txt").write_text(
            "cmake_minimum_required(VERSION 3.25)\nproject(example LANGUAGES C)\nfind_package(ingot 0.1 REQUIRED)\n"
            f"add_executable(example {path})\ntarget_link_libraries(example PRIVATE ingot::ingot)\n", encoding="utf-8")
        run("cmake", "-G", "Ninja", "-S", project, "-B", project / "build", f"-DCMAKE_PREFIX_PATH={prefix}")
        run("cmake", "--build", project / "build")
        self.check_example(project / "build" / "example", prefix)


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    SOURCE, BUILD, LIBRARY = (pathlib.Path(sys.argv.pop()).resolve() for _ in range(3))
    unittest.main()
