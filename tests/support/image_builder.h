// Makes the image of a whole .ingot file in memory: planes, then the index, then the header. Knows only the layout, not
// the converter.
#pragma once

#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "format/chunk.h"
#include "format/header.h"
#include "format/index_builder.h"

namespace ingot::test {

using Bytes = std::vector<std::byte>;

inline ByteSpan ChunkOf(ByteSpan plane, uint64_t number) {
  const uint64_t at = number * kChunkSize;
  return plane.subspan(at, std::min<uint64_t>(kChunkSize, plane.size() - at));
}

class ImageBuilder {
 public:
  explicit ImageBuilder(uint32_t alignment = kDefaultAlignment) : image_(kHeaderSize) { header_.alignment = alignment; }

  // Adds a plane that is stored raw, behind everything else.
  WrittenPlane Add(ByteSpan logical) {
    WrittenPlane plane = Describe(logical);
    Append(image_, logical);
    return plane;
  }

  // Adds a plane as frames, each chunk as small as the encoder makes it. Not all of them may be stored as they are.
  WrittenPlane AddFramed(ByteSpan logical, int element_size) {
    WrittenPlane plane = Describe(logical);
    FrameEncoder encoder;
    uint64_t at = 0;
    for (size_t i = 0; i < plane.chunks.size(); ++i) {
      const FrameEncoder::Frame frame = encoder.Encode(ChunkOf(logical, i), element_size);
      plane.frames.push_back(
          {at, static_cast<uint32_t>(frame.stored.size()), static_cast<uint8_t>(frame.method), Xxh3_64(frame.stored)});
      at += frame.stored.size();
      Append(image_, frame.stored);
    }
    return plane;
  }

  // Leaves `size` bytes that an edit might have replaced.
  DeadRange AddDead(uint64_t size) {
    Align();
    const DeadRange range = {image_.size(), size};
    image_.resize(image_.size() + size, std::byte{0xDD});
    return range;
  }

  // Writes the index and two equal slots. The header can be read afterwards.
  Bytes Finish(const IndexBuilder& builder) {
    uint64_t features = 0;
    const Bytes index = builder.Build(features);
    return Finish(index, features);
  }
  Bytes Finish(ByteSpan index, uint64_t required_features) {
    Align();
    header_.required_features = required_features;
    header_.index_offset = image_.size();
    header_.index_size = index.size();
    header_.index_hash = Xxh3_128(index);
    Append(image_, index);
    header_.file_end = image_.size();
    PutHeader(image_, header_);
    return image_;
  }

  Header& header() { return header_; }
  const Bytes& image() const { return image_; }

  static void PutHeader(Bytes& image, const Header& header) {
    const Slot slot = EncodeSlot(header);
    std::memcpy(image.data(), slot.data(), slot.size());
    std::memcpy(image.data() + kSlotSize, slot.data(), slot.size());
  }

 private:
  static void Append(Bytes& to, ByteSpan bytes) { ingot::Append(to, bytes); }
  void Align() { image_.resize((image_.size() + header_.alignment - 1) / header_.alignment * header_.alignment); }

  WrittenPlane Describe(ByteSpan logical) {
    Align();
    WrittenPlane plane;
    plane.offset = image_.size();
    plane.size = logical.size();
    for (uint64_t at = 0; at < logical.size(); at += kChunkSize) {
      plane.chunks.push_back(Xxh3_128(ChunkOf(logical, at / kChunkSize)));
    }
    plane.sha256 = Sha256Of(logical);
    return plane;
  }

  Header header_;
  Bytes image_;
};

// Opens the index of an image.
inline std::optional<Index> OpenIndex(const Bytes& image, const Header& header, Report& report) {
  const auto owner =
      std::make_shared<Bytes>(image.begin() + static_cast<std::ptrdiff_t>(header.index_offset),
                              image.begin() + static_cast<std::ptrdiff_t>(header.index_offset + header.index_size));
  return Index::Open({owner, *owner}, header, report);
}

}  // namespace ingot::test
