"""A decoder of Zstandard frames (RFC 8878) without dictionaries, for FORMAT.md, section 4 (R-FRM-7).

`frame_header` reads what a frame states about itself; `decode_frame` decodes one frame. Whatever is wrong with the
bytes is a ZstdError.
"""

from typing import NamedTuple, Optional

from xxh3 import xxh64
from zstd_entropy import (ZstdError, backward_bits, build_table, need, read_bits, read_distribution, read_huffman)

__all__ = ["ZstdError", "FrameHeader", "frame_header", "decode_frame"]

MAGIC = 0xFD2FB528
MAX_BLOCK = 128 * 1024

LITERAL_LENGTHS = (
    [(i, 0) for i in range(16)] + [(16, 1), (18, 1), (20, 1), (22, 1), (24, 2), (28, 2), (32, 3), (40, 3), (48, 4)]
    + [(64, 6)] + [(1 << n, n) for n in range(7, 17)])
MATCH_LENGTHS = (
    [(i + 3, 0) for i in range(32)] + [(35, 1), (37, 1), (39, 1), (41, 1), (43, 2), (47, 2), (51, 3), (59, 3), (67, 4)]
    + [(83, 4), (99, 5)] + [((1 << n) + 3, n) for n in range(7, 17)])
DEFAULT_LITERALS = (6, [4, 3] + [2] * 6 + [2] * 5 + [1] * 3 + [2] * 9 + [3, 2] + [1] * 5 + [-1] * 4)
DEFAULT_OFFSETS = (5, [1] * 6 + [2] * 3 + [1] * 15 + [-1] * 5)
DEFAULT_MATCHES = (6, [1, 4, 3] + [2] * 6 + [1] * 37 + [-1] * 7)


class FrameHeader(NamedTuple):
    """What a frame says before its first block."""
    size: int                           # of the header
    content_size: Optional[int]         # None: not stated
    window_size: int
    dictionary: int                     # 0: none
    single_segment: bool
    checksum: bool


def frame_header(data):
    """Reads the header of the frame that starts at the first byte (RFC 8878, 3.1.1.1)."""
    need(len(data) >= 5, "the frame is too short for a header")
    magic = int.from_bytes(data[:4], "little")
    need(magic & 0xFFFFFFF0 != 0x184D2A50, "the frame is a skippable one")
    need(magic == MAGIC, f"the frame starts with 0x{magic:08x} and not with 0x{MAGIC:08x}")
    flags, at = data[4], 5
    need(flags & 8 == 0, "a reserved bit of the frame header is set")
    single = bool(flags & 32)
    dictionary_bytes = (0, 1, 2, 4)[flags & 3]
    content_bytes = (1 if single else 0, 2, 4, 8)[flags >> 6]
    end = at + (0 if single else 1) + dictionary_bytes + content_bytes
    need(end <= len(data), "the frame is too short for its header")
    window = None
    if not single:
        base = 1 << (10 + (data[at] >> 3))
        window = base + base // 8 * (data[at] & 7)
        at += 1
    dictionary = int.from_bytes(data[at:at + dictionary_bytes], "little")
    at += dictionary_bytes
    content = int.from_bytes(data[at:end], "little") + (256 if content_bytes == 2 else 0) if content_bytes else None
    return FrameHeader(end, content, content if single else window, dictionary, single, bool(flags & 4))


def decode_frame(data, limit):
    """Decodes the frame that starts at the first byte: (its content, the number of bytes it takes).

    Content of more than `limit` bytes is an error; no more than that is ever held.
    """
    data = bytes(data)
    header = frame_header(data)
    need(header.dictionary == 0, f"the frame asks for the dictionary {header.dictionary}")
    if header.content_size is not None:
        need(header.content_size <= limit, f"the content is {header.content_size} bytes, more than {limit}")
        limit = header.content_size
    decoder = _Decoder(header.window_size, limit)
    at, last = header.size, False
    while not last:
        at, last = decoder.block(data, at)
    if header.content_size is not None:
        need(len(decoder.out) == header.content_size,
             f"the frame has {len(decoder.out)} bytes of content and states {header.content_size}")
    if header.checksum:
        need(at + 4 <= len(data), "the checksum of the content is cut off")
        stored, at = int.from_bytes(data[at:at + 4], "little"), at + 4
        need(stored == xxh64(decoder.out) & 0xFFFFFFFF, "the checksum of the content is wrong")
    return bytes(decoder.out), at


class _Decoder:
    """The state that blocks of one frame share: the output, the tables, the last three offsets."""

    def __init__(self, window, limit):
        self.window, self.limit = window, limit
        self.max_block = min(window, MAX_BLOCK)
        self.out = bytearray()
        self.huffman = None
        self.tables = [None, None, None]
        self.offsets = [1, 4, 8]

    def block(self, data, at):
        """Decodes one block: (the position after it, whether it is the last)."""
        need(at + 3 <= len(data), "a block header is cut off")
        head = int.from_bytes(data[at:at + 3], "little")
        last, kind, size, at = bool(head & 1), head >> 1 & 3, head >> 3, at + 3
        need(kind != 3, "a block has the reserved type")
        need(size <= self.max_block, f"a block of {size} bytes is larger than {self.max_block}")
        stored = 1 if kind == 1 else size
        need(at + stored <= len(data), "a block is cut off")
        if kind == 2:
            self._compressed(data[at:at + size])
        else:
            need(len(self.out) + size <= self.limit, "the frame has more content than it states")
            self.out += data[at:at + size] if kind == 0 else data[at:at + 1] * size
        return at + stored, last

    def _compressed(self, block):
        literals, at = self._literals(block)
        before = len(self.out)
        self._sequences(block, at, literals)
        need(len(self.out) - before <= self.max_block, "a block decodes to more bytes than a block may have")

    # ---- literals (3.1.1.3.1) ----

    def _literals(self, block):
        need(len(block) >= 2, "a compressed block is too short")
        kind, form = block[0] & 3, block[0] >> 2 & 3
        if kind < 2:
            return self._plain_literals(block, kind, form)
        head_size, bits = ((3, 10), (3, 10), (4, 14), (5, 18))[form]
        need(head_size <= len(block), "the header of the literals is cut off")
        head = int.from_bytes(block[:head_size], "little") >> 4
        size, stored = head & ((1 << bits) - 1), head >> bits
        end = head_size + stored
        need(end <= len(block), "the literals are cut off")
        need(size <= self.max_block, "a block has too many literals")
        at, part = head_size, block[:end]
        if kind == 2:
            self.huffman, at = read_huffman(part, at)
        need(self.huffman is not None, "literals use an earlier Huffman tree and there is none")
        if form == 0:
            return self.huffman.decode(part[at:], size), end
        return self._four_streams(part[at:], size), end

    def _plain_literals(self, block, kind, form):
        head_size, shift = ((1, 3), (2, 4), (1, 3), (3, 4))[form]
        need(head_size <= len(block), "the header of the literals is cut off")
        size = int.from_bytes(block[:head_size], "little") >> shift
        need(size <= self.max_block, "a block has too many literals")
        end = head_size + (1 if kind else size)
        need(end <= len(block), "the literals are cut off")
        return (block[head_size:end] * size if kind else block[head_size:end]), end

    def _four_streams(self, data, size):
        need(size >= 6 and len(data) >= 6, "four Huffman streams are too short")
        sizes = [int.from_bytes(data[2 * i:2 * i + 2], "little") for i in range(3)]
        sizes.append(len(data) - 6 - sum(sizes))
        need(sizes[3] > 0, "four Huffman streams are cut off")
        each, at, parts = (size + 3) // 4, 6, []
        counts = [each] * 3 + [size - 3 * each]
        need(counts[3] >= 0, "four Huffman streams are too short")
        for stored, count in zip(sizes, counts):
            parts.append(self.huffman.decode(data[at:at + stored], count))
            at += stored
        return b"".join(parts)

    # ---- sequences (3.1.1.3.2) ----

    def _sequences(self, block, at, literals):
        count, at = self._sequence_count(block, at)
        if count == 0:
            need(at == len(block), "bytes follow the last literal of a block")
            return self._append(literals)
        need(at < len(block), "the modes of the sequences are missing")
        modes, at = block[at], at + 1
        need(modes & 3 == 0, "reserved bits of the sequence modes are set")
        kinds = ((6, DEFAULT_LITERALS, 9, 35), (4, DEFAULT_OFFSETS, 8, 31), (2, DEFAULT_MATCHES, 9, 52))
        for i, (shift, default, accuracy, symbols) in enumerate(kinds):
            self.tables[i], at = self._table(i, modes >> shift & 3, block, at, default, accuracy, symbols)
        self._run(block[at:], count, literals)

    @staticmethod
    def _sequence_count(block, at):
        need(at < len(block), "the number of sequences is missing")
        first = block[at]
        size = 1 if first < 128 else 2 if first < 255 else 3
        need(at + size <= len(block), "the number of sequences is cut off")
        if size == 1:
            return first, at + 1
        if size == 2:
            return (first - 128 << 8) + block[at + 1], at + 2
        return block[at + 1] + (block[at + 2] << 8) + 0x7F00, at + 3

    def _table(self, i, mode, block, at, default, max_accuracy, max_symbol):
        """One of the three tables, by its mode: predefined, one symbol, described here, the one before."""
        if mode == 0:
            return (default[0], build_table(*default)), at
        if mode == 1:
            need(at < len(block), "the symbol of a sequence table is missing")
            need(block[at] <= max_symbol, "the symbol of a sequence table is too large")
            return (0, [(block[at], 0, 0)]), at + 1
        if mode == 2:
            accuracy, probabilities, at = read_distribution(block, at, max_accuracy, max_symbol)
            return (accuracy, build_table(accuracy, probabilities)), at
        need(self.tables[i] is not None, "a sequence table is that of an earlier block and there is none")
        return self.tables[i], at

    def _run(self, stream, count, literals):
        """Decodes and executes the sequences of a block (4.1 for the order in which their bits are read)."""
        (ll_bits, ll_table), (of_bits, of_table), (ml_bits, ml_table) = self.tables
        bit = backward_bits(stream)
        states = []
        for bits in (ll_bits, of_bits, ml_bits):
            bit -= bits
            states.append(read_bits(stream, bit, bits))
        need(bit >= 0, "the sequences are cut off")
        ll_state, of_state, ml_state = states
        padded, bit = bytes(16) + stream, bit + 128
        taken, room = 0, min(self.limit, len(self.out) + self.max_block)
        for left in range(count - 1, -1, -1):
            ll_code, ll_n, ll_base = ll_table[ll_state]
            of_code, of_n, of_base = of_table[of_state]
            ml_code, ml_n, ml_base = ml_table[ml_state]
            # A sequence takes at most 31 + 16 + 16 + 9 + 9 + 8 = 89 bits: one word of 13 bytes has them.
            first = bit - 96 >> 3
            word, have = int.from_bytes(padded[first:first + 13], "little"), bit - 8 * first
            start = have
            have -= of_code
            offset = (1 << of_code) + (word >> have & (1 << of_code) - 1)
            length, extra = MATCH_LENGTHS[ml_code]
            have -= extra
            length += word >> have & (1 << extra) - 1
            run, extra = LITERAL_LENGTHS[ll_code]
            have -= extra
            run += word >> have & (1 << extra) - 1
            if left:
                have -= ll_n
                ll_state = ll_base + (word >> have & (1 << ll_n) - 1)
                have -= ml_n
                ml_state = ml_base + (word >> have & (1 << ml_n) - 1)
                have -= of_n
                of_state = of_base + (word >> have & (1 << of_n) - 1)
            bit -= start - have
            need(bit >= 128, "the sequences are cut off")
            need(taken + run <= len(literals), "a sequence takes more literals than there are")
            need(len(self.out) + run + length <= room, "a block has more content than it may")
            self.out += literals[taken:taken + run]
            taken += run
            self._copy(self._offset(offset, run), length)
        need(bit == 128, "bits follow the last sequence")
        self._append(literals[taken:])

    def _append(self, literals):
        need(len(self.out) + len(literals) <= self.limit, "the frame has more content than it states")
        self.out += literals

    def _offset(self, value, run):
        """The distance of a match, by the three last ones (3.1.1.5)."""
        last = self.offsets
        if value > 3:
            self.offsets = [value - 3, last[0], last[1]]
            return value - 3
        which = value - 1 + (run == 0)
        if which == 0:
            return last[0]
        distance = last[0] - 1 if which == 3 else last[which]
        need(distance > 0, "a match has the distance 0")
        self.offsets = [distance, last[0], last[2] if which == 1 else last[1]]
        return distance

    def _copy(self, distance, length):
        out = self.out
        need(distance <= len(out) and distance <= self.window, f"a match lies {distance} bytes back, out of the window")
        start = len(out) - distance
        if distance >= length:
            out += out[start:start + length]
        else:
            piece = out[start:]
            out += (piece * (length // distance + 1))[:length]
