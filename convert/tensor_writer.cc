#include "convert/tensor_writer.h"

#include <algorithm>
#include <string>

#include "format/text.h"

namespace ingot {
namespace {

std::vector<std::byte> BytesOfFloats(const std::vector<float>& values) {
  std::vector<std::byte> bytes;
  for (float value : values) Append(bytes, value);
  return bytes;
}

std::vector<std::byte> BytesOfColumns(const std::vector<uint32_t>& columns, int width) {
  std::vector<std::byte> bytes;
  for (uint32_t column : columns) {
    if (width == 2) {
      Append(bytes, static_cast<uint16_t>(column));
    } else {
      Append(bytes, column);
    }
  }
  return bytes;
}

}  // namespace

TensorWriter::TensorWriter(TensorSink& sink, const SourceTensor& tensor, const TensorPlan& plan)
    : sink_(sink), tensor_(tensor), plan_(plan), start_(sink.allocator.end()) {
  if (plan.parts.empty()) {
    for (const VerbatimEncoding& encoding : plan.verbatim.encodings) {
      for (const VerbatimEncoding::Plane& plane : encoding.planes) {
        verbatim_.push_back(plane);
        planes_.emplace_back(sink.file, sink.allocator, plane.size, plane.element_size, sink.sha256);
      }
    }
    return;
  }
  for (const PartPlan& part_plan : plan.parts) {
    Part part{&part_plan, EncodingWriter(sink.file, sink.allocator, part_plan, false, sink.sha256), {}};
    for (size_t i = 0; i < kGroupOperands; ++i) {
      if (part_plan.nested[i])
        part.nested[i].emplace(sink.file, sink.allocator, *part_plan.nested[i], true, sink.sha256);
    }
    parts_.push_back(std::move(part));
  }
}

Status TensorWriter::AppendBytes(ByteSpan bytes) {
  while (!bytes.empty()) {
    if (current_ == planes_.size())
      return Fail(ErrorCode::kUsage, "{}: {} bytes too many", Quote(tensor_.name), bytes.size());
    PlaneWriter& plane = planes_[current_];
    const uint64_t piece = std::min<uint64_t>(bytes.size(), verbatim_[current_].size - plane.appended());
    if (auto done = plane.Append(bytes.first(piece)); !done) return done;
    if (plane.appended() == verbatim_[current_].size) ++current_;
    bytes = bytes.subspan(piece);
  }
  return {};
}

Status TensorWriter::Append(const std::vector<EncodedPart>& block) {
  if (parts_.empty()) return AppendBytes(block.front().bytes);
  for (size_t i = 0; i < parts_.size(); ++i) {
    if (auto done = StartPart(parts_[i]); !done) return done;
    if (auto done = AppendPart(parts_[i], block[i]); !done) return done;
  }
  return {};
}

// What comes before the first block: all that does not depend on the rows, and the first row start.
Status TensorWriter::StartPart(Part& part) {
  if (part.started) return {};
  part.started = true;
  const PartPlan& plan = *part.plan;
  const int column_bytes = plan.linear.column_bytes();
  std::vector<std::byte> row_start;
  if (plan.linear.outliers == OutlierForm::kUnstructured) ingot::Append(row_start, uint64_t{0});
  const std::pair<PlaneRole, std::vector<std::byte>> fixed[] = {
      {PlaneRole::kCodebook, BytesOfFloats(plan.codebook)},
      {PlaneRole::kColumnScales, plan.column_scales},
      {PlaneRole::kPermutation, BytesOfColumns(plan.permutation, 4)},
      {PlaneRole::kOutlierRows, row_start},
      {PlaneRole::kOutlierColumns, BytesOfColumns(plan.outlier_columns, column_bytes)},
  };
  for (const auto& [role, bytes] : fixed) {
    if (auto done = part.root.Append(role, bytes); !done) return done;
  }
  for (size_t i = 0; i < kGroupOperands; ++i) {
    if (!part.nested[i]) continue;
    if (auto done = part.nested[i]->Append(PlaneRole::kCodebook, BytesOfFloats(plan.nested[i]->codebook)); !done)
      return done;
  }
  return {};
}

Status TensorWriter::AppendPart(Part& part, const EncodedPart& block) {
  constexpr PlaneRole kArrayRoles[kGroupOperands] = {PlaneRole::kScales, PlaneRole::kZeroPoints, PlaneRole::kOffsets};
  for (size_t f = 0; f < block.codes.size(); ++f) {
    if (auto done = part.root.Append(PlaneRole::kCodes, block.codes[f], f); !done) return done;
  }
  for (size_t i = 0; i < kGroupOperands; ++i) {
    const OperandBlock& operand = block.operands[i];
    if (auto done = part.root.Append(kArrayRoles[i], operand.array); !done) return done;
    if (!part.nested[i]) continue;
    if (auto done = part.nested[i]->AppendCodes(operand.codes); !done) return done;
    for (size_t k = 0; k < kGroupOperands; ++k) {
      if (auto done = part.nested[i]->Append(kArrayRoles[k], operand.arrays[k]); !done) return done;
    }
  }
  std::vector<std::byte> row_starts;
  for (uint64_t count : block.outliers_per_row) ingot::Append(row_starts, part.outliers += count);
  if (auto done = part.root.Append(PlaneRole::kOutlierRows, row_starts); !done) return done;
  if (auto done = part.root.Append(PlaneRole::kOutlierColumns, block.outlier_columns); !done) return done;
  return part.root.Append(PlaneRole::kOutlierValues, block.outlier_values);
}

Status TensorWriter::FlushAll() {
  for (PlaneWriter& plane : planes_) {
    if (auto done = plane.Flush(); !done) return done;
  }
  for (Part& part : parts_) {
    if (auto done = part.root.Flush(); !done) return done;
    for (auto& nested : part.nested) {
      if (!nested) continue;
      if (auto done = nested->Flush(); !done) return done;
    }
  }
  return {};
}

TensorWriter::Finished TensorWriter::FinishPart(Part& part) {
  Finished out;
  out.root = part.root.Finish();
  for (size_t i = 0; i < kGroupOperands; ++i) {
    if (!part.nested[i]) continue;
    EncodingWriter::Finished nested = part.nested[i]->Finish();
    if (const auto value = part.nested[i]->SingleValue(nested)) {
      GroupOperand(out.root.linear, i) = ConstantOperand(*value, i == 0 ? 1.0f : 0.0f);
    } else {
      out.nested.push_back(std::move(nested));
    }
  }
  DropUnusedGroups(out.root.linear);
  return out;
}

Status TensorWriter::Finish() {
  if (auto flushed = FlushAll(); !flushed) return flushed;
  std::vector<Finished> finished;
  for (Part& part : parts_) finished.push_back(FinishPart(part));
  std::vector<WrittenPlane> planes;
  for (PlaneWriter& plane : planes_) planes.push_back(plane.Finish());
  // The vectors do not grow any more: their elements can be pointed at.
  std::vector<KeptPlane> kept;
  for (size_t i = 0; i < planes.size(); ++i) kept.push_back({&planes[i], verbatim_[i].element_size});
  const auto keep = [&](EncodingWriter::Finished& encoding) {
    for (size_t i = 0; i < encoding.planes.size(); ++i)
      kept.push_back({&encoding.planes[i], encoding.element_sizes[i]});
  };
  for (Finished& part : finished) {
    keep(part.root);
    for (EncodingWriter::Finished& nested : part.nested) keep(nested);
  }

  const uint64_t key = ContentKey(finished, kept);
  if (auto settled = SettlePlanes(sink_.file, sink_.allocator, start_, kept, sink_.compress); !settled) return settled;
  uint64_t offset = 0;
  if (!kept.empty()) {
    offset = std::min_element(kept.begin(), kept.end(), [](const KeptPlane& a, const KeptPlane& b) {
               return a.plane->offset < b.plane->offset;
             })->plane->offset;
    auto alias = BecomeAlias(key, offset);
    if (!alias) return Propagate(alias);
    if (*alias) return {};
  }
  AddRecords(finished, planes, key, offset);
  return {};
}

void TensorWriter::AddRecords(const std::vector<Finished>& finished, const std::vector<WrittenPlane>& planes,
                              uint64_t key, uint64_t offset) {
  std::vector<IndexBuilder::Part> parts;
  if (plan_.parts.empty()) parts = AddVerbatim(planes);
  const bool split = finished.size() > 1;
  for (const Finished& part : finished) {
    std::vector<uint32_t> children;
    for (const EncodingWriter::Finished& nested : part.nested) {
      children.push_back(sink_.index.AddEncoding(EncodingKind::kLinear, EncodeLinear(nested.linear), nested.planes));
    }
    const Linear& root = part.root.linear;
    const uint32_t e = sink_.index.AddEncoding(EncodingKind::kLinear, EncodeLinear(root), part.root.planes, children);
    parts.push_back({split ? root.cols : tensor_.shape.front(), e});
  }
  const uint8_t axis = split ? static_cast<uint8_t>(tensor_.shape.size() - 1) : plan_.verbatim.axis;
  const uint32_t number = sink_.index.AddTensor(tensor_.name, tensor_.dtype, tensor_.shape, axis, parts);
  if (offset != 0)
    sink_.originals.try_emplace(key, TensorSink::Original{number, offset, sink_.allocator.end() - offset});
}

std::vector<IndexBuilder::Part> TensorWriter::AddVerbatim(const std::vector<WrittenPlane>& planes) {
  std::vector<uint32_t> numbers;  // of the encodings
  auto plane = planes.begin();
  for (const VerbatimEncoding& encoding : plan_.verbatim.encodings) {
    const auto end = plane + static_cast<ptrdiff_t>(encoding.planes.size());
    const std::vector<uint32_t> children(numbers.end() - encoding.children, numbers.end());
    numbers.push_back(sink_.index.AddEncodingRecord(encoding.kind, encoding.flags, encoding.payload,
                                                    std::vector<WrittenPlane>(plane, end), children));
    plane = end;
  }
  std::vector<IndexBuilder::Part> parts;
  for (const VerbatimPlan::Part& part : plan_.verbatim.parts) parts.push_back({part.extent, numbers[part.encoding]});
  return parts;
}

// A hash of all that a tensor holds but its name.
uint64_t TensorWriter::ContentKey(const std::vector<Finished>& parts, const std::vector<KeptPlane>& planes) const {
  std::vector<std::byte> text;
  ingot::Append(text, static_cast<uint8_t>(tensor_.dtype));
  for (uint64_t dim : tensor_.shape) ingot::Append(text, dim);
  for (const VerbatimEncoding& encoding : plan_.verbatim.encodings) {
    ingot::Append(text, encoding.kind);
    ingot::Append(text, encoding.flags);
    ingot::Append(text, encoding.children);
    ingot::Append(text, ByteSpan(encoding.payload));
  }
  ingot::Append(text, plan_.verbatim.axis);
  for (const VerbatimPlan::Part& part : plan_.verbatim.parts) ingot::Append(text, part.extent);
  for (const Finished& part : parts) {
    ingot::Append(text, ByteSpan(EncodeLinear(part.root.linear)));
    for (const auto& nested : part.nested) ingot::Append(text, ByteSpan(EncodeLinear(nested.linear)));
  }
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
