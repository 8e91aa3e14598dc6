#include "convert/import/act_order.h"

#include <algorithm>
#include <numeric>

#include "format/checked.h"

namespace ingot {

Result<ActOrder> ReadActOrder(const Checkpoint& checkpoint, const SourceTensor& g_idx, uint64_t group) {
  const auto bytes = ReadAll(checkpoint.source(), g_idx);
  if (!bytes) return Propagate(bytes);
  const uint64_t cols = g_idx.shape[0], groups = CeilDiv(cols, group);
  ActOrder out;
  for (uint64_t c = 0; c < cols; ++c) {
    const auto g = Load<int32_t>(bytes->data() + 4 * c);
    if (g < 0 || static_cast<uint64_t>(g) >= groups)
      return checkpoint.Refuse(g_idx.name, "column {} is in group {}, there are {} groups", c, g, groups);
    out.group_of_column.push_back(static_cast<uint32_t>(g));
  }
  std::vector<uint32_t> order(cols);
  std::iota(order.begin(), order.end(), 0u);
  std::stable_sort(order.begin(), order.end(),
                   [&](uint32_t a, uint32_t b) { return out.group_of_column[a] < out.group_of_column[b]; });
  for (uint64_t j = 0; j < cols; ++j) {
    if (out.group_of_column[order[j]] == j / group) continue;
    const auto refusal =
        checkpoint.Refuse(g_idx.name, "groups of unequal size: group {} begins after {} columns, in groups of {}",
                          out.group_of_column[order[j]], j, group);
    out.obstacle = refusal.value().message;
    return out;
  }
  if (std::is_sorted(order.begin(), order.end())) return ActOrder{};
  out.permutation = std::move(order);
  return out;
}

}  // namespace ingot
