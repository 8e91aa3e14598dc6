"""XXH3-64, XXH3-128 (seed 0) and XXH64, as FORMAT.md ("Conventions") and RFC 8878 (3.1.1) name them.

Short inputs are done with Python integers, long ones (more than 240 bytes) with numpy: within a block of 1024 bytes all
lanes only add up, so the sums of many blocks are taken at once and only the scrambling between blocks is sequential.
"""

import struct

import numpy as np

M32 = 0xFFFFFFFF
M64 = 0xFFFFFFFFFFFFFFFF

P32_1, P32_2, P32_3 = 0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D
P64_1, P64_2, P64_3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
P64_4, P64_5 = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5
MX1, MX2 = 0x165667919E3779F9, 0x9FB21C651E98DF25

SECRET = bytes.fromhex(
    "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671fcb79e64eccc0e578825ad07dccff7221b8084674f743248e"
    "e03590e6813a264c3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8a8fa763fe39c343ff9dcbbc7c70b4f1d8a"
    "51e04bcdb45931c89f7ec9d9787364eac5ac8334d3ebc3c581a0fffa1363eb170ddd51b7f0da49d316552629d4689e2b16be587d47a1fc8f"
    "f8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e")


STRIPE, BLOCK = 64, 1024
LAST_STRIPE_KEY, MERGE_LOW, MERGE_HIGH = 192 - 64 - 7, 11, 192 - 64 - 11
MID_START, MID_LAST = 3, 136 - 17
SLAB_BLOCKS = 1024          # blocks whose sums are taken at once: 1 MiB

_ACC0 = np.array([P32_3, P64_1, P64_2, P64_3, P64_4, P32_2, P64_5, P32_1], dtype=np.uint64)
_KEYS = np.stack([np.frombuffer(SECRET, "<u8", 8, 8 * i) for i in range(16)])
_SCRAMBLE_KEY = np.frombuffer(SECRET, "<u8", 8, 192 - 64)
_SWAP = np.array([1, 0, 3, 2, 5, 4, 7, 6])
_U32, _U47 = np.uint64(32), np.uint64(47)
_LOW32 = np.uint64(M32)
_PRIME = np.uint64(P32_1)


def _r32(data, at):
    return struct.unpack_from("<I", data, at)[0]


def _r64(data, at):
    return struct.unpack_from("<Q", data, at)[0]


def _rotl64(x, n):
    return ((x << n) | (x >> (64 - n))) & M64


def _swap64(x):
    return int.from_bytes(x.to_bytes(8, "little"), "big")


def _fold(a, b):
    product = a * b
    return (product & M64) ^ (product >> 64)


def _avalanche(h):
    h ^= h >> 37
    h = h * MX1 & M64
    return h ^ (h >> 32)


def _avalanche64(h):
    """The final mix of XXH64."""
    h ^= h >> 33
    h = h * P64_2 & M64
    h ^= h >> 29
    h = h * P64_3 & M64
    return h ^ (h >> 32)


def _mix16(data, at, key):
    return _fold(_r64(data, at) ^ _r64(SECRET, key), _r64(data, at + 8) ^ _r64(SECRET, key + 8))


# ---- more than 240 bytes: shared by both widths ----

def _products(words, keys):
    """What each lane of each stripe adds to the accumulators."""
    keyed = words ^ keys
    added = (keyed & _LOW32) * (keyed >> _U32)
    added += words[..., _SWAP]
    return added


def _scramble(acc):
    acc ^= acc >> _U47
    acc ^= _SCRAMBLE_KEY
    acc *= _PRIME


def _accumulate(data):
    """The eight accumulators after all stripes, as Python integers."""
    size = len(data)
    blocks = (size - 1) // BLOCK
    acc = _ACC0.copy()
    for first in range(0, blocks, SLAB_BLOCKS):
        count = min(SLAB_BLOCKS, blocks - first)
        words = np.frombuffer(data, "<u8", count * BLOCK // 8, first * BLOCK).reshape(count, 16, 8)
        for row in _products(words, _KEYS).sum(axis=1, dtype=np.uint64):
            acc += row
            _scramble(acc)
    done = blocks * BLOCK
    stripes = (size - 1 - done) // STRIPE
    if stripes:
        words = np.frombuffer(data, "<u8", stripes * 8, done).reshape(stripes, 8)
        acc += _products(words, _KEYS[:stripes]).sum(axis=0, dtype=np.uint64)
    last = np.frombuffer(data, "<u8", 8, size - STRIPE)
    acc += _products(last, np.frombuffer(SECRET, "<u8", 8, LAST_STRIPE_KEY))
    return [int(x) for x in acc]


def _merge(acc, key, start):
    result = start
    for i in range(4):
        result += _fold(acc[2 * i] ^ _r64(SECRET, key + 16 * i), acc[2 * i + 1] ^ _r64(SECRET, key + 16 * i + 8))
    return _avalanche(result & M64)


# ---- 64 bits ----

def _h64_up_to_16(data, n):
    if n > 8:
        low = _r64(data, 0) ^ _r64(SECRET, 24) ^ _r64(SECRET, 32)
        high = _r64(data, n - 8) ^ _r64(SECRET, 40) ^ _r64(SECRET, 48)
        return _avalanche((n + _swap64(low) + high + _fold(low, high)) & M64)
    if n >= 4:
        h = (_r32(data, n - 4) + (_r32(data, 0) << 32)) ^ _r64(SECRET, 8) ^ _r64(SECRET, 16)
        h ^= _rotl64(h, 49) ^ _rotl64(h, 24)
        h = h * MX2 & M64
        h ^= (h >> 35) + n
        h = h * MX2 & M64
        return h ^ (h >> 28)
    if n:
        word = data[0] << 16 | data[n >> 1] << 24 | data[n - 1] | n << 8
        return _avalanche64(word ^ _r32(SECRET, 0) ^ _r32(SECRET, 4))
    return _avalanche64(_r64(SECRET, 56) ^ _r64(SECRET, 64))


def _h64_up_to_128(data, n):
    acc = n * P64_1
    for i in range((n - 1) // 32, -1, -1):
        acc += _mix16(data, 16 * i, 32 * i) + _mix16(data, n - 16 * (i + 1), 32 * i + 16)
    return _avalanche(acc & M64)


def _h64_up_to_240(data, n):
    acc = n * P64_1
    for i in range(8):
        acc += _mix16(data, 16 * i, 16 * i)
    acc = _avalanche(acc & M64)
    for i in range(8, n // 16):
        acc += _mix16(data, 16 * i, 16 * (i - 8) + MID_START)
    return _avalanche((acc + _mix16(data, n - 16, MID_LAST)) & M64)


def xxh3_64(data):
    """The XXH3-64 of a bytes-like object, as an integer."""
    n = len(data)
    if n <= 16:
        return _h64_up_to_16(data, n)
    if n <= 128:
        return _h64_up_to_128(data, n)
    if n <= 240:
        return _h64_up_to_240(data, n)
    return _merge(_accumulate(data), MERGE_LOW, n * P64_1 & M64)


# ---- 128 bits ----

def _h128_9_to_16(data, n):
    low, high = _r64(data, 0), _r64(data, n - 8)
    product = (low ^ high ^ _r64(SECRET, 32) ^ _r64(SECRET, 40)) * P64_1
    m_low, m_high = ((product & M64) + ((n - 1) << 54)) & M64, product >> 64
    high ^= _r64(SECRET, 48) ^ _r64(SECRET, 56)
    m_high = (m_high + high + (high & M32) * (P32_2 - 1)) & M64
    product = (m_low ^ _swap64(m_high)) * P64_2
    return _avalanche(product & M64), _avalanche(((product >> 64) + m_high * P64_2) & M64)


def _h128_4_to_8(data, n):
    keyed = (_r32(data, 0) + (_r32(data, n - 4) << 32)) ^ _r64(SECRET, 16) ^ _r64(SECRET, 24)
    product = keyed * (P64_1 + (n << 2) & M64)
    low, high = product & M64, product >> 64
    high = (high + (low << 1)) & M64
    low ^= high >> 3
    low ^= low >> 35
    low = low * MX2 & M64
    return low ^ (low >> 28), _avalanche(high)


def _h128_1_to_3(data, n):
    low = data[0] << 16 | data[n >> 1] << 24 | data[n - 1] | n << 8
    high = int.from_bytes(low.to_bytes(4, "little"), "big")
    high = (high << 13 | high >> 19) & M32
    return (_avalanche64(low ^ _r32(SECRET, 0) ^ _r32(SECRET, 4)),
            _avalanche64(high ^ _r32(SECRET, 8) ^ _r32(SECRET, 12)))


def _mix32(acc, data, at1, at2, key):
    low = (acc[0] + _mix16(data, at1, key) & M64) ^ (_r64(data, at2) + _r64(data, at2 + 8) & M64)
    high = (acc[1] + _mix16(data, at2, key + 16) & M64) ^ (_r64(data, at1) + _r64(data, at1 + 8) & M64)
    return low, high


def _finish128(acc, n):
    low, high = acc
    mixed = (low * P64_1 + high * P64_4 + n * P64_2) & M64
    return _avalanche(low + high & M64), -_avalanche(mixed) & M64


def _h128_up_to_240(data, n):
    acc = (n * P64_1 & M64, 0)
    if n <= 128:
        for i in range((n - 1) // 32, -1, -1):
            acc = _mix32(acc, data, 16 * i, n - 16 * (i + 1), 32 * i)
        return _finish128(acc, n)
    for at in range(0, 128, 32):
        acc = _mix32(acc, data, at, at + 16, at)
    acc = _avalanche(acc[0]), _avalanche(acc[1])
    for at in range(128, n - 31, 32):
        acc = _mix32(acc, data, at, at + 16, at - 128 + MID_START)
    return _finish128(_mix32(acc, data, n - 16, n - 32, MID_LAST - 16), n)


def _halves(data):
    n = len(data)
    if n > 240:
        acc = _accumulate(data)
        return _merge(acc, MERGE_LOW, n * P64_1 & M64), _merge(acc, MERGE_HIGH, ~(n * P64_2) & M64)
    if n > 16:
        return _h128_up_to_240(data, n)
    if n > 8:
        return _h128_9_to_16(data, n)
    if n >= 4:
        return _h128_4_to_8(data, n)
    if n:
        return _h128_1_to_3(data, n)
    return _avalanche64(_r64(SECRET, 64) ^ _r64(SECRET, 72)), _avalanche64(_r64(SECRET, 80) ^ _r64(SECRET, 88))


def xxh3_128(data):
    """The XXH3-128 of a bytes-like object, as the 16 bytes that a file stores: low half, high half."""
    return struct.pack("<QQ", *_halves(data))


def hash_text(stored):
    """`xxh3:` and 32 hexadecimal digits, the high half first (FORMAT.md, section 9)."""
    return "xxh3:" + bytes(reversed(stored)).hex()


# ---- XXH64, the checksum of Zstandard frames ----

def _round64(acc, word):
    return _rotl64((acc + word * P64_2) & M64, 31) * P64_1 & M64


def _xxh64_stripes(data, n):
    """The four lanes over all whole stripes of 32 bytes, merged."""
    lanes = [P64_1 + P64_2 & M64, P64_2, 0, -P64_1 & M64]
    for words in struct.iter_unpack("<4Q", memoryview(data)[:n // 32 * 32]):
        lanes = [_round64(acc, word) for acc, word in zip(lanes, words)]
    h = sum(_rotl64(acc, n) for acc, n in zip(lanes, (1, 7, 12, 18))) & M64
    for acc in lanes:
        h = ((h ^ _round64(0, acc)) * P64_1 + P64_4) & M64
    return h


def xxh64(data):
    """The XXH64 (seed 0) of a bytes-like object, as an integer."""
    n = len(data)
    h = _xxh64_stripes(data, n) if n >= 32 else P64_5
    h = (h + n) & M64
    at = n // 32 * 32
    while at + 8 <= n:
        h = (_rotl64(h ^ _round64(0, _r64(data, at)), 27) * P64_1 + P64_4) & M64
        at += 8
    if at + 4 <= n:
        h = (_rotl64(h ^ (_r32(data, at) * P64_1 & M64), 23) * P64_2 + P64_3) & M64
        at += 4
    for byte in bytes(data[at:]):
        h = _rotl64(h ^ (byte * P64_5 & M64), 11) * P64_1 & M64
    return _avalanche64(h)
