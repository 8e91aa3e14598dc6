// A tensor that its source holds quantized: what a system wrote, translated into planes without requantizing. One class
// per layout implements it.
#pragma once

#include <cstdint>
#include <string>

#include "convert/part_plan.h"
#include "convert/read_ahead.h"
#include "format/status.h"

namespace ingot {

// Immutable but for what is read ahead; all of it is thread-safe. The source that it reads from must outlive it. Errors
// name the tensor (the file is named by the caller).
class EncodedTensor {
 public:
  virtual ~EncodedTensor() = default;

  // What the source calls it: "GPTQ 4-bit g128".
  virtual std::string description() const = 0;
  // Why no encoding holds its very values, with the file and tensor at fault; empty if one does. A tensor with an
  // obstacle can be decoded, but not encoded.
  virtual std::string obstacle() const { return {}; }
  // One part, or one plane of foreign blocks.
  virtual const TensorPlan& plan() const = 0;

  // The tensor is cut into blocks, each of a few MiB: consecutive pieces of every plane.
  virtual uint64_t block_count() const = 0;
  // Reads ahead what block `block` and those behind it share. Called for every block in order, by one thread at a time,
  // before it is encoded; or not at all.
  virtual Status Prepare(uint64_t /*block*/, ReadAhead& /*ahead*/) const { return {}; }
  // What block `block` adds to the one part, or to the plane of foreign blocks. `part` comes cleared.
  virtual Status Encode(uint64_t block, EncodedPart& part) const = 0;

  // Elements [first, first + count) of the tensor, row-major, as the source's own system computes them: by its formula
  // and from its words, not by way of the plan. What --verify compares with.
  virtual Status Decode(uint64_t first, uint64_t count, float* out) const = 0;
};

}  // namespace ingot
