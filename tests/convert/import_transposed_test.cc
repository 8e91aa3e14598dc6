// Codes that lie input column first: what was read ahead gives the same as what was not.
#include "convert/import/transposed_codes.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <string>

namespace ingot::test {
namespace {

// One tensor of words in memory.
class WordSource final : public Source {
 public:
  WordSource(uint64_t down, uint64_t across) : bytes_(4 * down * across) {
    std::mt19937 random(7);
    for (size_t at = 0; at < bytes_.size(); at += 4) Store(bytes_.data() + at, static_cast<uint32_t>(random()));
    tensors_.push_back({"qweight", DType::kI32, {down, across}, 0, 0, bytes_.size()});
  }
  std::string_view kind() const override { return "test"; }
  const std::vector<SourceFile>& files() const override { return files_; }
  const std::vector<SourceTensor>& tensors() const override { return tensors_; }
  const std::vector<SourceAttachment>& attachments() const override { return attachments_; }
  const SourceMetadata& metadata() const override { return metadata_; }
  Status Read(uint32_t, uint64_t offset, std::span<std::byte> out) const override {
    ++reads;
    std::copy_n(bytes_.begin() + static_cast<ptrdiff_t>(offset), out.size(), out.begin());
    return {};
  }

  mutable size_t reads = 0;

 private:
  std::vector<std::byte> bytes_;
  std::vector<SourceTensor> tensors_;
  std::vector<SourceFile> files_;
  std::vector<SourceAttachment> attachments_;
  SourceMetadata metadata_;
};

// Takes all rows in blocks, each in two halves, with `ahead` blocks prepared before the first is taken, and compares
// them with those that are read alone. Returns the bytes that somebody was told of.
uint64_t CheckBlocks(const TransposedCodes& codes, uint64_t block_rows, uint64_t blocks_ahead) {
  uint64_t told = 0;
  ReadAhead ahead([&](uint32_t, uint64_t, ByteSpan bytes) -> Status {
    told += bytes.size();
    return {};
  });
  const TransposedCodes alone{codes.source, codes.words, codes.order,      codes.bits,
                              codes.rows,   codes.cols,  codes.lines_down, codes.permutation};
  const uint64_t blocks = (codes.rows + block_rows - 1) / block_rows;
  const auto rows_of = [&](uint64_t block) { return std::min(block_rows, codes.rows - block * block_rows); };
  uint64_t prepared = 0;
  std::vector<uint8_t> got, expected;
  for (uint64_t block = 0; block < blocks; ++block) {
    for (; prepared < std::min(blocks, block + blocks_ahead); ++prepared)
      REQUIRE(codes.Prepare(prepared * block_rows * codes.cols, rows_of(prepared) * codes.cols, ahead));
    const uint64_t half = std::max(codes.row_step(), rows_of(block) / 2 / codes.row_step() * codes.row_step());
    for (uint64_t row = 0; row < rows_of(block); row += half) {
      const uint64_t first = (block * block_rows + row) * codes.cols,
                     count = std::min(half, rows_of(block) - row) * codes.cols;
      got.assign(count, 0xEE);
      expected.assign(count, 0xDD);
      REQUIRE(codes(first, count, false, got.data()));
      REQUIRE(alone(first, count, false, expected.data()));
      REQUIRE(got == expected);
    }
  }
  return told;
}

TEST_CASE("blocks of what was read ahead, of both layouts, act-order and a second round among them") {
  for (const bool down : {true, false}) {
    const uint64_t rows = 200, cols = 96;
    const WordSource source(down ? LineWords(CodeOrder::kStream, 4, cols) : cols,
                            down ? rows : LineWords(CodeOrder::kStream, 4, rows));
    TransposedCodes codes{&source, &source.tensors()[0], CodeOrder::kStream, 4, rows, cols, down, {}};
    for (uint64_t blocks_ahead : {1, 3}) CHECK(CheckBlocks(codes, 64, blocks_ahead) == source.tensors()[0].size);
    if (!down) continue;
    for (uint32_t c = 0; c < cols; ++c) codes.permutation.push_back((c * 5 + 3) % cols);
    CHECK(CheckBlocks(codes, 64, 2) == source.tensors()[0].size);
  }
}

TEST_CASE("codes by their definition") {
  for (const int bits : {3, 4, 8}) {
    const uint64_t rows = 128, cols = 70;
    const WordSource source(cols, LineWords(CodeOrder::kStream, bits, rows));
    const TransposedCodes codes{&source, &source.tensors()[0], CodeOrder::kStream, bits, rows, cols, false, {}};
    std::vector<uint8_t> fast(rows * cols), plain(rows * cols);
    REQUIRE(codes(0, fast.size(), false, fast.data()));
    REQUIRE(codes(0, plain.size(), true, plain.data()));
    CHECK(fast == plain);
  }
}

TEST_CASE("a large tensor is read ahead in bands") {
  const uint64_t rows = 5000, cols = 16384;  // 39 MiB of words
  const WordSource source(LineWords(CodeOrder::kStream, 4, cols), rows);
  const TransposedCodes codes{&source, &source.tensors()[0], CodeOrder::kStream, 4, rows, cols, true, {}};
  ReadAhead ahead([](uint32_t, uint64_t, ByteSpan) -> Status { return {}; });
  for (uint64_t row = 0; row < rows; row += 250) REQUIRE(codes.Prepare(row * cols, 250 * cols, ahead));
  CHECK(source.reads == 2 * source.tensors()[0].shape[0]);  // two bands
  std::vector<uint8_t> got(250 * cols), expected(250 * cols);
  for (uint64_t row : {uint64_t{0}, uint64_t{4000}, uint64_t{4750}}) {
    REQUIRE(codes(row * cols, got.size(), false, got.data()));
    const TransposedCodes alone{&source, &source.tensors()[0], CodeOrder::kStream, 4, rows, cols, true, {}};
    REQUIRE(alone(row * cols, expected.size(), false, expected.data()));
    CHECK(got == expected);
  }
}

}  // namespace
}  // namespace ingot::test
