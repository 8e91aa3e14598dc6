// A tensor that its source holds quantized: what a system wrote, translated into planes without requantizing. One class
// per layout implements it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
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
  virtual const TensorPlan& plan() const = 0;
  // The same values in up to `count` parts along the columns, if that is possible without changing any code; else null.
  // Errors: those of reading.
  virtual Result<std::shared_ptr<const EncodedTensor>> SplitColumns(uint32_t /*count*/) const { return nullptr; }

  // The tensor is cut into blocks, each of a few MiB: consecutive pieces of every plane.
  virtual uint64_t block_count() const = 0;
  // Reads ahead what block `block` and those behind it share. Called for every block in order, by one thread at a time,
  // before it is encoded; or not at all.
  virtual Status Prepare(uint64_t /*block*/, ReadAhead& /*ahead*/) const { return {}; }
  // What block `block` adds to each part of the plan; to the planes of a plan without parts by way of one. `parts` come
  // cleared.
  virtual Status Encode(uint64_t block, std::span<EncodedPart> parts) const = 0;

  // Elements [first, first + count) of the tensor, row-major, as the source's own system computes them: by its formula
  // and from its words, not by way of the plan. What --verify compares with.
  virtual Status Decode(uint64_t first, uint64_t count, float* out) const = 0;

  // False for elements that are stored as such, if in a form of its own: ReadRaw gives them.
  virtual bool is_quantized() const { return true; }
  // Elements [first, first + count) in the tensor's dtype.
  virtual Status ReadRaw(uint64_t /*first*/, uint64_t /*count*/, std::byte* /*out*/) const {
    return Fail(ErrorCode::kUsage, "{}: has no elements but decoded ones", description());
  }
};

}  // namespace ingot
