// Which of GGUF's block types an encoding is: found from what the encoding says of itself, whoever made it.
// Thread-safe.
#pragma once

#include <cstdint>
#include <optional>

#include "convert/gguf/gguf_types.h"
#include "convert/part_plan.h"
#include "format/status.h"
#include "runtime/container.h"

namespace ingot {

// What a linear encoding of a file says of itself: its record, its children's, and the codebooks, which are read.
Result<PartPlan> ReadEncodingPlan(const Container& container, uint32_t encoding);

// The f16 that widens to `value`, bit for bit, if there is one.
std::optional<uint16_t> ExactHalf(float value);

// A code and the f16 of its block that make up one value.
struct GgufScale {
  uint8_t code;
  uint16_t half;  // as in the block
};
// One that makes s or o of a type `value`, as the encoding has it, if there is any. Where a whole operand became one
// constant, the code and the f16 that it came from are gone: these may be others, of the same value.
std::optional<GgufScale> FindGgufScale(const GgufOperand& operand, float value);

// Whether blocks of `type` (one that is linear) have exactly the values of an encoding, for any codes. Groups may be
// larger than those of the type, if its scales are plain f16.
bool IsOfGgufType(const PartPlan& plan, const GgufType& type);

// The first type for which that is so, or nothing. TQ1_0, which has the encoding of TQ2_0 but no code 3, is not looked
// for.
const GgufType* MatchGgufType(const PartPlan& plan);

}  // namespace ingot
