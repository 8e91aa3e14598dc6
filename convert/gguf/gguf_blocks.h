// The blocks of GGUF's types: their codes as bytes, on the way into planes; and their values, by ggml's own formulas
// (gguf_decode.cc, which shares nothing with the former). Pure functions; thread-safe.
#pragma once

#include "convert/gguf/gguf_types.h"

namespace ingot {

GgufUnpack UnpackQ1_0, UnpackQ2_0, UnpackQ4_0, UnpackQ4_1, UnpackQ5_0, UnpackQ5_1, UnpackQ8_0, UnpackQ2_K, UnpackQ3_K,
    UnpackQ4_K, UnpackQ5_K, UnpackQ6_K, UnpackIq4Nl, UnpackIq4Xs, UnpackTq1_0, UnpackTq2_0, UnpackMxfp4, UnpackNvfp4;

GgufDecode DecodeQ1_0, DecodeQ2_0, DecodeQ4_0, DecodeQ4_1, DecodeQ5_0, DecodeQ5_1, DecodeQ8_0, DecodeQ2_K, DecodeQ3_K,
    DecodeQ4_K, DecodeQ5_K, DecodeQ6_K, DecodeIq4Nl, DecodeIq4Xs, DecodeTq1_0, DecodeTq2_0, DecodeMxfp4, DecodeNvfp4;

}  // namespace ingot
