#include "runtime/validate.h"

#include <tbb/blocked_range.h>
#include <tbb/parallel_for.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <map>
#include <mutex>

#include "format/checked.h"
#include "format/content_checker.h"
#include "runtime/chunk_verifier.h"
#include "runtime/container.h"
#include "runtime/model.h"

namespace ingot {
namespace {

class FileValidator {
 public:
  FileValidator(const std::string& path, const ValidateOptions& options) : path_(path), options_(options) {}

  Status Run(bool is_shard) {
    auto file = File::OpenForReading(path_);
    if (!file) return Propagate(file);
    file_.emplace(std::move(*file));
    auto header = CheckHeader();
    if (!header) return Propagate(header);
    if (*header) {
      if (auto done = CheckIndex(); !done) return done;
    }
    if (index_ && is_shard && index_->count(Table::kShards) != 0)
      report_.Add("R-SHD-4", "shards", "it is a shard and has shards itself");
    return {};
  }

  Status CheckPlanes() {
    if (!index_ || !soundness_.planes) return {};
    if (!HasViolation("R-FILE-3")) {
      if (auto done = CheckGaps(); !done) return done;
    }
    if (options_.structure_only) return {};
    if (auto done = CheckChunks(); !done) return done;
    if (report_.full()) return {};
    CheckSha256();
    CheckContents();
    return io_status_;
  }

  const std::string& path() const { return path_; }
  const std::optional<Index>& index() const { return index_; }
  // Whether names and records of the index may be looked at.
  bool records_are_sound() const { return index_ && soundness_.tensors; }
  uint64_t file_size() const { return file_ ? file_->size() : 0; }
  ingot::Report& report() { return report_; }
  std::vector<std::string>& warnings() { return warnings_; }
  uint64_t bytes() const { return bytes_; }

 private:
  bool HasViolation(std::string_view rule) const {
    return std::any_of(report_.violations().begin(), report_.violations().end(),
                       [&](const Violation& v) { return v.rule == rule; });
  }

  // False: the index cannot be found.
  Result<bool> CheckHeader() {
    std::array<std::byte, kHeaderSize> bytes{};
    const uint64_t there = std::min<uint64_t>(file_->size(), kHeaderSize);
    if (auto read = file_->ReadAt(0, std::span(bytes).first(there)); !read) return Propagate(read);
    const HeaderPair pair = ReadHeader(ByteSpan(bytes).first(there), file_->size(), report_);
    header_ = pair.header;
    if (!pair.current) return false;
    for (std::string_view rule : {"R-HDR-3", "R-HDR-4", "R-HDR-5", "R-HDR-9", "R-FILE-2"}) {
      if (HasViolation(rule)) return false;
    }
    // Violations of other rules may have kept ReadHeader from looking at the extent.
    if (header_.file_end > file_->size() || header_.index_offset < kHeaderSize || header_.index_size > kMaxIndexSize ||
        !InRange(header_.index_offset, header_.index_size, header_.file_end)) {
      return false;
    }
    if (file_->size() > header_.file_end) {
      warnings_.push_back(
          fmt::format("{} bytes after the end of the file at {} are ignored (an edit that did not finish)",
                      file_->size() - header_.file_end, header_.file_end));
    }
    return true;
  }

  Status CheckIndex() {
    auto bytes = ReadPrivate(*file_, header_.index_offset, header_.index_size);
    if (!bytes) return Propagate(bytes);
    const Hash128 hash = Xxh3_128(bytes->bytes);
    if (hash != header_.index_hash) {
      report_.Add("R-HDR-10", "index", "the {} bytes at {} have the hash {}, expected {}", header_.index_size,
                  header_.index_offset, ToHex(hash), ToHex(header_.index_hash));
      return {};
    }
    index_ = Index::Open(std::move(*bytes), header_, report_, &soundness_);
    return {};
  }

  // R-FILE-4: zeros between regions.
  Status CheckGaps() {
    std::vector<std::pair<uint64_t, uint64_t>> regions;  // offset, end
    for (uint32_t i = 0; i < index_->plane_count(); ++i) {
      const PlaneRecord p = index_->plane(i);
      regions.emplace_back(p.offset, p.offset + index_->stored_size(p));
    }
    for (uint32_t i = 0; i < index_->count(Table::kDeadRanges); ++i) {
      const DeadRange d = index_->dead_range(i);
      regions.emplace_back(d.offset, d.offset + d.size);
    }
    regions.emplace_back(header_.index_offset, header_.index_offset + header_.index_size);
    std::sort(regions.begin(), regions.end());
    std::vector<std::byte> gap;
    uint64_t end = kHeaderSize;
    for (const auto& [offset, next_end] : regions) {
      // Regions that do not tile are R-FILE-3, which is not looked for where dead ranges are out of order.
      if (offset < end || offset - end >= header_.alignment) return {};
      gap.resize(offset - end);
      if (auto read = file_->ReadAt(end, gap); !read) return read;
      const auto found = std::find_if(gap.begin(), gap.end(), [](std::byte b) { return b != std::byte{0}; });
      if (found != gap.end()) {
        report_.Add("R-FILE-4", fmt::format("byte {}", end + static_cast<uint64_t>(found - gap.begin())),
                    "{:#x} between regions, expected 0", std::to_integer<unsigned>(*found));
        if (report_.full()) return {};
      }
      end = next_end;
    }
    return {};
  }

  std::string PlaceOfChunk(uint32_t plane, uint64_t chunk) const {
    return fmt::format("plane {}, chunk {}{}", plane, chunk, OwnerOf(plane));
  }

  std::string OwnerOf(uint32_t plane) const {
    return soundness_.tensors && soundness_.bad_encodings.empty() ? OwnerOfPlane(*index_, plane) : "";
  }

  // R-CHK-1, R-FRM-6, R-FRM-7 of every chunk, in parallel; the violations in the order of the file.
  Status CheckChunks() {
    std::mutex mutex;
    std::map<std::pair<uint32_t, uint64_t>, ChunkFault> faults;
    std::atomic<bool> stop{false};
    uint64_t total = 0;
    for (uint32_t i = 0; i < index_->plane_count(); ++i) total += index_->stored_size(index_->plane(i));
    const std::optional<Mapping> mapping = Mapping::Map(*file_);
    const ChunkVerifier verifier(*file_, *index_, mapping ? &*mapping : nullptr);
    uint64_t done = 0;
    const auto on_chunk = [&](uint32_t plane, uint64_t chunk, ChunkResult<void> checked) {
      if (checked) return;
      ChunkFault& fault = checked.error();
      const std::lock_guard lock(mutex);
      if (fault.rule.empty() && io_status_) io_status_ = Fail(ErrorCode::kIo, "{}", fault.message);
      if (faults.size() < 2000) faults.emplace(std::make_pair(plane, chunk), std::move(fault));
      bad_planes_.push_back(plane);
    };
    const auto on_bytes = [&](uint64_t bytes) {
      const std::lock_guard lock(mutex);
      done += bytes;
      if (!stop && !KeepGoing(options_.progress, done, total)) stop = true;
      return !stop;
    };
    verifier.Run({}, on_chunk, on_bytes);
    if (stop) return Interrupted();
    bytes_ += done;
    if (!io_status_) return io_status_;
    std::sort(bad_planes_.begin(), bad_planes_.end());
    for (const auto& [at, fault] : faults)
      report_.Add(fault.rule, PlaceOfChunk(at.first, at.second), "{}", fault.message);
    return {};
  }

  bool IsBad(uint32_t plane) const { return std::binary_search(bad_planes_.begin(), bad_planes_.end(), plane); }

  // Reads a plane chunk by chunk; the chunks have been verified. A read error ends the walk and is kept.
  bool Walk(uint32_t number, const std::function<bool(ByteSpan)>& use) {
    if (IsBad(number)) return false;
    const PlaneRecord plane = index_->plane(number);
    FrameDecoder decoder;
    std::vector<std::byte> buffer;
    for (uint64_t chunk = 0; chunk < plane.chunk_count(); ++chunk) {
      buffer.resize(plane.chunk_size(chunk));
      if (auto read = ReadAndCheckChunk(*file_, *index_, number, chunk, decoder, buffer); !read) {
        io_status_ = Fail(ErrorCode::kIo, "{}: changed while it was read: {}", path_, read.error().message);
        return false;
      }
      if (!use(buffer)) break;
    }
    return true;
  }

  // R-SHA-2.
  void CheckSha256() {
    if (index_->count(Table::kSha256) < index_->plane_count()) return;
    for (uint32_t i = 0; i < index_->plane_count() && !report_.full(); ++i) {
      Sha256Stream stream;
      if (!Walk(i, [&](ByteSpan chunk) {
            stream.Update(chunk);
            return true;
          })) {
        continue;
      }
      const Sha256 found = stream.Finish(), expected = index_->sha256(i);
      if (found != expected)
        report_.Add("R-SHA-2", fmt::format("plane {}{}", i, OwnerOf(i)), "the SHA-256 is {}, expected {}", ToHex(found),
                    ToHex(expected));
    }
  }

  // R-PACK-1, R-LIN-7, R-PERM-*, R-OUT-* of every sound encoding.
  void CheckContents() {
    for (const Violation& v : report_.violations()) {
      if (v.rule.starts_with("R-TEN") || v.rule.starts_with("R-ENC-1")) return;  // parts may not lead to encodings
    }
    const Index& index = *index_;
    const ChunkWalk walk = [this](uint32_t plane, const std::function<bool(ByteSpan)>& use) {
      return Walk(plane, use);
    };
    for (uint32_t t = 0; t < index.tensor_count() && !report_.full(); ++t) {
      if (index.IsAlias(t)) continue;
      const TensorRecord record = index.tensor(t);
      for (uint32_t p = record.first_part; p < record.first_part + record.part_count; ++p) {
        const uint32_t e = index.part(p).encoding;
        if (!index.encoding(e).is(EncodingKind::kLinear)) continue;
        if (std::binary_search(soundness_.bad_encodings.begin(), soundness_.bad_encodings.end(), e)) continue;
        CheckContent(index, e, fmt::format("tensor '{}', encoding {}", Escape(record.name), e), walk, report_);
      }
    }
  }

  std::string path_;
  const ValidateOptions& options_;
  std::optional<File> file_;
  Header header_;
  std::optional<Index> index_;
  Index::Soundness soundness_;
  ingot::Report report_;
  std::vector<std::string> warnings_;
  std::vector<uint32_t> bad_planes_;
  Status io_status_;
  uint64_t bytes_ = 0;
};

// R-SHD-4 to R-SHD-7: the shards of a manifest, each validated in full.
Status CheckShards(FileValidator& manifest, const ValidateOptions& options, Validation& result) {
  if (!manifest.records_are_sound()) return {};
  const Index& index = *manifest.index();
  std::map<std::string, std::string, std::less<>> owners;  // tensor name -> shard
  for (uint32_t i = 0; i < index.count(Table::kShards); ++i) {
    const ShardRecord record = index.shard(i);
    const std::string place = fmt::format("shard '{}'", Escape(record.name));
    if (!IsSafeName(record.name, 1)) continue;
    FileValidator shard(FolderOf(manifest.path()) + std::string(record.name), options);
    Status run = shard.Run(true);
    if (run) run = shard.CheckPlanes();
    if (!run && run.error().code == ErrorCode::kInterrupted) return run;
    if (!run) manifest.report().Add("R-SHD-4", place, "{}", run.error().message);
    for (const Violation& v : shard.report().violations())
      manifest.report().Add("R-SHD-4", place, "{}: {}: {}", v.rule, v.place, v.message);
    for (const std::string& w : shard.warnings()) result.warnings.push_back(fmt::format("{}: {}", place, w));
    result.bytes += shard.bytes();
    if (!run || !shard.report().ok()) continue;
    const auto [names, content] = Digests(*shard.index());
    if (names != record.names_digest) {
      manifest.report().Add("R-SHD-5", place, "a foreign file: the names digest is {}, expected {}", ToHex(names),
                            ToHex(record.names_digest));
    } else if (content != record.content_digest) {
      manifest.report().Add("R-SHD-6", place, "a stale file: the content digest is {}, expected {}", ToHex(content),
                            ToHex(record.content_digest));
    }
    for (uint32_t t = 0; t < shard.index()->tensor_count(); ++t) {
      const std::string name(shard.index()->tensor(t).name);
      const auto [at, is_new] = owners.emplace(name, std::string(record.name));
      if (!is_new)
        manifest.report().Add("R-SHD-7", place, "tensor '{}' is in shard '{}' too", Escape(name), Escape(at->second));
    }
  }
  return {};
}

}  // namespace

Result<Validation> ValidateFile(const std::string& path, const ValidateOptions& options) {
  FileValidator validator(path, options);
  if (auto run = validator.Run(false); !run) return Propagate(run);
  if (auto planes = validator.CheckPlanes(); !planes) return Propagate(planes);
  Validation result;
  if (auto shards = CheckShards(validator, options, result); !shards) return Propagate(shards);
  result.violations = validator.report().violations();
  result.warnings.insert(result.warnings.begin(), validator.warnings().begin(), validator.warnings().end());
  result.bytes += validator.bytes();
  result.complete = !validator.report().full();
  return result;
}

}  // namespace ingot
