#include "convert/verify.h"

#include <tbb/parallel_for.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <mutex>
#include <optional>

#include "convert/encoded_tensor.h"
#include "format/checked.h"
#include "format/text.h"
#include "runtime/model.h"
#include "runtime/tensor_reader.h"

namespace ingot {
namespace {

constexpr uint64_t kBlockElements = uint64_t{1} << 20;

bool SameValue(float a, float b) {
  return std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b) || (std::isnan(a) && std::isnan(b));
}

// Elements [first, first + count) of a tensor that is quantized: decoded on both sides.
Status CompareValues(const std::string& name, const SourceTensor& tensor, const TensorReader& reader, uint64_t first,
                     uint64_t count) {
  std::vector<float> ours(count), theirs(count);
  if (auto decoded = reader.Decode(first, count, ours.data()); !decoded) return decoded;
  if (auto decoded = tensor.encoded->Decode(first, count, theirs.data()); !decoded) return decoded;
  for (uint64_t i = 0; i < count; ++i) {
    if (SameValue(ours[i], theirs[i])) continue;
    return Fail(ErrorCode::kIo, "{}: tensor {}: element {} decodes to {:.9g}, {} in the source", name,
                Quote(tensor.name), first + i, ours[i], theirs[i]);
  }
  return {};
}

// The same of one that is not: its bytes.
Status CompareBytes(const std::string& name, const Source& source, const SourceTensor& tensor,
                    const TensorReader& reader, uint64_t first, uint64_t count) {
  const uint64_t size = InfoOf(tensor.dtype).size;
  std::vector<std::byte> ours(count * size), theirs(count * size);
  if (auto read = reader.ReadRaw(first, count, ours.data()); !read) return read;
  if (auto read = ReadElements(source, tensor, first, count, theirs); !read) return read;
  const auto [a, b] = std::mismatch(ours.begin(), ours.end(), theirs.begin());
  if (a == ours.end()) return {};
  return Fail(ErrorCode::kIo, "{}: tensor {}: byte {} is {:#x}, {:#x} in the source", name, Quote(tensor.name),
              first * size + static_cast<uint64_t>(a - ours.begin()), std::to_integer<int>(*a),
              std::to_integer<int>(*b));
}

// All elements of one tensor, in parallel; of several differences the first one is returned.
Status CompareTensor(const std::string& name, const Source& source, const SourceTensor& tensor,
                     const TensorReader& reader) {
  const uint64_t elements = reader.element_count(), blocks = CeilDiv(elements, kBlockElements);
  std::mutex mutex;
  uint64_t failed_block = blocks;
  Status failure;
  tbb::parallel_for(uint64_t{0}, blocks, [&](uint64_t block) {
    const uint64_t first = block * kBlockElements, count = std::min(kBlockElements, elements - first);
    const bool quantized = tensor.encoded && tensor.encoded->is_quantized();
    auto same = quantized ? CompareValues(name, tensor, reader, first, count)
                          : CompareBytes(name, source, tensor, reader, first, count);
    const std::lock_guard lock(mutex);
    if (same || block >= failed_block) return;
    failed_block = block;
    failure = std::move(same);
  });
  return failure;
}

// The logical bytes of a tensor's planes, one plane after the other, children before their parents.
class PlaneStream {
 public:
  PlaneStream(const Container& container, const TensorRecord& record) : container_(container) {
    const Index& index = container.index();
    for (uint32_t p = record.first_part; p < record.first_part + record.part_count; ++p) {
      const uint32_t root = index.part(p).encoding;
      for (uint32_t n = root - index.encoding(root).child_count; n <= root; ++n) {
        const EncodingRecord e = index.encoding(n);
        for (uint32_t i = 0; i < e.plane_count; ++i) planes_.push_back(e.first_plane + i);
      }
    }
  }

  // Whether the next bytes are these.
  Result<bool> Takes(ByteSpan bytes) {
    while (!bytes.empty()) {
      if (at_ == chunk_.size()) {
        auto more = NextChunk();
        if (!more || !*more) return more;
      }
      const size_t piece = std::min(bytes.size(), chunk_.size() - at_);
      if (std::memcmp(chunk_.data() + at_, bytes.data(), piece) != 0) return false;
      at_ += piece;
      bytes = bytes.subspan(piece);
    }
    return true;
  }

 private:
  Result<bool> NextChunk() {
    if (plane_ == planes_.size()) return false;
    const PlaneRecord record = container_.index().plane(planes_[plane_]);
    chunk_.resize(record.chunk_size(number_));
    at_ = 0;
    if (auto read = container_.ReadChunk(planes_[plane_], number_, decoder_, chunk_); !read) return Propagate(read);
    if (++number_ == record.chunk_count()) {
      ++plane_;
      number_ = 0;
    }
    return true;
  }

  const Container& container_;
  std::vector<uint32_t> planes_;
  FrameDecoder decoder_;
  std::vector<std::byte> chunk_;
  size_t plane_ = 0, at_ = 0;
  uint64_t number_ = 0;  // of the plane's next chunk
};

// What was written as it was is compared byte by byte: not all of it has values here.
Status ComparePlanes(const Model& model, uint32_t number, const std::string& name, const SourceTensor& tensor) {
  PlaneStream ours(model.container_of(number), model.tensor(number));
  EncodedPart part;
  for (uint64_t block = 0; block < tensor.encoded->block_count(); ++block) {
    part.Clear();
    if (auto read = tensor.encoded->Encode(block, {&part, 1}); !read) return read;
    const auto same = ours.Takes(part.bytes);
    if (!same) return Propagate(same);
    if (!*same)
      return Fail(ErrorCode::kIo, "{}: tensor {}: block {} differs from the source", name, Quote(tensor.name), block);
  }
  return {};
}

// Whether a tensor was written as its source has it, plane by plane.
bool IsVerbatim(const TensorRecord& written, const SourceTensor& tensor) {
  return tensor.encoded && tensor.encoded->plan().parts.empty() &&
         tensor.encoded->plan().verbatim.parts.size() == written.part_count;
}

}  // namespace

Result<uint64_t> VerifyTensors(const std::string& path, const std::string& name, const Source& source,
                               const std::vector<Job>& jobs, const ProgressFn& progress) {
  auto model = Model::Open(path);
  if (!model) return Propagate(model);
  uint64_t compared = 0, done = 0, total = 0;
  for (const Job& job : jobs) total += job.tensor->size;
  for (const Job& job : jobs) {
    const SourceTensor& tensor = *job.tensor;
    done += tensor.size;
    if (job.method.kind != MethodKind::kKeep) continue;
    const auto number = (*model)->Find(tensor.name);
    if (!number) return Fail(ErrorCode::kIo, "{}: tensor {} was not written", name, Quote(tensor.name));
    if (IsVerbatim((*model)->tensor(*number), tensor)) {
      if (auto same = ComparePlanes(**model, *number, name, tensor); !same) return Propagate(same);
    } else {
      auto reader = TensorReader::Open(**model, *number);
      if (!reader) return Propagate(reader);
      if (auto same = CompareTensor(name, source, tensor, *reader); !same) return Propagate(same);
    }
    ++compared;
    if (!KeepGoing(progress, done, total)) return Interrupted();
  }
  return compared;
}

}  // namespace ingot
