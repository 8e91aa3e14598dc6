#include "convert/import/transposed_codes.h"

#include <mutex>

#include "format/packing.h"

namespace ingot {

// The words of a tensor, read once by the first block that needs them and kept until the last one has: a block's
// columns are a few KiB of every row, and reading these one by one costs more than all the rest.
class WordCache {
 public:
  // All words of the tensor. Every column is taken once in a round, `columns` of them by this call.
  Result<std::shared_ptr<const std::vector<std::byte>>> Take(const Source& source, const SourceTensor& words,
                                                             uint64_t columns) {
    const std::lock_guard lock(mutex_);
    if (bytes_ == nullptr) {
      auto read = ReadAll(source, words);
      if (!read) return Propagate(read);
      bytes_ = std::make_shared<const std::vector<std::byte>>(std::move(*read));
    }
    auto bytes = bytes_;
    taken_ += columns;
    if (taken_ >= words.shape[1]) {
      bytes_ = nullptr;
      taken_ = 0;
    }
    return bytes;
  }

 private:
  std::mutex mutex_;
  std::shared_ptr<const std::vector<std::byte>> bytes_;
  uint64_t taken_ = 0;
};

namespace {

constexpr uint64_t kMostCached = 48 << 20;  // bytes of a tensor; there are two or three at a time

void Unpack(CodeOrder order, int bits, const std::byte* line, uint64_t count, bool plain, uint8_t* codes) {
  if (!plain) return UnpackLine(order, bits, line, count, codes);
  for (uint64_t i = 0; i < count; ++i) codes[i] = CodeAt(order, bits, line, i);
}

}  // namespace

// 64 codes are whole words at every width.
uint64_t TransposedCodes::row_step() const { return lines_down ? 1 : kPackUnit; }

std::shared_ptr<WordCache> TransposedCodes::MakeCache() { return std::make_shared<WordCache>(); }

Status TransposedCodes::operator()(uint64_t first, uint64_t count, bool plain, uint8_t* codes) const {
  const uint64_t row = first / cols, n = count / cols;
  const uint64_t begin = lines_down ? row : LineWords(order, bits, row),
                 width = lines_down ? n : LineWords(order, bits, n);
  std::shared_ptr<const std::vector<std::byte>> read;
  uint64_t stride = words->shape[1], skip = 4 * begin;
  if (!plain && words->size <= kMostCached) {
    auto all = cache->Take(*source, *words, width);
    if (!all) return Propagate(all);
    read = std::move(*all);
  } else {
    auto some = ReadColumns(*source, *words, begin, width);
    if (!some) return Propagate(some);
    read = std::make_shared<const std::vector<std::byte>>(std::move(*some));
    stride = width;
    skip = 0;
  }
  if (lines_down) {
    FromLinesDown(read->data() + skip, stride, n, plain, codes);
  } else {
    FromLinesAcross(read->data() + skip, stride, n, plain, codes);
  }
  return {};
}

void TransposedCodes::FromLinesDown(const std::byte* read, uint64_t stride, uint64_t count, bool plain,
                                    uint8_t* codes) const {
  const uint64_t line_words = LineWords(order, bits, cols);
  std::vector<std::byte> lines(4 * line_words * count);
  Transpose(4, read, line_words, count, lines.data(), stride);
  const bool permuted = !plain && !permutation.empty();
  std::vector<uint8_t> row(permuted ? cols : 0);
  for (uint64_t r = 0; r < count; ++r) {
    uint8_t* to = codes + r * cols;
    Unpack(order, bits, lines.data() + 4 * r * line_words, cols, plain, permuted ? row.data() : to);
    for (uint64_t j = 0; j < row.size(); ++j) to[j] = row[permutation[j]];
  }
}

void TransposedCodes::FromLinesAcross(const std::byte* read, uint64_t stride, uint64_t count, bool plain,
                                      uint8_t* codes) const {
  const bool permuted = !plain && !permutation.empty();
  std::vector<uint8_t> columns(cols * count);
  for (uint64_t j = 0; j < cols; ++j) {
    const uint64_t c = permuted ? permutation[j] : j;
    Unpack(order, bits, read + c * 4 * stride, count, plain, columns.data() + j * count);
  }
  Transpose(1, std::as_bytes(std::span(columns)).data(), cols, count, reinterpret_cast<std::byte*>(codes));
}

}  // namespace ingot
