#include "convert/edit.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

#include "convert/file_finisher.h"
#include "convert/plane_writer.h"
#include "convert/rebuild.h"
#include "format/report.h"
#include "runtime/container.h"
#include "runtime/file.h"

namespace ingot {
namespace {

// A file that is changed in place, under an exclusive lock for as long as this lives.
class LockedFile {
 public:
  static Result<LockedFile> Open(const std::string& path) {
    for (int attempt = 0; attempt < 100; ++attempt) {
      const int descriptor = open(path.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK);
      if (descriptor < 0) return Fail(ErrorCode::kIo, "{}: cannot open for writing: {}", path, std::strerror(errno));
      LockedFile file(descriptor, path);
      if (flock(descriptor, LOCK_EX | LOCK_NB) != 0)
        return Fail(ErrorCode::kIo, "{}: another process is editing it", path);
      struct stat by_descriptor, by_name;
      if (fstat(descriptor, &by_descriptor) != 0 || !S_ISREG(by_descriptor.st_mode))
        return Fail(ErrorCode::kIo, "{}: not a regular file", path);
      if (stat(path.c_str(), &by_name) == 0 && by_descriptor.st_ino == by_name.st_ino &&
          by_descriptor.st_dev == by_name.st_dev)
        return file;
    }
    return Fail(ErrorCode::kIo, "{}: other processes keep replacing it", path);
  }
  LockedFile(LockedFile&& other) noexcept
      : descriptor_(std::exchange(other.descriptor_, -1)), path_(std::move(other.path_)) {}
  LockedFile& operator=(LockedFile&&) = delete;
  ~LockedFile() {
    if (descriptor_ >= 0) close(descriptor_);
  }

  Status WriteAt(uint64_t offset, ByteSpan bytes) {
    while (!bytes.empty()) {
      const ssize_t put = pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) return IoError("cannot write");
      offset += static_cast<uint64_t>(put);
      bytes = bytes.subspan(static_cast<size_t>(put));
    }
    return {};
  }
  Status Truncate(uint64_t size) {
    return ftruncate(descriptor_, static_cast<off_t>(size)) == 0 ? Status{} : IoError("cannot set its length");
  }
  Status Sync() { return fsync(descriptor_) == 0 ? Status{} : IoError("cannot flush"); }

 private:
  LockedFile(int descriptor, std::string path) : descriptor_(descriptor), path_(std::move(path)) {}
  Status IoError(const char* what) const {
    return Fail(ErrorCode::kIo, "{}: {}: {}", path_, what, std::strerror(errno));
  }
  int descriptor_;
  std::string path_;
};

class Editor {
 public:
  Editor(const std::string& path, const EditOptions& options, LockedFile& locked)
      : path_(path), options_(options), locked_(locked) {}

  Result<EditResult> Run() {
    if (auto repaired = Repair(); !repaired) return Propagate(repaired);
    auto container = Container::Open(path_);
    if (!container) return Propagate(container);
    container_ = *container;
    const Header& h = container_->header();
    if (h.newer_minor()) {
      return Fail(ErrorCode::kBadInput,
                  "{}: version {}.{} is newer than this program's {}.{}, which would drop what it does not know", path_,
                  h.major, h.minor, kMajor, kMinor);
    }
    result_.generation = h.generation;
    const bool wants =
        !options_.set.empty() || !options_.remove.empty() || !options_.attach.empty() || !options_.detach.empty();
    if (wants) {
      if (auto done = Change(); !done) return Propagate(done);
    } else if (auto cut = CutTail(); !cut) {
      return Propagate(cut);
    }
    if (options_.compact) {
      if (auto done = Compact(); !done) return Propagate(done);
    }
    auto now = Container::Open(path_);
    if (!now) return Propagate(now);
    for (uint32_t i = 0; i < (*now)->index().count(Table::kDeadRanges); ++i)
      result_.dead_bytes += (*now)->index().dead_range(i).size;
    result_.file_bytes = (*now)->file().size();
    return result_;
  }

 private:
  // Writes the good header slot over a bad one.
  Status Repair() {
    auto file = File::OpenForReading(path_);
    if (!file) return Propagate(file);
    std::array<std::byte, kHeaderSize> bytes{};
    if (auto read = file->ReadAt(0, std::span(bytes).first(std::min<uint64_t>(file->size(), kHeaderSize))); !read)
      return read;
    Report report;
    const HeaderPair pair = ReadHeader(bytes, file->size(), report);
    for (const Violation& v : report.violations()) {
      if (!IsRepairable(pair, v)) return Fail(ErrorCode::kBadInput, "{}", TextOf(path_, v));
    }
    if (pair.good[0] && pair.good[1]) return {};
    const uint64_t good = pair.good[0] ? 0 : kSlotSize, bad = kSlotSize - good;
    if (auto write = locked_.WriteAt(bad, ByteSpan(bytes).subspan(good, kSlotSize)); !write) return write;
    result_.repaired = true;
    return locked_.Sync();
  }

  Status CutTail() {
    const uint64_t end = container_->header().file_end, size = container_->file().size();
    if (size == end) return {};
    result_.cut_bytes = size - end;
    return locked_.Truncate(end);
  }

  Status Change() {
    const Index& index = container_->index();
    IndexBuilder builder;
    CopyRecords(
        index, [&](uint32_t plane) { return index.plane(plane).offset; }, builder);
    for (uint32_t i = 0; i < index.count(Table::kDeadRanges); ++i)
      builder.AddDeadRange(index.dead_range(i).offset, index.dead_range(i).size);
    if (auto done = ChangeMetadata(builder); !done) return done;
    if (auto done = Detach(builder); !done) return done;
    if (auto cut = CutTail(); !cut) return cut;
    Header header = container_->header();
    builder.AddDeadRange(header.index_offset, header.index_size);
    RegionAllocator allocator(header.file_end, header.alignment);
    if (auto done = Attach(builder, allocator); !done) return Undo(done);
    return WriteGeneration(builder, allocator, header);
  }

  static Status CheckNotReserved(const std::string& key) {
    if (!key.starts_with("ingot.")) return {};
    return Fail(ErrorCode::kUsage, "'{}': keys that begin with 'ingot.' are reserved", Escape(key));
  }

  Status ChangeMetadata(IndexBuilder& builder) {
    for (const std::string& key : options_.remove) {
      if (auto allowed = CheckNotReserved(key); !allowed) return allowed;
      if (!builder.RemoveMetadata(key))
        return Fail(ErrorCode::kUsage, "{}: there is no metadata '{}'", path_, Escape(key));
    }
    for (const auto& [key, value] : options_.set) {
      if (auto allowed = CheckNotReserved(key); !allowed) return allowed;
      builder.SetMetadata(key, value);
    }
    return {};
  }

  Status Detach(IndexBuilder& builder) {
    std::vector<std::string> gone = options_.detach;
    for (const std::string& name : gone) {
      if (!builder.HasAttachment(name))
        return Fail(ErrorCode::kUsage, "{}: there is no attachment '{}'", path_, Escape(name));
    }
    for (const auto& [name, source] : options_.attach) {
      if (!IsSafeName(name, 2))
        return Fail(ErrorCode::kUsage, "'{}': not a name that an attachment may have", Escape(name));
      const auto same = [&name = name](const auto& other) { return other.first == name; };
      if (std::count_if(options_.attach.begin(), options_.attach.end(), same) > 1)
        return Fail(ErrorCode::kUsage, "'{}': attached twice", Escape(name));
      if (builder.HasAttachment(name)) gone.push_back(name);
    }
    std::sort(gone.begin(), gone.end());
    gone.erase(std::unique(gone.begin(), gone.end()), gone.end());
    for (const std::string& name : gone) {
      const WrittenPlane plane = builder.RemoveAttachment(name);
      if (plane.size == 0) continue;
      const uint64_t stored = plane.frames.empty() ? plane.size : plane.frames.back().offset + plane.frames.back().size;
      builder.AddDeadRange(plane.offset, stored);
    }
    return {};
  }

  // Appends the new attachments behind the file's end, where nobody looks yet.
  Status Attach(IndexBuilder& builder, RegionAllocator& allocator) {
    const bool sha256 = container_->index().count(Table::kSha256) != 0;
    for (const auto& [name, source_path] : options_.attach) {
      auto source = File::OpenForReading(source_path);
      if (!source) return Propagate(source);
      WrittenPlane plane;
      plane.size = source->size();
      if (plane.size != 0) plane.offset = allocator.Reserve(plane.size);
      Sha256Stream stream;
      std::vector<std::byte> chunk;
      for (uint64_t at = 0; at < plane.size; at += chunk.size()) {
        chunk.resize(std::min<uint64_t>(kChunkSize, plane.size - at));
        if (auto read = source->ReadAt(at, chunk); !read) return read;
        plane.chunks.push_back(Xxh3_128(chunk));
        if (sha256) stream.Update(chunk);
        if (auto write = locked_.WriteAt(plane.offset + at, chunk); !write) return write;
      }
      if (sha256) plane.sha256 = stream.Finish();
      builder.AddAttachment(name, plane);
    }
    return {};
  }

  // New index, flush, the slot that is not current, flush.
  Status WriteGeneration(const IndexBuilder& builder, RegionAllocator& allocator, Header header) {
    header.minor = kMinor;
    const auto bytes = std::make_shared<std::vector<std::byte>>(builder.Build(header.required_features));
    header.index_offset = allocator.Reserve(bytes->size());
    header.index_size = bytes->size();
    header.index_hash = Xxh3_128(*bytes);
    header.file_end = allocator.end();
    header.generation += 1;
    Report report(1);
    Index::Open({bytes, *bytes}, header, report);
    for (const Violation& v : report.violations())
      return Undo(Fail(ErrorCode::kUsage, "the edit would make an invalid file: {}", TextOf(path_, v)));
    if (auto write = locked_.WriteAt(header.index_offset, *bytes); !write) return Undo(write);
    if (auto sync = locked_.Sync(); !sync) return Undo(sync);
    const uint64_t other = CurrentSlot() == 0 ? kSlotSize : 0;
    if (auto write = locked_.WriteAt(other, EncodeSlot(header)); !write) return write;
    if (auto sync = locked_.Sync(); !sync) return sync;
    result_.changed = true;
    result_.generation = header.generation;
    return {};
  }

  // A full disk: what was appended is cut off again.
  Status Undo(const Status& failure) {
    (void)locked_.Truncate(container_->header().file_end);
    return failure;
  }

  int CurrentSlot() const {
    std::array<std::byte, kHeaderSize> bytes{};
    Report report;
    if (!container_->file().ReadAt(0, bytes)) return 0;
    return ReadHeader(bytes, container_->file().size(), report).current.value_or(0);
  }

  // A new file without dead ranges takes the place of this one; planes keep their order and their stored bytes.
  Status Compact() {
    auto container = Container::Open(path_);
    if (!container) return Propagate(container);
    const Index& index = (*container)->index();
    auto file = OutputFile::Create(path_, true);
    if (!file) return Propagate(file);
    Header header = (*container)->header();
    RegionAllocator allocator(kHeaderSize, header.alignment);
    std::vector<uint64_t> offsets(index.plane_count());
    uint64_t done = 0;
    std::vector<std::byte> buffer;
    for (uint32_t i = 0; i < index.plane_count(); ++i) {
      const PlaneRecord plane = index.plane(i);
      const uint64_t stored = index.stored_size(plane);
      offsets[i] = allocator.Reserve(stored);
      for (uint64_t at = 0; at < stored; at += buffer.size()) {
        buffer.resize(std::min<uint64_t>(kChunkSize, stored - at));
        if (auto read = (*container)->file().ReadAt(plane.offset + at, buffer); !read) return read;
        if (!plane.framed()) {
          const auto checked =
              CheckChunk(buffer, index.chunk(static_cast<uint32_t>(plane.first_chunk + at / kChunkSize)));
          if (!checked)
            return Fail(ErrorCode::kBadInput, "{}: R-CHK-1: plane {}, chunk {}: {}", path_, i, at / kChunkSize,
                        checked.error().message);
        }
        if (auto write = file->WriteAt(offsets[i] + at, buffer); !write) return write;
        done += buffer.size();
        if (!KeepGoing(options_.progress, done, (*container)->file().size())) return Interrupted();
      }
    }
    IndexBuilder builder;
    CopyRecords(
        index, [&](uint32_t plane) { return offsets[plane]; }, builder);
    const auto finished = FinishFile(*file, allocator, builder, header.alignment);
    if (!finished) return Propagate(finished);
    if (auto commit = file->Commit(); !commit) return commit;
    result_.compacted = true;
    result_.generation = 1;
    return {};
  }

  const std::string& path_;
  const EditOptions& options_;
  LockedFile& locked_;
  std::shared_ptr<const Container> container_;
  EditResult result_;
};

}  // namespace

Result<EditResult> EditFile(const std::string& path, const EditOptions& options) {
  auto locked = LockedFile::Open(path);
  if (!locked) return Propagate(locked);
  return Editor(path, options, *locked).Run();
}

}  // namespace ingot
