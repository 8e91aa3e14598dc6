#include "convert/ingot/ingot_tensor.h"

#include <algorithm>
#include <cstring>

#include "convert/ingot/split_tensor.h"
#include "format/content_checker.h"
#include "kernels/widen.h"

namespace ingot {

Result<std::shared_ptr<const TensorReader>> ReaderCache::Open(uint32_t number) {
  const std::lock_guard lock(mutex_);
  if (reader_ == nullptr || number_ != number) {
    reader_ = nullptr;  // its memory first
    auto opened = TensorReader::Open(*model_, number);
    if (!opened) return Propagate(opened);
    reader_ = std::make_shared<const TensorReader>(std::move(*opened));
    number_ = number;
  }
  return reader_;
}

IngotTensor::IngotTensor(std::shared_ptr<ReaderCache> readers, uint32_t number)
    : readers_(std::move(readers)), number_(number) {
  const Index& index = container().index();
  const TensorRecord record = readers_->model().tensor(number);
  plan_.verbatim.axis = record.axis;
  for (uint32_t p = record.first_part; p < record.first_part + record.part_count; ++p) {
    const PartRecord part = index.part(p);
    const EncodingRecord root = index.encoding(part.encoding);
    quantized_ = quantized_ || !root.is(EncodingKind::kRaw);
    for (uint32_t c = part.encoding - root.child_count; c < part.encoding; ++c) AddEncoding(c, true);
    AddEncoding(part.encoding, false);
    plan_.verbatim.parts.push_back({part.extent, static_cast<uint32_t>(plan_.verbatim.encodings.size() - 1)});
  }
  uint64_t blocks = 0;
  for (uint32_t plane : planes_) {
    first_blocks_.push_back(blocks);
    blocks += index.plane(plane).chunk_count();
  }
  first_blocks_.push_back(blocks);
}

void IngotTensor::AddEncoding(uint32_t number, bool nested) {
  const Index& index = container().index();
  const EncodingRecord e = index.encoding(number);
  const ByteSpan payload = index.payload(e);
  VerbatimEncoding encoding{e.kind, e.flags, {payload.begin(), payload.end()}, {}, e.child_count};
  const std::vector<PlaneSpec> specs =
      e.is(EncodingKind::kLinear) ? PlanesOf(DecodeLinear(payload), nested) : std::vector<PlaneSpec>{};
  const int raw_size = InfoOf(static_cast<DType>(readers_->model().tensor(number_).dtype)).size;
  for (uint32_t i = 0; i < e.plane_count; ++i) {
    const int size = i < specs.size() ? specs[i].element_size : e.is(EncodingKind::kRaw) ? raw_size : 1;
    encoding.planes.push_back({index.plane(e.first_plane + i).size, size});
    planes_.push_back(e.first_plane + i);
  }
  plan_.verbatim.encodings.push_back(std::move(encoding));
}

std::string IngotTensor::description() const {
  return DescribeTensor(container().index(), readers_->model().tensor(number_));
}

// The content rules of all encodings: what is written must be valid, whether or not its hashes are right.
Status IngotTensor::CheckIndexPlanes() const {
  const Index& index = container().index();
  const TensorRecord record = readers_->model().tensor(number_);
  Status status;
  FrameDecoder decoder;
  IoBytes chunk;
  const ChunkWalk walk = [&](uint32_t plane, const std::function<bool(ByteSpan)>& use) {
    const PlaneRecord p = index.plane(plane);
    for (uint64_t i = 0; status && i < p.chunk_count(); ++i) {
      chunk.resize(p.chunk_size(i));
      status = container().ReadChunk(plane, i, decoder, chunk);
      if (status && !use(chunk)) break;
    }
    return status.has_value();
  };
  for (uint32_t p = record.first_part; status && p < record.first_part + record.part_count; ++p) {
    Report report(1);
    const std::string place = fmt::format("tensor '{}'", Escape(record.name));
    CheckContent(index, index.part(p).encoding, place, walk, report);
    for (const Violation& v : report.violations()) {
      if (status) status = Fail(ErrorCode::kBadInput, "{}", TextOf(container().path(), v));
    }
  }
  return status;
}

Status IngotTensor::Encode(uint64_t block, std::span<EncodedPart> parts) const {
  if (block == 0) {
    if (auto checked = CheckIndexPlanes(); !checked) return checked;
  }
  if (block >= block_count()) return {};  // a tensor without bytes
  const auto next = std::upper_bound(first_blocks_.begin(), first_blocks_.end(), block);
  const auto i = static_cast<size_t>(next - first_blocks_.begin()) - 1;
  const uint64_t chunk = block - first_blocks_[i];
  thread_local FrameDecoder decoder;
  IoBytes& bytes = parts.front().bytes;
  bytes.resize(container().index().plane(planes_[i]).chunk_size(chunk));
  return container().ReadChunk(planes_[i], chunk, decoder, bytes);
}

Status IngotTensor::Decode(uint64_t first, uint64_t count, float* out) const {
  if (!quantized_) {
    const auto dtype = static_cast<DType>(readers_->model().tensor(number_).dtype);
    std::vector<std::byte> bytes(count * InfoOf(dtype).size);
    if (auto read = ReadRaw(first, count, bytes.data()); !read) return read;
    if (WidenToF32(dtype, bytes.data(), count, out)) return {};
    return Fail(ErrorCode::kBadInput, "{}: {} has no values in f32", container().path(), InfoOf(dtype).name);
  }
  auto reader = readers_->Open(number_);
  if (!reader) return Propagate(reader);
  return (*reader)->Decode(first, count, out);
}

// Chunk by chunk, so that a large tensor need not be in memory; only one of several parts is.
Status IngotTensor::ReadRaw(uint64_t first, uint64_t count, std::byte* out) const {
  if (planes_.size() != 1) {
    auto reader = readers_->Open(number_);
    if (!reader) return Propagate(reader);
    return (*reader)->ReadRaw(first, count, out);
  }
  const uint64_t size = InfoOf(static_cast<DType>(readers_->model().tensor(number_).dtype)).size;
  const PlaneRecord plane = container().index().plane(planes_[0]);
  thread_local FrameDecoder decoder;
  thread_local IoBytes chunk;
  for (uint64_t at = first * size, end = at + count * size; at < end;) {
    const uint64_t number = at / kChunkSize, skipped = at % kChunkSize;
    chunk.resize(plane.chunk_size(number));
    if (auto read = container().ReadChunk(planes_[0], number, decoder, chunk); !read) return read;
    const uint64_t piece = std::min(end - at, chunk.size() - skipped);
    std::memcpy(out, chunk.data() + skipped, piece);
    out += piece;
    at += piece;
  }
  return {};
}

Result<std::shared_ptr<const EncodedTensor>> IngotTensor::SplitColumns(uint32_t count) const {
  const Index& index = container().index();
  const TensorRecord record = readers_->model().tensor(number_);
  const uint32_t root = index.part(record.first_part).encoding;
  const EncodingRecord e = index.encoding(root);
  if (record.part_count != 1 || record.rank == 0 || !e.is(EncodingKind::kLinear)) return nullptr;
  std::vector<Linear> children;
  for (uint32_t c = root - e.child_count; c < root; ++c)
    children.push_back(DecodeLinear(index.payload(index.encoding(c))));
  const Linear linear = DecodeLinear(index.payload(e));
  const std::vector<uint64_t> cuts = ExactCuts(linear, children, record.shape().back(), count);
  if (cuts.size() <= 2) return nullptr;
  if (auto checked = CheckIndexPlanes(); !checked) return Propagate(checked);
  auto reader = readers_->Open(number_);
  if (!reader) return Propagate(reader);
  return std::make_shared<const SplitTensor>(description(), std::move(*reader), cuts);
}

}  // namespace ingot
