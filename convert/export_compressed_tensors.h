// One quantized tensor in a layout of compressed-tensors 0.20, and the scheme that describes it. Permuted columns are
// written with weight_g_idx and actorder "group", which versions before 0.19 read.
#pragma once

#include <memory>
#include <tuple>

#include "convert/export_folder.h"
#include "convert/packed_tensor.h"

namespace ingot {

enum class CtFormat : uint8_t { kPackQuantized, kFloatQuantized, kNvfp4, kMxfp4 };

// What a group of the configuration says of its modules.
struct CtLayout {
  CtFormat format = CtFormat::kPackQuantized;
  int bits = 8;
  bool symmetric = true;  // of integers: all zero-points are 2^(bits - 1), and not stored
  bool act_order = false;
  std::string_view strategy;  // "group", "channel", "tensor", "block", "tensor_group"
  uint64_t group_cols = 0;    // of groups and blocks
  uint64_t group_rows = 0;    // of blocks

  auto key() const { return std::tuple(format, bits, symmetric, act_order, strategy, group_cols, group_rows); }
};

// How a candidate is stored; kBadInput with only the reason as message if it cannot be.
Result<CtLayout> CtLayoutOf(const Candidate& candidate);

std::shared_ptr<const PackedTensor> MakeCompressed(const Candidate& candidate, const CtLayout& layout);

// g such that book[i] is e4m3[i] / g, bit for bit, for every i; nothing if there is none.
std::optional<float> GlobalScaleOf(const std::vector<float>& book);

}  // namespace ingot
