#include "convert/file_finisher.h"

#include <algorithm>

#include "runtime/container.h"
#include "runtime/file.h"

namespace ingot {

Result<FinishedFile> FinishFile(OutputFile& file, RegionAllocator& allocator, const IndexBuilder& builder,
                                uint32_t alignment) {
  Header header;
  header.alignment = alignment;
  auto bytes = std::make_shared<std::vector<std::byte>>(builder.Build(header.required_features));
  if (bytes->size() > kMaxIndexSize)
    return Fail(ErrorCode::kBadInput, "{}: the index has {} bytes, at most {} are allowed", file.target(),
                bytes->size(), kMaxIndexSize);
  header.index_offset = allocator.Reserve(bytes->size());
  header.index_size = bytes->size();
  header.index_hash = Xxh3_128(*bytes);
  header.file_end = allocator.end();

  Report report(1);
  const auto index = Index::Open({bytes, *bytes}, header, report);
  for (const Violation& v : report.violations()) return Fail(ErrorCode::kBadInput, "{}", TextOf(file.target(), v));

  if (auto written = file.WriteAt(header.index_offset, *bytes); !written) return Propagate(written);
  const Slot slot = EncodeSlot(header);
  for (uint64_t at : {uint64_t{0}, kSlotSize}) {
    if (auto written = file.WriteAt(at, slot); !written) return Propagate(written);
  }
  if (auto cut = file.Truncate(header.file_end); !cut) return Propagate(cut);
  const auto [names, content] = Digests(*index);
  return FinishedFile{header.file_end, names, content};
}

Result<WrittenPlane> WriteAttachment(OutputFile& file, RegionAllocator& allocator, const ByteSource& source,
                                     bool compress, bool sha256) {
  if (source.size == 0) return WrittenPlane{};
  const uint64_t start = allocator.end();
  PlaneWriter writer(file, allocator, source.size, 1, sha256);
  std::vector<std::byte> buffer;
  for (uint64_t at = 0; at < source.size; at += buffer.size()) {
    buffer.resize(std::min<uint64_t>(kChunkSize, source.size - at));
    if (auto read = source.read(at, buffer); !read) return Propagate(read);
    if (auto written = writer.Append(buffer); !written) return Propagate(written);
  }
  if (auto flushed = writer.Flush(); !flushed) return Propagate(flushed);
  WrittenPlane plane = writer.Finish();
  if (auto settled = SettlePlanes(file, allocator, start, {{&plane, 1}}, compress); !settled) return Propagate(settled);
  return plane;
}

}  // namespace ingot
