#include "convert/tensor_writer.h"

#include <algorithm>

#include "convert/quantize/codebook.h"
#include "kernels/pack.h"

namespace ingot {

TensorWriter::TensorWriter(TensorSink& sink, const SourceTensor& tensor, std::shared_ptr<const TensorEncoder> encoder)
    : sink_(sink), tensor_(tensor), encoder_(std::move(encoder)), start_(sink.allocator.end()) {
  if (!encoder_) {
    if (tensor.size != 0)
      raw_.emplace_back(sink.file, sink.allocator, tensor.size, InfoOf(tensor.dtype).size, sink.sha256);
    return;
  }
  for (const PartPlan& plan : encoder_->parts()) {
    Part part;
    part.plan = &plan;
    part.specs = PlanesOf(plan.linear, false);
    for (const PlaneSpec& spec : part.specs)
      part.planes.emplace_back(sink.file, sink.allocator, spec.size, spec.element_size, sink.sha256);
    if (plan.zero_points) {
      for (const PlaneSpec& spec : PlanesOf(*plan.zero_points, true)) {
        part.zero_planes.emplace_back(sink.file, sink.allocator, spec.size, spec.element_size, sink.sha256);
      }
    }
    parts_.push_back(std::move(part));
  }
}

PlaneWriter* TensorWriter::PlaneOf(Part& part, PlaneRole role, size_t field) {
  for (size_t i = 0; i < part.specs.size(); ++i) {
    if (part.specs[i].role == role && field-- == 0) return &part.planes[i];
  }
  return nullptr;
}

Status TensorWriter::AppendRaw(ByteSpan bytes) { return raw_.empty() ? Status{} : raw_.front().Append(bytes); }

Status TensorWriter::Append(const EncodedBlock& block) {
  for (size_t i = 0; i < parts_.size(); ++i) {
    if (auto done = StartPart(*parts_[i].plan); !done) return done;
    if (auto done = AppendPart(parts_[i], block.parts[i]); !done) return done;
  }
  return {};
}

// What comes before the first row: the codebook, the list of outlier columns, the first row start.
Status TensorWriter::StartPart(const PartPlan& plan) {
  Part& part = parts_[static_cast<size_t>(&plan - encoder_->parts().data())];
  std::vector<std::byte> bytes;
  if (PlaneWriter* book = PlaneOf(part, PlaneRole::kCodebook); book != nullptr && book->appended() == 0) {
    for (float value : CodebookOf(encoder_->quantizer().method().kind).values) ingot::Append(bytes, value);
    if (auto done = book->Append(bytes); !done) return done;
  }
  if (PlaneWriter* starts = PlaneOf(part, PlaneRole::kOutlierRows); starts != nullptr && starts->appended() == 0) {
    bytes.clear();
    ingot::Append(bytes, uint64_t{0});
    if (auto done = starts->Append(bytes); !done) return done;
  }
  PlaneWriter* columns = PlaneOf(part, PlaneRole::kOutlierColumns);
  if (plan.linear.outliers == OutlierForm::kColumns && columns->appended() == 0) {
    bytes.clear();
    for (uint32_t column : plan.outlier_columns) {
      if (plan.linear.column_bytes() == 2) {
        ingot::Append(bytes, static_cast<uint16_t>(column));
      } else {
        ingot::Append(bytes, column);
      }
    }
    return columns->Append(bytes);
  }
  return {};
}

Status TensorWriter::AppendPart(Part& part, const EncodedPart& block) {
  for (size_t f = 0; f < block.codes.size(); ++f) {
    if (block.codes[f].empty()) continue;
    if (auto done = PlaneOf(part, PlaneRole::kCodes, f)->Append(block.codes[f]); !done) return done;
  }
  const std::pair<PlaneRole, const std::vector<std::byte>*> arrays[] = {
      {PlaneRole::kScales, &block.scales},
      {PlaneRole::kZeroPoints, &block.zeros},
      {PlaneRole::kOutlierColumns, &block.outlier_columns},
      {PlaneRole::kOutlierValues, &block.outlier_values},
  };
  for (const auto& [role, bytes] : arrays) {
    if (bytes->empty()) continue;
    if (auto done = PlaneOf(part, role)->Append(*bytes); !done) return done;
  }
  if (!block.outliers_per_row.empty()) {
    std::vector<std::byte> starts;
    starts.reserve(8 * block.outliers_per_row.size());
    for (uint64_t count : block.outliers_per_row) ingot::Append(starts, part.outliers += count);
    if (auto done = PlaneOf(part, PlaneRole::kOutlierRows)->Append(starts); !done) return done;
  }
  return block.zero_codes.empty() ? Status{} : AppendZeros(part, block.zero_codes);
}

Status TensorWriter::AppendZeros(Part& part, const std::vector<uint8_t>& codes) {
  if (part.first_zero < 0) part.first_zero = codes.front();
  part.zeros_equal =
      part.zeros_equal && std::all_of(codes.begin(), codes.end(), [&](uint8_t z) { return z == part.first_zero; });
  part.pending_zeros.insert(part.pending_zeros.end(), codes.begin(), codes.end());
  return PackZeros(part, part.pending_zeros.size() / kPackUnit * kPackUnit);
}

// Packs the first `count` pending codes: they are one flat row, so whole units can go as they come.
Status TensorWriter::PackZeros(Part& part, size_t count) {
  if (count == 0) return {};
  const int bits = part.plan->zero_points->bits;
  const std::span<const uint8_t> widths = FieldWidths(bits);
  std::array<std::vector<std::byte>, kMaxFields> fields;
  std::array<std::byte*, kMaxFields> rows{};
  for (size_t f = 0; f < widths.size(); ++f) {
    fields[f].resize(PackedRowBytes(count, widths[f]));
    rows[f] = fields[f].data();
  }
  PackRow(part.pending_zeros.data(), count, bits, std::span(rows).first(widths.size()));
  part.pending_zeros.erase(part.pending_zeros.begin(), part.pending_zeros.begin() + static_cast<ptrdiff_t>(count));
  for (size_t f = 0; f < widths.size(); ++f) {
    if (auto done = part.zero_planes[f].Append(fields[f]); !done) return done;
  }
  return {};
}

Status TensorWriter::FlushAll() {
  for (PlaneWriter& plane : raw_) {
    if (auto done = plane.Flush(); !done) return done;
  }
  for (Part& part : parts_) {
    if (auto done = PackZeros(part, part.pending_zeros.size()); !done) return done;
    for (auto* planes : {&part.planes, &part.zero_planes}) {
      for (PlaneWriter& plane : *planes) {
        if (auto done = plane.Flush(); !done) return done;
      }
    }
  }
  return {};
}

// An operand array of one value becomes a constant, a neutral constant nothing (R-LIN-5 to R-LIN-7); its plane is
// dropped.
TensorWriter::Finished TensorWriter::FinishPart(Part& part, std::vector<KeptPlane>& kept) {
  Finished out;
  Linear& l = out.linear = part.plan->linear;
  const auto constant_of = [](const PlaneWriter& plane, DType type, float neutral) {
    const std::byte* at = plane.first_element().data();
    const float value = type == DType::kF32   ? Load<float>(at)
                        : type == DType::kF16 ? F16ToF32(Load<uint16_t>(at))
                                              : BF16ToF32(Load<uint16_t>(at));
    return std::bit_cast<uint32_t>(value) == std::bit_cast<uint32_t>(neutral) ? Operand{} : Operand::Constant(value);
  };
  std::vector<int> sizes;
  for (size_t i = 0; i < part.specs.size(); ++i) {
    PlaneWriter& plane = part.planes[i];
    const PlaneSpec& spec = part.specs[i];
    if (plane.all_equal() && spec.role == PlaneRole::kScales) {
      l.s = constant_of(plane, spec.type, 1.0f);
    } else if (plane.all_equal() && spec.role == PlaneRole::kZeroPoints) {
      l.z = constant_of(plane, spec.type, 0.0f);
    } else {
      out.planes.push_back(plane.Finish());
      sizes.push_back(spec.element_size);
    }
  }
  if (part.plan->zero_points && part.zeros_equal) {
    l.z = part.first_zero == 0 ? Operand{} : Operand::Constant(static_cast<float>(part.first_zero));
  } else {
    for (PlaneWriter& plane : part.zero_planes) out.zero_planes.push_back(plane.Finish());
  }
  if (l.s.form <= OperandForm::kConstant && l.z.form <= OperandForm::kConstant) {  // no arrays: one group
    l.group_rows = l.rows;
    l.group_cols = l.cols;
  }
  // The vectors do not grow any more: their elements can be pointed at.
  for (size_t i = 0; i < out.planes.size(); ++i) kept.push_back({&out.planes[i], sizes[i]});
  for (WrittenPlane& plane : out.zero_planes) kept.push_back({&plane, 1});
  return out;
}

Status TensorWriter::Finish() {
  if (auto flushed = FlushAll(); !flushed) return flushed;
  std::vector<KeptPlane> kept;
  std::vector<Finished> finished;
  finished.reserve(parts_.size());
  for (Part& part : parts_) finished.push_back(FinishPart(part, kept));
  std::vector<WrittenPlane> raw;
  for (PlaneWriter& plane : raw_) raw.push_back(plane.Finish());
  for (WrittenPlane& plane : raw) kept.push_back({&plane, InfoOf(tensor_.dtype).size});

  const uint64_t key = ContentKey(finished, kept);
  if (auto settled = SettlePlanes(sink_.file, sink_.allocator, start_, kept, sink_.compress); !settled) return settled;
  const uint64_t offset =
      kept.empty() ? 0 : std::min_element(kept.begin(), kept.end(), [](const KeptPlane& a, const KeptPlane& b) {
                           return a.plane->offset < b.plane->offset;
                         })->plane->offset;
  if (!kept.empty()) {
    auto alias = BecomeAlias(key, offset);
    if (!alias) return Propagate(alias);
    if (*alias) return {};
  }

  std::vector<IndexBuilder::Part> parts;
  if (!encoder_) {
    const uint32_t e = sink_.index.AddEncoding(EncodingKind::kRaw, {}, raw);
    parts.push_back({tensor_.shape.empty() ? 1 : tensor_.shape.front(), e});
  }
  const bool split = finished.size() > 1;
  for (Finished& part : finished) {
    std::vector<uint32_t> children;
    if (!part.zero_planes.empty()) {
      const Part& planned = parts_[static_cast<size_t>(&part - finished.data())];
      children.push_back(
          sink_.index.AddEncoding(EncodingKind::kLinear, EncodeLinear(*planned.plan->zero_points), part.zero_planes));
    }
    const uint32_t e = sink_.index.AddEncoding(EncodingKind::kLinear, EncodeLinear(part.linear), part.planes, children);
    parts.push_back({split ? part.linear.cols : tensor_.shape.front(), e});
  }
  const uint8_t axis = split ? static_cast<uint8_t>(tensor_.shape.size() - 1) : 0;
  const uint32_t number = sink_.index.AddTensor(tensor_.name, tensor_.dtype, tensor_.shape, axis, parts);
  if (!kept.empty())
    sink_.originals.try_emplace(key, TensorSink::Original{number, offset, sink_.allocator.end() - offset});
  return {};
}

// A hash of all that a tensor holds but its name.
uint64_t TensorWriter::ContentKey(const std::vector<Finished>& parts, const std::vector<KeptPlane>& planes) const {
  std::vector<std::byte> text;
  ingot::Append(text, static_cast<uint8_t>(tensor_.dtype));
  for (uint64_t dim : tensor_.shape) ingot::Append(text, dim);
  for (const Finished& part : parts) ingot::Append(text, ByteSpan(EncodeLinear(part.linear)));
  for (const KeptPlane& plane : planes) {
    for (const Hash128& hash : plane.plane->chunks) {
      ingot::Append(text, hash.low);
      ingot::Append(text, hash.high);
    }
  }
  return Xxh3_64(text);
}

// A tensor that holds the same as an earlier one is tied to it, and what was written for it is cut off again. The hash
// finds it, the bytes decide.
Result<bool> TensorWriter::BecomeAlias(uint64_t key, uint64_t offset) {
  const auto at = sink_.originals.find(key);
  if (at == sink_.originals.end()) return false;
  const TensorSink::Original& original = at->second;
  const uint64_t size = sink_.allocator.end() - offset;
  if (size != original.size) return false;
  std::vector<std::byte> a(std::min(size, kChunkSize)), b(a.size());
  for (uint64_t done = 0; done < size; done += a.size()) {
    const uint64_t piece = std::min<uint64_t>(a.size(), size - done);
    if (auto read = sink_.file.ReadAt(offset + done, std::span(a).first(piece)); !read) return Propagate(read);
    if (auto read = sink_.file.ReadAt(original.offset + done, std::span(b).first(piece)); !read) return Propagate(read);
    if (!std::equal(a.begin(), a.begin() + static_cast<ptrdiff_t>(piece), b.begin())) return false;
  }
  sink_.allocator.Rewind(start_);
  if (auto cut = sink_.file.Truncate(start_); !cut) return Propagate(cut);
  sink_.index.AddAlias(tensor_.name, std::string(sink_.index.NameOfTensor(original.tensor)));
  return true;
}

}  // namespace ingot
