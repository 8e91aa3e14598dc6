#include "convert/export_folder.h"

#include <algorithm>
#include <cmath>

#include "convert/import/config.h"
#include "convert/json_reader.h"
#include "convert/selector.h"
#include "format/text.h"

namespace ingot {
namespace {

constexpr std::string_view kWeight = ".weight";
constexpr uint64_t kMaxConfig = 16 << 20;  // bytes of config.json

// The planes of an encoding that are small: all but the codes, up to the column scales. They are what Candidate needs.
Status ReadSmallPlanes(const Container& container, const EncodingRecord& e, const Linear& l, bool nested,
                       std::vector<std::vector<std::byte>>& planes) {
  const std::vector<PlaneSpec> specs = PlanesOf(l, nested);
  for (size_t i = 0; i < specs.size(); ++i) {
    planes.emplace_back();
    if (specs[i].role == PlaneRole::kCodes && !nested) continue;
    auto read = container.ReadPlane(e.first_plane + static_cast<uint32_t>(i));
    if (!read) return Propagate(read);
    planes.back() = std::move(*read);
  }
  return {};
}

// The encoding without its codes, its permutation and its outliers; `storage` has the bytes.
Result<EncodedMatrix> ReadOperands(const Container& container, uint32_t encoding, Linear linear,
                                   std::vector<std::vector<std::byte>>& storage) {
  const Index& index = container.index();
  const EncodingRecord e = index.encoding(encoding);
  linear.permutation = false;  // these planes come last
  linear.outliers = OutlierForm::kNone;
  struct Child {
    Linear linear;
    size_t first, end;  // planes in `storage`
  };
  std::vector<Child> children;
  for (uint32_t c = encoding - e.child_count; c < encoding; ++c) {
    const EncodingRecord record = index.encoding(c);
    Child child{DecodeLinear(index.payload(record)), storage.size(), 0};
    if (auto read = ReadSmallPlanes(container, record, child.linear, true, storage); !read) return Propagate(read);
    child.end = storage.size();
    children.push_back(child);
  }
  const size_t own = storage.size();
  if (auto read = ReadSmallPlanes(container, e, linear, false, storage); !read) return Propagate(read);
  const auto spans = [&](size_t first, size_t end) {
    return std::vector<ByteSpan>(storage.begin() + static_cast<ptrdiff_t>(first),
                                 storage.begin() + static_cast<ptrdiff_t>(end));
  };
  std::vector<EncodedMatrix> nested;
  for (const Child& child : children)
    nested.push_back(EncodedMatrix::Make(child.linear, true, spans(child.first, child.end), {}));
  return EncodedMatrix::Make(linear, false, spans(own, storage.size()), std::move(nested));
}

std::vector<float> Floats(ByteSpan bytes) {
  std::vector<float> values(bytes.size() / sizeof(float));
  for (size_t i = 0; i < values.size(); ++i) values[i] = Load<float>(bytes.data() + i * sizeof(float));
  return values;
}

void ReadZeros(const EncodedMatrix& operands, Candidate& c) {
  const bool constant = operands.linear.z.form <= OperandForm::kConstant;
  const uint64_t count = constant ? 1 : operands.linear.group_count();
  for (uint64_t g = 0; g < count && c.whole_zeros; ++g) {
    const float zero = reference::GroupOperand(operands, 1, g);
    c.whole_zeros = zero == std::floor(zero) && std::isfinite(zero);
    c.lowest_zero = g == 0 ? zero : std::min(c.lowest_zero, zero);
    c.highest_zero = g == 0 ? zero : std::max(c.highest_zero, zero);
  }
}

bool IsLinearLayer(const TensorRecord& record) {
  const Selection selection =
      SelectByDefault(record.name, static_cast<DType>(record.dtype), std::span<const uint64_t>(record.shape()));
  return record.rank == 2 && record.name.ends_with(kWeight) &&
         (selection.quantize || selection.reason == "output head" || selection.reason == "router");
}

bool IsRaw(const Model& model, uint32_t number) {
  const TensorRecord record = model.tensor(number);
  const Index& index = model.container_of(number).index();
  for (uint32_t p = record.first_part; p < record.first_part + record.part_count; ++p) {
    if (!index.encoding(index.part(p).encoding).is(EncodingKind::kRaw)) return false;
  }
  return true;
}

// Reads what decides about a tensor that is not raw.
Result<Candidate> Inspect(const Model& model, uint32_t number) {
  const TensorRecord record = model.tensor(number);
  const Container& container = model.container_of(number);
  const Index& index = container.index();
  Candidate c;
  c.number = number;
  c.dtype = static_cast<DType>(record.dtype);
  const auto obstacle = [&c](std::string text) {
    c.obstacle = std::move(text);
    return c;
  };
  if (!record.name.ends_with(kWeight)) return obstacle("its name does not end in .weight");
  if (record.rank != 2) return obstacle("it has not two dimensions");
  if (!IsLinearLayer(record)) return obstacle("it is not the weight of a linear layer");
  if (record.part_count != 1) return obstacle("it has several parts");
  c.module = record.name.substr(0, record.name.size() - kWeight.size());
  const uint32_t encoding = index.part(record.first_part).encoding;
  const EncodingRecord e = index.encoding(encoding);
  if (!e.is(EncodingKind::kLinear)) return obstacle("it is not linear");
  c.linear = DecodeLinear(index.payload(e));
  if (c.linear.rows != record.dim(0)) return obstacle("its rows are not those of the tensor");
  std::vector<std::vector<std::byte>> storage;
  const auto operands = ReadOperands(container, encoding, c.linear, storage);
  if (!operands) return Propagate(operands);
  c.codebook = Floats(operands->codebook);
  if (c.linear.s.form == OperandForm::kNested) {
    c.scale = operands->children.front().linear;
    c.scale_book = Floats(operands->children.front().codebook);
  }
  ReadZeros(*operands, c);
  return c;
}

}  // namespace

DType Candidate::scale_type() const {
  if (linear.s.form == OperandForm::kArray) return linear.s.type;
  const float value = linear.s.form == OperandForm::kConstant ? linear.s.constant : 1.0f;
  if (linear.result != DType::kF32) return linear.result;
  const bool is_half = dtype == DType::kF16 || dtype == DType::kBF16;
  return is_half && RoundTo(dtype, value) == value ? dtype : DType::kF32;
}

std::string ObstacleToIntegers(const Candidate& c) {
  const Linear& l = c.linear;
  const DType scale = c.scale_type();
  if (l.codebook) return "it has a codebook";
  if (l.outliers != OutlierForm::kNone) return "it has outliers";
  if (l.o.form != OperandForm::kAbsent) return "it has offsets";
  if (l.t.form != OperandForm::kAbsent) return "it has column scales";
  if (l.s.form == OperandForm::kNested) return "its scales are encoded";
  if (l.bits < 2) return "it has 1 bit";
  if (!c.whole_zeros || c.lowest_zero < 0) return "its zero-points are not codes";
  const bool same = l.result == scale && (l.arithmetic == DType::kF32 || l.arithmetic == scale);
  const bool rounded = l.result == DType::kF32 && l.arithmetic == DType::kF32;
  if (!same && !rounded) return "its values are not rounded to the type of its scales";
  const auto constant = l.s.form == OperandForm::kConstant ? l.s.constant : 1.0f;
  if (l.s.form != OperandForm::kArray && RoundTo(scale, constant) != constant) return "its scale has no 16-bit value";
  return {};
}

Result<FolderTensors> SortTensors(const Model& model, const FolderOptions& options, std::string_view system,
                                  const std::function<std::string(const Candidate&)>& obstacle) {
  FolderTensors out;
  for (uint32_t number : options.numbers) {
    const TensorRecord record = model.tensor(number);
    if (!IsRaw(model, number)) {
      auto candidate = Inspect(model, number);
      if (!candidate) return Propagate(candidate);
      const std::string reason = candidate->obstacle.empty() ? obstacle(*candidate) : candidate->obstacle;
      if (reason.empty()) {
        out.packed.push_back(std::move(*candidate));
        continue;
      }
      if (!options.requantize) {
        const Container& container = model.container_of(number);
        return Fail(ErrorCode::kBadInput,
                    "{}: tensor {}: {} cannot hold it: {}; its encoding is {} (--requantize writes it decoded)",
                    container.path(), Quote(record.name), system, reason, DescribeTensor(container.index(), record));
      }
    }
    out.dense.push_back(number);
    if (IsLinearLayer(record))
      out.dense_modules.emplace_back(record.name.substr(0, record.name.size() - kWeight.size()));
  }
  if (out.packed.empty())
    return Fail(ErrorCode::kUsage, "{}: no tensor is quantized in a way that {} can hold", model.main().path(), system);
  return out;
}

namespace {

// The attached config.json; an empty object if there is none.
Result<nlohmann::json> AttachedConfig(const Model& model) {
  const Index& index = model.main().index();
  for (uint32_t i = 0; i < index.count(Table::kAttachments); ++i) {
    const AttachmentRecord attachment = index.attachment(i);
    if (attachment.name != "config.json" || attachment.plane == kNoRecord) continue;
    const std::string what = model.main().path() + ": attachment 'config.json'";
    if (index.plane(attachment.plane).size > kMaxConfig)
      return Fail(ErrorCode::kBadInput, "{}: is larger than {} bytes", what, kMaxConfig);
    const auto bytes = model.main().ReadPlane(attachment.plane);
    if (!bytes) return Propagate(bytes);
    auto parsed = ParseJson(AsText(*bytes), what);
    if (!parsed) return Propagate(parsed);
    if (!parsed->is_object()) return Fail(ErrorCode::kBadInput, "{}: is no JSON object", what);
    return std::move(*parsed);
  }
  return nlohmann::json::object();
}

// Takes out what a config.json says of a quantization, by all the names that systems give it; whether there was any.
bool EraseQuantization(nlohmann::json& config) {
  size_t erased = 0;
  for (const char* key : {"quantization_config", "compression_config", "quantization"}) erased += config.erase(key);
  return erased != 0;
}

}  // namespace

Result<std::string> ConfigText(const Model& model, nlohmann::json quantization) {
  auto config = AttachedConfig(model);
  if (!config) return Propagate(config);
  EraseQuantization(*config);
  (*config)["quantization_config"] = std::move(quantization);
  return config->dump(2) + "\n";
}

std::vector<FolderPlan::File> DenseFiles(const Model& model) {
  bool quantized = false;
  for (uint32_t i = 0; i < model.tensor_count() && !quantized; ++i) quantized = !IsRaw(model, i);
  auto config = AttachedConfig(model);
  if (!quantized || !config || !EraseQuantization(*config)) return {};
  return {{"config.json", config->dump(2) + "\n"},
          {"quantize_config.json", {}},
          {"quant_config.json", {}},
          {"quanto_qmap.json", {}},
          {"quantization_map.json", {}}};
}

}  // namespace ingot
