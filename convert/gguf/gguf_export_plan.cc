// What becomes of a tensor in a GGUF file.
#include <algorithm>

#include "convert/gguf/gguf_export_tensor.h"
#include "convert/gguf/gguf_match.h"
#include "convert/gguf/gguf_tensor.h"
#include "format/text.h"

namespace ingot {
namespace {

const GgufType* TypeNamed(std::string_view name) {
  const auto types = AllGgufTypes();
  const auto at = std::find_if(types.begin(), types.end(), [&](const GgufType& type) { return type.name == name; });
  return at == types.end() ? nullptr : &*at;
}

const GgufType* RawTypeOf(DType dtype) {
  const auto types = AllGgufTypes();
  const auto at = std::find_if(types.begin(), types.end(), [&](const GgufType& type) {
    return type.import == GgufImport::kRaw && type.dtype == dtype;
  });
  return at == types.end() ? nullptr : &*at;
}

// Whether no code of a 2-bit encoding is 3, so that it can be ternary.
Result<bool> IsTernary(const Container& container, uint32_t encoding) {
  const Index& index = container.index();
  const uint32_t plane = index.encoding(encoding).first_plane;  // the codes
  const PlaneRecord record = index.plane(plane);
  FrameDecoder decoder;
  std::vector<std::byte> chunk;
  for (uint64_t i = 0; i < record.chunk_count(); ++i) {
    chunk.resize(record.chunk_size(i));
    if (auto read = container.ReadChunk(plane, i, decoder, chunk); !read) return Propagate(read);
    const auto has_three = [](std::byte b) { return (b & (b >> 1) & std::byte{0x55}) != std::byte{0}; };
    if (std::any_of(chunk.begin(), chunk.end(), has_three)) return false;
  }
  return true;
}

// The one type of which all parts of a linear tensor are, or nothing.
Result<const GgufType*> BlocksOf(const Container& container, const TensorRecord& record, bool prefer_tq1_0) {
  const GgufType* type = nullptr;
  for (uint32_t p = record.first_part; p < record.first_part + record.part_count; ++p) {
    const uint32_t encoding = container.index().part(p).encoding;
    const auto plan = ReadEncodingPlan(container, encoding);
    if (!plan) return Propagate(plan);
    const GgufType* own = MatchGgufType(*plan);
    if (prefer_tq1_0 && own != nullptr && own->name == "TQ2_0") {
      const auto ternary = IsTernary(container, encoding);
      if (!ternary) return Propagate(ternary);
      if (*ternary) own = TypeNamed("TQ1_0");
    }
    if (own == nullptr || (type != nullptr && own != type)) return nullptr;
    type = own;
  }
  if (record.rank == 0 || record.dim(record.rank - 1) % type->block_elements != 0) return nullptr;
  return type;
}

const GgufType* ForeignTypeOf(const Foreign& foreign) {
  if (!foreign.name.starts_with(kGgufForeignPrefix)) return nullptr;
  const GgufType* type = TypeNamed(foreign.name.substr(kGgufForeignPrefix.size()));
  const bool same = type != nullptr && type->import == GgufImport::kForeign &&
                    type->block_bytes == foreign.block_bytes && type->block_elements == foreign.block_elements;
  return same ? type : nullptr;
}

}  // namespace

Result<GgufTensorPlan> PlanGgufTensor(const Model& model, uint32_t number, const GgufPlanOptions& options) {
  const TensorRecord record = model.tensor(number);
  const Container& container = model.container_of(number);
  const Index& index = container.index();
  const DType dtype = static_cast<DType>(record.dtype);
  const auto all_are = [&](EncodingKind kind) {
    for (uint32_t p = record.first_part; p < record.first_part + record.part_count; ++p) {
      if (!index.encoding(index.part(p).encoding).is(kind)) return false;
    }
    return true;
  };
  const bool raw = all_are(EncodingKind::kRaw), linear = all_are(EncodingKind::kLinear);
  if (options.vectors_as_f32 && record.rank == 1 && InfoOf(dtype).is_float && (linear || (raw && dtype != DType::kF32)))
    return GgufTensorPlan{GgufWay::kDecode, RawTypeOf(DType::kF32), number};
  if (raw) {
    if (const GgufType* type = RawTypeOf(dtype)) return GgufTensorPlan{GgufWay::kCopy, type, number};
  } else if (linear) {
    const auto type = BlocksOf(container, record, options.prefer_tq1_0);
    if (!type) return Propagate(type);
    if (*type != nullptr) return GgufTensorPlan{GgufWay::kRepack, *type, number};
  } else if (record.part_count == 1 && all_are(EncodingKind::kForeign)) {
    const EncodingRecord e = index.encoding(index.part(record.first_part).encoding);
    if (const GgufType* type = ForeignTypeOf(DecodeForeign(index.payload(e))))
      return GgufTensorPlan{GgufWay::kForeign, type, number};
  }
  // As the kernels widen them.
  const bool decodable = linear || (raw && InfoOf(dtype).is_float);
  if (decodable && options.requantize) {
    const bool whole = record.rank > 0 && record.dim(record.rank - 1) % 32 == 0;
    return GgufTensorPlan{GgufWay::kDecode, whole ? TypeNamed("Q8_0") : TypeNamed("F16"), number};
  }
  return Fail(ErrorCode::kBadInput, "{}: tensor {}: GGUF has no type for its encoding, {}{}", container.path(),
              Quote(record.name), DescribeTensor(index, record),
              decodable ? " (--requantize writes such tensors as Q8_0 or F16)" : "");
}

}  // namespace ingot
