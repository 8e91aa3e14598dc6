#include "convert/safetensors.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <optional>
#include <tuple>

#include "convert/json_reader.h"
#include "format/checked.h"
#include "format/text.h"

namespace ingot {
namespace {

constexpr uint64_t kLengthBytes = 8;  // the u64 in front of the header
constexpr std::string_view kMetadataKey = "__metadata__";

// Types that the format has and Ingot's sources do not.
constexpr std::array<std::string_view, 3> kSubByteTypes = {"F4", "F6_E2M3", "F6_E3M2"};

// Turns the events of the header's JSON into tensors, whose offsets still count from the end of the header.
class HeaderHandler final : public JsonHandler {
 public:
  explicit HeaderHandler(SafetensorsHeader& header) : header_(header) {}

  Status StartObject() override {
    if (skipped_levels_ > 0 || SkipsValue()) return Skip();
    switch (place_) {
      case Place::kStart:
        place_ = Place::kTop;
        return {};
      case Place::kTop:
        return StartEntry();
      default:
        return Unexpected("an object");
    }
  }

  Status EndObject() override {
    if (skipped_levels_ > 0) return EndSkipped();
    const bool tensor_ends = place_ == Place::kEntry;
    place_ = place_ == Place::kTop ? Place::kStart : Place::kTop;
    return tensor_ends ? FinishTensor() : Status();
  }

  Status StartArray() override {
    if (skipped_levels_ > 0 || SkipsValue()) return Skip();
    if (place_ == Place::kEntry && field_ == Field::kShape) {
      place_ = Place::kShape;
      shape_given_ = true;
      return {};
    }
    if (place_ == Place::kEntry && field_ == Field::kOffsets) {
      place_ = Place::kOffsets;
      return {};
    }
    return Unexpected("an array");
  }

  Status EndArray() override {
    if (skipped_levels_ > 0) return EndSkipped();
    if (place_ == Place::kOffsets && offsets_given_ != 2) {
      return Bad("data_offsets has {} numbers, must have 2", offsets_given_);
    }
    place_ = Place::kEntry;
    return {};
  }

  Status Key(std::string& key) override {
    if (skipped_levels_ > 0) return {};
    if (place_ == Place::kEntry) {
      field_ = key == "dtype"          ? Field::kDType
               : key == "shape"        ? Field::kShape
               : key == "data_offsets" ? Field::kOffsets
                                       : Field::kOther;
      return {};
    }
    if (place_ == Place::kTop && key.size() > kMaxTensorName) {
      return Fail(ErrorCode::kBadInput, "tensor {}: a name of {} bytes, at most {} are supported", Quote(key, 64),
                  key.size(), kMaxTensorName);
    }
    (place_ == Place::kTop ? tensor_.name : metadata_key_) = std::move(key);
    return {};
  }

  Status Value(JsonValue& value) override {
    if (skipped_levels_ > 0 || SkipsValue()) return {};
    switch (place_) {
      case Place::kMetadata:
        return AddMetadata(value);
      case Place::kShape:
        return AddDimension(value);
      case Place::kOffsets:
        return AddOffset(value);
      case Place::kEntry:
        if (field_ == Field::kDType) return SetDType(value);
        return Unexpected(Describe(value));
      case Place::kTop:
        // MLX writes null where there is none, and the format's own reader takes it.
        if (tensor_.name == kMetadataKey && std::holds_alternative<std::nullptr_t>(value)) return {};
        return Unexpected(Describe(value));
      default:
        return Unexpected(Describe(value));
    }
  }

 private:
  enum class Place { kStart, kTop, kMetadata, kEntry, kShape, kOffsets };
  enum class Field { kDType, kShape, kOffsets, kOther };

  template <typename... Args>
  Status Bad(fmt::format_string<Args...> text, Args&&... args) const {
    return Fail(ErrorCode::kBadInput, "tensor {}: {}", Quote(tensor_.name),
                fmt::format(text, std::forward<Args>(args)...));
  }

  Status Unexpected(std::string_view found) const {
    switch (place_) {
      case Place::kStart:
        return Fail(ErrorCode::kBadInput, "the header is {}, must be an object", found);
      case Place::kTop:
        if (tensor_.name == kMetadataKey) {
          return Fail(ErrorCode::kBadInput, "__metadata__ is {}, must be an object", found);
        }
        return Bad("its entry is {}, must be an object", found);
      case Place::kMetadata:
        return Fail(ErrorCode::kBadInput, "__metadata__: {} is {}, must be a text", Quote(metadata_key_), found);
      case Place::kShape:
        return Bad("a dimension is {}, must be a whole number of 0 or more", found);
      case Place::kOffsets:
        return Bad("an offset is {}, must be a whole number of 0 or more", found);
      case Place::kEntry:
        break;
    }
    if (field_ == Field::kDType) return Bad("dtype is {}, must be a text", found);
    return Bad("{} is {}, must be an array", field_ == Field::kShape ? "shape" : "data_offsets", found);
  }

  // Unknown keys of an entry are ignored, with whatever they hold.
  bool SkipsValue() const { return place_ == Place::kEntry && field_ == Field::kOther; }
  Status Skip() {
    ++skipped_levels_;
    return {};
  }
  Status EndSkipped() {
    --skipped_levels_;
    return {};
  }

  Status StartEntry() {
    if (tensor_.name == kMetadataKey) {
      place_ = Place::kMetadata;
      return {};
    }
    place_ = Place::kEntry;
    dtype_ = nullptr;
    shape_given_ = false;
    offsets_given_ = 0;
    tensor_.shape.clear();
    return {};
  }

  Status AddMetadata(JsonValue& value) {
    auto* text = std::get_if<std::string>(&value);
    if (text == nullptr) return Unexpected(Describe(value));
    header_.metadata.emplace_back(std::move(metadata_key_), std::move(*text));
    return {};
  }

  Status SetDType(const JsonValue& value) {
    const auto* name = std::get_if<std::string>(&value);
    if (name == nullptr) return Unexpected(Describe(value));
    dtype_ = FindDType(*name);
    if (dtype_ != nullptr) return {};
    if (std::find(kSubByteTypes.begin(), kSubByteTypes.end(), *name) != kSubByteTypes.end()) {
      return Bad("dtype {} is not supported: its elements are smaller than a byte", Quote(*name));
    }
    return Bad("dtype {} is not known", Quote(*name));
  }

  Status AddDimension(const JsonValue& value) {
    const auto size = AsSize(value);
    if (!size) return Bad("a dimension {}", size.error().message);
    if (tensor_.shape.size() == kMaxDimensions) return Bad("more than {} dimensions are not supported", kMaxDimensions);
    tensor_.shape.push_back(*size);
    return {};
  }

  Status AddOffset(const JsonValue& value) {
    const auto offset = AsSize(value);
    if (!offset) return Bad("an offset {}", offset.error().message);
    if (offsets_given_ == 2) return Bad("data_offsets has more than 2 numbers");
    offsets_[offsets_given_++] = *offset;
    return {};
  }

  // The checks that concern one tensor alone.
  Status FinishTensor() {
    if (dtype_ == nullptr) return Bad("no dtype");
    if (!shape_given_) return Bad("no shape");
    if (offsets_given_ == 0) return Bad("no data_offsets");
    const auto [begin, end] = std::tie(offsets_[0], offsets_[1]);
    if (end < begin) return Bad("offsets {}..{} run backwards", begin, end);
    const auto elements = CheckedProduct(tensor_.shape);
    const auto bytes = elements ? CheckedMul(*elements, dtype_->size) : std::nullopt;
    if (!bytes) return Bad("shape [{}] of {} overflows 64 bits", fmt::join(tensor_.shape, ", "), dtype_->name);
    if (*bytes != end - begin) {
      return Bad("shape [{}] of {} takes {} bytes, offsets {}..{} hold {}", fmt::join(tensor_.shape, ", "),
                 dtype_->name, *bytes, begin, end, end - begin);
    }
    if (header_.tensors.size() == kMaxTensors) {
      return Fail(ErrorCode::kBadInput, "more than {} tensors are not supported", kMaxTensors);
    }
    tensor_.dtype = dtype_->type;
    tensor_.offset = begin;
    tensor_.size = end - begin;
    header_.tensors.push_back(tensor_);
    return {};
  }

  SafetensorsHeader& header_;
  Place place_ = Place::kStart;
  Field field_ = Field::kOther;
  int skipped_levels_ = 0;
  std::string metadata_key_;
  SourceTensor tensor_ = {};  // the one whose entry is being read
  const DTypeInfo* dtype_ = nullptr;
  bool shape_given_ = false;
  size_t offsets_given_ = 0;
  std::array<uint64_t, 2> offsets_ = {};
};

// The tensors, sorted by offset, must cover the `data_size` bytes behind the header: no hole, no overlap, nothing left.
Status CheckLayout(const std::vector<SourceTensor>& tensors, uint64_t data_size, const std::string& what) {
  uint64_t covered = 0;
  const SourceTensor* last = nullptr;
  const auto range = [](const SourceTensor& t) { return fmt::format("{}..{}", t.offset, t.offset + t.size); };
  const auto name = [](const SourceTensor& t) { return Quote(t.name); };
  for (const SourceTensor& t : tensors) {
    if (t.offset < covered) {
      return Fail(ErrorCode::kBadInput, "{}: tensor {}: offsets {} overlap tensor {} at {}", what, name(t), range(t),
                  name(*last), range(*last));
    }
    if (t.offset > covered && last == nullptr) {
      return Fail(ErrorCode::kBadInput, "{}: tensor {}: offsets {} leave a hole: the first tensor must begin at 0",
                  what, name(t), range(t));
    }
    if (t.offset > covered) {
      return Fail(ErrorCode::kBadInput, "{}: tensor {}: offsets {} leave a hole after tensor {} at {}", what, name(t),
                  range(t), name(*last), range(*last));
    }
    covered += t.size;  // the end of its range, which is a 64-bit number
    last = &t;
    if (covered > data_size) {
      return Fail(ErrorCode::kBadInput, "{}: truncated: tensor {}: offsets {}, but only {} bytes of data are there",
                  what, name(t), range(t), data_size);
    }
  }
  if (covered == data_size) return {};
  return Fail(ErrorCode::kBadInput, "{}: {} bytes follow the data of the last tensor{}, which ends at {}", what,
              data_size - covered, last == nullptr ? "" : " " + name(*last), covered);
}

}  // namespace

Result<SafetensorsHeader> ReadSafetensorsHeader(const ByteSource& source, const std::string& what) {
  if (source.size < kLengthBytes) {
    return Fail(ErrorCode::kBadInput, "{}: not a safetensors file: {} bytes, at least {} are needed", what, source.size,
                kLengthBytes);
  }
  std::array<std::byte, kLengthBytes> prefix;
  if (auto read = source.read(0, prefix); !read) return Propagate(read);
  const auto length = Load<uint64_t>(prefix.data());
  if (length > kMaxSafetensorsHeader) {
    return Fail(ErrorCode::kBadInput, "{}: a header of {} bytes, at most {} are allowed", what, length,
                kMaxSafetensorsHeader);
  }
  if (!InRange(kLengthBytes, length, source.size)) {
    return Fail(ErrorCode::kBadInput, "{}: truncated: a header of {} bytes in a file of {}", what, length, source.size);
  }
  SafetensorsHeader header;
  HeaderHandler handler(header);
  if (auto read = ReadJson(source, kLengthBytes, length, what, handler); !read) return Propagate(read);

  std::sort(header.tensors.begin(), header.tensors.end(), [](const SourceTensor& a, const SourceTensor& b) {
    return std::tie(a.offset, a.size, a.name) < std::tie(b.offset, b.size, b.name);
  });
  const uint64_t data_begin = kLengthBytes + length;
  if (auto layout = CheckLayout(header.tensors, source.size - data_begin, what); !layout) return Propagate(layout);
  for (SourceTensor& tensor : header.tensors) tensor.offset += data_begin;
  std::sort(header.metadata.begin(), header.metadata.end());
  return header;
}

}  // namespace ingot
