#include "tools/model_json.h"

#include <algorithm>
#include <array>

#include "format/encoding.h"

namespace ingot {
namespace {

// A scalar of a metadata type; `at` has all its bytes.
Json ScalarJson(MetadataType type, const std::byte* at) {
  switch (type) {
    case MetadataType::kBool:
      return Load<uint8_t>(at) != 0;
    case MetadataType::kU8:
      return Load<uint8_t>(at);
    case MetadataType::kI8:
      return Load<int8_t>(at);
    case MetadataType::kU16:
      return Load<uint16_t>(at);
    case MetadataType::kI16:
      return Load<int16_t>(at);
    case MetadataType::kU32:
      return Load<uint32_t>(at);
    case MetadataType::kI32:
      return Load<int32_t>(at);
    case MetadataType::kU64:
      return Load<uint64_t>(at);
    case MetadataType::kI64:
      return Load<int64_t>(at);
    case MetadataType::kF32:
      return NumberOrText(Load<float>(at));
    case MetadataType::kF64:
      return NumberOrText(Load<double>(at));
    default:
      return nullptr;
  }
}

Json ArrayJson(MetadataType element, ByteSpan value) {
  Json out = Json::array();
  const uint32_t size = MetadataScalarSize(static_cast<uint8_t>(element));
  while (!value.empty()) {
    if (element == MetadataType::kString) {
      const uint32_t length = Load<uint32_t>(value.data());
      out.push_back(AsText(value.subspan(4, length)));
      value = value.subspan(4 + size_t{length});
    } else {
      out.push_back(ScalarJson(element, value.data()));
      value = value.subspan(size);
    }
  }
  return out;
}

Json PlanesJson(const Index& index, const EncodingRecord& encoding, bool nested) {
  Json planes = Json::array();
  const bool sha256 = index.count(Table::kSha256) > 0;
  for (uint32_t i = 0; i < encoding.plane_count; ++i) {
    const uint32_t number = encoding.first_plane + i;
    const PlaneRecord plane = index.plane(number);
    Json json{{"plane", number},
              {"role", PlaneRoleText(index, encoding, i, nested)},
              {"offset", plane.offset},
              {"bytes", plane.size},
              {"stored_bytes", index.stored_size(plane)},
              {"chunks", plane.chunk_count()},
              {"stored", FramesText(index, plane)}};
    if (sha256) json["sha256"] = ToHex(index.sha256(number));
    planes.push_back(std::move(json));
  }
  return planes;
}

void AddLinear(const Index& index, uint32_t number, uint8_t dtype, Json& json) {
  const EncodingRecord record = index.encoding(number);
  const Linear l = DecodeLinear(index.payload(record));
  const auto type_name = [](DType type) { return InfoOf(type).name; };
  json["bits"] = l.bits;
  json["rows"] = l.rows;
  json["columns"] = l.cols;
  json["group_rows"] = l.group_rows;
  json["group_columns"] = l.group_cols;
  json["arithmetic"] = type_name(l.arithmetic);
  json["result"] = type_name(l.result);
  json["codebook"] = l.codebook;
  json["permutation"] = l.permutation;
  uint32_t child = number - record.child_count;
  const std::pair<const char*, const Operand*> operands[] = {
      {"scale", &l.s}, {"zero_point", &l.z}, {"offset", &l.o}, {"column_scale", &l.t}};
  for (const auto& [name, operand] : operands) {
    switch (operand->form) {
      case OperandForm::kAbsent:
        json[name] = nullptr;
        break;
      case OperandForm::kConstant:
        json[name] = {{"form", "constant"}, {"value", NumberOrText(operand->constant)}};
        break;
      case OperandForm::kArray:
        json[name] = {{"form", "array"}, {"dtype", type_name(operand->type)}};
        break;
      case OperandForm::kNested:
        json[name] = {{"form", "nested"}, {"encoding", EncodingJson(index, child++, dtype, true)}};
        break;
    }
  }
  json["outliers"] = nullptr;
  if (l.outliers != OutlierForm::kNone) {
    json["outliers"] = {{"kind", l.outliers == OutlierForm::kColumns ? "columns" : "unstructured"},
                        {"dtype", type_name(l.outlier_type)},
                        {"count", l.outlier_count}};
  }
}

}  // namespace

Json MetadataJson(const MetadataRecord& record) {
  switch (static_cast<MetadataType>(record.type)) {
    case MetadataType::kString:
      return AsText(record.value);
    case MetadataType::kArray:
      return ArrayJson(static_cast<MetadataType>(record.element_type), record.value);
    default:
      return ScalarJson(static_cast<MetadataType>(record.type), record.value.data());
  }
}

Json EncodingJson(const Index& index, uint32_t encoding, uint8_t dtype, bool nested) {
  const EncodingRecord record = index.encoding(encoding);
  Json json{{"kind", KindName(record)},
            {"kind_number", record.kind},
            {"description", DescribeEncoding(index, encoding, dtype)}};
  if (record.is(EncodingKind::kLinear)) AddLinear(index, encoding, dtype, json);
  if (record.is(EncodingKind::kForeign)) {
    const Foreign foreign = DecodeForeign(index.payload(record));
    json["name"] = foreign.name;
    json["block_bytes"] = foreign.block_bytes;
    json["block_elements"] = foreign.block_elements;
  }
  if (!record.known()) {
    json["required"] = (record.flags & kFlagRequired) != 0;
    json["payload"] = ToHex(index.payload(record));
    Json& children = json["children"] = Json::array();
    for (uint32_t c = encoding - record.child_count; c < encoding; ++c)
      children.push_back(EncodingJson(index, c, dtype, true));
  }
  json["planes"] = PlanesJson(index, record, nested);
  return json;
}

std::string PlaneRoleText(const Index& index, const EncodingRecord& encoding, uint32_t i, bool nested) {
  if (encoding.is(EncodingKind::kRaw)) return std::string(NameOf(PlaneRole::kRaw));
  if (encoding.is(EncodingKind::kForeign)) return std::string(NameOf(PlaneRole::kForeignBlocks));
  if (!encoding.is(EncodingKind::kLinear)) return "plane";
  const std::vector<PlaneSpec> specs = PlanesOf(DecodeLinear(index.payload(encoding)), nested);
  if (i >= specs.size()) return "plane";
  const PlaneSpec& spec = specs[i];
  if (spec.role == PlaneRole::kCodes) return fmt::format("codes, {}-bit field", spec.field_width);
  return fmt::format("{} {}", NameOf(spec.role), InfoOf(spec.type).name);
}

std::string FramesText(const Index& index, const PlaneRecord& plane) {
  if (!plane.framed()) return "raw";
  constexpr std::array<std::string_view, 4> kNames = {"stored", "zstd", "zstd-2", "zstd-4"};
  std::array<uint64_t, kNames.size()> counts{};
  for (uint64_t i = 0; i < plane.chunk_count(); ++i) {
    ++counts[index.frame(static_cast<uint32_t>(plane.first_frame + i)).method];
  }
  std::string out;
  for (size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] > 0) out += fmt::format("{}{} {}", out.empty() ? "" : ", ", counts[i], kNames[i]);
  }
  return out;
}

std::string_view KindName(const EncodingRecord& encoding) {
  constexpr std::string_view kNames[] = {"unknown", "raw", "linear", "foreign"};
  return kNames[encoding.known() ? encoding.kind : 0];
}

std::string DigestText(const Hash128& hash) { return "xxh3:" + ToHex(hash); }

}  // namespace ingot
