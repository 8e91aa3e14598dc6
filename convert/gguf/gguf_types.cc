#include "convert/gguf/gguf_types.h"

#include <algorithm>
#include <array>
#include <bit>

#include "convert/gguf/gguf_blocks.h"

namespace ingot {
namespace {

// ---- codebooks

constexpr std::array<float, 2> kSigns = {-1, 1};
constexpr std::array<float, 16> kIq4 = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
// E2M1, doubled; both zeros are +0.
constexpr std::array<float, 16> kFp4 = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

// Half of E8M0, 2^(e - 128), because the values above are doubled. The first two are subnormal, and 255 is a number.
constexpr std::array<float, 256> HalfOfE8M0() {
  std::array<float, 256> table{};
  for (uint32_t e = 0; e < 256; ++e) table[e] = std::bit_cast<float>(e < 2 ? 0x00200000u << e : (e - 1) << 23);
  return table;
}
constexpr std::array<float, 256> kHalfE8M0 = HalfOfE8M0();

// Half of E4M3 whose sign does not count; 0x7F is zero. With an entry for every byte the codes stay as they are.
constexpr std::array<float, 256> HalfOfUe4M3() {
  std::array<float, 256> table{};
  for (uint32_t code = 0; code < 256; ++code) {
    const uint32_t exponent = (code >> 3) & 15, mantissa = code & 7;
    const float unit = std::bit_cast<float>((std::max(exponent, 1u) + 127 - 11) << 23);  // of the mantissa
    table[code] = code == 0x7F ? 0 : static_cast<float>(exponent == 0 ? mantissa : 8 + mantissa) * unit;
  }
  return table;
}
constexpr std::array<float, 256> kHalfUe4M3 = HalfOfUe4M3();

// ---- operands

constexpr GgufOperand kNone{};
constexpr GgufOperand Half(int at, uint16_t flip = 0) { return {at, flip, 0, 0, {}}; }
constexpr GgufOperand Codes(int bits, int half_at, float zero = 0) { return {half_at, 0, bits, zero, {}}; }
constexpr GgufOperand Codes(std::span<const float> codebook) { return {-1, 0, 8, 0, codebook}; }
constexpr uint16_t kAdded = 0x8000;

// ---- types

// bits, group, zero-point, codebook, s, o
constexpr GgufLinear kQ1_0{1, 128, 0, kSigns, Half(0), kNone, UnpackQ1_0, DecodeQ1_0, PackQ1_0};
constexpr GgufLinear kQ2_0{2, 64, 1, {}, Half(0), kNone, UnpackQ2_0, DecodeQ2_0, PackQ2_0};
constexpr GgufLinear kQ4_0{4, 32, 8, {}, Half(0), kNone, UnpackQ4_0, DecodeQ4_0, PackQ4_0};
constexpr GgufLinear kQ4_1{4, 32, 0, {}, Half(0), Half(2, kAdded), UnpackQ4_1, DecodeQ4_1, PackQ4_1};
constexpr GgufLinear kQ5_0{5, 32, 16, {}, Half(0), kNone, UnpackQ5_0, DecodeQ5_0, PackQ5_0};
constexpr GgufLinear kQ5_1{5, 32, 0, {}, Half(0), Half(2, kAdded), UnpackQ5_1, DecodeQ5_1, PackQ5_1};
constexpr GgufLinear kQ8_0{8, 32, 128, {}, Half(0), kNone, UnpackQ8_0, DecodeQ8_0, PackQ8_0};
constexpr GgufLinear kQ2_K{2, 16, 0, {}, Codes(4, 80), Codes(4, 82), UnpackQ2_K, DecodeQ2_K, PackQ2_K};
constexpr GgufLinear kQ3_K{3, 16, 4, {}, Codes(6, 108, 32), kNone, UnpackQ3_K, DecodeQ3_K, PackQ3_K};
constexpr GgufLinear kQ4_K{4, 32, 0, {}, Codes(6, 0), Codes(6, 2), UnpackQ4_K, DecodeQ4_K, PackQ4_K};
constexpr GgufLinear kQ5_K{5, 32, 0, {}, Codes(6, 0), Codes(6, 2), UnpackQ5_K, DecodeQ5_K, PackQ5_K};
constexpr GgufLinear kQ6_K{6, 16, 32, {}, Codes(8, 208, 128), kNone, UnpackQ6_K, DecodeQ6_K, PackQ6_K};
constexpr GgufLinear kIq4Nl{4, 32, 0, kIq4, Half(0), kNone, UnpackIq4Nl, DecodeIq4Nl, PackIq4Nl};
constexpr GgufLinear kIq4Xs{4, 32, 0, kIq4, Codes(6, 0, 32), kNone, UnpackIq4Xs, DecodeIq4Xs, PackIq4Xs};
constexpr GgufLinear kTq1_0{2, 256, 1, {}, Half(52), kNone, UnpackTq1_0, DecodeTq1_0, PackTq1_0};
constexpr GgufLinear kTq2_0{2, 256, 1, {}, Half(64), kNone, UnpackTq2_0, DecodeTq2_0, PackTq2_0};
constexpr GgufLinear kMxfp4{4, 32, 0, kFp4, Codes(kHalfE8M0), kNone, UnpackMxfp4, DecodeMxfp4, PackMxfp4};
constexpr GgufLinear kNvfp4{4, 16, 0, kFp4, Codes(kHalfUe4M3), kNone, UnpackNvfp4, DecodeNvfp4, PackNvfp4};

constexpr GgufType Raw(uint32_t id, std::string_view name, DType dtype, uint32_t bytes) {
  return {id, name, GgufImport::kRaw, dtype, bytes, 1, nullptr, {}};
}
constexpr GgufType Blocks(uint32_t id, std::string_view name, uint32_t bytes, uint32_t elements,
                          const GgufLinear& linear) {
  return {id, name, GgufImport::kLinear, DType::kF32, bytes, elements, &linear, {}};
}
constexpr GgufType Foreign(uint32_t id, std::string_view name, uint32_t bytes) {
  return {id, name, GgufImport::kForeign, DType::kF32, bytes, 256, nullptr, {}};
}
constexpr GgufType Refused(uint32_t id, std::string_view name, std::string_view refusal) {
  return {id, name, GgufImport::kRefused, DType::kF32, 0, 1, nullptr, refusal};
}
constexpr std::string_view kActivations = "it is for activations, not for weights in files";
constexpr std::string_view kRemoved = "it was removed from the format";
constexpr std::string_view kRepacked = "it was removed from the format: it holds Q4_0 rows in the order of one CPU";
constexpr std::string_view kRepackedIq4 =
    "it was removed from the format: it holds IQ4_NL rows in the order of one CPU";

constexpr std::array kTypes = {
    Raw(0, "F32", DType::kF32, 4),
    Raw(1, "F16", DType::kF16, 2),
    Blocks(2, "Q4_0", 18, 32, kQ4_0),
    Blocks(3, "Q4_1", 20, 32, kQ4_1),
    Refused(4, "Q4_2", kRemoved),
    Refused(5, "Q4_3", kRemoved),
    Blocks(6, "Q5_0", 22, 32, kQ5_0),
    Blocks(7, "Q5_1", 24, 32, kQ5_1),
    Blocks(8, "Q8_0", 34, 32, kQ8_0),
    Refused(9, "Q8_1", kActivations),
    Blocks(10, "Q2_K", 84, 256, kQ2_K),
    Blocks(11, "Q3_K", 110, 256, kQ3_K),
    Blocks(12, "Q4_K", 144, 256, kQ4_K),
    Blocks(13, "Q5_K", 176, 256, kQ5_K),
    Blocks(14, "Q6_K", 210, 256, kQ6_K),
    Refused(15, "Q8_K", kActivations),
    Foreign(16, "IQ2_XXS", 66),
    Foreign(17, "IQ2_XS", 74),
    Foreign(18, "IQ3_XXS", 98),
    Foreign(19, "IQ1_S", 50),
    Blocks(20, "IQ4_NL", 18, 32, kIq4Nl),
    Foreign(21, "IQ3_S", 110),
    Foreign(22, "IQ2_S", 82),
    Blocks(23, "IQ4_XS", 136, 256, kIq4Xs),
    Raw(24, "I8", DType::kI8, 1),
    Raw(25, "I16", DType::kI16, 2),
    Raw(26, "I32", DType::kI32, 4),
    Raw(27, "I64", DType::kI64, 8),
    Raw(28, "F64", DType::kF64, 8),
    Foreign(29, "IQ1_M", 56),
    Raw(30, "BF16", DType::kBF16, 2),
    Refused(31, "Q4_0_4_4", kRepacked),
    Refused(32, "Q4_0_4_8", kRepacked),
    Refused(33, "Q4_0_8_8", kRepacked),
    Blocks(34, "TQ1_0", 54, 256, kTq1_0),
    Blocks(35, "TQ2_0", 66, 256, kTq2_0),
    Refused(36, "IQ4_NL_4_4", kRepackedIq4),
    Refused(37, "IQ4_NL_4_8", kRepackedIq4),
    Refused(38, "IQ4_NL_8_8", kRepackedIq4),
    Blocks(39, "MXFP4", 17, 32, kMxfp4),
    Blocks(40, "NVFP4", 36, 64, kNvfp4),
    Blocks(41, "Q1_0", 18, 128, kQ1_0),
    Blocks(42, "Q2_0", 18, 64, kQ2_0),
};

constexpr bool RowsAreInOrder() {
  for (size_t i = 0; i < kTypes.size(); ++i) {
    if (kTypes[i].id != i || kTypes[i].block_elements > kMaxGgufBlock) return false;
  }
  return true;
}
static_assert(RowsAreInOrder());

}  // namespace

std::span<const GgufType> AllGgufTypes() { return kTypes; }

const GgufType* FindGgufType(uint32_t id) { return id < kTypes.size() ? &kTypes[id] : nullptr; }

}  // namespace ingot
