#include "tools/tensor_statistics.h"

#include <tbb/parallel_for.h>

#include <algorithm>
#include <cmath>

#include "format/packing.h"
#include "kernels/pack.h"

namespace ingot {
namespace {

constexpr uint64_t kBlock = uint64_t{1} << 20;

using KeepGoingFn = std::function<bool()>;

// The numbers [0, count) in blocks, in parallel; of(first, size) of each, in their order. Once `keep_going` says no the
// rest is left out.
template <typename Value, typename Of>
std::vector<Value> ForBlocks(uint64_t count, uint64_t block, const KeepGoingFn& keep_going, Of&& of) {
  std::vector<Value> results(count / block + (count % block != 0));
  tbb::parallel_for(size_t{0}, results.size(), [&](size_t i) {
    const uint64_t first = i * block;
    if (keep_going()) results[i] = of(first, std::min(block, count - first));
  });
  return results;
}

Result<RangeStatistics> ValueStatistics(const TensorReader& reader, const KeepGoingFn& keep_going) {
  using Sum = Result<RangeStatistics>;
  const auto sums =
      ForBlocks<Sum>(reader.element_count(), kBlock, keep_going, [&](uint64_t first, uint64_t count) -> Sum {
        std::vector<float> values(count);
        if (auto decoded = reader.Decode(first, count, values.data()); !decoded) return Propagate(decoded);
        RangeStatistics sum;
        for (float value : values) sum.Add(value);
        return sum;
      });
  RangeStatistics total;
  for (const Sum& sum : sums) {
    if (!sum) return sum;
    total.Add(*sum);
  }
  return total;
}

using Histogram = std::array<uint64_t, 256>;

// Counts the codes of rows [first, first + count), in pieces of whole units so that memory stays bounded.
Histogram CountCodes(const EncodedMatrix& matrix, uint64_t first, uint64_t count) {
  constexpr uint64_t kPiece = kPackUnit << 10;
  const Linear& l = matrix.linear;
  const auto widths = FieldWidths(l.bits);
  std::vector<uint8_t> codes(std::min(kPiece, l.cols));
  Histogram histogram{};
  for (uint64_t row = first; row < first + count; ++row) {
    for (uint64_t column = 0; column < l.cols; column += kPiece) {
      std::array<const std::byte*, kMaxFields> fields{};
      for (size_t f = 0; f < widths.size(); ++f) {
        fields[f] =
            matrix.codes[f].data() + row * PackedRowBytes(l.cols, widths[f]) + PackedRowBytes(column, widths[f]);
      }
      const uint64_t size = std::min(kPiece, l.cols - column);
      UnpackRow({fields.data(), widths.size()}, size, l.bits, codes.data());
      for (uint64_t i = 0; i < size; ++i) ++histogram[codes[i]];
    }
  }
  return histogram;
}

// The numbers of an array of f32, f16 or bf16.
RangeStatistics ArrayStatistics(ByteSpan bytes, DType type) {
  const uint64_t size = InfoOf(type).size;
  const auto value = [&](uint64_t i) {
    const std::byte* at = bytes.data() + i * size;
    if (type == DType::kF16) return F16ToF32(Load<uint16_t>(at));
    return type == DType::kBF16 ? BF16ToF32(Load<uint16_t>(at)) : Load<float>(at);
  };
  RangeStatistics range;
  for (uint64_t i = 0; i < bytes.size() / size; ++i) range.Add(value(i));
  return range;
}

RangeStatistics GroupStatistics(const EncodedMatrix& matrix, int operand, const KeepGoingFn& keep_going) {
  const auto sums =
      ForBlocks<RangeStatistics>(matrix.linear.group_count(), kBlock, keep_going, [&](uint64_t first, uint64_t count) {
        RangeStatistics sum;
        for (uint64_t g = first; g < first + count; ++g) sum.Add(reference::GroupOperand(matrix, operand, g));
        return sum;
      });
  RangeStatistics total;
  for (const RangeStatistics& sum : sums) total.Add(sum);
  return total;
}

void AddPart(const EncodedMatrix& matrix, const KeepGoingFn& keep_going, CodeStatistics& codes) {
  const Linear& l = matrix.linear;
  codes.bits = l.bits;
  const uint64_t rows = std::max<uint64_t>(1, kBlock / l.cols);
  const auto count = [&](uint64_t first, uint64_t size) { return CountCodes(matrix, first, size); };
  for (const Histogram& histogram : ForBlocks<Histogram>(l.rows, rows, keep_going, count)) {
    for (size_t i = 0; i < histogram.size(); ++i) codes.histogram[i] += histogram[i];
  }
  const std::pair<const char*, const Operand*> operands[] = {
      {"scales", &l.s}, {"zero-points", &l.z}, {"offsets", &l.o}};
  for (int i = 0; i < 3; ++i) {
    if (operands[i].second->form >= OperandForm::kArray)
      codes.operands[operands[i].first].Add(GroupStatistics(matrix, i, keep_going));
  }
  if (l.t.form == OperandForm::kArray) codes.operands["column scales"].Add(ArrayStatistics(matrix.t, l.t.type));
  if (l.codebook && codes.codebook.empty()) {
    for (size_t at = 0; at < matrix.codebook.size(); at += 4)
      codes.codebook.push_back(Load<float>(matrix.codebook.data() + at));
  }
  if (l.outliers != OutlierForm::kNone) {
    const RangeStatistics outliers = ArrayStatistics(matrix.outlier_values, l.outlier_type);
    codes.outliers += outliers.count;
    codes.outlier_values.Add(outliers);
  }
  ++codes.parts;
}

}  // namespace

void RangeStatistics::Add(double value) {
  ++count;
  zeros += value == 0;
  if (!std::isfinite(value)) {
    ++non_finite;
    return;
  }
  const bool first = count - non_finite == 1;
  min = first ? value : std::min(min, value);
  max = first ? value : std::max(max, value);
  sum += value;
  sum_squares += value * value;
}

void RangeStatistics::Add(const RangeStatistics& other) {
  const bool have = count > non_finite, get = other.count > other.non_finite;
  if (get) {
    min = have ? std::min(min, other.min) : other.min;
    max = have ? std::max(max, other.max) : other.max;
  }
  count += other.count;
  zeros += other.zeros;
  non_finite += other.non_finite;
  sum += other.sum;
  sum_squares += other.sum_squares;
}

double RangeStatistics::mean() const { return count > non_finite ? sum / static_cast<double>(count - non_finite) : 0; }

double RangeStatistics::deviation() const {
  if (count == non_finite) return 0;
  const double square = sum_squares / static_cast<double>(count - non_finite) - mean() * mean();
  return std::sqrt(std::max(0.0, square));
}

Result<TensorStatistics> StatisticsOf(const TensorReader& reader, const KeepGoingFn& keep_going) {
  TensorStatistics statistics;
  if (InfoOf(reader.dtype()).is_float) {
    auto values = ValueStatistics(reader, keep_going);
    if (!values) return Propagate(values);
    statistics.has_values = true;
    statistics.values = *values;
  }
  for (const TensorReader::Part& part : reader.parts()) {
    if (part.raw) continue;
    std::vector<Linear> children;
    for (const EncodedMatrix& child : part.matrix.children) children.push_back(child.linear);
    AddPart(part.matrix, keep_going, statistics.codes["linear " + Describe(part.matrix.linear, children)]);
  }
  if (!keep_going()) return Interrupted();
  return statistics;
}

Json ToJson(const RangeStatistics& range) {
  return {{"count", range.count}, {"zeros", range.zeros}, {"non_finite", range.non_finite}, {"min", range.min},
          {"max", range.max},     {"mean", range.mean()}, {"deviation", range.deviation()}};
}

Json ToJson(const TensorStatistics& statistics) {
  Json json = Json::object();
  if (statistics.has_values) json["values"] = ToJson(statistics.values);
  json["codes"] = Json::array();
  for (const auto& [description, codes] : statistics.codes) {
    Json entry{{"encoding", description}, {"parts", codes.parts}, {"bits", codes.bits}};
    entry["histogram"] = std::vector<uint64_t>(codes.histogram.begin(), codes.histogram.begin() + (1 << codes.bits));
    for (const auto& [name, range] : codes.operands) entry[name] = ToJson(range);
    if (!codes.codebook.empty()) {
      Json& book = entry["codebook"] = Json::array();
      for (float value : codes.codebook) book.push_back(NumberOrText(value));
    }
    if (codes.outliers > 0) entry["outliers"] = ToJson(codes.outlier_values);
    json["codes"].push_back(std::move(entry));
  }
  return json;
}

}  // namespace ingot
