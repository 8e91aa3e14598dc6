#include "convert/pytorch/flatten.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <optional>
#include <tuple>

#include "convert/pytorch/pickle_calls.h"
#include "convert/safetensors.h"
#include "format/checked.h"
#include "format/layout.h"
#include "format/text.h"

namespace ingot {
namespace {

// Shared values are met once for each name that leads to them: a few bytes could stand for any number of names.
constexpr size_t kMaxVisits = size_t{1} << 23;

// Room is left for what the converter adds.
constexpr size_t kMaxPlainValues = (size_t{1} << 16) - 64;

// Tensors may share bytes, and a stride of 0 repeats them: a small file could stand for any number of bytes. All
// tensors together have at most this many, beside the second number for each byte of their storages.
constexpr uint64_t kMaxBytesForFree = uint64_t{1} << 30, kMaxRepetition = 64;

// Whether elements lie one after the other in row-major order. The stride of a dimension of 1 does not matter.
bool IsRowMajor(const std::vector<uint64_t>& shape, const std::vector<uint64_t>& strides) {
  uint64_t expected = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    if (shape[i] == 1) continue;
    if (strides[i] != expected) return false;
    expected *= shape[i];
  }
  return true;
}

// The offset behind the last element, of at least one; nothing if it does not fit in 64 bits.
std::optional<uint64_t> EndOf(const PickleTensor& tensor) {
  std::optional<uint64_t> end = CheckedAdd(tensor.offset, 1);
  for (size_t i = 0; end && i < tensor.shape.size(); ++i) {
    const auto step = CheckedMul(tensor.shape[i] - 1, tensor.strides[i]);
    end = step ? CheckedAdd(*end, *step) : std::nullopt;
  }
  return end;
}

class Flattener {
 public:
  Flattener(const Pickle& pickle, const std::vector<StorageRange>& ranges, const std::string& what)
      : pickle_(pickle), ranges_(ranges), what_(what) {
    uint64_t stored = 0;
    for (const StorageRange& range : ranges) stored += range.size;  // of a file: does not overflow
    most_bytes_ = kMaxBytesForFree + std::min(stored, UINT64_MAX / kMaxRepetition / 2) * kMaxRepetition;
  }

  Result<FileContents> Run() {
    const PickleValue& root = pickle_.values[pickle_.root];
    if (root.kind == PickleKind::kTensor) name_ = "tensor";
    if (auto done = Visit(root); !done) return Propagate(done);
    std::sort(contents_.tensors.begin(), contents_.tensors.end(),
              [](const SourceTensor& a, const SourceTensor& b) { return a.name < b.name; });
    const auto twice =
        std::adjacent_find(contents_.tensors.begin(), contents_.tensors.end(),
                           [](const SourceTensor& a, const SourceTensor& b) { return a.name == b.name; });
    if (twice != contents_.tensors.end()) return Bad("tensor {} stands twice", Quote(twice->name));
    std::stable_sort(contents_.tensors.begin(), contents_.tensors.end(),
                     [](const SourceTensor& a, const SourceTensor& b) {
                       return std::tie(a.offset, a.size) < std::tie(b.offset, b.size);
                     });
    std::sort(contents_.metadata.begin(), contents_.metadata.end(),
              [](const auto& a, const auto& b) { return a.first < b.first; });
    const auto same = std::adjacent_find(contents_.metadata.begin(), contents_.metadata.end(),
                                         [](const auto& a, const auto& b) { return a.first == b.first; });
    if (same != contents_.metadata.end()) return Bad("value {} stands twice", Quote(same->first));
    return std::move(contents_);
  }

 private:
  template <typename... Args>
  tl::unexpected<Error> Bad(fmt::format_string<Args...> text, Args&&... args) const {
    return Fail(ErrorCode::kBadInput, "{}: {}", what_, fmt::format(text, std::forward<Args>(args)...));
  }
  template <typename... Args>
  tl::unexpected<Error> BadTensor(fmt::format_string<Args...> text, Args&&... args) const {
    return Bad("tensor {}: {}", Quote(name_), fmt::format(text, std::forward<Args>(args)...));
  }

  // The value with the name `name_`.
  Status Visit(const PickleValue& value) {
    if (++visits_ > kMaxVisits) return Bad("more than {} values and names", kMaxVisits);
    switch (value.kind) {
      case PickleKind::kNone:
        return {};
      case PickleKind::kBool:
        return AddMetadata(MetadataValue::Bool(value.integer != 0));
      case PickleKind::kInt:
        return AddMetadata(MetadataValue::I64(value.integer));
      case PickleKind::kFloat:
        return AddMetadata(MetadataValue::F64(value.real));
      case PickleKind::kText:
        return AddMetadata(MetadataValue::String(pickle_.text(value)));
      case PickleKind::kTuple:
      case PickleKind::kList:
        return VisitList(pickle_.items_of(value));
      case PickleKind::kDict:
        return VisitDict(pickle_.items_of(value));
      case PickleKind::kGlobal:
        if (pickle_.globals[value.index]->kind != GlobalKind::kDType) break;
        return AddMetadata(MetadataValue::String(Describe(pickle_, value)));
      case PickleKind::kStorage:
        break;
      case PickleKind::kTensor:
        return AddTensor(pickle_.tensors[value.index]);
    }
    return Bad("value {} is {}, not a tensor or a plain value", Quote(name_), Describe(pickle_, value));
  }

  Status VisitDict(const std::vector<uint32_t>& items) {
    for (size_t i = 0; i < items.size(); i += 2) {
      const PickleValue& key = pickle_.values[items[i]];
      const std::string number = key.kind == PickleKind::kInt ? fmt::format("{}", key.integer) : std::string();
      if (auto done = VisitItem(key.kind == PickleKind::kInt ? number : pickle_.text(key), items[i + 1]); !done)
        return done;
    }
    return {};
  }

  Status VisitList(const std::vector<uint32_t>& items) {
    const auto is_integer = [&](uint32_t item) { return pickle_.values[item].kind == PickleKind::kInt; };
    if (!items.empty() && std::all_of(items.begin(), items.end(), is_integer)) return AddIntegers(items);
    for (size_t i = 0; i < items.size(); ++i) {
      if (auto done = VisitItem(fmt::format("{}", i), items[i]); !done) return done;
    }
    return {};
  }

  Status VisitItem(std::string_view key, uint32_t item) {
    const size_t size = name_.size();
    if (named_) name_ += '.';
    name_ += key;
    if (name_.size() > kMaxTensorName) {
      return Bad("value {}: a name of {} bytes, at most {} are supported", Quote(name_, 64), name_.size(),
                 kMaxTensorName);
    }
    const bool named = std::exchange(named_, true);
    if (auto done = Visit(pickle_.values[item]); !done) return done;
    named_ = named;
    name_.resize(size);
    return {};
  }

  Status AddMetadata(MetadataValue value) {
    if (contents_.metadata.size() == kMaxPlainValues) {
      return Bad("more than {} values beside the tensors are not supported", kMaxPlainValues);
    }
    contents_.metadata.emplace_back(name_, std::move(value));
    return {};
  }

  Status AddIntegers(const std::vector<uint32_t>& items) {
    visits_ += items.size();
    MetadataValue array;
    array.type = MetadataType::kArray;
    array.element_type = MetadataType::kI64;
    for (const uint32_t item : items) Append(array.bytes, pickle_.values[item].integer);
    return AddMetadata(std::move(array));
  }

  Status AddTensor(const PickleTensor& tensor) {
    const DTypeInfo& dtype = InfoOf(tensor.dtype);
    if (tensor.shape.size() > kMaxDimensions)
      return BadTensor("more than {} dimensions are not supported", kMaxDimensions);
    if (tensor.strides.size() != tensor.shape.size()) {
      return BadTensor("{} dimensions and {} strides", tensor.shape.size(), tensor.strides.size());
    }
    const auto elements = CheckedProduct(tensor.shape);
    const auto bytes = elements ? CheckedMul(*elements, dtype.size) : std::nullopt;
    if (!bytes) return BadTensor("shape [{}] of {} overflows 64 bits", fmt::join(tensor.shape, ", "), dtype.name);
    SourceTensor out{.name = name_,
                     .dtype = tensor.dtype,
                     .shape = tensor.shape,
                     .file = 0,
                     .offset = ranges_[tensor.storage].offset,
                     .size = *bytes};
    if (*elements > 0) {
      if (auto inside = CheckInside(tensor); !inside) return inside;
      out.offset += tensor.offset * dtype.size;
      if (!IsRowMajor(tensor.shape, tensor.strides)) out.strides = tensor.strides;
    }
    if (*bytes > most_bytes_ - total_bytes_) {
      return BadTensor("the tensors repeat their bytes too often: more than {} bytes in all", most_bytes_);
    }
    total_bytes_ += *bytes;
    if (contents_.tensors.size() == kMaxTensors) return Bad("more than {} tensors are not supported", kMaxTensors);
    contents_.tensors.push_back(std::move(out));
    return {};
  }

  // A storage's range has the bytes of all its elements, so that the number of those is all that counts here.
  Status CheckInside(const PickleTensor& tensor) const {
    const PickleStorage& storage = pickle_.storages[tensor.storage];
    const uint64_t there = storage.count * ElementSize(storage) / InfoOf(tensor.dtype).size;
    const auto end = EndOf(tensor);
    if (end && *end <= there) return {};
    return BadTensor("offset {}, shape [{}] and strides [{}] lead out of its storage {} of {} elements", tensor.offset,
                     fmt::join(tensor.shape, ", "), fmt::join(tensor.strides, ", "), Quote(storage.key), there);
  }

  const Pickle& pickle_;
  const std::vector<StorageRange>& ranges_;
  const std::string& what_;
  uint64_t most_bytes_ = 0, total_bytes_ = 0;
  size_t visits_ = 0;
  std::string name_;
  bool named_ = false;  // `name_` has a component
  FileContents contents_;
};

}  // namespace

Result<FileContents> FlattenPickle(const Pickle& pickle, const std::vector<StorageRange>& ranges,
                                   const std::string& what) {
  return Flattener(pickle, ranges, what).Run();
}

}  // namespace ingot
