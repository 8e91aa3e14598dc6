#include "convert/plane_writer.h"

#include <tbb/parallel_for.h>

#include <algorithm>
#include <array>

#include "format/checked.h"
#include "format/chunk.h"

namespace ingot {
namespace {

constexpr size_t kBufferSize = 256 << 10;
constexpr uint64_t kChunksAtOnce = 8;
constexpr uint64_t kSampleChunks = 16;

}  // namespace

uint64_t RegionAllocator::Reserve(uint64_t size) {
  const uint64_t offset = (end_ + alignment_ - 1) & ~uint64_t{alignment_ - 1};
  end_ = offset + size;
  return offset;
}

PlaneWriter::PlaneWriter(OutputFile& file, RegionAllocator& allocator, uint64_t size, int element_size, bool sha256)
    : file_(&file), offset_(allocator.Reserve(size)), size_(size), element_size_(element_size) {
  if (sha256) sha256_ = std::make_unique<Sha256Stream>();
}

void PlaneWriter::HashAndCompare(ByteSpan bytes) {
  if (sha256_) sha256_->Update(bytes);
  const size_t width = static_cast<size_t>(element_size_);
  if (appended_ == 0 && bytes.size() >= width) std::copy_n(bytes.begin(), width, first_.begin());
  for (size_t at = 0; all_equal_ && at < bytes.size(); at += width)
    all_equal_ = std::equal(first_.begin(), first_.begin() + element_size_, &bytes[at]);
  while (!bytes.empty()) {
    const size_t piece = std::min<size_t>(bytes.size(), kChunkSize - in_chunk_);
    if (in_chunk_ == 0 && piece == kChunkSize) {
      chunks_.push_back(Xxh3_128(bytes.first(piece)));
    } else {
      hash_.Update(bytes.first(piece));
      in_chunk_ += piece;
      if (in_chunk_ == kChunkSize) {
        chunks_.push_back(hash_.Digest());
        hash_.Reset();
        in_chunk_ = 0;
      }
    }
    bytes = bytes.subspan(piece);
  }
}

Status PlaneWriter::Append(ByteSpan bytes) {
  HashAndCompare(bytes);
  appended_ += bytes.size();
  if (buffer_.size() + bytes.size() < kBufferSize) {
    ingot::Append(buffer_, bytes);
    return {};
  }
  if (auto flushed = Flush(); !flushed) return flushed;
  if (bytes.size() < kBufferSize) {
    ingot::Append(buffer_, bytes);
    return {};
  }
  const uint64_t at = offset_ + written_;
  written_ += bytes.size();
  return file_->WriteAt(at, bytes);
}

Status PlaneWriter::Flush() {
  const uint64_t at = offset_ + written_;
  written_ += buffer_.size();
  auto status = file_->WriteAt(at, buffer_);
  buffer_.clear();
  return status;
}

WrittenPlane PlaneWriter::Finish() {
  if (in_chunk_ != 0) chunks_.push_back(hash_.Digest());
  WrittenPlane plane;
  plane.offset = offset_;
  plane.size = size_;
  plane.chunks = std::move(chunks_);
  if (sha256_) plane.sha256 = sha256_->Finish();
  buffer_ = {};
  return plane;
}

namespace {

// Copies a raw plane down to `to`, chunk by chunk.
Status MoveDown(OutputFile& file, const WrittenPlane& plane, uint64_t to) {
  std::vector<std::byte> buffer(std::min<uint64_t>(plane.size, kChunkSize));
  for (uint64_t at = 0; at < plane.size; at += buffer.size()) {
    const std::span<std::byte> piece = std::span(buffer).first(std::min<uint64_t>(buffer.size(), plane.size - at));
    if (auto read = file.ReadAt(plane.offset + at, piece); !read) return read;
    if (auto write = file.WriteAt(to + at, piece); !write) return write;
  }
  return {};
}

uint64_t ChunkCount(const WrittenPlane& plane) { return CeilDiv(plane.size, kChunkSize); }

// Encodes the chunks `numbers` of a raw plane, in parallel.
Result<std::vector<FrameEncoder::Frame>> EncodeChunks(const OutputFile& file, const WrittenPlane& plane,
                                                      int element_size, const std::vector<uint64_t>& numbers) {
  std::vector<std::vector<std::byte>> chunks;
  for (uint64_t number : numbers) {
    chunks.emplace_back(std::min(kChunkSize, plane.size - number * kChunkSize));
    if (auto read = file.ReadAt(plane.offset + number * kChunkSize, chunks.back()); !read) return Propagate(read);
  }
  std::vector<FrameEncoder::Frame> frames(chunks.size());
  tbb::parallel_for(size_t{0}, chunks.size(), [&](size_t i) {
    thread_local FrameEncoder encoder;
    frames[i] = encoder.Encode(chunks[i], element_size);
  });
  return frames;
}

// Whether compression pays: the sampled chunks shrink by 5 % in all.
Result<bool> Shrinks(const OutputFile& file, const WrittenPlane& plane, int element_size) {
  const uint64_t chunks = ChunkCount(plane);
  std::vector<uint64_t> numbers;
  for (uint64_t i = 0; i < std::min(chunks, kSampleChunks); ++i)
    numbers.push_back(i * chunks / std::min(chunks, kSampleChunks));
  uint64_t before = 0, after = 0;
  for (size_t first = 0; first < numbers.size(); first += kChunksAtOnce) {
    const std::vector<uint64_t> some(
        numbers.begin() + static_cast<ptrdiff_t>(first),
        numbers.begin() + static_cast<ptrdiff_t>(std::min<size_t>(numbers.size(), first + kChunksAtOnce)));
    auto frames = EncodeChunks(file, plane, element_size, some);
    if (!frames) return Propagate(frames);
    for (size_t i = 0; i < some.size(); ++i) {
      before += std::min(kChunkSize, plane.size - some[i] * kChunkSize);
      after += (*frames)[i].stored.size();
    }
  }
  return after < before && after <= before - before / 20;
}

// Replaces a raw plane by frames that begin at `to`, which is at or before its own place: nothing that is still to be
// read is overwritten.
Status Compress(OutputFile& file, WrittenPlane& plane, int element_size, uint64_t to) {
  uint64_t offset = 0;
  for (uint64_t first = 0; first < ChunkCount(plane); first += kChunksAtOnce) {
    std::vector<uint64_t> numbers;
    for (uint64_t i = first; i < std::min(ChunkCount(plane), first + kChunksAtOnce); ++i) numbers.push_back(i);
    auto frames = EncodeChunks(file, plane, element_size, numbers);
    if (!frames) return Propagate(frames);
    for (const FrameEncoder::Frame& frame : *frames) {
      plane.frames.push_back({offset, static_cast<uint32_t>(frame.stored.size()), static_cast<uint8_t>(frame.method),
                              Xxh3_64(frame.stored)});
      if (auto write = file.WriteAt(to + offset, frame.stored); !write) return write;
      offset += frame.stored.size();
    }
  }
  plane.offset = to;
  return {};
}

}  // namespace

Status SettlePlanes(OutputFile& file, RegionAllocator& allocator, uint64_t start, std::vector<KeptPlane> planes,
                    bool compress) {
  std::sort(planes.begin(), planes.end(),
            [](const KeptPlane& a, const KeptPlane& b) { return a.plane->offset < b.plane->offset; });
  const uint64_t reserved_end = allocator.end();
  allocator.Rewind(start);
  bool changed = false;  // even where the end stays: a frame may be shorter than its plane by less than the alignment
  for (auto& [plane, element_size] : planes) {
    bool framed = false;
    if (compress) {
      auto shrinks = Shrinks(file, *plane, element_size);
      if (!shrinks) return Propagate(shrinks);
      framed = *shrinks;
    }
    const uint64_t before = allocator.end();
    const uint64_t to = allocator.Reserve(plane->size);
    changed |= framed || to != plane->offset;
    if (framed) {
      if (auto done = Compress(file, *plane, element_size, to); !done) return done;
      allocator.Rewind(before);
      allocator.Reserve(plane->frames.back().offset + plane->frames.back().size);
    } else if (to != plane->offset) {
      if (auto moved = MoveDown(file, *plane, to); !moved) return moved;
      plane->offset = to;
    }
  }
  // What was written beyond is cut off, so that padding is zero whatever comes next. And between planes that moved:
  // holes are zeroed.
  if (!changed && allocator.end() == reserved_end) return {};
  for (size_t i = 0; i < planes.size(); ++i) {
    const WrittenPlane& plane = *planes[i].plane;
    const uint64_t end =
        plane.offset + (plane.frames.empty() ? plane.size : plane.frames.back().offset + plane.frames.back().size);
    const uint64_t next = i + 1 < planes.size() ? planes[i + 1].plane->offset : end;
    if (auto write = file.WriteAt(end, std::vector<std::byte>(next - end)); !write) return write;
  }
  return file.Truncate(allocator.end());
}

}  // namespace ingot
