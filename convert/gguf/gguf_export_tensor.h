// One tensor of a model on its way into a GGUF file.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "convert/gguf/gguf_repack.h"
#include "convert/gguf/gguf_types.h"
#include "format/status.h"
#include "runtime/model.h"
#include "runtime/tensor_reader.h"

namespace ingot {

enum class GgufWay : uint8_t {
  kCopy,     // raw elements as they are
  kForeign,  // blocks that were kept verbatim
  kRepack,   // the same codes and scales as blocks
  kDecode,   // values, rounded to F32 or F16, or quantized to Q8_0
  kLiteral,  // values that no tensor of the model has
};

struct GgufTensorPlan {
  GgufWay way;
  const GgufType* type;
  uint32_t number = 0;     // in the model; not of kLiteral
  uint64_t head_rows = 0;  // rows of an attention head that are to be interleaved, even; 0: rows stay where they are
  std::vector<float> literal = {};
};

// How a tensor can be written without a change of its values, or, with `requantize`, otherwise. Where `vectors_as_f32`
// is set, floating tensors of one dimension become F32. Errors: kBadInput that names the tensor and its encoding.
struct GgufPlanOptions {
  bool requantize = false;
  bool vectors_as_f32 = false;
  bool prefer_tq1_0 = false;  // for what could be TQ1_0 or TQ2_0
};
Result<GgufTensorPlan> PlanGgufTensor(const Model& model, uint32_t number, const GgufPlanOptions& options);

// Holds the planes of one tensor. Immutable; thread-safe. The plan must outlive it.
class GgufExportTensor {
 public:
  static Result<std::shared_ptr<const GgufExportTensor>> Open(const Model& model, const GgufTensorPlan& plan);

  // Writes blocks [first, first + count) of the new tensor. kBadInput if a value cannot be quantized.
  Status Make(uint64_t first, uint64_t count, std::byte* blocks) const;

 private:
  explicit GgufExportTensor(const GgufTensorPlan& plan) : plan_(plan) {}
  Status MakeRun(uint64_t first, uint64_t count, std::byte* blocks) const;
  Status RepackRun(uint64_t first, uint64_t count, std::byte* blocks) const;
  Status DecodeRun(uint64_t first, uint64_t count, std::byte* blocks) const;

  const GgufTensorPlan& plan_;
  std::string place_;  // file and tensor, for messages
  std::unique_ptr<const TensorReader> reader_;
  std::vector<std::byte> foreign_;
  std::vector<GgufRepacker> repackers_;  // of the parts
  std::vector<uint64_t> part_blocks_;    // of each part in a row of all parts
  uint64_t row_blocks_ = 0;              // in the rows that head_rows counts
};

}  // namespace ingot
