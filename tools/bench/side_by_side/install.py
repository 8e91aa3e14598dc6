"""Gets the peers from PyPI and builds what has to be built. Everything lies in one folder, and is there only once."""
import glob
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.path.join(ROOT, "build")
PACKAGES = ("numpy", "safetensors", "gguf")
GGML_OPTIONS = ("-DCMAKE_BUILD_TYPE=Release", "-DBUILD_SHARED_LIBS=ON", "-DGGML_NATIVE=ON", "-DLLAMA_BUILD_COMMON=OFF", "-DLLAMA_BUILD_TESTS=OFF",
                "-DLLAMA_BUILD_TOOLS=OFF", "-DLLAMA_BUILD_EXAMPLES=OFF", "-DLLAMA_BUILD_SERVER=OFF")


def say(text):
    print(f"peers: {text}", file=sys.stderr, flush=True)


def run(*command, **options):
    """A command whose output is shown only if it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout[-3000:]}")
    return done.stdout


def environment(folder):
    """The Python of a virtual environment in the folder."""
    python = os.path.join(folder, "venv", "bin", "python")
    if not os.path.exists(python):
        say("makes a virtual environment")
        run(sys.executable, "-m", "venv", os.path.join(folder, "venv"))     # Debian: package python3-venv
    return python


def install(python, package):
    """None, or why the package cannot be had."""
    if subprocess.run((python, "-m", "pip", "show", "-q", package), stderr=subprocess.DEVNULL).returncode == 0:
        return None
    say(f"installs {package} from PyPI")
    try:
        run(python, "-m", "pip", "install", "-q", package)
    except RuntimeError as error:
        return str(error).strip().splitlines()[-1]
    return None


def ggml_source(folder, python):
    """The llama.cpp in the source package of llama-cpp-python."""
    def find():
        return sorted(glob.glob(os.path.join(folder, "llama_cpp_python-*", "vendor", "llama.cpp")))
    if not find():
        archives = os.path.join(folder, "llama_cpp_python-*.tar.gz")
        if not glob.glob(archives):
            say("downloads llama-cpp-python from PyPI (source package)")
            run(python, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", "llama-cpp-python", "llama-cpp-python", "-d", folder)
        run("tar", "--no-same-owner", "-xzf", sorted(glob.glob(archives))[-1], "-C", folder)
    return find()[-1]


class Ggml:
    """ggml as its build makes it (row functions for any x86-64, products for this processor), and ggml-base once more with -march=native."""

    def __init__(self, folder, python, jobs):
        self.source = ggml_source(folder, python)
        self.shipped = self.build(os.path.join(folder, "ggml"), (), ("ggml-base", "ggml-cpu"), jobs)
        flags = ("-DCMAKE_C_FLAGS=-march=native", "-DCMAKE_CXX_FLAGS=-march=native")
        self.native = self.build(os.path.join(folder, "ggml-native"), flags, ("ggml-base",), jobs)
        self.base = os.path.join(self.shipped, "libggml-base.so")
        self.native_base = os.path.join(self.native, "libggml-base.so")

    def build(self, folder, options, targets, jobs):
        libraries = os.path.join(folder, "bin")
        if all(os.path.exists(os.path.join(libraries, f"lib{target}.so")) for target in targets):
            return libraries
        say(f"builds {' and '.join(targets)} {' '.join(options)} (some minutes)")
        run("cmake", "-G", "Ninja", "-S", self.source, "-B", folder, *GGML_OPTIONS, *options)
        run("cmake", "--build", folder, "-j", str(jobs), "--target", *targets)
        return libraries


def build_ingot(jobs):
    """Paths of the command and the library."""
    say("builds ingot and libingot.so")
    run(os.path.join(ROOT, "tools", "configure"), BUILD, "-DCMAKE_BUILD_TYPE=Release")
    run("cmake", "--build", BUILD, "-j", str(jobs), "--target", "ingot", "libingot")
    return os.path.join(BUILD, "ingot"), os.path.join(BUILD, "libingot.so")


def build_driver(folder, ggml):
    """The program that times both in one process."""
    sources = [os.path.join(HERE, name) for name in ("driver.cc", "ggml_side.cc", "ingot_side.cc")]
    sources += [os.path.join(ROOT, "tools", name) for name in ("bench/race.cc", "signals.cc")]
    program = os.path.join(folder, "driver")
    newest = max(os.path.getmtime(path) for path in (*sources, *glob.glob(os.path.join(HERE, "*.h")), *glob.glob(os.path.join(ROOT, "tools/bench/*.h"))))
    if not os.path.exists(program) or os.path.getmtime(program) < newest:
        say("compiles the driver")
        run("g++", "-std=c++20", "-O2", "-Wall", "-Wextra", *sources, "-I", ROOT, "-I", os.path.join(ggml.source, "ggml", "include"),
            "-L", ggml.shipped, "-lggml-cpu", "-lggml-base", "-L", BUILD, "-lingot", "-lfmt", "-ldl", "-pthread",
            f"-Wl,-rpath,{ggml.shipped}:{BUILD}", "-o", program)
    return program
