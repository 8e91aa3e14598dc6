#include "convert/encoding_writer.h"

#include <algorithm>
#include <bit>

#include "format/dtype.h"
#include "kernels/pack.h"

namespace ingot {
namespace {

// The operand whose array has this role, or nullptr.
Operand* OperandOf(Linear& l, PlaneRole role) {
  switch (role) {
    case PlaneRole::kScales:
      return &l.s;
    case PlaneRole::kZeroPoints:
      return &l.z;
    case PlaneRole::kOffsets:
      return &l.o;
    case PlaneRole::kColumnScales:
      return &l.t;
    default:
      return nullptr;
  }
}

float NeutralOf(PlaneRole role) { return role == PlaneRole::kScales || role == PlaneRole::kColumnScales ? 1.0f : 0.0f; }

float LoadElement(const std::byte* at, DType type) {
  if (type == DType::kF32) return Load<float>(at);
  return type == DType::kF16 ? F16ToF32(Load<uint16_t>(at)) : BF16ToF32(Load<uint16_t>(at));
}

}  // namespace

void DropUnusedGroups(Linear& l) {
  if (l.s.form > OperandForm::kConstant || l.z.form > OperandForm::kConstant || l.o.form > OperandForm::kConstant)
    return;
  l.group_rows = l.rows;
  l.group_cols = l.cols;
}

EncodingWriter::EncodingWriter(OutputFile& file, RegionAllocator& allocator, const EncodingPlan& plan, bool nested,
                               bool sha256)
    : plan_(&plan), specs_(PlanesOf(plan.linear, nested)) {
  for (const PlaneSpec& spec : specs_) planes_.emplace_back(file, allocator, spec.size, spec.element_size, sha256);
}

Status EncodingWriter::Append(PlaneRole role, ByteSpan bytes, size_t field) {
  if (bytes.empty()) return {};
  for (size_t i = 0; i < specs_.size(); ++i) {
    if (specs_[i].role == role && field-- == 0) return planes_[i].Append(bytes);
  }
  return Fail(ErrorCode::kUsage, "the plan has no plane of {}", NameOf(role));
}

Status EncodingWriter::AppendCodes(std::span<const uint8_t> codes) {
  if (codes.empty()) return {};
  if (first_code_ < 0) first_code_ = codes.front();
  codes_equal_ =
      codes_equal_ && std::all_of(codes.begin(), codes.end(), [&](uint8_t code) { return code == first_code_; });
  pending_.insert(pending_.end(), codes.begin(), codes.end());
  return PackPending(pending_.size() / kPackUnit * kPackUnit);
}

// Packs the first `count` pending codes: they are one flat row, so whole units can go as they come.
Status EncodingWriter::PackPending(size_t count) {
  if (count == 0) return {};
  const std::span<const uint8_t> widths = FieldWidths(plan_->linear.bits);
  std::array<std::vector<std::byte>, kMaxFields> fields;
  std::array<std::byte*, kMaxFields> rows{};
  for (size_t f = 0; f < widths.size(); ++f) {
    fields[f].resize(PackedRowBytes(count, widths[f]));
    rows[f] = fields[f].data();
  }
  PackRow(pending_.data(), count, plan_->linear.bits, std::span(rows).first(widths.size()));
  pending_.erase(pending_.begin(), pending_.begin() + static_cast<ptrdiff_t>(count));
  for (size_t f = 0; f < widths.size(); ++f) {
    if (auto done = planes_[f].Append(fields[f]); !done) return done;
  }
  return {};
}

Status EncodingWriter::Flush() {
  if (auto done = PackPending(pending_.size()); !done) return done;
  for (PlaneWriter& plane : planes_) {
    if (auto done = plane.Flush(); !done) return done;
  }
  return {};
}

EncodingWriter::Finished EncodingWriter::Finish() {
  Finished out;
  out.linear = plan_->linear;
  for (size_t i = 0; i < specs_.size(); ++i) {
    const PlaneSpec& spec = specs_[i];
    Operand* operand = OperandOf(out.linear, spec.role);
    if (operand != nullptr && planes_[i].all_equal()) {
      *operand = ConstantOperand(LoadElement(planes_[i].first_element().data(), spec.type), NeutralOf(spec.role));
      continue;
    }
    out.planes.push_back(planes_[i].Finish());
    out.element_sizes.push_back(spec.element_size);
  }
  DropUnusedGroups(out.linear);
  return out;
}

std::optional<float> EncodingWriter::SingleValue(const Finished& finished) const {
  const Linear& l = finished.linear;
  const auto is_single = [](const Operand& operand) { return operand.form <= OperandForm::kConstant; };
  if (!codes_equal_ || !is_single(l.s) || !is_single(l.z) || !is_single(l.o)) return std::nullopt;
  float value = l.codebook ? plan_->codebook[static_cast<size_t>(first_code_)] : static_cast<float>(first_code_);
  // Each operation rounded once, to f32 and then to the arithmetic type (spec/ENCODINGS.md, 2.1).
  if (l.z.form == OperandForm::kConstant) value = RoundTo(l.arithmetic, value - l.z.constant);
  if (l.s.form == OperandForm::kConstant) value = RoundTo(l.arithmetic, l.s.constant * value);
  if (l.o.form == OperandForm::kConstant) value = RoundTo(l.arithmetic, value - l.o.constant);
  return value;
}

}  // namespace ingot
