#include "runtime/container.h"

#include <tbb/parallel_for.h>
#include <tbb/parallel_invoke.h>

#include <algorithm>
#include <array>
#include <mutex>

#include "format/checked.h"
#include "runtime/reservation.h"

namespace ingot {
namespace {

constexpr uint64_t kHugePage = 2u << 20;

Error ErrorOf(const std::string& path, const Violation& violation) {
  return {ErrorCode::kBadInput, TextOf(path, violation)};
}

// The header, if the file can be read by it: one bad slot is forgiven.
Result<Header> OpenHeader(const File& file) {
  std::array<std::byte, kHeaderSize> bytes{};
  const uint64_t there = std::min<uint64_t>(file.size(), kHeaderSize);
  if (auto read = file.ReadAt(0, std::span(bytes).first(there)); !read) return Propagate(read);
  Report report;
  const HeaderPair pair = ReadHeader(ByteSpan(bytes).first(there), file.size(), report);
  for (const Violation& v : report.violations()) {
    if (!IsRepairable(pair, v)) return tl::unexpected(ErrorOf(file.path(), v));
  }
  return pair.header;
}

}  // namespace

std::string TextOf(const std::string& file, const Violation& v) {
  return fmt::format("{}: {}: {}: {}", file, v.rule, v.place, v.message);
}

std::string OwnerOfPlane(const Index& index, uint32_t plane) {
  for (uint32_t t = 0; t < index.tensor_count(); ++t) {
    const TensorRecord record = index.tensor(t);
    for (uint32_t p = record.first_part; p < record.first_part + record.part_count; ++p) {
      const uint32_t root = index.part(p).encoding;
      for (uint32_t e = root - index.encoding(root).child_count; e <= root; ++e) {
        const EncodingRecord member = index.encoding(e);
        if (plane >= member.first_plane && plane - member.first_plane < member.plane_count)
          return fmt::format(" of tensor '{}'", Escape(record.name));
      }
    }
  }
  for (uint32_t a = 0; a < index.count(Table::kAttachments); ++a) {
    if (index.attachment(a).plane == plane) return fmt::format(" of attachment '{}'", Escape(index.attachment(a).name));
  }
  return "";
}

Result<IndexBytes> ReadPrivate(const File& file, uint64_t offset, uint64_t size) {
  if (size < kHugePage) {
    auto bytes = std::make_shared<std::vector<std::byte>>(size);
    if (auto read = file.ReadAt(offset, *bytes); !read) return Propagate(read);
    return IndexBytes{bytes, *bytes};
  }
  auto reserved = Reservation::Make(size, Reservation::Pages::kHuge, file.path());
  if (!reserved) return Propagate(reserved);
  const auto owner = std::make_shared<Reservation>(std::move(*reserved));
  const std::span<std::byte> bytes(owner->data(), size);
  // In parallel: the kernel's zeroing and copying is most of what opening a large index costs.
  std::mutex mutex;
  Status status;
  tbb::parallel_for(uint64_t{0}, CeilDiv(size, kHugePage), [&](uint64_t i) {
    const uint64_t at_byte = i * kHugePage;
    auto read = file.ReadAt(offset + at_byte, bytes.subspan(at_byte, std::min(kHugePage, size - at_byte)));
    const std::lock_guard lock(mutex);
    if (!read && status) status = std::move(read);
  });
  if (!status) return Propagate(status);
  return IndexBytes{owner, bytes};
}

Result<std::shared_ptr<const Container>> Container::Open(const std::string& path) {
  auto file = File::OpenForReading(path);
  if (!file) return Propagate(file);
  auto header = OpenHeader(*file);
  if (!header) return Propagate(header);
  auto bytes = ReadPrivate(*file, header->index_offset, header->index_size);
  if (!bytes) return Propagate(bytes);
  // Both at a time: the checks rely on nothing that the hash would promise. What the hash says comes first.
  Hash128 hash;
  Report report(1);
  std::optional<Index> index;
  const auto take_hash = [&] { hash = Xxh3_128(bytes->bytes); };
  const auto check = [&] { index = Index::Open(*bytes, *header, report); };
  constexpr uint64_t kWorthAThread = 256 << 10;  // less is done before another thread has woken up
  if (header->index_size < kWorthAThread) {
    take_hash(), check();
  } else {
    tbb::parallel_invoke(take_hash, check);
  }
  if (hash != header->index_hash) {
    return Fail(ErrorCode::kBadInput, "{}: R-HDR-10: index: the {} bytes at {} have the hash {}, expected {}", path,
                header->index_size, header->index_offset, ToHex(hash), ToHex(header->index_hash));
  }
  if (!report.ok()) return tl::unexpected(ErrorOf(path, report.violations().front()));
  return std::shared_ptr<const Container>(new Container(std::move(*file), std::move(*index)));
}

ChunkResult<void> ReadChunkBytes(const File& file, const Index& index, uint32_t number, uint64_t chunk,
                                 FrameDecoder& decoder, std::span<std::byte> out) {
  const PlaneRecord plane = index.plane(number);
  const auto io_fault = [](const Status& status) { return tl::unexpected(ChunkFault{"", status.error().message}); };
  if (plane.framed()) {
    const FrameRecord frame = index.frame(static_cast<uint32_t>(plane.first_frame + chunk));
    std::vector<std::byte> stored(frame.size);
    if (auto read = file.ReadAt(plane.offset + frame.offset, stored); !read) return io_fault(read);
    return decoder.Decode(frame, stored, out);
  }
  if (auto read = file.ReadAt(plane.offset + chunk * kChunkSize, out); !read) return io_fault(read);
  return {};
}

ChunkResult<void> ReadAndCheckChunk(const File& file, const Index& index, uint32_t number, uint64_t chunk,
                                    FrameDecoder& decoder, std::span<std::byte> out) {
  if (auto read = ReadChunkBytes(file, index, number, chunk, decoder, out); !read) return read;
  return CheckChunk(out, index.chunk(static_cast<uint32_t>(index.plane(number).first_chunk + chunk)));
}

Status Container::ReadChunk(uint32_t plane, uint64_t chunk, FrameDecoder& decoder, std::span<std::byte> out) const {
  auto checked = ReadAndCheckChunk(file_, index_, plane, chunk, decoder, out);
  if (checked) return {};
  const ChunkFault& fault = checked.error();
  if (fault.rule.empty()) return Fail(ErrorCode::kIo, "{}", fault.message);
  return Fail(ErrorCode::kBadInput, "{}: {}: plane {}, chunk {}: {}", path(), fault.rule, plane, chunk, fault.message);
}

Result<std::vector<std::byte>> Container::ReadPlane(uint32_t number) const {
  const PlaneRecord plane = index_.plane(number);
  const uint64_t chunks = plane.chunk_count();
  // Memory grows with what has been read and verified, not with what the index claims.
  constexpr uint64_t kChunksAtOnce = 16;
  std::vector<std::byte> bytes;
  bytes.reserve(std::min<uint64_t>(plane.size, plane.framed() ? kChunksAtOnce * kChunkSize : plane.size));
  for (uint64_t first = 0; first < chunks; first += kChunksAtOnce) {
    const uint64_t last = std::min(chunks, first + kChunksAtOnce);
    bytes.resize((last - 1) * kChunkSize + plane.chunk_size(last - 1));
    std::mutex mutex;
    Status status;
    tbb::parallel_for(first, last, [&](uint64_t chunk) {
      thread_local FrameDecoder decoder;
      auto read =
          ReadChunk(number, chunk, decoder, std::span(bytes).subspan(chunk * kChunkSize, plane.chunk_size(chunk)));
      if (!read) {
        const std::lock_guard lock(mutex);
        if (status) status = std::move(read);
      }
    });
    if (!status) return Propagate(status);
  }
  return bytes;
}

}  // namespace ingot
