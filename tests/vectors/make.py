"""Makes the conformance vectors of the Ingot format again, byte for byte. See README.md."""
import argparse
import json
import pathlib
import re
import struct
import sys

import numpy as np

import annotate
import formula
import invalid
import valid
from ingot_writer import DTYPE_BYTES, DTYPES, META_FORMAT, META_TYPES, build, digest_text, h128

HERE = pathlib.Path(__file__).resolve().parent
LONG = 4096


def blob(b):
    """Hex, or size and XXH3-128 of something long."""
    return b.hex() if len(b) <= LONG else {"bytes": len(b), "hash": digest_text(h128(b))}


def meta_value(m):
    def scalar(t, b):
        if t == 11:
            return b.decode()
        v = struct.unpack(META_FORMAT[t], b)[0]
        if t == 0:
            return bool(v)
        return str(v) if isinstance(v, float) and not np.isfinite(v) else v
    if m.typ != 12:
        return scalar(m.typ, m.value)
    out, at = [], 0
    while at < len(m.value):
        n = struct.calcsize(META_FORMAT[m.element]) if m.element < 11 else 4
        if m.element == 11:
            size = struct.unpack_from("<I", m.value, at)[0]
            out.append(m.value[at + 4:at + 4 + size].decode())
            at += 4 + size
        else:
            out.append(scalar(m.element, m.value[at:at + n]))
            at += n
    return out


def expected(f):
    out = {"content_digest": digest_text(f.content_digest()), "names_digest": digest_text(f.names_digest()), "tensors": {}, "metadata": {},
           "attachments": {}, "sources": {}}
    if f.shards:
        out["shards"] = {s.name.decode(): {"names_digest": digest_text(s.names), "content_digest": digest_text(s.content)} for s in f.shards}
    for t in f.all_tensors():
        e = {"dtype": DTYPES[t.dtype], "shape": t.shape}
        kinds = [x.kind for _, x in t.parts]
        if any(k not in (1, 2) for k in kinds):
            e["refused"] = True
        else:
            if t.dtype < 6 and 0 in t.shape:
                e["f32"] = ""
            elif t.dtype < 6:
                v = formula.tensor_values(t)
                assert list(v.shape) == t.shape, t.name
                e["f32"] = blob(formula.f32_bytes(v))
            if all(k == 1 for k in kinds):
                e["raw"] = blob(raw_bytes(t))
        out["tensors"][t.name.decode()] = e
    for m in f.metadata:
        e = {"type": META_TYPES[m.typ]}
        if m.typ == 12:
            e["element"] = META_TYPES[m.element]
        e["value"], e["hex"] = meta_value(m), m.value.hex()
        out["metadata"][m.key.decode()] = e
    for a in f.attachments:
        out["attachments"][a.name.decode()] = blob(b"".join(a.plane.chunks()) if a.plane else b"")
    for s in f.sources:
        out["sources"][s.name.decode()] = {"size": len(s.data), "hash": digest_text(h128(s.data))}
    return out


def raw_bytes(t):
    """The elements of the whole tensor, row-major, in its dtype."""
    w = DTYPE_BYTES[t.dtype]
    if 0 in t.shape:
        return b""
    parts = []
    for extent, e in t.parts:
        shape = list(t.shape)
        if shape:
            shape[t.axis] = extent
        parts.append(np.frombuffer(e.model.data, np.uint8).reshape(shape + [w]))
    return (np.concatenate(parts, axis=t.axis) if len(parts) > 1 else parts[0]).tobytes()


def rules():
    out = []
    for name in ("FORMAT.md", "ENCODINGS.md"):
        p = HERE.parent.parent / "spec" / name
        if p.exists():
            out += re.findall(r"^\*\*(R-[A-Z]+-\d+)\*\*", p.read_text(encoding="utf-8"), re.M)
    return out


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--check", action="store_true", help="write nothing; fail if a file would differ")
    ap.add_argument("--all", metavar="FOLDER", help="write all variants, also those that are not checked in, to FOLDER/valid and FOLDER/invalid")
    args = ap.parse_args()
    files, demand = {}, {}
    for fn in valid.VECTORS:
        for name, f in fn().items():
            f, hooks = f if isinstance(f, tuple) else (f, {})
            to = demand if name in valid.ON_DEMAND else files
            to["valid/%s.ingot" % name] = build(f, **hooks)
            to["valid/%s.expected.json" % name] = (json.dumps(expected(f), indent=1) + "\n").encode()
    bad, index = invalid.make()
    for name, data in bad.items():
        (files if invalid.core(name) else demand)["invalid/" + name] = data
    listing = lambda names: (json.dumps({n: index[n] for n in sorted(index) if n in names}, indent=1) + "\n").encode()
    if args.all:
        out = pathlib.Path(args.all)
        for n, data in {**files, **demand, "invalid/index.json": listing(index)}.items():
            (out / n).parent.mkdir(parents=True, exist_ok=True)
            (out / n).write_bytes(data)
        print("%d files in %s" % (len(files) + len(demand) + 1, out))
        return 0
    index = {n: v for n, v in index.items() if invalid.core(n)}
    files["invalid/index.json"] = listing(index)
    small = files["valid/smallest.ingot"]
    files["../../spec/examples/smallest.ingot"] = small
    files["../../spec/examples/smallest.md"] = annotate.page(small).encode()

    have = {v["rule"] for v in index.values()}
    known = rules()
    for r in known:
        if r not in have:
            print("no vector breaks", r)
    for r in sorted(have - set(known)):
        print("not a rule of the text:", r)
    differs = 0
    folders = [HERE / "valid", HERE / "invalid", HERE.parent.parent / "spec" / "examples"]
    wanted = {(HERE / n).resolve() for n in files}
    for d in folders:
        d.mkdir(parents=True, exist_ok=True)
        for p in d.iterdir():
            if p.resolve() not in wanted:
                differs += 1
                print("not made here:", p.name)
                if not args.check:
                    p.unlink()
    for n, data in files.items():
        p = HERE / n
        if p.exists() and p.read_bytes() == data:
            continue
        differs += 1
        print("differs" if p.exists() else "new", n)
        if not args.check:
            p.write_bytes(data)
    print("%d files, %d bytes, %d changed; %d invalid ones for %d of %d rules" % (
        len(files), sum(map(len, files.values())), differs, len(index), len(have & set(known)), len(known)))
    return 1 if args.check and differs else 0


if __name__ == "__main__":
    sys.exit(main())
