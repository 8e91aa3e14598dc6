// The input is the image of a whole .ingot file: header, index, the rules about content, digests, descriptions. Its
// hashes are made right before a second pass, because no mutation would get past them.

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <vector>

#include "format/checked.h"
#include "format/chunk.h"
#include "format/content_checker.h"
#include "format/header.h"
#include "format/index.h"
#include "runtime/model.h"
#include "tests/fuzz/image.h"
#include "tests/fuzz/require.h"

namespace ingot {
namespace {

constexpr uint64_t kMostChunks = 32;  // of one plane that are looked at, to bound the time of a run

// Gives out the chunks of a plane from the image. Frames get the hash that their bytes have, so that the decoder sees
// them.
class Chunks {
 public:
  Chunks(const Image& image, const Index& index) : image_(image), index_(index) {}

  bool Walk(uint32_t number, const std::function<bool(ByteSpan)>& use) {
    const PlaneRecord plane = index_.plane(number);
    const uint64_t count = std::min(plane.chunk_count(), kMostChunks);
    for (uint64_t c = 0; c < count; ++c) {
      // Memory of exactly its size, so that a sanitizer sees a byte too many.
      const std::unique_ptr<std::byte[]> chunk(new std::byte[plane.chunk_size(c)]);
      const std::span<std::byte> out(chunk.get(), plane.chunk_size(c));
      if (!Read(plane, c, out)) return false;
      if (!use(out)) break;
    }
    return true;
  }

 private:
  bool Read(const PlaneRecord& plane, uint64_t chunk, std::span<std::byte> out) {
    if (!plane.framed()) {
      const uint64_t at = plane.offset + chunk * kChunkSize;
      Require(InRange(at, out.size(), image_.size()));
      std::memcpy(out.data(), image_.data() + at, out.size());
      return true;
    }
    FrameRecord frame = index_.frame(static_cast<uint32_t>(plane.first_frame + chunk));
    Require(InRange(plane.offset + frame.offset, frame.size, image_.size()));
    const ByteSpan stored = ByteSpan(image_).subspan(plane.offset + frame.offset, frame.size);
    frame.hash = Xxh3_64(stored);
    return decoder_.Decode(frame, stored, out).has_value();
  }

  const Image& image_;
  const Index& index_;
  FrameDecoder decoder_;
};

void CheckContents(const Image& image, const Index& index) {
  Chunks chunks(image, index);
  const ChunkWalk walk = [&](uint32_t plane, const std::function<bool(ByteSpan)>& use) {
    return chunks.Walk(plane, use);
  };
  Report report(10);
  for (uint32_t i = 0; i < index.count(Table::kParts) && i < 64; ++i)
    CheckContent(index, index.part(i).encoding, "part", walk, report);
}

// What a reader does with an index in which nothing is wrong.
void UseValid(const Index& index) {
  for (uint32_t i = 0; i < index.tensor_count(); ++i) {
    const TensorRecord tensor = index.tensor(i);
    Require(index.FindTensor(tensor.name) == i);
    const std::string text = DescribeTensor(index, tensor);
    Require(!text.empty() && IsUtf8(Escape(tensor.name)));
    Require(StoredBytesOf(index, tensor) <= index.header().file_end);
    Require(ElementCount(tensor) <= uint64_t{1} << 63);
    Require(!index.IsAlias(i) || i > 0);
  }
  for (uint32_t i = 0; i < index.count(Table::kMetadata); ++i) {
    const MetadataRecord record = index.metadata(i);
    Require(index.FindMetadata(record.key)->value.data() == record.value.data());
  }
  for (uint32_t i = 0; i < index.count(Table::kAttachments); ++i) Require(IsSafeName(index.attachment(i).name, 2));
  for (uint32_t i = 0; i < index.count(Table::kSources); ++i) Require(IsSafeName(index.source(i).name, 1));
  for (uint32_t i = 0; i < index.count(Table::kShards); ++i) Require(IsSafeName(index.shard(i).name, 1));
  for (uint32_t i = 0; i < index.count(Table::kSha256); ++i) (void)index.sha256(i);
  Require(Digests(index) == Digests(index));
}

void ReadImage(const Image& image) {
  Report report;
  const HeaderPair pair =
      ReadHeader(ByteSpan(image).first(std::min<size_t>(image.size(), kHeaderSize)), image.size(), report);
  for (const Violation& v : report.violations()) {
    if (!IsRepairable(pair, v)) return;
  }
  Require(pair.current.has_value());
  const Header& header = pair.header;
  Require(header.file_end <= image.size() && InRange(header.index_offset, header.index_size, header.file_end));

  // Memory of exactly its size, apart from the image.
  const std::shared_ptr<std::byte[]> bytes(new std::byte[header.index_size]);
  std::memcpy(bytes.get(), image.data() + header.index_offset, header.index_size);
  Report of_index;
  const auto index = Index::Open({bytes, ByteSpan(bytes.get(), header.index_size)}, header, of_index);
  Require(index.has_value() || !of_index.ok());
  if (!of_index.ok()) return;
  CheckContents(image, *index);
  UseValid(*index);
}

}  // namespace
}  // namespace ingot

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto* bytes = reinterpret_cast<const std::byte*>(data);
  ingot::Image image(bytes, bytes + size);
  ingot::ReadImage(image);
  ingot::RepairHashes(image);
  ingot::ReadImage(image);
  return 0;
}
