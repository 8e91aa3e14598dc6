// What a GPTQ checkpoint's configuration says of each module.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "convert/import/checkpoint.h"
#include "convert/import/unpack.h"
#include "convert/regex.h"

namespace ingot {

// What a stored zero-point stands for.
enum class GptqZeros : uint8_t {
  kAsStored,      // v2
  kFieldPlusOne,  // v1: one more than stored, without wrapping (AutoGPTQ)
  kFieldWrap,     // v1, 3 bits and planar, by GPTQModel: one more, modulo 2^bits
  kWordCarry,     // v1 by GPTQModel: one was taken from each field by one subtraction from the whole word
};

struct GptqFormat {
  int bits = 4;
  uint64_t group_size = 128;  // 0: the whole row
  bool planar = false;
  GptqZeros zeros = GptqZeros::kAsStored;

  CodeOrder order() const { return planar ? CodeOrder::kPlanar : CodeOrder::kStream; }
};

// Immutable, movable; thread-safe.
class GptqConfig {
 public:
  // Errors: kBadInput for values that are missing, out of range or contradict each other.
  static Result<GptqConfig> Read(const Checkpoint& checkpoint);
  // With the overrides for its name ("dynamic").
  Result<GptqFormat> FormatOf(const std::string& module) const;

 private:
  struct Override {
    Regex pattern;
    bool excluded;  // "-:": says that the module is not quantized
    Config values;
  };
  GptqFormat Complete(int bits, uint64_t group_size) const;

  std::string what_;
  int bits_ = 4;
  uint64_t group_size_ = 128;
  std::string format_;
  bool by_gptqmodel_ = false;
  std::vector<Override> overrides_;
};

}  // namespace ingot
