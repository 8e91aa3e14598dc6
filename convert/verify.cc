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
    auto same = tensor.encoded ? CompareValues(name, tensor, reader, first, count)
                               : CompareBytes(name, source, tensor, reader, first, count);
    const std::lock_guard lock(mutex);
    if (same || block >= failed_block) return;
    failed_block = block;
    failure = std::move(same);
  });
  return failure;
}

// Blocks of another system have no values here: their bytes are hashed on both sides.
Status CompareForeign(const Model& model, uint32_t number, const std::string& name, const SourceTensor& tensor) {
  const Container& container = model.container_of(number);
  const TensorRecord record = model.tensor(number);
  const EncodingRecord encoding = container.index().encoding(container.index().part(record.first_part).encoding);
  auto ours = container.ReadPlane(encoding.first_plane);
  if (!ours) return Propagate(ours);
  uint64_t at = 0;
  EncodedPart part;
  for (uint64_t block = 0; block < tensor.encoded->block_count(); ++block) {
    part.Clear();
    if (auto read = tensor.encoded->Encode(block, part); !read) return read;
    const bool same = InRange(at, part.bytes.size(), ours->size()) &&
                      std::equal(part.bytes.begin(), part.bytes.end(), ours->begin() + static_cast<ptrdiff_t>(at));
    at += part.bytes.size();
    if (!same)
      return Fail(ErrorCode::kIo, "{}: tensor {}: block {} differs from the source", name, Quote(tensor.name), block);
  }
  return {};
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
    if (tensor.encoded && tensor.encoded->plan().parts.empty()) {
      if (auto same = CompareForeign(**model, *number, name, tensor); !same) return Propagate(same);
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
