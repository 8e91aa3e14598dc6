"""Timing in this process: contestants in turns, the best of many runs of each."""
import ctypes
import time


def race(contestants, seconds, rounds=5, slow=2.0):
    """{name: seconds of one run, the best} of {name: function}. A slow contestant runs twice only."""
    best, took = {}, {}
    start = time.perf_counter()
    done = 0
    while done < rounds or time.perf_counter() - start < seconds:
        for name, run in contestants.items():
            if done > 1 and took[name] > slow:
                continue
            turn = time.perf_counter()
            while True:     # short ones often, so that what the others left in the caches counts for nobody
                begin = time.perf_counter()
                run()
                took[name] = time.perf_counter() - begin
                best[name] = min(best.get(name, 1e9), took[name])
                if time.perf_counter() - turn > 0.01:
                    break
        done += 1
    return best


class Ingot:
    """libingot.so through ctypes."""

    class Options(ctypes.Structure):
        _fields_ = [("struct_size", ctypes.c_size_t), ("access", ctypes.c_uint32), ("verify", ctypes.c_uint32), ("threads", ctypes.c_uint32),
                    ("reserved", ctypes.c_uint32), ("cache_bytes", ctypes.c_uint64)]

    def __init__(self, library):
        self.lib = ctypes.CDLL(library)
        self.lib.ingot_error_text.restype = ctypes.c_char_p
        self.lib.ingot_tensor_find.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_void_p]
        self.lib.ingot_tensor_open.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_void_p]
        self.lib.ingot_tensor_decode.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint64]
        for release in (self.lib.ingot_model_release, self.lib.ingot_tensor_release):
            release.argtypes, release.restype = [ctypes.c_void_p], None

    def must(self, status):
        if status != 0:
            raise RuntimeError(self.lib.ingot_error_text().decode())

    def open(self, path, verify=0, threads=1):
        options = self.Options(ctypes.sizeof(self.Options), 0, verify, threads, 0, 0)
        model = ctypes.c_void_p()
        self.must(self.lib.ingot_model_open(path.encode(), ctypes.byref(options), ctypes.byref(model)))
        return model

    def read_one(self, path, name, values):
        """Opens, finds and decodes a tensor of so many values."""
        model, tensor, number, out = self.open(path), ctypes.c_void_p(), ctypes.c_uint32(), (ctypes.c_float * values)()
        self.must(self.lib.ingot_tensor_find(model, name.encode(), len(name), ctypes.byref(number)))
        self.must(self.lib.ingot_tensor_open(model, number, ctypes.byref(tensor)))
        self.must(self.lib.ingot_tensor_decode(tensor, None, 0, out, 4 * values, 0))
        self.lib.ingot_tensor_release(tensor)
        self.lib.ingot_model_release(model)
        return out

    def verify(self, path, threads):
        self.lib.ingot_model_release(self.open(path, 1, threads))


class GgufReader:
    """The C reader of libggml-base.so: the file's index, without memory for its tensors."""

    class Params(ctypes.Structure):
        _fields_ = [("no_alloc", ctypes.c_bool), ("ctx", ctypes.c_void_p)]

    def __init__(self, library):
        self.lib = ctypes.CDLL(library)
        self.lib.gguf_init_from_file.restype, self.lib.gguf_init_from_file.argtypes = ctypes.c_void_p, [ctypes.c_char_p, self.Params]
        self.lib.gguf_find_tensor.restype, self.lib.gguf_find_tensor.argtypes = ctypes.c_int64, [ctypes.c_void_p, ctypes.c_char_p]
        self.lib.gguf_free.argtypes = [ctypes.c_void_p]

    def find_one(self, path, name):
        file = self.lib.gguf_init_from_file(path.encode(), self.Params(True, None))
        if not file or self.lib.gguf_find_tensor(file, name.encode()) < 0:
            raise RuntimeError(f"{path}: gguf cannot read it")
        self.lib.gguf_free(file)
