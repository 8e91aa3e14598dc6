"""The entropy coding of Zstandard (RFC 8878, section 4): finite state entropy tables and Huffman-coded literals."""

import numpy as np

MAX_HUFFMAN_BITS = 11
MAX_WEIGHT_ACCURACY = 6
PAD_BYTES = 4               # zero bytes before a Huffman stream, so that looking below its start finds zeros


class ZstdError(Exception):
    """The bytes are not a Zstandard frame that this decoder accepts."""


def need(condition, message):
    """Raises ZstdError unless the condition holds."""
    if not condition:
        raise ZstdError(message)


def backward_bits(data):
    """The number of bits of a stream that is read from its end, below the mark that ends it (RFC 8878, 4.1)."""
    need(len(data) > 0 and data[-1] != 0, "a bit stream has no end mark")
    return 8 * (len(data) - 1) + data[-1].bit_length() - 1


def read_bits(data, low, count):
    """The bits [low, low + count) of little-endian bytes; those below the start are zero."""
    if low < 0:
        if low + count <= 0:
            return 0
        return read_bits(data, 0, low + count) << -low
    first = low >> 3
    word = int.from_bytes(data[first:(low + count + 7) >> 3], "little")
    return word >> (low & 7) & ((1 << count) - 1)


# ---- finite state entropy (RFC 8878, 4.1) ----

def read_distribution(data, at, max_accuracy, max_symbol):
    """Reads a table description: (accuracy, probabilities, the position after it)."""
    need(at < len(data), "a table description is missing")
    accuracy = (data[at] & 15) + 5
    need(accuracy <= max_accuracy, f"a table has the accuracy {accuracy}, at most {max_accuracy} is allowed")
    end, bit = 8 * len(data), 8 * at + 4
    remaining, probabilities = 1 << accuracy, []
    while remaining > 0:
        need(len(probabilities) <= max_symbol, "a table description has too many symbols")
        need(bit < end, "a table description is cut off")
        width = (remaining + 1).bit_length()
        value, low_mask = read_bits(data, bit, width), (1 << (width - 1)) - 1
        short = (1 << width) - 1 - (remaining + 1)
        if value & low_mask < short:
            value &= low_mask
            bit += width - 1
        else:
            value -= short if value > low_mask else 0
            bit += width
        probabilities.append(value - 1)
        remaining -= abs(value - 1)
        if value == 1:
            bit = _zero_run(data, bit, end, probabilities)
    need(remaining == 0, "the probabilities of a table do not sum up")
    need(len(probabilities) <= max_symbol + 1, "a table description has too many symbols")
    need(bit <= end, "a table description is cut off")
    return accuracy, probabilities, (bit + 7) // 8


def _zero_run(data, bit, end, probabilities):
    """The repeat flags after a probability of zero; returns the bit after them."""
    while True:
        need(bit < end, "a table description is cut off")
        run = read_bits(data, bit, 2)
        probabilities.extend([0] * run)
        need(len(probabilities) <= 256, "a table description has too many symbols")
        bit += 2
        if run != 3:
            return bit


def build_table(accuracy, probabilities):
    """The decoding table: for each state (symbol, bits to read, baseline of the next state)."""
    size = 1 << accuracy
    symbols, high = [0] * size, size
    for symbol, p in enumerate(probabilities):
        if p == -1:
            high -= 1
            symbols[high] = symbol
    step, at = (size >> 1) + (size >> 3) + 3, 0
    for symbol, p in enumerate(probabilities):
        for _ in range(max(p, 0)):
            symbols[at] = symbol
            at = (at + step) % size
            while at >= high:
                at = (at + step) % size
    seen = [1 if p == -1 else p for p in probabilities]
    table = []
    for symbol in symbols:
        state = seen[symbol]
        seen[symbol] += 1
        bits = accuracy - (state.bit_length() - 1)
        table.append((symbol, bits, (state << bits) - size))
    return table


# ---- Huffman (RFC 8878, 4.2) ----

def _coded_weights(data):
    """Weights that are themselves FSE-coded: two states that take turns (4.2.1.2)."""
    accuracy, probabilities, at = read_distribution(data, 0, MAX_WEIGHT_ACCURACY, 255)
    table, stream = build_table(accuracy, probabilities), data[at:]
    bit = backward_bits(stream) - accuracy
    states = [read_bits(stream, bit, accuracy), 0]
    bit -= accuracy
    states[1] = read_bits(stream, bit, accuracy)
    need(bit >= 0, "the Huffman weights are cut off")
    weights, turn = [], 0
    while True:
        need(len(weights) < 255, "there are too many Huffman weights")
        symbol, bits, base = table[states[turn]]
        weights.append(symbol)
        bit -= bits
        if bit < 0:
            weights.append(table[states[1 - turn]][0])
            return weights
        states[turn] = base + read_bits(stream, bit, bits)
        turn = 1 - turn


def read_huffman(data, at):
    """Reads a tree description: (the tree, the position after it)."""
    need(at < len(data), "a Huffman tree is missing")
    head, at = data[at], at + 1
    if head < 128:
        need(at + head <= len(data), "a Huffman tree is cut off")
        return HuffmanTree(_coded_weights(data[at:at + head])), at + head
    count = head - 127
    end = at + (count + 1) // 2
    need(end <= len(data), "a Huffman tree is cut off")
    weights = [data[at + i // 2] >> (0 if i & 1 else 4) & 15 for i in range(count)]
    return HuffmanTree(weights), end


class HuffmanTree:
    """A decoding table over the next `width` bits."""

    def __init__(self, weights):
        need(len(weights) <= 255, "there are too many Huffman weights")
        need(max(weights) <= MAX_HUFFMAN_BITS, "a Huffman weight is too large")
        total = sum(1 << w >> 1 for w in weights)
        need(total > 0, "all Huffman weights are zero")
        self.width = total.bit_length()
        left = (1 << self.width) - total
        need(self.width <= MAX_HUFFMAN_BITS and left & (left - 1) == 0, "the Huffman weights make no tree")
        weights = weights + [left.bit_length()]
        need(weights.count(1) >= 2, "the Huffman weights make no tree")
        order = sorted((w, s) for s, w in enumerate(weights) if w)
        repeats = [1 << (w - 1) for w, _ in order]
        self.symbols = np.repeat(np.array([s for _, s in order], np.uint8), repeats)
        self.lengths = np.repeat(np.array([self.width + 1 - w for w, _ in order], np.uint8), repeats)

    def decode(self, data, count):
        """Decodes one stream of exactly `count` symbols.

        The code at every bit position is looked up at once; then only the chain of positions is walked one by one.
        """
        top = backward_bits(data) + 8 * PAD_BYTES - self.width
        low = 8 * PAD_BYTES - self.width
        padded = np.zeros(len(data) + PAD_BYTES + 2, np.uint32)
        padded[PAD_BYTES:-2] = np.frombuffer(data, np.uint8)
        words = padded[:-2] | padded[1:-1] << np.uint32(8) | padded[2:] << np.uint32(16)
        shifts = np.arange(8, dtype=np.uint32)
        codes = (words[:, None] >> shifts & np.uint32((1 << self.width) - 1)).astype(np.uint16).reshape(-1)
        steps = self.lengths[codes]
        steps[:low] = 0
        steps, at, places = steps.tolist(), top, []
        for _ in range(count):
            places.append(at)
            at -= steps[at]
        need(at == low, "a Huffman stream does not end with its last symbol")
        return self.symbols[codes[places]].tobytes() if places else b""
