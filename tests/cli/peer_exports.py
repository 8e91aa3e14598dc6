"""What the tests of `ingot export --format gptq` and compressed-tensors share: the words taken apart, in numpy alone."""

import json

import numpy as np

from cases_import import E2M1, e4m3
from common import Case, document
from peer_fixtures import differing, read_tensors, rounded, widen


def stream(words, bits, count):
    """Codes along the last axis of an array of words, as one little-endian stream of bits."""
    flat = (words.view("<u4")[..., None] >> np.arange(32, dtype="<u4")) & 1
    flat = flat.reshape(*words.shape[:-1], -1)[..., :count * bits].reshape(*words.shape[:-1], count, bits)
    return (flat << np.arange(bits)).sum(-1).astype(np.int64)


def planar(words, bits, count):
    """The same of 32 codes in `bits` words, in fields of powers of two."""
    out = np.zeros((*words.shape[:-1], count), np.int64)
    groups = words.view("<u4").reshape(*words.shape[:-1], -1, bits)
    first = shift = 0
    for width in {3: (2, 1), 5: (4, 1), 6: (4, 2), 7: (4, 2, 1)}[bits]:
        field = stream(np.ascontiguousarray(groups[..., first:first + width]), width, 32)
        out += field.reshape(*words.shape[:-1], -1)[..., :count] << shift
        first, shift = first + width, shift + width
    return out


def turned(array):
    return np.ascontiguousarray(array.T)


def decode_gptq(tensors, config):
    """{module: f32 values}, from the words alone."""
    out = {}
    for name in [name for name in tensors if name.endswith(".qweight")]:
        p = name[:-len(".qweight")]
        bits = next((o.get("bits", config["bits"]) for r, o in config.get("dynamic", {}).items()
                     if r.startswith("+:") and r[2:].replace("\\", "") == f"^{p}$"), config["bits"])
        fields = bits in (5, 6, 7) or (config["checkpoint_format"] == "gptq_p" and bits == 3)
        unpack = planar if fields else stream
        g_idx = tensors[p + ".g_idx"][1]
        dtype, scales = tensors[p + ".scales"]
        q = unpack(turned(tensors[name][1]), bits, len(g_idx))
        z = unpack(tensors[p + ".qzeros"][1], bits, scales.shape[1]) + (config["checkpoint_format"] == "gptq")
        s = widen(dtype, scales)
        out[p] = rounded((s[g_idx] * (q.T - z[g_idx]).astype(np.float32)).T, dtype)
    return out


def decode_compressed(tensors):
    """The same of compressed-tensors; widths follow from the sizes."""
    out = {}
    for name in [name for name in tensors if name.endswith(".weight_scale")]:
        p = name[:-len("_scale")]
        dtype, scales = tensors[name]
        if p + "_packed" not in tensors:
            codes, s = e4m3(tensors[p][1]), widen(dtype, scales)
            n, k = codes.shape
            if s.size > 1 and s.shape[0] != n:  # blocks of 64
                s = s[np.arange(n) // 64][:, np.arange(k) // 64]
            elif s.size > 1:
                s = np.repeat(s, k // s.shape[1], 1)
            value = rounded(codes * s, dtype)
        elif p + "_shape" not in tensors:
            packed = tensors[p + "_packed"][1]
            codes = E2M1[np.stack([packed & 15, packed >> 4], -1).reshape(len(packed), -1)]
            if p + "_global_scale" in tensors:
                s = e4m3(scales) / tensors[p + "_global_scale"][1]
            else:
                s = np.exp2(scales.astype(np.float32) - 127)
            value = rounded(codes * np.repeat(s, codes.shape[1] // s.shape[1], 1), "BF16")
        else:
            n, k = (int(x) for x in tensors[p + "_shape"][1])
            words = tensors[p + "_packed"][1]
            bits = next(b for b in range(2, 9) if -(-k * b // 32) == words.shape[1])
            s, q = widen(dtype, scales), stream(words, bits, k)
            z = np.full(s.shape, 1 << (bits - 1))
            if p + "_zero_point" in tensors:
                z = turned(stream(turned(tensors[p + "_zero_point"][1]), bits, n))
            g = tensors[p + "_g_idx"][1] if p + "_g_idx" in tensors else np.arange(k) // (k // s.shape[1])
            value = rounded(s[:, g] * (q - z[:, g]).astype(np.float32), dtype)
        out[p[:-len(".weight")]] = value
    return out


class Exports(Case):
    def convert(self, source, name, *options):
        target = self.folder / name
        done = self.check(0, "convert", source, target, "--force", "--json", *options)
        return target, document(done)["content_digest"]

    def export(self, source, form, *options):
        """(folder, its tensors, its quantization_config)"""
        folder = self.folder / form
        self.check(0, "export", source, folder, "--format", form, "--force", "--quiet", *options)
        self.assertEqual(self.leftovers(), [])
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))["quantization_config"]
        if form == "gptq":
            self.assertEqual(json.loads((folder / "quantize_config.json").read_text(encoding="utf-8")), config)
        return folder, read_tensors(folder / "model.safetensors"), config

    def values(self, source, *options):
        target = self.folder / "values.safetensors"
        self.check(0, "export", source, target, "--force", "--quiet", "--dtype", "f32", *options)
        return {name: array for name, (_, array) in read_tensors(target).items()}

    def same(self, got, wanted):
        self.assertEqual(sorted(got), sorted(wanted))
        for name, array in wanted.items():
            self.assertEqual(got[name].shape, array.shape, name)
            self.assertEqual(differing(got[name], array), 0, name)

    def same_bytes(self, got, wanted):
        self.assertEqual(sorted(got), sorted(wanted))
        for name, (dtype, array) in wanted.items():
            self.assertEqual((got[name][0], got[name][1].shape), (dtype, array.shape), name)
            self.assertEqual(got[name][1].tobytes(), array.tobytes(), name)

    def round_trip(self, source, form, digest=True):
        """Through a folder of that form and back; its words, taken apart here, are the values too."""
        first, digest_before = self.convert(source, "a.ingot")
        folder, tensors, config = self.export(first, form)
        second, digest_after = self.convert(folder, "b.ingot")
        values = self.values(first)
        self.same(self.values(second), values)
        if digest:
            self.assertEqual(digest_before, digest_after)
        decoded = decode_gptq(tensors, config) if form == "gptq" else decode_compressed(tensors)
        self.assertGreater(len(decoded), 0)
        for module, value in decoded.items():
            self.assertEqual(differing(value, values[module + ".weight"]), 0, module)
        return config
