#include "tools/compare.h"

#include <tbb/parallel_for.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <mutex>
#include <span>
#include <vector>

namespace ingot {
namespace {

constexpr uint64_t kBlock = uint64_t{1} << 19;  // elements that one task compares
constexpr uint64_t kPiece = uint64_t{1} << 15;  // of them at a time: what is decoded stays in the cache

// Decodes pieces of a tensor to f64; its memory is used again and again.
class PieceDecoder {
 public:
  PieceDecoder(const TensorInfo& info, const TensorValues& values)
      : values_(values),
        exact_(info.dtype == DType::kF64 && values.is_raw()),
        wide_(kPiece),
        narrow_(exact_ ? 0 : kPiece) {}

  // The elements from `first` on; `count` is at most kPiece.
  Result<std::span<const double>> Decode(uint64_t first, uint64_t count) {
    Status status;
    if (exact_) {
      status = values_.ReadRaw(first, count, reinterpret_cast<std::byte*>(wide_.data()));
    } else {
      status = values_.DecodeF32(first, count, narrow_.data());
      std::copy_n(narrow_.begin(), count, wide_.begin());
    }
    if (!status) return Propagate(status);
    return std::span<const double>(wide_).first(count);
  }

 private:
  const TensorValues& values_;
  bool exact_;  // F64, which f32 would round
  std::vector<double> wide_;
  std::vector<float> narrow_;
};

void AddPair(double a, double b, Comparison& sums) {
  if (std::isfinite(a) && std::isfinite(b)) {
    const double error = a - b;
    sums.sum_squares_a += a * a;
    sums.sum_squares_error += error * error;
    sums.max_error = std::max(sums.max_error, std::abs(error));
    sums.differing += a != b;
    return;
  }
  const bool equal = a == b || (std::isnan(a) && std::isnan(b));
  sums.differing += !equal;
  sums.incomparable += !equal;
}

Result<Comparison> CompareValues(const TensorInfo& info_a, const TensorValues& a, const TensorInfo& info_b,
                                 const TensorValues& b, uint64_t first, uint64_t count) {
  PieceDecoder decoder_a(info_a, a), decoder_b(info_b, b);
  Comparison sums;
  for (uint64_t done = 0; done < count; done += kPiece) {
    const uint64_t size = std::min(kPiece, count - done);
    const auto in_a = decoder_a.Decode(first + done, size);
    if (!in_a) return Propagate(in_a);
    const auto in_b = decoder_b.Decode(first + done, size);
    if (!in_b) return Propagate(in_b);
    for (uint64_t i = 0; i < size; ++i) AddPair((*in_a)[i], (*in_b)[i], sums);
  }
  return sums;
}

Result<Comparison> CompareBytes(const TensorInfo& info, const TensorValues& a, const TensorValues& b, uint64_t first,
                                uint64_t count) {
  const size_t size = InfoOf(info.dtype).size;
  std::vector<std::byte> in_a(count * size), in_b(count * size);
  if (auto read = a.ReadRaw(first, count, in_a.data()); !read) return Propagate(read);
  if (auto read = b.ReadRaw(first, count, in_b.data()); !read) return Propagate(read);
  Comparison sums;
  if (in_a == in_b) return sums;
  for (uint64_t i = 0; i < count; ++i) {
    sums.differing += std::memcmp(in_a.data() + i * size, in_b.data() + i * size, size) != 0;
  }
  return sums;
}

}  // namespace

double Comparison::relative_error() const {
  return sum_squares_error == 0 ? 0 : std::sqrt(sum_squares_error) / std::sqrt(sum_squares_a);
}

double Comparison::sqnr_db() const {
  if (sum_squares_error == 0) return std::numeric_limits<double>::infinity();
  return 10 * std::log10(sum_squares_a / sum_squares_error);
}

void Comparison::Add(const Comparison& other) {
  sum_squares_a += other.sum_squares_a;
  sum_squares_error += other.sum_squares_error;
  max_error = std::max(max_error, other.max_error);
  differing += other.differing;
  incomparable += other.incomparable;
}

Result<Comparison> Compare(const TensorInfo& info_a, const TensorValues& a, const TensorInfo& info_b,
                           const TensorValues& b, const ProgressFn& progress) {
  const uint64_t count = info_a.element_count(), blocks = count / kBlock + (count % kBlock != 0);
  const bool values = InfoOf(info_a.dtype).is_float && InfoOf(info_b.dtype).is_float;
  std::vector<Comparison> sums(blocks);
  std::mutex mutex;  // guards what follows
  uint64_t done = 0;
  Status status;
  tbb::task_group_context context;
  tbb::parallel_for(
      uint64_t{0}, blocks,
      [&](uint64_t i) {
        const uint64_t first = i * kBlock, size = std::min(kBlock, count - first);
        auto block =
            values ? CompareValues(info_a, a, info_b, b, first, size) : CompareBytes(info_a, a, b, first, size);
        const std::lock_guard lock(mutex);
        if (!status) return;
        if (block) {
          sums[i] = *block;
          done += size;
          if (!KeepGoing(progress, done, count)) status = Interrupted();
        } else {
          status = Propagate(block);
        }
        if (!status) context.cancel_group_execution();
      },
      context);
  if (!status) return Propagate(status);
  Comparison sum;
  for (const Comparison& block : sums) sum.Add(block);
  return sum;
}

}  // namespace ingot
