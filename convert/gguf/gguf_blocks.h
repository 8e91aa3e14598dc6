// The blocks of GGUF's types: their codes as bytes, on the way into planes; blocks from such bytes (gguf_pack.cc); and
// their values, by ggml's own formulas (gguf_decode.cc, which shares nothing with the others). Pure functions;
// thread-safe.
#pragma once

#include "convert/gguf/gguf_types.h"

namespace ingot {

GgufUnpack UnpackQ1_0, UnpackQ2_0, UnpackQ4_0, UnpackQ4_1, UnpackQ5_0, UnpackQ5_1, UnpackQ8_0, UnpackQ2_K, UnpackQ3_K,
    UnpackQ4_K, UnpackQ5_K, UnpackQ6_K, UnpackIq4Nl, UnpackIq4Xs, UnpackTq1_0, UnpackTq2_0, UnpackMxfp4, UnpackNvfp4;

GgufPack PackQ1_0, PackQ2_0, PackQ4_0, PackQ4_1, PackQ5_0, PackQ5_1, PackQ8_0, PackQ2_K, PackQ3_K, PackQ4_K, PackQ5_K,
    PackQ6_K, PackIq4Nl, PackIq4Xs, PackTq1_0, PackTq2_0, PackMxfp4, PackNvfp4;

GgufDecode DecodeQ1_0, DecodeQ2_0, DecodeQ4_0, DecodeQ4_1, DecodeQ5_0, DecodeQ5_1, DecodeQ8_0, DecodeQ2_K, DecodeQ3_K,
    DecodeQ4_K, DecodeQ5_K, DecodeQ6_K, DecodeIq4Nl, DecodeIq4Xs, DecodeTq1_0, DecodeTq2_0, DecodeMxfp4, DecodeNvfp4;

}  // namespace ingot
