#include "convert/pytorch/pickle_calls.h"

#include <optional>

#include "format/text.h"

namespace ingot {
namespace {

// Reads the arguments of a call. After the first one that is not what it must be, `error` says so.
class Arguments {
 public:
  Arguments(const Pickle& pickle, std::string what, const std::vector<uint32_t>& ids)
      : pickle_(pickle), what_(std::move(what)), ids_(ids) {}

  Status CheckCount(size_t least, size_t most) const {
    if (least <= ids_.size() && ids_.size() <= most) return {};
    return Fail(ErrorCode::kBadInput, "{} has {} arguments, must have {}", what_, ids_.size(),
                least == most ? fmt::format("{}", least) : fmt::format("{} to {}", least, most));
  }
  size_t size() const { return ids_.size(); }

  Result<const PickleValue*> Take(size_t i, PickleKind kind, std::string_view name) const {
    const PickleValue& value = pickle_.values[ids_[i]];
    if (value.kind == kind) return &value;
    return Fail(ErrorCode::kBadInput, "{}: {} is {}", what_, name, Describe(pickle_, value));
  }
  // A number of 0 or more.
  Result<uint64_t> TakeSize(size_t i, std::string_view name) const {
    const PickleValue& value = pickle_.values[ids_[i]];
    if (value.kind == PickleKind::kInt && value.integer >= 0) return static_cast<uint64_t>(value.integer);
    return Fail(ErrorCode::kBadInput, "{}: {} is {}, must be a whole number of 0 or more", what_, name,
                Describe(pickle_, value));
  }
  // A tuple of such numbers.
  Result<std::vector<uint64_t>> TakeSizes(size_t i, std::string_view name) const {
    auto tuple = Take(i, PickleKind::kTuple, name);
    if (!tuple) return Propagate(tuple);
    const Arguments inside(pickle_, what_, pickle_.items_of(**tuple));
    std::vector<uint64_t> sizes;
    for (size_t k = 0; k < inside.size(); ++k) {
      const auto size = inside.TakeSize(k, name);
      if (!size) return Propagate(size);
      sizes.push_back(*size);
    }
    return sizes;
  }

 private:
  const Pickle& pickle_;
  std::string what_;
  const std::vector<uint32_t>& ids_;
};

std::string NameOf(const PickleGlobal& global) { return fmt::format("{}.{}", global.module, global.name); }

// {'conj': bool, 'neg': bool}: a tensor that is to be conjugated or negated when it is read is refused.
Status CheckTensorMetadata(const Pickle& pickle, const PickleValue& dict) {
  const std::vector<uint32_t>& items = pickle.items_of(dict);
  for (size_t i = 0; i < items.size(); i += 2) {
    const PickleValue &key = pickle.values[items[i]], &value = pickle.values[items[i + 1]];
    if (value.kind == PickleKind::kBool && value.integer == 0) continue;
    return Fail(ErrorCode::kBadInput, "a tensor with the property {} is not read", Describe(pickle, key));
  }
  return {};
}

// (storage, offset, size, stride, requires_grad, hooks[, dtype][, metadata])
Result<PickleValue> MakeTensor(Pickle& pickle, const PickleGlobal& function, const std::vector<uint32_t>& ids) {
  const bool v3 = function.kind == GlobalKind::kTensorV3;
  const Arguments arguments(pickle, NameOf(function), ids);
  const size_t least = v3 ? 7 : 6;
  if (auto counted = arguments.CheckCount(least, least + 1); !counted) return Propagate(counted);
  const auto storage = arguments.Take(0, PickleKind::kStorage, "storage");
  if (!storage) return Propagate(storage);
  const auto offset = arguments.TakeSize(1, "offset");
  if (!offset) return Propagate(offset);
  auto shape = arguments.TakeSizes(2, "size");
  if (!shape) return Propagate(shape);
  auto strides = arguments.TakeSizes(3, "stride");
  if (!strides) return Propagate(strides);
  if (auto flag = arguments.Take(4, PickleKind::kBool, "requires_grad"); !flag) return Propagate(flag);
  if (auto hooks = arguments.Take(5, PickleKind::kDict, "backward_hooks"); !hooks) return Propagate(hooks);
  const PickleGlobal& type = *pickle.storages[(*storage)->index].type;
  DType dtype = type.dtype;
  if (v3 != (type.kind == GlobalKind::kUntypedStorage)) {
    return Fail(ErrorCode::kBadInput, "{} with a {}", NameOf(function), NameOf(type));
  }
  if (v3) {
    const auto global = arguments.Take(6, PickleKind::kGlobal, "dtype");
    if (!global) return Propagate(global);
    const PickleGlobal& named = *pickle.globals[(*global)->index];
    if (named.kind != GlobalKind::kDType) return Fail(ErrorCode::kBadInput, "dtype is {}", NameOf(named));
    dtype = named.dtype;
  }
  if (ids.size() > least) {
    const auto metadata = arguments.Take(least, PickleKind::kDict, "metadata");
    if (!metadata) return Propagate(metadata);
    if (auto checked = CheckTensorMetadata(pickle, **metadata); !checked) return Propagate(checked);
  }
  PickleValue value;
  value.kind = PickleKind::kTensor;
  value.index = static_cast<uint32_t>(pickle.tensors.size());
  pickle.tensors.push_back({(*storage)->index, dtype, *offset, std::move(*shape), std::move(*strides)});
  return value;
}

// (tensor, requires_grad, hooks[, state]), or the class itself: (tensor[, requires_grad]). The state holds attributes,
// which are dropped.
Result<PickleValue> MakeParameter(const Pickle& pickle, const PickleGlobal& function,
                                  const std::vector<uint32_t>& ids) {
  const Arguments arguments(pickle, NameOf(function), ids);
  const bool with_state = function.kind == GlobalKind::kParameterWithState;
  const bool is_class = function.name == "Parameter";
  if (auto counted = arguments.CheckCount(is_class     ? 1
                                          : with_state ? 4
                                                       : 3,
                                          is_class     ? 2
                                          : with_state ? 4
                                                       : 3);
      !counted) {
    return Propagate(counted);
  }
  const auto tensor = arguments.Take(0, PickleKind::kTensor, "data");
  if (!tensor) return Propagate(tensor);
  if (ids.size() > 1) {
    if (auto flag = arguments.Take(1, PickleKind::kBool, "requires_grad"); !flag) return Propagate(flag);
  }
  PickleValue value = **tensor;
  value.special = true;
  return value;
}

Result<PickleValue> MakeOrderedDict(Pickle& pickle, const PickleGlobal& function, const std::vector<uint32_t>& ids) {
  const Arguments arguments(pickle, NameOf(function), ids);
  if (auto counted = arguments.CheckCount(0, 0); !counted) return Propagate(counted);
  PickleValue value;
  value.kind = PickleKind::kDict;
  value.special = true;
  value.index = static_cast<uint32_t>(pickle.items.size());
  pickle.items.emplace_back();
  return value;
}

// ((size, ...),)
Result<PickleValue> MakeSize(const Pickle& pickle, const PickleGlobal& function, const std::vector<uint32_t>& ids) {
  const Arguments arguments(pickle, NameOf(function), ids);
  if (auto counted = arguments.CheckCount(1, 1); !counted) return Propagate(counted);
  if (auto sizes = arguments.TakeSizes(0, "size"); !sizes) return Propagate(sizes);
  return pickle.values[ids[0]];
}

}  // namespace

std::string Describe(const Pickle& pickle, const PickleValue& value) {
  switch (value.kind) {
    case PickleKind::kNone:
      return "None";
    case PickleKind::kBool:
      return value.integer != 0 ? "True" : "False";
    case PickleKind::kInt:
      return fmt::format("{}", value.integer);
    case PickleKind::kFloat:
      return fmt::format("{}", value.real);
    case PickleKind::kText:
      return fmt::format("the text {}", Quote(pickle.text(value), 64));
    case PickleKind::kTuple:
      return fmt::format("a tuple of {}", pickle.items_of(value).size());
    case PickleKind::kList:
      return fmt::format("a list of {}", pickle.items_of(value).size());
    case PickleKind::kDict:
      return fmt::format("a dict of {}", pickle.items_of(value).size() / 2);
    case PickleKind::kGlobal:
      return NameOf(*pickle.globals[value.index]);
    case PickleKind::kStorage:
      return "a storage";
    case PickleKind::kTensor:
      return "a tensor";
  }
  return "unknown";
}

Result<PickleValue> CallPickleGlobal(Pickle& pickle, const PickleGlobal& function,
                                     const std::vector<uint32_t>& arguments) {
  switch (function.kind) {
    case GlobalKind::kOrderedDict:
      return MakeOrderedDict(pickle, function, arguments);
    case GlobalKind::kSize:
      return MakeSize(pickle, function, arguments);
    case GlobalKind::kTensorV2:
    case GlobalKind::kTensorV3:
      return MakeTensor(pickle, function, arguments);
    case GlobalKind::kParameter:
    case GlobalKind::kParameterWithState:
      return MakeParameter(pickle, function, arguments);
    default:
      return Fail(ErrorCode::kBadInput, "it wants to call {}; only tensors and plain containers are read",
                  NameOf(function));
  }
}

Result<PickleStorage> StorageOfId(const Pickle& pickle, const PickleValue& id, size_t words) {
  if (id.kind != PickleKind::kTuple || pickle.items_of(id).size() != words) {
    return Fail(ErrorCode::kBadInput, "a persistent id is {}, must be a tuple of {}", Describe(pickle, id), words);
  }
  const Arguments parts(pickle, "a persistent id", pickle.items_of(id));
  const auto tag = parts.Take(0, PickleKind::kText, "its tag");
  if (!tag) return Propagate(tag);
  if (pickle.text(**tag) != "storage") {
    return Fail(ErrorCode::kBadInput, "a persistent id for {}, must be for 'storage'", Describe(pickle, **tag));
  }
  const auto type = parts.Take(1, PickleKind::kGlobal, "its type");
  if (!type) return Propagate(type);
  const PickleGlobal* global = pickle.globals[(*type)->index];
  if (global->kind != GlobalKind::kTypedStorage && global->kind != GlobalKind::kUntypedStorage) {
    return Fail(ErrorCode::kBadInput, "a storage of the type {}", NameOf(*global));
  }
  const auto key = parts.Take(2, PickleKind::kText, "its key");
  if (!key) return Propagate(key);
  if (auto location = parts.Take(3, PickleKind::kText, "its location"); !location) return Propagate(location);
  const auto count = parts.TakeSize(4, "its size");
  if (!count) return Propagate(count);
  if (words > 5) {
    if (auto view = parts.Take(5, PickleKind::kNone, "its view of another storage"); !view) return Propagate(view);
  }
  return PickleStorage{pickle.text(**key), global, *count};
}

}  // namespace ingot
