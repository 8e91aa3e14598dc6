#include "convert/import/microscaling.h"

#include <cstring>

#include "convert/import/float8.h"

namespace ingot {

std::shared_ptr<const EncodedTensor> MakeMicroscaling(const Source& source, std::string description,
                                                      const SourceTensor& codes, const SourceTensor& scales,
                                                      uint64_t rows, uint64_t cols, uint64_t group,
                                                      const std::vector<float>& scale_book) {
  PartPlan plan = PlanRows(4, rows, cols, group, DType::kBF16);
  plan.linear.codebook = true;
  plan.codebook = E2M1Codebook();
  NestCodes(plan, 0, 8);
  plan.nested[0]->linear.codebook = true;
  plan.nested[0]->codebook = scale_book;
  GroupedLayout layout;
  layout.codes = RowCodes{&source, &codes, CodeOrder::kStream, 4, cols, cols / 2};
  layout.s.fill = [&source, &scales](OperandBlock& block) -> Status {
    const auto bytes = ReadAll(source, scales);
    if (!bytes) return Propagate(bytes);
    block.codes.resize(bytes->size());
    std::memcpy(block.codes.data(), bytes->data(), bytes->size());
    return {};
  };
  layout.s.values = [&source, &scales, scale_book]() -> Result<std::vector<float>> {
    const auto bytes = ReadAll(source, scales);
    if (!bytes) return Propagate(bytes);
    std::vector<float> values;
    for (std::byte code : *bytes) values.push_back(scale_book[std::to_integer<size_t>(code)]);
    return values;
  };
  layout.value = [book = plan.codebook](uint8_t q, float s, float, float) {
    return RoundTo(DType::kBF16, book[q] * s);
  };
  return std::make_shared<GroupedImport>(std::move(description), std::move(plan), std::move(layout));
}

}  // namespace ingot
