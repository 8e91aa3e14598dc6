#include "format/index_checker.h"

#include <algorithm>

#include "format/checked.h"

namespace ingot {
namespace {

std::string RecordPlace(Table table, uint64_t number) {
  return fmt::format("{} record {}", kTables[static_cast<size_t>(table) - 1].name, number);
}

}  // namespace

std::optional<Index> Index::Open(IndexBytes bytes, const Header& header, Report& report, Soundness* soundness) {
  Index index(std::move(bytes), header);
  IndexChecker checker(index, report);
  if (!checker.CheckDirectory()) return std::nullopt;
  const bool tiled = checker.CheckTilings();
  if (tiled && !report.full()) checker.CheckTensors();
  if (tiled && !report.full()) checker.CheckOthers();
  if (tiled && !report.full()) checker.CheckRegions();
  if (soundness != nullptr) {
    soundness->planes = soundness->tensors = tiled;
    soundness->bad_encodings = std::move(checker.bad_encodings());
    std::sort(soundness->bad_encodings.begin(), soundness->bad_encodings.end());
  }
  return index;
}

// Reports the violation and says whether the table must be given up.
bool IndexChecker::CheckDirectory() {
  const ByteSpan bytes = index_.bytes_.bytes;
  const bool newer = index_.header_.newer_minor();
  if (bytes.size() < kIndexHeadSize) {
    report_.Add("R-IDX-1", "index", "{} bytes long, expected at least {}", bytes.size(), kIndexHeadSize);
    return false;
  }
  const uint32_t count = Load<uint32_t>(bytes.data()), reserved = Load<uint32_t>(bytes.data() + 4);
  const uint64_t directory_end = kIndexHeadSize + kDirectoryEntrySize * count;
  if (directory_end > bytes.size() || reserved != 0) {
    report_.Add("R-IDX-1", "index", "a directory of {} tables ends at byte {} of {}, its reserved field is {}", count,
                directory_end, bytes.size(), reserved);
    return false;
  }
  uint64_t end = directory_end;
  uint32_t previous_kind = 0;
  for (uint32_t i = 0; i < count; ++i) {
    const std::byte* at = bytes.data() + kIndexHeadSize + kDirectoryEntrySize * i;
    const uint32_t kind = Load<uint32_t>(at), record_size = Load<uint32_t>(at + 4);
    const uint64_t offset = Load<uint64_t>(at + 8), records = Load<uint64_t>(at + 16);
    const std::string place = fmt::format("directory entry {}", i);
    const bool known = kind >= 1 && kind <= kTables.size();
    if (kind <= previous_kind || (!known && !newer)) {
      report_.Add("R-IDX-2", place, "kind {} after kind {}, expected ascending kinds up to {}", kind, previous_kind,
                  kTables.size());
      return false;
    }
    previous_kind = kind;
    if (known) {
      const TableInfo& info = kTables[kind - 1];
      const bool may_grow = newer && info.table != Table::kHeap;
      if (record_size < info.record_size || (record_size > info.record_size && !may_grow)) {
        report_.Add("R-IDX-3", place, "records of {} bytes in the table {}, expected {}", record_size, info.name,
                    info.record_size);
        return false;
      }
      if (records < 1 || records > info.most) {
        report_.Add("R-IDX-4", place, "{} records in the table {}, expected 1 to {}", records, info.name, info.most);
        return false;
      }
    }
    const auto size = CheckedMul(record_size, records);
    const uint64_t start = (end + 7) & ~uint64_t{7};
    if (offset != start || !size || !InRange(offset, *size, bytes.size())) {
      report_.Add("R-IDX-5", place, "{} records of {} bytes at {}, expected at {} and within {}", records, record_size,
                  offset, start, bytes.size());
      return false;
    }
    if (std::any_of(bytes.begin() + static_cast<ptrdiff_t>(end), bytes.begin() + static_cast<ptrdiff_t>(start),
                    [](std::byte b) { return b != std::byte{0}; })) {
      report_.Add("R-IDX-6", place, "the bytes {} to {} of the index are not zero", end, start);
    }
    end = offset + *size;
    if (known) index_.tables_[kind] = {bytes.data() + offset, records, record_size};
  }
  if (end != bytes.size()) {
    report_.Add("R-IDX-5", "index", "the last table ends at byte {}, the index at {}", end, bytes.size());
    return false;
  }
  return true;
}

bool IndexChecker::CheckReserved(Table table, uint32_t number, uint32_t from, uint32_t size) {
  const std::byte* at = index_.record(table, number) + from;
  if (std::all_of(at, at + size, [](std::byte b) { return b == std::byte{0}; })) return true;
  report_.Add("R-IDX-7", RecordPlace(table, number), "the reserved bytes {} to {} are not zero", from, from + size);
  return false;
}

bool IndexChecker::CheckHeap() {
  const uint64_t heap_size = index_.count(Table::kHeap);
  uint64_t next = 0;
  // The field of the offset, and the size of the piece, for each table that owns pieces.
  const auto walk = [&](Table table, uint32_t offset_at, auto&& size_of) {
    const uint64_t count = index_.count(table);
    for (uint64_t i = 0; i < count; ++i) {
      const std::byte* at = index_.record(table, i);
      const uint64_t offset = Load<uint32_t>(at + offset_at), size = size_of(at);
      if (offset != next || !InRange(offset, size, heap_size)) {
        report_.Add("R-HEAP-1", RecordPlace(table, i), "a piece of {} bytes at {}, expected at {} and within {}", size,
                    offset, next, heap_size);
        return false;
      }
      next = offset + size;
    }
    return true;
  };
  const auto name_size = [](const std::byte* at) -> uint64_t { return Load<uint16_t>(at + 4); };
  const bool tiled =
      walk(Table::kTensors, 0,
           [](const std::byte* at) -> uint64_t {
             return Load<uint16_t>(at + 4) + uint64_t{8} * Load<uint8_t>(at + 7);
           }) &&
      walk(Table::kEncodings, 8, [](const std::byte* at) -> uint64_t { return Load<uint16_t>(at + 12); }) &&
      walk(Table::kMetadata, 0,
           [](const std::byte* at) -> uint64_t { return uint64_t{Load<uint16_t>(at + 4)} + Load<uint32_t>(at + 8); }) &&
      walk(Table::kAttachments, 0, name_size) && walk(Table::kShards, 0, name_size) &&
      walk(Table::kSources, 0, name_size);
  if (tiled && next != heap_size)
    report_.Add("R-HEAP-1", "heap", "the pieces end at {}, the heap at {}", next, heap_size);
  return tiled && next == heap_size;
}

bool IndexChecker::CheckPlane(uint32_t number, uint64_t next_chunk, uint64_t next_frame, uint64_t first_offset) {
  const PlaneRecord p = index_.plane(number);
  const auto place = [&] { return RecordPlace(Table::kPlanes, number); };
  if (p.size < 1) {
    report_.Add("R-PLN-1", place(), "the size is 0, expected at least 1");
    return false;
  }
  if (p.first_chunk != next_chunk || !InRange(next_chunk, p.chunk_count(), index_.count(Table::kChunks))) {
    report_.Add("R-PLN-3", place(), "{} chunks from {} on, expected from {} on and within {}", p.chunk_count(),
                p.first_chunk, next_chunk, index_.count(Table::kChunks));
    return false;
  }
  if (p.framed()) {
    if (p.first_frame != next_frame || !InRange(next_frame, p.chunk_count(), index_.count(Table::kFrames))) {
      report_.Add("R-PLN-4", place(), "{} frames from {} on, expected from {} on and within {}", p.chunk_count(),
                  p.first_frame, next_frame, index_.count(Table::kFrames));
      return false;
    }
    if (!CheckFrames(number, p)) return false;
  }
  const Header& h = index_.header_;
  const uint64_t stored = index_.stored_size(p);
  // The alignment is a power of two (R-HDR-5): a mask, not a division for each plane.
  if (p.offset < first_offset || (p.offset & (h.alignment - 1)) != 0 || !InRange(p.offset, stored, h.file_end)) {
    report_.Add("R-PLN-2", place(),
                "{} stored bytes at {}: expected at a multiple of {}, at or after {}, and within {}", stored, p.offset,
                h.alignment, first_offset, h.file_end);
    return false;
  }
  return true;
}

bool IndexChecker::CheckFrames(uint32_t number, const PlaneRecord& p) {
  uint64_t next = 0;
  bool compressed = false;
  for (uint64_t i = 0; i < p.chunk_count(); ++i) {
    const uint32_t f = static_cast<uint32_t>(p.first_frame + i);
    const FrameRecord frame = index_.frame(f);
    const uint64_t chunk = p.chunk_size(i);
    const std::string place = RecordPlace(Table::kFrames, f);
    if (!CheckReserved(Table::kFrames, f, 13, 3)) return false;
    if (frame.method > 3) {
      report_.Add("R-FRM-1", place, "the method is {}, expected at most 3", frame.method);
      return false;
    }
    if (frame.offset != next) {
      report_.Add("R-FRM-2", place, "offset {} in plane {}, expected {}", frame.offset, number, next);
      return false;
    }
    const bool stored = frame.method == static_cast<uint8_t>(FrameMethod::kStored);
    if (stored ? frame.size != chunk : frame.size < 1 || frame.size >= chunk) {
      report_.Add("R-FRM-3", place, "{} stored bytes with method {} for a chunk of {}", frame.size, frame.method,
                  chunk);
      return false;
    }
    const uint64_t width = frame.method < 2 ? 1 : frame.method == 2 ? 2 : 4;
    if (chunk % width != 0) {
      report_.Add("R-FRM-5", place, "method {} for a chunk of {} bytes, expected a multiple of {}", frame.method, chunk,
                  width);
      return false;
    }
    compressed |= !stored;
    next += frame.size;
  }
  if (!compressed)
    report_.Add("R-FRM-4", RecordPlace(Table::kPlanes, number),
                "all its frames have method 0; such a plane is stored raw");
  return compressed;
}

bool IndexChecker::CheckTilings() {
  if (!CheckHeap()) return false;
  uint64_t next_chunk = 0, next_frame = 0, first_offset = kHeaderSize;
  for (uint32_t i = 0; i < index_.plane_count(); ++i) {
    if (!CheckPlane(i, next_chunk, next_frame, first_offset)) return false;
    const PlaneRecord p = index_.plane(i);
    first_offset = p.offset + 1;
    planes_follow_on_ &= p.offset == CheckedAlign(planes_end_, index_.header_.alignment);
    planes_end_ = p.offset + index_.stored_size(p);
    next_chunk += p.chunk_count();
    if (p.framed()) next_frame += p.chunk_count();
  }
  if (next_chunk != index_.count(Table::kChunks)) {
    report_.Add("R-PLN-3", "chunks", "the planes have {} chunks, the table {}", next_chunk,
                index_.count(Table::kChunks));
    return false;
  }
  if (next_frame != index_.count(Table::kFrames)) {
    report_.Add("R-PLN-4", "frames", "the planes have {} frames, the table {}", next_frame,
                index_.count(Table::kFrames));
    return false;
  }
  const bool zstd = (index_.header_.required_features & kFeatureZstd) != 0;
  if (zstd != (next_frame != 0)) {
    report_.Add("R-FEAT-1", "header", "the feature zstd is {}, the frame table has {} records",
                zstd ? "set" : "not set", next_frame);
  }
  return true;
}

void IndexChecker::CheckRegions() {
  struct Region {
    uint64_t offset, size;
  };
  if (dead_order_broken_) return;
  const Header& h = index_.header_;
  const uint32_t planes = index_.plane_count();
  const uint64_t dead = index_.count(Table::kDeadRanges);
  // A file that was never edited: planes without holes, then the index.
  if (planes_follow_on_ && dead == 0 && h.index_offset == CheckedAlign(planes_end_, h.alignment) &&
      h.index_offset + h.index_size == h.file_end)
    return;
  uint64_t end = kHeaderSize, d = 0;
  uint32_t p = 0;
  bool index_seen = false;
  while (p < planes || d < dead || !index_seen) {
    Region next = {UINT64_MAX, 0};
    int which = -1;
    const auto consider = [&](uint64_t offset, uint64_t size, int kind) {
      if (which < 0 || offset < next.offset) next = {offset, size}, which = kind;
    };
    if (p < planes) {
      const PlaneRecord plane = index_.plane(p);
      consider(plane.offset, index_.stored_size(plane), 0);
    }
    if (d < dead)
      consider(index_.dead_range(static_cast<uint32_t>(d)).offset, index_.dead_range(static_cast<uint32_t>(d)).size, 1);
    if (!index_seen) consider(h.index_offset, h.index_size, 2);
    static constexpr const char* kKinds[] = {"a plane", "a dead range", "the index"};
    const auto expected = CheckedAlign(end, h.alignment);
    if (!expected || next.offset != *expected || !InRange(next.offset, next.size, h.file_end)) {
      report_.Add("R-FILE-3", "regions", "{} of {} bytes at {}, expected at {} and within {}", kKinds[which], next.size,
                  next.offset, expected.value_or(0), h.file_end);
      return;
    }
    end = next.offset + next.size;
    p += which == 0;
    d += which == 1;
    index_seen |= which == 2;
  }
  if (end != h.file_end)
    report_.Add("R-FILE-3", "regions", "the last region ends at {}, the file at {}", end, h.file_end);
}

}  // namespace ingot
