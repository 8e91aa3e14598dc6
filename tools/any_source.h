// The tensors of anything that has some, an .ingot file or a checkpoint, as values in the order of their names.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "format/dtype.h"
#include "format/status.h"

namespace ingot {

struct TensorInfo {
  std::string name;
  DType dtype;
  std::vector<uint64_t> shape;

  uint64_t element_count() const;  // of a validated tensor: does not overflow
};

// One tensor, ready to be read. Thread-safe.
class TensorValues {
 public:
  virtual ~TensorValues() = default;
  // Elements [first, first + count) in row-major order, widened or decoded to f32 (F64 is rounded). Only of floating
  // tensors.
  virtual Status DecodeF32(uint64_t first, uint64_t count, float* out) const = 0;
  // Whether ReadRaw works: the elements are stored in the tensor's dtype.
  virtual bool is_raw() const = 0;
  // The same elements as they are stored.
  virtual Status ReadRaw(uint64_t first, uint64_t count, std::byte* out) const = 0;
};

// Immutable; thread-safe.
class TensorAccess {
 public:
  virtual ~TensorAccess() = default;
  virtual const std::vector<TensorInfo>& tensors() const = 0;  // ascending by the bytes of their names
  // Opens tensor number `i` of tensors(). May read all of it. The access must outlive what this returns. Errors:
  // kBadInput, kIo.
  virtual Result<std::unique_ptr<TensorValues>> Open(size_t i) const = 0;
  // Why the values of tensor `i` cannot be had ("its encoding is foreign iq2_xs"), or nothing.
  virtual std::optional<std::string> Obstacle(size_t i) const = 0;
};

// Opens an .ingot file or whatever convert/source.h reads, by content. Errors: kIo, kBadInput.
Result<std::unique_ptr<TensorAccess>> OpenTensors(const std::string& path);

}  // namespace ingot
