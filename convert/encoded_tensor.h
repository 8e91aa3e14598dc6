// A tensor that its source holds quantized: what a system wrote, translated into planes without requantizing. One class
// per layout implements it.
#pragma once

#include <cstdint>
#include <string>

#include "convert/part_plan.h"
#include "format/status.h"

namespace ingot {

// Immutable; all of it is thread-safe. The source that it reads from must outlive it. Errors name the tensor (the file
// is named by the caller).
class EncodedTensor {
 public:
  virtual ~EncodedTensor() = default;

  // What the source calls it: "GPTQ 4-bit g128".
  virtual std::string description() const = 0;
  // One part, or one plane of foreign blocks.
  virtual const TensorPlan& plan() const = 0;

  // The tensor is cut into blocks, each of a few MiB: consecutive pieces of every plane.
  virtual uint64_t block_count() const = 0;
  // What block `block` adds to the one part, or to the plane of foreign blocks. `part` comes cleared.
  virtual Status Encode(uint64_t block, EncodedPart& part) const = 0;

  // Elements [first, first + count) of the tensor, row-major, as the source's own system computes them: by its formula
  // and from its words, not by way of the plan. What --verify compares with.
  virtual Status Decode(uint64_t first, uint64_t count, float* out) const = 0;
};

}  // namespace ingot
