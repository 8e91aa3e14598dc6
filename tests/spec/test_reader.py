"""The reader: hashes, Zstandard, packing, the formula, reading, validating."""

import base64
import contextlib
import io
import os
import struct
import sys
import tempfile
import unittest

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "..", "spec", "reader")]

import command                                                              # noqa: E402
import zstd                                                                 # noqa: E402
from builder import Builder, linear, operand                                # noqa: E402
from findings import quoted                                                 # noqa: E402
from ingot_reader import IngotError, examine, open_file, validate           # noqa: E402
from linear import to_bf16, to_f16, unpack_codes                            # noqa: E402
from xxh3 import hash_text, xxh3_64, xxh3_128, xxh64                        # noqa: E402

# (length, XXH3-64, XXH3-128 with the high half first, XXH64), of bytes (i * 2654435761 >> 13) & 255.
# Printed by make_known_hashes.py.
KNOWN_HASHES = (
    (0, 0x2d06800538d394c2, "99aa06d3014798d86001c324468d497f", 0xef46db3751d8e999),
    (1, 0xc44bdff4074eecdb, "a6cd5e9392000f6ac44bdff4074eecdb", 0xe934a84adb052768),
    (2, 0x1ca5cfa6a6d57dc2, "59264f999f5b71511ca5cfa6a6d57dc2", 0x0cd811486f07af67),
    (3, 0xa1c4a8259b827291, "95c705060a313bf8a1c4a8259b827291", 0x28823e205e353f69),
    (4, 0xbb4e3d89ee0b271d, "afbf64f9281b8de2fde8d93ae8794d8e", 0x91b65bbe720c34cf),
    (5, 0xdafb9806147ded6f, "a872e23fe32357632be2d19951c07993", 0x31fce8da85d2b801),
    (7, 0xe8317720ff435ece, "c64dca5a80a280cb75c20f7ea6fdec78", 0xe2400cdea02ee3c5),
    (8, 0x79d02238b80e37b1, "2761698c33953c430234362aaf47b71a", 0x521fd2878ea69d17),
    (9, 0xf64cecc4271ff461, "0d39db6431d37a74895c8a562da51412", 0x192535de38f73596),
    (12, 0x69e735c8925ceff1, "2bc81486652df906bf890582d2f3aa52", 0x3fb737ea78f531bb),
    (15, 0x6f72fd6b5d066049, "25bce72548003f03ebab99da883ac189", 0x4ee77ab371d06e31),
    (16, 0x222e9aead6bddd51, "29be75b0bbbb5284aafffcec5df2cb27", 0xb1a375c6bd6ba7af),
    (17, 0x47aad6b375eb4bba, "db7e8f77961e47fd878751509ecfdb8b", 0xbbe746d4e95f47cc),
    (31, 0x001cb9f64cb08212, "c7d62971fdc7cbdef165f912bffdeb23", 0xb74baa9042b94dee),
    (32, 0x774140158f21ff0a, "3e97336e6cbb6ee0de94574d7a589440", 0x4e13111ced6f735d),
    (33, 0x537e7ed26d825e92, "3411cfe692c2e51ee2928442749dbe83", 0xf7b9faf20b3bce63),
    (63, 0x625b8b75eeeaf221, "7799ae11f05a258afb05e0b272e66ddf", 0x35f935e6044a08ad),
    (64, 0x70a70e66815e67e5, "492893316886558766fa129223be93a5", 0xcd91daec2c21766f),
    (65, 0x4b4ce7050eeb9559, "b6dfa5aac5c63dc2f5b4ade8de9a76a3", 0x7c795c59456ed577),
    (96, 0xa97f9ae93c0ff67a, "e83e939b9571947cb9de9a9696c420fc", 0x00943940f9ef4f42),
    (97, 0x0dd88db1bbaf7326, "dd6ad8d4fb1433a98ea932450271fde4", 0x8e5c56c72a19b963),
    (127, 0xb931ee7057194e63, "4e3b459b60f6cafa8dc4748447f5628b", 0x181ccdafb569956c),
    (128, 0x421a9c905c6e66ba, "ba44fd018231af4cbbe087d879edcc78", 0x0f9f33b4fe066f05),
    (129, 0x9e2414800f83768a, "522c922743fd67f1b8075934107218e5", 0x7ba4d2a5203763c7),
    (143, 0x4227bb454d542644, "ba6ea40f08b1c5aed6584f9669496994", 0x4fc04020794b7963),
    (144, 0xb851aacca23ec7b6, "0eacd23d97d730f675d261a9d4c52479", 0x30ed9adc30d73140),
    (145, 0x8357733c4e175543, "50d6dbb7fb8cb830fd13bc2c6fd56f02", 0xb637d940860a620f),
    (159, 0x74da795b6cd7be6d, "b8d84928ce30df2ad19ad5c36f243195", 0x87fb87eefcf8d8fa),
    (160, 0x767734a842829d9d, "b5514c067fd629180e08f445e497507a", 0x95af5fdc901cfe5a),
    (161, 0xb5a35211f125520f, "e4072cf8ee2a75b5e98385a75e9fb9b2", 0x8b9bd0ce3e478d98),
    (200, 0x20a87db907ce74e4, "fc856e6538fc9e49293b2bb62ee3d385", 0xdc2d5a9de81b7d4c),
    (239, 0x11c20fc75e84087b, "c1e42329e230196f964c0b96c0e4e615", 0x832a938c3b13127b),
    (240, 0xb714c5fd22744964, "4f49ccc8526aa7ad407883ea5ef95b9a", 0x1fa3ded0daf320b7),
    (241, 0xbc424a2c480dd281, "50b62ee1ee6455a7bc424a2c480dd281", 0xa6401b72569001b5),
    (255, 0x155baa5891f7606f, "13c4fb2eb194824f155baa5891f7606f", 0xfed0a69e11176032),
    (256, 0x2d040b1ab40f0d78, "20d618055259b36c2d040b1ab40f0d78", 0x3dfddfd156d0783b),
    (257, 0xd0515fbec69efb50, "06d2f2dce7891e45d0515fbec69efb50", 0x953c769d8249d780),
    (512, 0x17ec4809d1a9ad43, "17d1143c4bfb7ce017ec4809d1a9ad43", 0xf41bf38cfc37ff54),
    (1023, 0x3071307bafa2f8f4, "d34ef4f411b9a93e3071307bafa2f8f4", 0xda55b6e13352bc48),
    (1024, 0x1fd15e7d36f5e1bc, "53bd178b75ab292e1fd15e7d36f5e1bc", 0x36b9a9162057f968),
    (1025, 0xfe08e5a874d23fd2, "d1ad5f4a3cce4374fe08e5a874d23fd2", 0x54d532ec3bac8beb),
    (1087, 0x31bd71b326693b7f, "37d8d68382d6e18531bd71b326693b7f", 0x9c73e420f61ab53d),
    (1088, 0x0ac7cf3a6009bab5, "9c1e8a4061056e7d0ac7cf3a6009bab5", 0x414cb3e8c068e9b2),
    (1089, 0xb246626fdf150fcb, "76f7b4fc407270d6b246626fdf150fcb", 0x711ea998d241a0c2),
    (2047, 0x00e9914a63660650, "02ee993d673c565700e9914a63660650", 0x0dd37b878114ac9e),
    (2048, 0x81ec4a6a9ee23d55, "2e141090da5502aa81ec4a6a9ee23d55", 0xfffc2d88824db985),
    (2049, 0x9156a1fd2d1a8c37, "3b45eb7c64d498329156a1fd2d1a8c37", 0xd11b9ae180146c96),
    (5000, 0x853377ef13cec7bd, "971956c2a9ecb28a853377ef13cec7bd", 0x24c8506bcaf3564f),
    (65536, 0x32152aa15c5ff65a, "463ae68f708ee10132152aa15c5ff65a", 0xd9df018f076d929d),
    (1048575, 0x5bbbdacad94abc36, "a107557da7d0b9b05bbbdacad94abc36", 0x31df9a7b207d190b),
    (1048576, 0xe2786b358eab4a67, "490d2e4880066606e2786b358eab4a67", 0xae5ba942a34abdcf),
    (1048577, 0x69f60194b251a8cf, "a972b88ce5b0c59469f60194b251a8cf", 0x41a52243e41dd1cd),
    (3000001, 0x1f1165149e82d014, "02d4910aa3cb89821f1165149e82d014", 0xca4a7d81e8c635f0),
)

# (input, length, a frame of it), made with the levels 1, 3 and 19 of zstd 1.5, some with a checksum.
FRAMES = (
    ("empty", 0,
        "KLUv/SAAAQAA"),
    ("one", 1,
        "KLUv/SQBCQAAeCMRBIM="),
    ("zeros", 200000,
        "KLUv/aBADQMAVAAAEAAAAQD7/znAAgNqCAA="),
    ("words", 700,
        "KLUv/WS8AQ0FAJQCY29kZSB0ZW5zb3IgY2h1bmtwbGFuZWZyYW1zY2FsZSB6ZXJvaW5nb3REqNBTNsYgROCYuxsRxASwEArUSWGK"
        "dQPOeZAPEHwutJ6HmX/hxu2fHeLeJoxbwYZqYxTcgCKJLzAEUvOcx7n4+F2Q7Syc4kEX345OpLik48u12AiAav+YwvCE8QGppzFh"
        "TxBPaXsGn19SnmhIy4nI045PCOYOOvAx8g=="),
    ("words", 3000,
        "KLUv/WC4CqUSAPQCY29kZSBjb2RlIHRlbnNvciBjaHVua3BsYW5lZnJhbXNjYWxlIHplcm9pbmdvdGmBtKjRp2zsG0EEKYuVPREE"
        "cUlEVFIotB3KJdwjVpchmkh8QFOrkuJbGHhWX4lOdPYgmv+90dprBoJVULd5zqeDUrsJ2B1EbLMLDYwhs9x7lOjR22NcOvB6EaQk"
        "tZTsbg7xJ0ZD5RNs3+KeLpVFGpR6t+ZqiFcczyf4toYB7E4+pkl4RCMpTOPllDHm8oeiQfflmQmyPHQBT2CyjMCNFtTI9RO7jbaT"
        "JBUcAyzxVgDwdyi3/HzTCQjkBBGyUgBo5EttJ//KABOwrHfzoEZ9Dl4CMQ9G5hGYvgZL7/lL5REoBxdwzVgSHrwPbyfw7G8i4ElA"
        "SUQHs8pX8S8YClvuWZpPnoiiaO+Z4X0NkMYmYtG84uI6pAsyLMy21mIHQ6nHXDFKztU/klFJ3Oz52TFO49Q/yk6C6V7o/CF16sCg"
        "hhmw50XItCgpQARIjJgQSxzl8ieeoRfRvpXWIO8BkNuHXpyrNc3BsG4grxKsuCUwJyeQugFPSyETEx+CfKaBs2fmpBUH0Qt/aI90"
        "o3YjpK2YtXcx59tq1EGLdp0Q47B1VgCnW6OLJbmRjACwP3JuPYe6nJXxCHCQj4Tj49FMO3yQwkdMnSkpXYgYvSkW9Z4cMEKbgpOA"
        "dF5V2gPn6qmDl08uTVDCYI/woENFESoETgPS0Z0BfgOtpKdgQko+Tq2AMQOs0ecTzvHQhGDMqDyB/wJaAnJJg2Cf4LmQ8nIU6erc"
        "qfL5xXer"),
    ("skew", 180,
        "KLUv/SC0JQMAAgsXC5CW8cAYX1e5wyYIfHHraYaUIs22fMhD32eW7Hxp/FxiQxaVLOa233ukPlviBeMU7Y27CeCA6EabgVp+lKyA"
        "geWQ9XbmbBDZpxrAtMYn0uuiX/8qer/J/XMRKgEBAGrgoA=="),
    ("skew", 2000,
        "KLUv/WTQBs0fAFph8AugAAd3dmdVZEUzQhMREQEREAC0ALgAugA1WBU1YYlrLDgwgG5DPuEfaQ8her3Nq1m0SS1sgD3ezQZ0Pao3"
        "6+hK5jjJSDLvcY3MdcjrKERIZPAbdGJB7d1ghIbfBmUQj1wdtXPn4dhKY5dtb2D9lYUVYdPpYSKYIABGhFabJ279rAYh0mzJBEnM"
        "95kdO98ZP3e4SJqSpG77vTfqsx1+UCCI9sbdY3AputFFmJIP6BgNBBKCpLcz58KM/WkN1ZY/nNcF/foT0ftN7p9pDAlEfMgO5vRU"
        "G0qoY7znMZKaL+rSJOSHTDSyStzEJPD4fLo4rR7/TQU44sSJtincebpMuhQ8U4t/E970wUu6SCcDw1SR/kZa5WvSeZ73+VA8CwbV"
        "GRbkuzwRL58D+e4RGObMCy8f+PtDLNcSEsQCxMSQ61a0xfxJXHrqUIvwNtoyTWoeB2ZnUCrDDJOF2Y38fJ0deQHfbE9h3cUBjYAJ"
        "JcODWH4JZ8SSERZHv4QSNMQEfOLjMbtRoYsG/BirxjWHWbZDa09LOpORC/Lq5qpmWMTx5rMZZCiV5sNVEtEnQyheDobEeDPhGhxX"
        "fa2HVyplARzTXivD/hXZiTxGxgD/tY/hlXETvm8PFuDZX6ATtR1nzAlR1gkf0NyAnUJmhpThEMcXagB7LqZ9lb1V9mLiZQ6aYBcv"
        "rVwfOOnWrW6bi4GpbhmiaqJOKVHzwqXjt+tSSep9MjsdytzYU8a/QcEgdg4nnlcMlXbKTw1rhz0XSVdIRhcBPAL6GPWeMNKZDaqi"
        "NK9AMsDEBHHxov8IRXUMa6gGe77oA0DnS16iK+t8csxNY9guqUkyR8UCSBwjOVBXHBlqIMGpi7TgK1rpXtHnoGOjqwJxBBDCCTTL"
        "5ECiMiVad4GG08s9zgNj1ePgzSOYWy8las9D0w13WJMAhfG8vYtIQjSF/VBjslC1RrzB2cXGQ9Vtz9la4AFpgGFow5pq03moCcLf"
        "gDMHBMVCLyEMyzvTpclpsBvUOOtIJL6MYvTsAWyoURhljEJGIURIERkZIdrmEBJCDFKoBxDwDn2gJwaUBDMicZaiO6QQM+t8cYm3"
        "pHkbiAUwUf5KpQbTZHBO2bfoVgz9QLKzC4ZQvQWC/xq7QNcNjQPQElxn+1HAXVHAFPtcspAYV3UtoWgU+codgF0exaxk4gzcFqZr"
        "gCX2Z6ZTr0RYqKVt/egppKsQZTGjP+HTbMOEpgWBDGwechqndP4Ajg78b0FXUGxUcYWDYV1H+TtiqziEYpTKWSO3fNhfs8Yuxtnx"
        "FFQj+t4yYa4eetkYpSEdxXoV3i5j+oZexz4RTXmIR/Ro9gXQKzp6mpSgf/U5JZL0VrUBKhm2qb0="),
    ("skew", 1400,
        "KLUv/WB4BAUVAJpWQAqgAAd3dmdVZEVDQRIREQERAACfAJ8AnAAvGAF7vJsRdD2qN+voStxtjpOMJPMe18hch7yOQoREBr9BJwKo"
        "vSNGaPiNKIN45Oqo3fnOnYdjK41dtj2B9VcWrAabTg/TwAMJMCK02jxx62c1CJFmSx7IYb7P7Nj5zvi5w0XSlCR12++9UZ/t8ETB"
        "QLQ37h6CS9GNrsGUnEDHSBiQDDzppLcz54IZ+9MSqi1/OK8B9OtPRO83uX+mMSQz8z4XiicAojrDgnyXp+HF3z5JWyDfvQLDnHnB"
        "ywX+/hDLtYRmOdg00QDxMOS6seiiLeZP4tJTh1oDbXobbZkmNY+E2dEfotT1VIQZJgvTL7uRn6+zU3LkB3yzPYV1FwlaAQ9KRubw"
        "IJZfwhmxZITF0e+gAw1xAX/4eMxuVGjbLlrEqqgJS1z7PhYkHKDbkD/4R9pDiF5vxG1ezaJN6vrUoffSezzUvBiyLh2/XRPtUknq"
        "fTJrzkyFMjf2lPGPADBMftgpnHheMSVNpZ3yU8LaYc/1IpF0hWRF0tAFDR+ybVkwp/dG9Pk1oYQ6xnseI6lrky/q0iTkh0wdlUZW"
        "h3uYBDWL/jw+ny5Oq8d/kwFu+HCTSrRN4c56O10mXQo8u/NQi38T3nTiJb3+Rfrc0wFhqkh/I63yNek8mwHDPW+vm6uaYW02cTyO"
        "nM9mENemUA+XfrM0H66SiGdtC+bJDIqXxHAYbx5cg+Oqr/XwSqU8gDOqbXJnN9pr2FsRVn7+FdmJPEbGPBPwX/sYXhn34Pu24AGe"
        "/QXll07UdpwxJ0NZH5ygOYKdQmaGFLs2u+moHOL4QhVgz8W0r2L2e6vshW09vMxBD+zC5V9auUZw0q1b3TYXhKlumaFqCgMEAjlQ"
        "aYswCNqCBg=="),
)


def hashed_input(n):
    return (np.arange(n, dtype=np.uint64) * np.uint64(2654435761) >> np.uint64(13)).astype(np.uint8).tobytes()


def numbers(x):
    while True:
        x = (x * 1103515245 + 12345) & 0x7FFFFFFF
        yield x >> 16 & 0x7FFF


def zstd_input(kind, n):
    if kind == "words":
        words = ("ingot ", "tensor ", "plane ", "chunk ", "frame ", "scale ", "code ", "zero ")
        text = "".join(words[v & 7] for v, _ in zip(numbers(1), range(n)))
        return text[:n].encode()
    if kind == "skew":
        return bytes((v & -v).bit_length() * 3 + (v >> 13) for v, _ in zip(numbers(7), range(n)))
    return b"x" * n if kind == "one" else bytes(n)


class Hashes(unittest.TestCase):
    def test_known_values(self):
        data = hashed_input(max(n for n, *_ in KNOWN_HASHES))
        for n, h64, h128, old in KNOWN_HASHES:
            with self.subTest(n):
                self.assertEqual(xxh3_64(data[:n]), h64)
                self.assertEqual(hash_text(xxh3_128(data[:n])), "xxh3:" + h128)
                if n <= 65536:
                    self.assertEqual(xxh64(data[:n]), old)


class Zstandard(unittest.TestCase):
    def test_frames(self):
        for kind, n, text in FRAMES:
            with self.subTest(kind=kind, n=n):
                frame, data = base64.b64decode(text), zstd_input(kind, n)
                self.assertEqual(zstd.decode_frame(frame, n), (data, len(frame)))
                self.assertEqual(zstd.decode_frame(frame + b"more", n), (data, len(frame)))
                self.assertEqual(zstd.frame_header(frame).content_size, n)

    def test_limit(self):
        frame = base64.b64decode(FRAMES[2][2])
        self.assertRaises(zstd.ZstdError, zstd.decode_frame, frame, 199999)

    def test_cut_and_changed_frames_end(self):
        for kind, n, text in FRAMES[:-1]:
            frame = base64.b64decode(text)
            for cut in range(min(len(frame), 150)):
                self.assertRaises(zstd.ZstdError, zstd.decode_frame, frame[:cut], n)
            for at in range(0, len(frame), 3):
                changed = bytearray(frame)
                changed[at] ^= 1 << at % 8
                with contextlib.suppress(zstd.ZstdError):
                    self.assertLessEqual(len(zstd.decode_frame(changed, 1 << 18)[0]), 1 << 18)

    def test_not_a_frame(self):
        for data in (b"", b"\x28", bytes(16), bytes.fromhex("502a4d1804000000") + bytes(8)):
            self.assertRaises(zstd.ZstdError, zstd.frame_header, data)


class Rounding(unittest.TestCase):
    def test_bf16(self):
        cases = {0x3F808000: 0x3F800000, 0x3F818000: 0x3F820000, 0x3F808001: 0x3F810000, 0x7F7FFFFF: 0x7F800000,
                 0x7F800001: 0x7FC00000, 0x00008000: 0, 0x00018000: 0x00020000, 0x80000001: 0x80000000}
        values = np.array(list(cases), np.uint32).view(np.float32)
        self.assertEqual(to_bf16(values).view(np.uint32).tolist(), list(cases.values()))

    def test_f16(self):
        values = np.array([65519.996, 65520, 2.0 ** -25, 2.0 ** -25 * 1.001, 2049, 2051], np.float32)
        self.assertEqual(to_f16(values).tolist(), [65504, np.inf, 0, 2.0 ** -24, 2048, 2052])


class Files(unittest.TestCase):
    """Tests on files that are written here."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def write(self, data, name="test.ingot"):
        path = os.path.join(self.folder.name, name)
        with open(path, "wb") as file:
            file.write(data)
        return path

    def check(self, build, dead=()):
        path = self.write(build.build(dead))
        self.assertEqual([str(v) for v in validate(path)], [])
        model = open_file(path)
        self.addCleanup(model.close)
        return model

    def one_linear(self, payload, planes, dims, children=()):
        """A file with the tensor w; `children` are (payload, planes)."""
        build = Builder()
        for child, child_planes in children:
            build.encoding(2, child, child_planes)
        encoding = build.encoding(2, payload, planes, len(children))
        build.tensor(b"w", 0, dims, [(dims[0] if dims else 1, encoding)])
        return build

    def rules(self, data):
        return [v.rule for v in validate(self.write(data))]


def codes_row(*codes):
    """Codes of 4 bits of one row, at most 32: a unit."""
    return bytes(codes) + bytes(32 - len(codes))


class Examples(Files):
    """Section 7 of ENCODINGS.md."""

    def test_7_1_four_bits_two_groups(self):
        payload = linear(4, 1, 4, 1, 2, s=operand(2, 1), z=operand(1, 0, 8.0))
        planes = (bytes.fromhex("080f0009") + bytes(28), bytes.fromhex("00380034"))
        model = self.check(self.one_linear(payload, planes, (1, 4)))
        self.assertEqual(model.decode("w").tolist(), [[0, 3.5, -2, 0.25]])
        self.assertEqual(model.codes("w").tolist(), [[8, 15, 0, 9]])
        self.assertEqual(model.scales("w").tolist(), [[0.5, 0.25]])
        self.assertEqual(model.zero_points("w").tolist(), [[8, 8]])
        self.assertIsNone(model.offsets("w"))

    def test_7_2_three_bits(self):
        low, high = bytearray(bytes.fromhex("010203") + bytes(13)), bytearray(bytes.fromhex("010001") + bytes(5))
        self.assertEqual(unpack_codes([low, high], 1, 3, 3)[0].tolist(), [5, 2, 7] + [0] * 61)
        low[1], high[1] = 0x0A, 0x04
        codes = unpack_codes([low, high], 1, 18, 3)[0].tolist()
        self.assertEqual((codes[:3], codes[17], sum(codes)), ([5, 2, 7], 6, 20))

    def test_7_3_nested_zero_point(self):
        payload = linear(4, 2, 256, 1, 128, z=operand(3))
        child = (linear(4, 2, 2), (bytes.fromhex("07080908") + bytes(28),))
        model = self.check(self.one_linear(payload, (b"\x88" * 256,), (2, 256), [child]))
        self.assertEqual(model.zero_points("w").tolist(), [[7, 8], [9, 8]])
        self.assertEqual(model.decode("w")[:, ::128].tolist(), [[1, 0], [-1, 0]])

    def test_7_4_each_operation_rounds(self):
        payload = linear(4, 1, 1, s=operand(1, 0, 0.10205078125), o=operand(1, 0, 0.0986328125), arithmetic=2, result=2)
        model = self.check(self.one_linear(payload, (codes_row(3),), (1, 1)))
        self.assertEqual(model.decode("w").tolist(), [[0.2080078125]])

    def test_7_5_an_outlier(self):
        payload = linear(4, 1, 2, s=operand(1, 0, 0.5), z=operand(1, 0, 8.0), outliers=1, outlier_type=1,
                         outlier_count=1)
        planes = (codes_row(8, 9), struct.pack("<2Q", 0, 1), struct.pack("<H", 0), struct.pack("<H", 0x50A8))
        model = self.check(self.one_linear(payload, planes, (2,)))
        self.assertEqual(model.decode("w").tolist(), [37.25, 0.5])


class Formula(Files):
    def test_permutation_column_scale_and_outlier_columns(self):
        order, codes = [2, 0, 1], [[1, 2, 3], [4, 5, 6]]
        payload = linear(4, 2, 3, 1, 2, s=operand(2), t=operand(2), permutation=1, outliers=2, outlier_count=1)
        planes = (codes_row(*codes[0]) + codes_row(*codes[1]), struct.pack("<4f", 1, 2, 3, 4),
                  struct.pack("<3f", 1, 10, 100), struct.pack("<3I", *order), struct.pack("<H", 1),
                  struct.pack("<2f", 0.5, 0.25))
        model = self.check(self.one_linear(payload, planes, (2, 3)))
        # Stored: [1*1, 1*2, 2*3] and [3*4, 3*5, 4*6]; logical columns 2, 0, 1; times t; plus the outliers of column 1.
        self.assertEqual(model.decode("w").tolist(), [[2, 60.5, 100], [15, 240.25, 1200]])
        self.assertEqual(model.codes("w").tolist(), codes)

    def test_codebook_is_not_rounded_without_an_operation(self):
        book = np.array([0.1, 0.2], np.float32)
        for extra, planes, expected in (({}, (), book), ({"s": operand(1, 0, 0.5)}, (), to_bf16(to_bf16(book * 0.5)))):
            payload = linear(1, 1, 2, codebook=1, arithmetic=2, **extra)
            model = self.check(self.one_linear(payload, (bytes([0, 1] + [0] * 6), book.tobytes()) + planes, (2,)))
            self.assertEqual(model.decode("w").tolist(), expected.tolist())

    def test_parts_along_the_second_axis_and_an_alias(self):
        build = Builder()
        first = build.encoding(1, b"", (struct.pack("<4f", 1, 2, 5, 6),))
        second = build.encoding(2, linear(8, 2, 1, s=operand(1, 0, 2.0)), (bytes([1] + [0] * 63 + [2] + [0] * 63),))
        build.tensor(b"a", 0, (2, 3), [(2, first), (1, second)], axis=1)
        build.tensor(b"b", 0, (2, 3), 0, axis=1)
        model = self.check(build)
        self.assertEqual(model.decode("b").tolist(), [[1, 2, 2], [5, 6, 4]])
        self.assertRaises(IngotError, model.raw, "a")

    def test_raw_dtypes(self):
        build = Builder()
        build.raw(b"bf16", 2, (2,), bytes.fromhex("803f00c0"))
        build.raw(b"e4m3", 4, (4,), bytes([0x38, 0xFE, 0x01, 0x80]))
        build.raw(b"e5m2", 5, (3,), bytes([0x3C, 0x7C, 0x01]))
        build.raw(b"f64", 3, (), struct.pack("<d", 0.1))
        build.raw(b"i16", 8, (2, 0), b"")
        model = self.check(build)
        self.assertEqual(model.decode("bf16").tolist(), [1, -2])
        self.assertEqual(model.raw("bf16").tolist(), [0x3F80, 0xC000])
        self.assertEqual(model.decode("e4m3").tolist(), [1, -448, 2.0 ** -9, 0])
        self.assertEqual(model.decode("e5m2").tolist(), [1, np.inf, 2.0 ** -16])
        self.assertEqual(model.decode("f64").tolist(), float(np.float32(0.1)))
        self.assertEqual((model.raw("i16").shape, model.raw("i16").dtype), ((2, 0), np.dtype("<i2")))
        self.assertRaises(IngotError, model.decode, "i16")


class Reading(Files):
    def everything(self):
        build = Builder()
        frame = base64.b64decode(FRAMES[4][2])
        build.encodings.append((1, 1, 0, build.plane(zstd_input("words", 3000), [(1, frame)]), b"", 1))
        build.tensor(b"text", 13, (3000,), [(3000, 0)])
        build.metadata = [(b"a", 12, 11, struct.pack("<I2sI", 2, b"hi", 0)), (b"b", 0, 0, b"\1"),
                          (b"c", 10, 0, struct.pack("<d", 0.5))]
        build.attachments = [(b"d/empty", struct.pack("<I", 0xFFFFFFFF)),
                             (b"x.json", struct.pack("<I", build.plane(b"{}")))]
        build.sources = [(b"s", struct.pack("<Q16s", 7, bytes(16)))]
        return build

    def test_contents(self):
        model = self.check(self.everything())
        self.assertEqual(model.metadata, {"a": ["hi", ""], "b": True, "c": 0.5})
        self.assertEqual(dict(model.attachments.items()), {"d/empty": b"", "x.json": b"{}"})
        self.assertEqual(model.sources[0][:2], ("s", 7))
        self.assertEqual(model.raw("text").tobytes(), zstd_input("words", 3000))

    def test_one_bad_slot(self):
        data = bytearray(self.everything().build())
        for at, rule in ((4096, "R-HDR-1"), (4200, "R-HDR-2"), (0, "R-HDR-1"), (30, "R-HDR-2")):
            changed = bytearray(data)
            changed[at] ^= 1
            path = self.write(changed)
            self.assertEqual([v.rule for v in validate(path)], [rule])
            with open_file(path) as model:
                self.assertEqual(list(model.tensors), ["text"])

    def test_no_good_slot(self):
        data = bytearray(self.everything().build())
        data[1] ^= 1
        data[4097] ^= 1
        self.assertRaises(IngotError, open_file, self.write(data))

    def test_damage_is_found_when_read(self):
        data = bytearray(self.everything().build())
        data[8192 + 20] ^= 1
        path = self.write(data)
        self.assertEqual([v.rule for v in validate(path)], ["R-FRM-6"])
        self.assertEqual(validate(path, structure_only=True), [])
        with open_file(path) as model:
            with self.assertRaisesRegex(IngotError, 'R-FRM-6: tensor "text", plane 0 .elements., chunk 0'):
                model.raw("text")

    def test_every_cut_file_is_refused(self):
        data = self.everything().build()
        for size in list(range(0, 8192, 512)) + list(range(8192, len(data), 37)):
            path = self.write(data[:size])
            self.assertEqual([v.rule for v in validate(path)], ["R-FILE-1" if size < 8192 else "R-FILE-2"])
            self.assertRaises(IngotError, open_file, path)

    def test_bytes_after_the_end_are_a_warning(self):
        found = examine(self.write(self.everything().build() + b"tail"))
        self.assertEqual((found.violations, len(found.warnings)), ([], 1))

    def test_large_alignment(self):
        build = Builder(alignment=65536)
        build.raw(b"a", 13, (3,), b"abc")
        self.assertEqual(self.check(build).raw("a").tobytes(), b"abc")

    def test_unsafe_shard_is_not_opened(self):
        build = Builder()
        build.shards = [(b"../x.ingot", bytes(32))]
        self.assertEqual(self.rules(build.build()), ["R-SHD-2"])


class CommandLine(Files):
    def run_command(self, *arguments):
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = command.main(arguments)
        return status, out.getvalue(), err.getvalue()

    def test_commands(self):
        build = Builder()
        build.raw("n\x1b[31m\u202e".encode(), 0, (2,), struct.pack("<2f", 1, 2))
        path, out = self.write(build.build()), os.path.join(self.folder.name, "out.npy")
        self.assertEqual(self.run_command("validate", path)[0], 0)
        status, text, _ = self.run_command("list", path)
        self.assertEqual((status, text), (0, 'tensor "n\\x1b[31m\\u202e" F32 [2] raw\n'))
        self.assertEqual(self.run_command("decode", path, "n\x1b[31m\u202e", out)[0], 0)
        self.assertEqual(np.load(out).tolist(), [1, 2])
        self.assertRegex(self.run_command("digest", path)[1], "^xxh3:[0-9a-f]{32}\n$")
        status, text, _ = self.run_command("validate", self.write(b"short"), "--json")
        self.assertEqual(status, 1)
        self.assertIn('"rule": "R-FILE-1"', text)
        self.assertEqual(self.run_command("decode", path, "none", out)[0], 1)

    def test_quoted(self):
        self.assertEqual(quoted(b'a"\\\n\xff'), '"a\\"\\\\\\x0a\\\\xff"')


if __name__ == "__main__":
    unittest.main()
