#include "convert/gguf/gguf_export_tensor.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "format/text.h"
#include "kernels/widen.h"

namespace ingot {
namespace {

constexpr uint64_t kQ8Elements = 32, kQ8Bytes = 34;

// One block of Q8_0, by the words of ggml's quantize_row_q8_0. False if the values do not fit.
bool QuantizeQ8(const float* values, std::byte* block) {
  float most = 0;
  for (uint64_t i = 0; i < kQ8Elements; ++i) {
    if (!std::isfinite(values[i])) return false;
    most = std::max(most, std::fabs(values[i]));
  }
  const float scale = most / 127, inverse = scale != 0 ? 1.0f / scale : 0.0f;
  const uint16_t half = F32ToF16(scale);
  if (!std::isfinite(F16ToF32(half)) || !std::isfinite(inverse)) return false;
  Store(block, half);
  for (uint64_t i = 0; i < kQ8Elements; ++i)
    block[2 + i] = static_cast<std::byte>(static_cast<int8_t>(std::round(values[i] * inverse)));
  return true;
}

}  // namespace

Result<std::shared_ptr<const GgufExportTensor>> GgufExportTensor::Open(const Model& model, const GgufTensorPlan& plan) {
  std::shared_ptr<GgufExportTensor> tensor(new GgufExportTensor(plan));
  if (plan.way == GgufWay::kLiteral) return tensor;
  const TensorRecord record = model.tensor(plan.number);
  const Container& container = model.container_of(plan.number);
  const Index& index = container.index();
  tensor->place_ = fmt::format("{}: tensor {}", container.path(), Quote(record.name));
  if (plan.head_rows != 0) tensor->row_blocks_ = ElementCount(record) / record.dim(0) / plan.type->block_elements;
  if (plan.way == GgufWay::kForeign) {
    auto bytes = container.ReadPlane(index.encoding(index.part(record.first_part).encoding).first_plane);
    if (!bytes) return Propagate(bytes);
    tensor->foreign_ = std::move(*bytes);
    return tensor;
  }
  auto reader = TensorReader::Open(model, plan.number);
  if (!reader) return Propagate(reader);
  tensor->reader_ = std::make_unique<const TensorReader>(std::move(*reader));
  uint64_t inner = 1;
  for (int d = record.axis + 1; d < record.rank; ++d) inner *= record.dim(d);
  for (const TensorReader::Part& part : tensor->reader_->parts()) {
    if (plan.way != GgufWay::kRepack) break;
    tensor->repackers_.emplace_back(*plan.type, part.matrix);
    tensor->part_blocks_.push_back(part.extent * inner / plan.type->block_elements);
  }
  return tensor;
}

Status GgufExportTensor::Make(uint64_t first, uint64_t count, std::byte* blocks) const {
  if (plan_.head_rows == 0) return MakeRun(first, count, blocks);
  // In each head, the rows of its first half and of its second one take turns.
  while (count > 0) {
    const uint64_t row = first / row_blocks_, at = first % row_blocks_, in_head = row % plan_.head_rows;
    const uint64_t source = row - in_head + in_head % 2 * (plan_.head_rows / 2) + in_head / 2;
    const uint64_t run = std::min(row_blocks_ - at, count);
    if (auto made = MakeRun(source * row_blocks_ + at, run, blocks); !made) return made;
    first += run;
    count -= run;
    blocks += run * plan_.type->block_bytes;
  }
  return {};
}

Status GgufExportTensor::MakeRun(uint64_t first, uint64_t count, std::byte* blocks) const {
  const uint64_t size = plan_.type->block_bytes;
  switch (plan_.way) {
    case GgufWay::kCopy:
      return reader_->ReadRaw(first, count, blocks);
    case GgufWay::kForeign:
      std::memcpy(blocks, foreign_.data() + first * size, count * size);
      return {};
    case GgufWay::kRepack:
      return RepackRun(first, count, blocks);
    case GgufWay::kDecode:
      return DecodeRun(first, count, blocks);
    default:
      std::memcpy(blocks, plan_.literal.data() + first, count * size);
      return {};
  }
}

// The parts of a tensor follow each other in every row of all parts.
Status GgufExportTensor::RepackRun(uint64_t first, uint64_t count, std::byte* blocks) const {
  uint64_t row_size = 0;
  for (uint64_t size : part_blocks_) row_size += size;
  while (count > 0) {
    const uint64_t row = first / row_size;
    uint64_t at = first % row_size;
    size_t part = 0;
    while (at >= part_blocks_[part]) at -= part_blocks_[part++];
    const uint64_t run = repackers_.size() == 1 ? count : std::min(part_blocks_[part] - at, count);
    repackers_[part].Repack(row * part_blocks_[part] + at, run, blocks);
    first += run;
    count -= run;
    blocks += run * plan_.type->block_bytes;
  }
  return {};
}

Status GgufExportTensor::DecodeRun(uint64_t first, uint64_t count, std::byte* blocks) const {
  const uint64_t elements = plan_.type->block_elements;
  std::vector<float> values(count * elements);
  if (auto decoded = reader_->Decode(first * elements, values.size(), values.data()); !decoded) return decoded;
  if (plan_.type->import == GgufImport::kRaw) {
    NarrowFromF32(plan_.type->dtype, values.data(), values.size(), blocks);
    return {};
  }
  for (uint64_t i = 0; i < count; ++i) {
    if (QuantizeQ8(values.data() + i * kQ8Elements, blocks + i * kQ8Bytes)) continue;
    return Fail(ErrorCode::kBadInput, "{}: elements {} to {} cannot be quantized: they are not finite, or out of range",
                place_, (first + i) * kQ8Elements, (first + i + 1) * kQ8Elements - 1);
  }
  return {};
}

}  // namespace ingot
