"""Prints the table of known hashes of test_reader.py with the real library (needs the module xxhash)."""

import xxhash

LENGTHS = (0, 1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 31, 32, 33, 63, 64, 65, 96, 97, 127, 128, 129, 143, 144, 145, 159,
           160, 161, 200, 239, 240, 241, 255, 256, 257, 512, 1023, 1024, 1025, 1087, 1088, 1089, 2047, 2048, 2049, 5000,
           65536, 1048575, 1048576, 1048577, 3000001)

longest = bytes((i * 2654435761 >> 13) & 255 for i in range(max(LENGTHS)))
for n in LENGTHS:
    data = longest[:n]
    print(f'    ({n}, 0x{xxhash.xxh3_64_intdigest(data):016x}, "{xxhash.xxh3_128_hexdigest(data)}", '
          f'0x{xxhash.xxh64_intdigest(data):016x}),')
