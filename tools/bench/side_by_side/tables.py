"""What was measured, as Markdown."""


def best_peer(seconds):
    """The fastest of ggml: (name, seconds)."""
    peers = {name: s for name, s in seconds.items() if not name.startswith(("ingot", "memset"))}
    return min(peers.items(), key=lambda item: item[1])


def rate(measured, name, seconds):
    """"20.1 (11.3)": 1e9 values a second, and GB of packed bytes."""
    key = "ingot" if name.startswith("ingot") else name.split()[0]
    values = measured["values"] / seconds / 1e9
    return f"{values:.1f} ({values * measured['tensor_bytes'][key] / measured['tensor_values']:.1f})"


def bits(measured, key):
    return f"{8 * measured['tensor_bytes'][key] / measured['tensor_values']:.2f}"


def table(head, rows):
    return "\n".join(["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *("| " + " | ".join(row) + " |" for row in rows)])


def label(measured):
    return measured["tensor"].split(".")[2]


def dequantize(measurements):
    rows = []
    for m in measurements:
        peer, seconds = best_peer(m["seconds"])
        ours, memset = m["seconds"]["ingot"], m["seconds"]["memset"]
        same = "-" if m["check"] is None else "yes" if m["check"]["differ"] == 0 else f"{m['check']['differ']} differ"
        rows.append((m["what"], label(m), bits(m, "ingot"), rate(m, "ingot", ours), f"{memset / ours:.2f}", peer, bits(m, peer.split()[0]),
                     rate(m, peer, seconds), f"{memset / seconds:.2f}", f"**{seconds / ours:.1f}**", same))
    rows.sort(key=lambda row: row[0])
    return table(("dequantize to f32, 1 thread", "weights", "bits", "Ingot: Gvalues/s (packed GB/s)", "of memset", "best ggml", "bits", "Gvalues/s (packed GB/s)",
                  "of memset", "Ingot / ggml", "same values"), rows)


def products(measurements, threads):
    rows = []
    for m in measurements:
        peer, seconds = best_peer(m["seconds"])
        cells = []
        for precision in ("int8", "int16", "f32"):
            ours = m["seconds"][f"ingot {precision}"]
            cells.append(f"{rate(m, 'ingot', ours)} **{seconds / ours:.1f}**")
        rows.append((m["what"], label(m), *cells, peer, rate(m, peer, seconds)))
    order = {what: i for i, what in enumerate(dict.fromkeys(row[0] for row in rows))}
    rows.sort(key=lambda row: order[row[0]])
    return table((f"products, {threads} thread{'s' * (threads > 1)}", "weights", "Ingot int8: Gmac/s (packed GB/s) **Ingot / ggml**", "int16", "f32", "best ggml",
                  "Gmac/s (packed GB/s)"), rows)


def summary(measured):
    """A row for each kind of weights, a cell for each measurement: Ingot's 1e9 values (times rows) a second, and the ratio to the best ggml."""
    cells = {}
    for section, measurements in measured.items():
        if not section.startswith(("dequantize", "products")):
            continue
        mode, _, threads = section.partition(" ")
        for m in measurements:
            ours = m["seconds"]["ingot" if mode == "dequantize" else "ingot int8"]
            column = f"decode, {m['what']}" if mode == "dequantize" else f"{m['what']}, {threads} thread{'s' * (threads != '1')}"
            cells[label(m), column] = f"{m['values'] / ours / 1e9:.1f} **{best_peer(m['seconds'])[1] / ours:.2f}**"
    rows, columns = (list(dict.fromkeys(key[i] for key in cells)) for i in (0, 1))
    columns.sort(key=lambda column: not column.startswith("decode"))
    return table(("weights", *columns), [(row, *(cells.get((row, column), "") for column in columns)) for row in rows])


def opened(measurements):
    names = [name for name in measurements[0]["seconds"] if name != "ingot"]
    rows = []
    for m in measurements:
        ours = m["seconds"]["ingot"]
        cells = (f"{1e3 * m['seconds'][name]:.1f} ms, **{m['seconds'][name] / ours:.1f}**" if name in m["seconds"] else "-" for name in names)
        rows.append((f"{m['tensors']:,} tensors", f"{1e3 * ours:.2f} ms", *cells))
    return table(("open and read one of", "Ingot, all of the index validated", *(f"{name}, **times Ingot's**" for name in names)), rows)


def verified(measurements):
    rows = []
    for m in measurements:
        rows.append((f"{m['bytes'] / 1e6:.0f} MB, cached", *(f"{name}: {m['bytes'] / s / 1e9:.1f} GB/s" for name, s in m["seconds"].items())))
    return table(("verify every byte", *("" for _ in rows[0][1:])), rows)
