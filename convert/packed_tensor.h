// A quantized tensor in the layout of another system: the several tensors that it becomes, and how they are written.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "convert/import/unpack.h"
#include "runtime/tensor_reader.h"

namespace ingot {

// A class per layout derives from it. Immutable once made; thread-safe.
class PackedTensor {
 public:
  struct Output {
    std::string name;
    DType dtype;
    std::vector<uint64_t> shape;
  };
  // Takes bytes of an output at an offset in it.
  using Put = std::function<Status(size_t output, uint64_t offset, ByteSpan bytes)>;

  virtual ~PackedTensor() = default;
  uint32_t number() const { return number_; }  // in the model
  const std::vector<Output>& outputs() const { return outputs_; }
  // Writes every byte of every output, once. `reader` has opened tensor number(). Calls `put` from this thread only.
  virtual Status Write(const TensorReader& reader, const Put& put) const = 0;

 protected:
  PackedTensor(uint32_t number, std::vector<Output> outputs) : number_(number), outputs_(std::move(outputs)) {}

 private:
  uint32_t number_;
  std::vector<Output> outputs_;
};

// Rows of codes, packed line by line in the order of the logical columns. Thread-safe; `matrix` must outlive it.
class PackedRows {
 public:
  PackedRows(const EncodedMatrix& matrix, CodeOrder order) : matrix_(matrix), order_(order) {}

  uint64_t line_bytes() const { return 4 * LineWords(order_, matrix_.linear.bits, matrix_.linear.cols); }
  // Packs rows [first, first + count) into as many lines, in parallel.
  void Pack(uint64_t first, uint64_t count, std::byte* lines) const;
  // The codes of one row.
  void Unpack(uint64_t row, uint8_t* codes) const;

 private:
  const EncodedMatrix& matrix_;
  CodeOrder order_;
};

// The scales of all rows and groups as bytes of `type`, which they have or round to without loss: [rows, groups].
std::vector<std::byte> ScaleBytes(const EncodedMatrix& matrix, DType type);
// The zero-points, less `minus`, which are whole numbers that fit: [rows, groups].
std::vector<uint8_t> ZeroCodes(const EncodedMatrix& matrix, int minus);
// All codes of the nested encoding of the scales, one byte each: [rows of groups, groups].
std::vector<uint8_t> ScaleCodes(const EncodedMatrix& matrix);
// Codes of [rows, groups] as a line of words for each group: [groups, words].
std::vector<std::byte> PackByGroup(const std::vector<uint8_t>& codes, uint64_t rows, CodeOrder order, int bits);
// The group of each logical column, I32.
std::vector<std::byte> GroupOfColumns(const EncodedMatrix& matrix);

}  // namespace ingot
