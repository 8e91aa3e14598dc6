#include "tools/bench/file_groups.h"

#include <map>

#include "runtime/part_layout.h"

namespace ingot::bench {

std::vector<Group> GroupsOf(const Model& model) {
  std::vector<Group> groups;
  std::map<std::string, size_t> known;
  for (uint32_t i = 0; i < model.tensor_count(); ++i) {
    if (model.is_alias(i)) continue;
    const Index& index = model.container_of(i).index();
    const TensorRecord tensor = model.tensor(i);
    const std::string encoding = DescribeTensor(index, tensor);
    const auto [at, fresh] = known.emplace(encoding, groups.size());
    if (fresh) groups.push_back({encoding, {}, 0, 0});
    Group& group = groups[at->second];
    if (group.values >= Group::kEnoughValues && group.bytes >= Group::kEnoughBytes) continue;
    const PartLayout layout(index, tensor);
    group.tensors.push_back(i);
    group.values += layout.rows() * layout.columns();
    group.bytes += PlaneBytesOf(index, tensor);
  }
  return groups;
}

}  // namespace ingot::bench
