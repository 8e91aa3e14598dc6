// A tensor of an .ingot file as the driver uses it: through the C interface alone.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/ingot.h"

namespace side {

// Ends the program with a message: the driver goes no further after a failure.
[[noreturn]] void Fail(const std::string& message);

// Memory in huge pages, where the system has them; for good.
void* HugeMemory(size_t bytes);

// The same tensor several times, in different memory, verified. Ends with the program.
class IngotTensor {
 public:
  IngotTensor(const std::string& path, const std::string& name, int copies, int threads);

  const ingot_tensor_info& info() const { return info_; }
  uint64_t values() const { return info_.rows * info_.columns; }
  int copies() const { return static_cast<int>(tensors_.size()); }

  // Rows [0, rows) of a copy, as f32.
  void Decode(int copy, uint64_t rows, float* out) const;
  // y = x w^T with a copy; `batch` rows of activations.
  void Multiply(int copy, ingot_precision precision, const float* x, uint64_t batch, float* y) const;

 private:
  std::vector<ingot_tensor*> tensors_;
  ingot_tensor_info info_{};
};

}  // namespace side
