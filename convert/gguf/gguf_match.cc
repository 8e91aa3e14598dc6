#include "convert/gguf/gguf_match.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

namespace ingot {
namespace {

constexpr std::string_view kTernary = "TQ1_0";

bool SameBits(float a, float b) { return std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b); }

bool IsAbsent(const Operand& operand) { return operand.form == OperandForm::kAbsent; }
bool IsConstant(const Operand& operand, float value) {
  return operand.form == OperandForm::kConstant && SameBits(operand.constant, value);
}
// The zero-point of a type: none, or this constant.
bool IsZeroPoint(const Operand& operand, float zero) {
  return zero == 0 ? IsAbsent(operand) : IsConstant(operand, zero);
}

bool SameCodebook(const EncodingPlan& plan, std::span<const float> codebook) {
  return std::equal(plan.codebook.begin(), plan.codebook.end(), codebook.begin(), codebook.end(), SameBits);
}

// Whether arithmetic and result are f32, and nothing is there that no block type has.
bool IsPlain(const Linear& l) {
  return l.arithmetic == DType::kF32 && l.result == DType::kF32 && !l.permutation && l.outliers == OutlierForm::kNone &&
         IsAbsent(l.t);
}

// Whether every run of `run` elements of a row, from a multiple of it on, lies in one group.
bool GroupsHold(const Linear& l, uint64_t run) {
  return l.cols % run == 0 && (l.group_cols % run == 0 || l.group_cols == l.cols);
}

// Whether `operand` of an encoding gives an f16 for each run of `run` elements.
bool GivesHalves(const Operand& operand, const Linear& l, uint64_t run) {
  switch (operand.form) {
    case OperandForm::kAbsent:
      return true;
    case OperandForm::kConstant:
      return ExactHalf(operand.constant).has_value();
    case OperandForm::kArray:
      return operand.type == DType::kF16 && GroupsHold(l, run);
    default:
      return false;
  }
}

// A nested encoding as codes of the type, and an f16 for those of a block.
bool GivesCodes(const GgufOperand& wanted, const EncodingPlan& nested, uint64_t groups_per_block) {
  const Linear& l = nested.linear;
  return IsPlain(l) && l.bits == wanted.bits && IsZeroPoint(l.z, wanted.zero) && IsAbsent(l.o) &&
         SameCodebook(nested, wanted.codebook) && l.cols % groups_per_block == 0 &&
         (wanted.half < 0 ? IsAbsent(l.s) : GivesHalves(l.s, l, groups_per_block));
}

// Operand `i` (0 s, 2 o) of an encoding against that of a type.
bool Matches(const PartPlan& plan, size_t i, const GgufOperand& wanted, const GgufType& type) {
  Linear l = plan.linear;
  const Operand operand = GroupOperand(l, i);
  if (wanted.half < 0 && wanted.bits == 0) return IsAbsent(operand);
  if (wanted.bits == 0) return GivesHalves(operand, l, type.block_elements);
  if (operand.form == OperandForm::kNested) {
    return l.group_rows == 1 && l.group_cols == type.linear->group &&
           GivesCodes(wanted, *plan.nested[i], type.block_elements / type.linear->group);
  }
  if (operand.form == OperandForm::kArray) return false;
  const float neutral = i == 0 ? 1.0f : 0.0f;
  return FindGgufScale(wanted, IsAbsent(operand) ? neutral : operand.constant).has_value();
}

Status ReadCodebook(const Container& container, const EncodingRecord& record, bool nested, EncodingPlan& plan) {
  const std::vector<PlaneSpec> specs = PlanesOf(plan.linear, nested);
  for (uint32_t i = 0; i < specs.size(); ++i) {
    if (specs[i].role != PlaneRole::kCodebook) continue;
    const auto bytes = container.ReadPlane(record.first_plane + i);
    if (!bytes) return Propagate(bytes);
    plan.codebook.resize(bytes->size() / sizeof(float));
    std::memcpy(plan.codebook.data(), bytes->data(), plan.codebook.size() * sizeof(float));
  }
  return {};
}

}  // namespace

Result<PartPlan> ReadEncodingPlan(const Container& container, uint32_t encoding) {
  const Index& index = container.index();
  const EncodingRecord record = index.encoding(encoding);
  PartPlan plan;
  plan.linear = DecodeLinear(index.payload(record));
  if (auto read = ReadCodebook(container, record, false, plan); !read) return Propagate(read);
  uint32_t child = encoding - record.child_count;
  for (size_t i = 0; i < kGroupOperands; ++i) {
    if (GroupOperand(plan.linear, i).form != OperandForm::kNested) continue;
    const EncodingRecord nested = index.encoding(child++);
    plan.nested[i].emplace().linear = DecodeLinear(index.payload(nested));
    if (auto read = ReadCodebook(container, nested, true, *plan.nested[i]); !read) return Propagate(read);
  }
  return plan;
}

std::optional<uint16_t> ExactHalf(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  // The payload of a NaN is kept, which a conversion would make quiet.
  const uint16_t half = std::isnan(value)
                            ? static_cast<uint16_t>((bits >> 16 & 0x8000u) | 0x7C00u | (bits >> 13 & 0x3FFu))
                            : F32ToF16(value);
  if (!SameBits(F16ToF32(half), value)) return std::nullopt;
  return half;
}

std::optional<GgufScale> FindGgufScale(const GgufOperand& operand, float value) {
  const auto half_of = [&](float half) -> std::optional<uint16_t> {
    const auto exact = ExactHalf(half);
    if (!exact) return std::nullopt;
    return static_cast<uint16_t>(*exact ^ operand.flip);
  };
  if (operand.bits == 0) {
    const auto half = half_of(value);
    if (!half) return std::nullopt;
    return GgufScale{0, *half};
  }
  for (int code = 0; code < 1 << operand.bits; ++code) {
    const float unit = operand.codebook.empty() ? static_cast<float>(code) - operand.zero
                                                : operand.codebook[static_cast<size_t>(code)];
    if (operand.half < 0) {
      if (SameBits(unit, value)) return GgufScale{static_cast<uint8_t>(code), 0};
      continue;
    }
    const auto half = half_of(value / unit);  // code times it must give the value, so that no rounding went on
    if (half && SameBits(F16ToF32(static_cast<uint16_t>(*half ^ operand.flip)) * unit, value))
      return GgufScale{static_cast<uint8_t>(code), *half};
  }
  return std::nullopt;
}

bool IsOfGgufType(const PartPlan& plan, const GgufType& type) {
  const GgufLinear& wanted = *type.linear;
  const Linear& l = plan.linear;
  return IsPlain(l) && l.bits == wanted.bits && IsZeroPoint(l.z, wanted.zero) && SameCodebook(plan, wanted.codebook) &&
         l.cols % type.block_elements == 0 && Matches(plan, 0, wanted.s, type) && Matches(plan, 2, wanted.o, type);
}

const GgufType* MatchGgufType(const PartPlan& plan) {
  for (const GgufType& type : AllGgufTypes()) {
    if (type.linear != nullptr && type.name != kTernary && IsOfGgufType(plan, type)) return &type;
  }
  return nullptr;
}

}  // namespace ingot
