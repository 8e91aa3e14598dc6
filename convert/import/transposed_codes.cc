#include "convert/import/transposed_codes.h"

#include <algorithm>
#include <mutex>

#include "convert/io_bytes.h"
#include "format/packing.h"

namespace ingot {

// Words that were read ahead, in bands along the second dimension: a block's own are a few KiB of every row, and
// reading these one by one costs more than all the rest. Thread-safe.
class WordBands {
 public:
  struct Band {
    uint64_t begin, width;  // words of every row
    std::shared_ptr<const IoBytes> bytes;
  };

  // Where the last band ends.
  uint64_t end() {
    const std::lock_guard lock(mutex_);
    return end_;
  }

  void Add(std::shared_ptr<const Band> band) {
    const std::lock_guard lock(mutex_);
    end_ = band->begin + band->width;
    left_.push_back({band, band->width});
  }

  // The band that has words [begin, begin + width), which are not asked for again; nullptr if there is none.
  std::shared_ptr<const Band> Take(uint64_t begin, uint64_t width) {
    const std::lock_guard lock(mutex_);
    for (auto at = left_.begin(); at != left_.end(); ++at) {
      if (begin < at->band->begin || begin + width > at->band->begin + at->band->width) continue;
      auto band = at->band;
      at->words -= std::min(width, at->words);
      if (at->words == 0) left_.erase(at);
      return band;
    }
    return nullptr;
  }

 private:
  struct Left {
    std::shared_ptr<const Band> band;
    uint64_t words;  // that were not taken yet
  };
  std::mutex mutex_;
  uint64_t end_ = 0;
  std::vector<Left> left_;
};

namespace {

constexpr uint64_t kBandBytes = 32 << 20;  // there are two or three at a time
constexpr uint64_t kLines = 64;            // that are turned at a time: they stay in the cache, and fill lines of it

void Unpack(CodeOrder order, int bits, const std::byte* line, uint64_t count, bool plain, uint8_t* codes) {
  if (!plain) return UnpackLine(order, bits, line, count, codes);
  for (uint64_t i = 0; i < count; ++i) codes[i] = CodeAt(order, bits, line, i);
}

}  // namespace

// 64 codes are whole words at every width.
uint64_t TransposedCodes::row_step() const { return lines_down ? 1 : kPackUnit; }

std::shared_ptr<WordBands> TransposedCodes::MakeBands() { return std::make_shared<WordBands>(); }

TransposedCodes::Span TransposedCodes::WordsOf(uint64_t first, uint64_t count) const {
  const uint64_t row = first / cols, n = count / cols;
  if (lines_down) return {row, n};
  return {LineWords(order, bits, row), LineWords(order, bits, n)};
}

Status TransposedCodes::Prepare(uint64_t first, uint64_t count, ReadAhead& ahead) const {
  const Span wanted = WordsOf(first, count);
  const uint64_t down = words->shape[0], across = words->shape[1];
  // From its first range on, a tensor is read anew.
  if (wanted.begin != 0 && wanted.begin + wanted.width <= bands->end()) return {};
  // As many ranges of this width as fit.
  const uint64_t most = std::max<uint64_t>(kBandBytes / (4 * down) / wanted.width, 1) * wanted.width;
  const uint64_t width = std::min(most, across - wanted.begin);
  const std::shared_ptr<IoBytes> bytes = ahead.Buffer(4 * down * width);
  if (width == across && words->strides.empty()) {
    if (auto read = source->Read(words->file, words->offset, *bytes); !read) return read;
    if (auto told = ahead.Tell(words->file, words->offset, *bytes); !told) return told;
  } else {
    for (uint64_t r = 0; r < down; ++r) {
      const auto row = std::span(*bytes).subspan(r * 4 * width, 4 * width);
      if (auto read = ReadElements(*source, *words, r * across + wanted.begin, width, row); !read) return read;
    }
  }
  bands->Add(std::make_shared<const WordBands::Band>(WordBands::Band{wanted.begin, width, bytes}));
  return {};
}

Status TransposedCodes::operator()(uint64_t first, uint64_t count, bool plain, uint8_t* codes) const {
  const uint64_t n = count / cols;
  const Span wanted = WordsOf(first, count);
  std::shared_ptr<const WordBands::Band> band = plain ? nullptr : bands->Take(wanted.begin, wanted.width);
  std::vector<std::byte> own;
  const std::byte* read = nullptr;
  uint64_t stride = wanted.width;
  if (band != nullptr) {
    read = band->bytes->data() + 4 * (wanted.begin - band->begin);
    stride = band->width;
  } else {
    auto some = ReadColumns(*source, *words, wanted.begin, wanted.width);
    if (!some) return Propagate(some);
    own = std::move(*some);
    read = own.data();
  }
  if (lines_down) {
    FromLinesDown(read, stride, n, plain, codes);
  } else {
    FromLinesAcross(read, stride, n, plain, codes);
  }
  return {};
}

void TransposedCodes::FromLinesDown(const std::byte* read, uint64_t stride, uint64_t count, bool plain,
                                    uint8_t* codes) const {
  const uint64_t line_words = LineWords(order, bits, cols);
  thread_local IoBytes lines;
  lines.resize(4 * line_words * kLines);
  const bool permuted = !plain && !permutation.empty();
  std::vector<uint8_t> row(permuted ? cols : 0);
  for (uint64_t r = 0; r < count; ++r) {
    if (r % kLines == 0) Transpose(4, read + 4 * r, line_words, std::min(kLines, count - r), lines.data(), stride);
    uint8_t* to = codes + r * cols;
    Unpack(order, bits, lines.data() + 4 * (r % kLines) * line_words, cols, plain, permuted ? row.data() : to);
    for (uint64_t j = 0; j < row.size(); ++j) to[j] = row[permutation[j]];
  }
}

void TransposedCodes::FromLinesAcross(const std::byte* read, uint64_t stride, uint64_t count, bool plain,
                                      uint8_t* codes) const {
  const bool whole = 32 % bits == 0 && !plain;  // no code lies in two words
  thread_local IoBytes turned;
  for (uint64_t begin = 0; begin < cols; begin += kLines) {
    const uint64_t width = std::min(kLines, cols - begin);
    const std::byte* const lines = read + begin * 4 * stride;
    if (whole) {
      const uint64_t words_across = LineWords(order, bits, count);
      turned.resize(4 * kLines * words_across);
      Transpose(4, lines, width, words_across, turned.data(), stride, kLines);
      UnpackColumns(order, bits, turned.data(), kLines, width, count, codes + begin, cols);
      continue;
    }
    turned.resize(kLines * count);
    auto* const unpacked = reinterpret_cast<uint8_t*>(turned.data());
    for (uint64_t j = 0; j < width; ++j)
      Unpack(order, bits, lines + j * 4 * stride, count, plain, unpacked + j * count);
    Transpose(1, turned.data(), width, count, reinterpret_cast<std::byte*>(codes + begin), 0, cols);
  }
}

void SetCodes(GroupedLayout& layout, TransposedCodes codes) {
  layout.prepare = [codes](uint64_t first, uint64_t count, ReadAhead& ahead) {
    return codes.Prepare(first, count, ahead);
  };
  layout.codes = std::move(codes);
}

}  // namespace ingot
