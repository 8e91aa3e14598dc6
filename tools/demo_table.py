#!/usr/bin/env python3
"""Prints the table at the end of tools/demo from the JSON documents that the commands wrote: demo_table.py FOLDER PRESET ..."""

import json
import math
import pathlib
import sys


def bits_per_weight(tensors):
    elements = sum(math.prod(tensor["shape"]) for tensor in tensors)
    return f"{8 * sum(tensor['bytes'] for tensor in tensors) / elements:.3f}" if elements else "-"


def row(folder, preset):
    inspected = json.loads((folder / f"{preset}.inspect.json").read_text(encoding="utf-8"))
    compared = json.loads((folder / f"{preset}.diff.json").read_text(encoding="utf-8"))
    evaluated = json.loads((folder / f"{preset}.perplexity.json").read_text(encoding="utf-8"))
    began, ended = map(float, (folder / f"{preset}.time").read_text(encoding="utf-8").split())
    tensors = inspected["tensors"]
    quantized = [tensor for tensor in tensors if not tensor["encoding"].startswith("raw")]
    size = (folder / f"{preset}.ingot").stat().st_size
    error = compared["total"]["relative_error"]
    return (preset, f"{size / 1e6:.2f} MB", bits_per_weight(tensors), bits_per_weight(quantized),
            "0 (exact)" if error == 0 else f"{error:.5f}", f"{evaluated['perplexity']:.3f}", f"{ended - began:.2f} s")


def main(folder, presets):
    titles = ("preset", "size", "bits/weight", "quantized only", "relative error", "perplexity", "time")
    rows = [titles] + [row(folder, preset) for preset in presets]
    widths = [max(len(cells[i]) for cells in rows) for i in range(len(titles))]
    rows.insert(1, tuple("-" * width for width in widths))
    for cells in rows:
        print("  ".join(cell.ljust(width) if i == 0 else cell.rjust(width) for i, (cell, width) in enumerate(zip(cells, widths))))
    print()
    print("bits/weight: all tensors, those kept in FP16 (embeddings, norms, output head) among them; quantized only: the rest.")
    print("relative error: ||original - exported|| / ||original|| over all tensors. perplexity: of 50 windows of 256 tokens.")
    print("time: ingot convert, fsync included.")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), sys.argv[2:])
