#include "tools/record_fields.h"

#include <fmt/format.h>

#include <array>
#include <bit>
#include <cstring>

#include "format/dtype.h"
#include "format/hash.h"
#include "format/index.h"

namespace ingot {
namespace {

using enum FieldForm;

constexpr Field kSlot[] = {{"magic", 8, kText},
                           {"major", 2},
                           {"minor", 2},
                           {"alignment", 4},
                           {"required features", 8, kBits},
                           {"optional features", 8, kBits},
                           {"generation", 8},
                           {"file_end", 8},
                           {"index offset", 8},
                           {"index size", 8},
                           {"index hash", 16, kHash128}};
constexpr Field kDirectory[] = {{"kind", 4, kTable}, {"record size", 4}, {"offset in the index", 8}, {"count", 8}};
constexpr Field kTensors[] = {{"heap offset", 4}, {"name size", 2},   {"dtype", 1, kDType}, {"rank", 1},
                              {"axis", 1},        {"", 3, kReserved}, {"first part", 4},    {"part count", 4}};
constexpr Field kParts[] = {{"extent", 8}, {"encoding", 4}};
constexpr Field kEncodings[] = {{"kind", 2, kKind}, {"flags", 1, kFlags}, {"child count", 1}, {"first plane", 4},
                                {"heap offset", 4}, {"payload size", 2},  {"plane count", 2}};
constexpr Field kPlanes[] = {{"offset", 8}, {"size", 8}, {"first chunk", 4}, {"first frame", 4, kRecord}};
constexpr Field kChunks[] = {{"hash", 16, kHash128}};
constexpr Field kFrames[] = {
    {"offset", 8}, {"size", 4}, {"method", 1, kMethod}, {"", 3, kReserved}, {"hash", 8, kHash64}};
constexpr Field kMetadataRecord[] = {
    {"heap offset", 4}, {"key size", 2}, {"type", 1, kMetadata}, {"element type", 1, kMetadata}, {"value size", 4}};
constexpr Field kAttachments[] = {{"heap offset", 4}, {"name size", 2}, {"", 2, kReserved}, {"plane", 4, kRecord}};
constexpr Field kShards[] = {{"heap offset", 4},
                             {"name size", 2},
                             {"", 2, kReserved},
                             {"names digest", 16, kHash128},
                             {"content digest", 16, kHash128}};
constexpr Field kSources[] = {
    {"heap offset", 4}, {"name size", 2}, {"", 2, kReserved}, {"size", 8}, {"hash", 16, kHash128}};
constexpr Field kDeadRanges[] = {{"offset", 8}, {"size", 8}};
constexpr Field kSha256[] = {{"sha256", 32, kText}};
constexpr Field kLinear[] = {{"bits", 1},
                             {"arithmetic", 1, kRounding},
                             {"result", 1, kRounding},
                             {"codebook", 1},
                             {"permutation", 1},
                             {"outliers", 1, kOutliers},
                             {"outlier type", 1, kRounding},
                             {"", 1, kReserved},
                             {"rows", 8},
                             {"columns", 8},
                             {"group rows", 8},
                             {"group columns", 8},
                             {"outlier count", 8},
                             {"s form", 1, kForm},
                             {"s type", 1, kRounding},
                             {"", 2, kReserved},
                             {"s constant", 4, kConstant},
                             {"z form", 1, kForm},
                             {"z type", 1, kRounding},
                             {"", 2, kReserved},
                             {"z constant", 4, kConstant},
                             {"o form", 1, kForm},
                             {"o type", 1, kRounding},
                             {"", 2, kReserved},
                             {"o constant", 4, kConstant},
                             {"t form", 1, kForm},
                             {"t type", 1, kRounding},
                             {"", 2, kReserved},
                             {"t constant", 4, kConstant}};
constexpr Field kForeign[] = {{"bytes per block", 4}, {"elements per block", 4}, {"elements", 8}};

constexpr std::array<std::span<const Field>, 14> kRecords = {
    std::span<const Field>{}, {},           kTensors, kParts,   kEncodings,  kPlanes, kChunks, kFrames,
    kMetadataRecord,          kAttachments, kShards,  kSources, kDeadRanges, kSha256};

constexpr const char* kRoundings[] = {"f32", "f16", "bf16"};
constexpr const char* kKinds[] = {"", "raw", "linear", "foreign"};
constexpr const char* kMethods[] = {"stored", "zstd", "zstd of 2 byte planes", "zstd of 4 byte planes"};
constexpr const char* kMetadataTypes[] = {"bool", "u8",  "i8",  "u16", "i16",    "u32",  "i32",
                                          "u64",  "i64", "f32", "f64", "string", "array"};
constexpr const char* kForms[] = {"absent", "constant", "array", "nested"};
constexpr const char* kOutlierForms[] = {"none", "unstructured", "columns"};

// "2, name" from a list of names, or the number and that it has none.
template <size_t kCount>
std::string Named(const char* const (&names)[kCount], uint64_t value) {
  const char* name = value < kCount ? names[value] : "";
  return *name == '\0' ? fmt::format("{}, not known", value) : fmt::format("{}, {}", value, name);
}

std::string TableName(uint64_t kind) {
  for (const TableInfo& info : kTables) {
    if (static_cast<uint64_t>(info.table) == kind) return fmt::format("{}, {}", kind, info.name);
  }
  return fmt::format("{}, not known", kind);
}

}  // namespace

std::span<const Field> SlotFields() { return kSlot; }
std::span<const Field> DirectoryFields() { return kDirectory; }
std::span<const Field> RecordFields(Table table) { return kRecords[static_cast<size_t>(table)]; }
std::span<const Field> LinearFields() { return kLinear; }
std::span<const Field> ForeignFields() { return kForeign; }

uint64_t NumberIn(ByteSpan bytes) {
  uint64_t value = 0;
  std::memcpy(&value, bytes.data(), std::min(bytes.size(), sizeof value));
  return value;
}

std::string Explain(const Field& field, ByteSpan bytes) {
  const uint64_t value = NumberIn(bytes);
  switch (field.form) {
    case kNumber:
      return fmt::format("{}", value);
    case kBits:
      return value == 0 ? "none" : fmt::format("{:#x}", value);
    case kHash128:
      return "xxh3:" + ToHex(Hash128{Load<uint64_t>(bytes.data()), Load<uint64_t>(bytes.data() + 8)});
    case kHash64:
      return fmt::format("{:016x}", value);
    case kText:
    case kReserved:
      return "";
    case kRecord:
      return value == kNoRecord ? "none" : fmt::format("{}", value);
    case kTable:
      return TableName(value);
    case kDType: {
      const DTypeInfo* info = FindDType(static_cast<uint8_t>(value));
      return info == nullptr ? fmt::format("{}, not known", value) : fmt::format("{}, {}", value, info->name);
    }
    case kRounding:
      return Named(kRoundings, value);
    case kKind:
      return Named(kKinds, value);
    case kFlags:
      return value == kFlagRequired ? "1, required" : fmt::format("{}", value);
    case kMethod:
      return Named(kMethods, value);
    case kMetadata:
      return Named(kMetadataTypes, value);
    case kForm:
      return Named(kForms, value);
    case kOutliers:
      return Named(kOutlierForms, value);
    case kConstant:
      return fmt::format("{:g}", std::bit_cast<float>(static_cast<uint32_t>(value)));
  }
  return "";
}

}  // namespace ingot
