#include "convert/pytorch/pickle_machine.h"

#include <algorithm>
#include <array>
#include <tuple>

#include "convert/pytorch/pickle_calls.h"
#include "format/text.h"

namespace ingot {
namespace {

// Values that need no place of their own, by their numbers.
constexpr uint32_t kNoneValue = 0, kFalseValue = 1, kTrueValue = 2;

template <typename... Args>
tl::unexpected<Error> Bad(fmt::format_string<Args...> text, Args&&... args) {
  return Fail(ErrorCode::kBadInput, text, std::forward<Args>(args)...);
}

}  // namespace

PickleMachine::PickleMachine(StorageWords words) : words_(static_cast<size_t>(words)) {
  pickle_.values.resize(3);
  pickle_.values[kFalseValue].kind = PickleKind::kBool;
  pickle_.values[kTrueValue].kind = PickleKind::kBool;
  pickle_.values[kTrueValue].integer = 1;
}

// ---- the stack

Status PickleMachine::PushNumber(uint32_t number) {
  if (stack_.size() == kMaxPickleStack) return Bad("more than {} values on the stack", kMaxPickleStack);
  stack_.push_back(number);
  return {};
}

Status PickleMachine::Push(const PickleValue& value) {
  if (pickle_.values.size() == kMaxPickleValues) return Bad("more than {} values", kMaxPickleValues);
  pickle_.values.push_back(value);
  return PushNumber(static_cast<uint32_t>(pickle_.values.size() - 1));
}

Result<uint32_t> PickleMachine::Pop() {
  const auto number = Top();
  if (number) stack_.pop_back();
  return number;
}

Result<uint32_t> PickleMachine::Top() const {
  if (stack_.size() <= floor()) return Bad("nothing is on the stack");
  return stack_.back();
}

Result<std::vector<uint32_t>> PickleMachine::PopToMark() {
  if (marks_.empty()) return Bad("no mark is on the stack");
  const auto first = stack_.begin() + static_cast<ptrdiff_t>(marks_.back());
  std::vector<uint32_t> popped(first, stack_.end());
  stack_.erase(first, stack_.end());
  marks_.pop_back();
  return popped;
}

Status PickleMachine::Mark() {
  if (marks_.size() == kMaxPickleMarks) return Bad("more than {} marks", kMaxPickleMarks);
  marks_.push_back(stack_.size());
  return {};
}

Status PickleMachine::Put(uint32_t number) {
  if (number >= kMaxPickleMemo) return Bad("memo entry {}, must be below {}", number, kMaxPickleMemo);
  const auto top = Top();
  if (!top) return Propagate(top);
  memo_[number] = *top;
  return {};
}

Status PickleMachine::Get(uint32_t number) {
  const auto at = memo_.find(number);
  if (at == memo_.end()) return Bad("memo entry {} was never written", number);
  return PushNumber(at->second);
}

// ---- values

Status PickleMachine::PushNone() { return PushNumber(kNoneValue); }

Status PickleMachine::PushBool(bool value) { return PushNumber(value ? kTrueValue : kFalseValue); }

Status PickleMachine::PushInt(int64_t value) {
  PickleValue number;
  number.kind = PickleKind::kInt;
  number.integer = value;
  return Push(number);
}

Status PickleMachine::PushFloat(double value) {
  PickleValue number;
  number.kind = PickleKind::kFloat;
  number.real = value;
  return Push(number);
}

Status PickleMachine::PushText(std::string text) {
  if (!IsUtf8(text)) return Bad("a text is not UTF-8: {}", Quote(text, 64));
  PickleValue found;
  found.kind = PickleKind::kText;
  found.index = static_cast<uint32_t>(pickle_.texts.size());
  pickle_.texts.push_back(std::move(text));
  return Push(found);
}

Status PickleMachine::PushGlobal(const PickleGlobal& global) {
  PickleValue found;
  found.kind = PickleKind::kGlobal;
  found.index = static_cast<uint32_t>(pickle_.globals.size());
  pickle_.globals.push_back(&global);
  return Push(found);
}

Status PickleMachine::PushEmpty(PickleKind kind) {
  PickleValue container;
  container.kind = kind;
  container.index = static_cast<uint32_t>(pickle_.items.size());
  pickle_.items.emplace_back();
  return Push(container);
}

// ---- containers

// Gives `items` a place in a value whose depth so far is `depth`.
Status PickleMachine::Contain(std::span<const uint32_t> items, uint8_t& depth) {
  for (const uint32_t item : items) {
    PickleValue& inner = pickle_.values[item];
    inner.contained = true;
    if (inner.depth >= kMaxPickleDepth) return Bad("values nested more than {} deep", kMaxPickleDepth);
    depth = std::max(depth, static_cast<uint8_t>(inner.depth + 1));
  }
  return {};
}

Status PickleMachine::PushTuple(std::vector<uint32_t> items) {
  PickleValue tuple;
  tuple.kind = PickleKind::kTuple;
  if (auto contained = Contain(items, tuple.depth); !contained) return contained;
  tuple.index = static_cast<uint32_t>(pickle_.items.size());
  pickle_.items.push_back(std::move(items));
  return Push(tuple);
}

Status PickleMachine::Tuple() {
  auto items = PopToMark();
  if (!items) return Propagate(items);
  return PushTuple(std::move(*items));
}

Status PickleMachine::TupleOf(size_t size) {
  std::vector<uint32_t> items(size);
  for (size_t i = size; i-- > 0;) {
    const auto item = Pop();
    if (!item) return Propagate(item);
    items[i] = *item;
  }
  return PushTuple(std::move(items));
}

// Adds to the list or dict on top of the stack. One that has a place in another value already stays as it is, so that
// no value comes to hold itself and depths are final.
Status PickleMachine::AddToTop(PickleKind kind, std::span<const uint32_t> items) {
  const auto top = Top();
  if (!top) return Propagate(top);
  PickleValue& container = pickle_.values[*top];
  if (container.kind != kind) {
    return Bad("items for a {}, but {} is on the stack", kind == PickleKind::kList ? "list" : "dict",
               Describe(pickle_, container));
  }
  if (auto contained = Contain(items, container.depth); !contained) return contained;
  if (container.contained) return Bad("a container changes after it was put into another, or into itself");
  auto& into = pickle_.items[container.index];
  into.insert(into.end(), items.begin(), items.end());
  return {};
}

Status PickleMachine::AddPairs(std::span<const uint32_t> items) {
  if (items.size() % 2 != 0) return Bad("{} keys and values", items.size());
  for (size_t i = 0; i < items.size(); i += 2) {
    const PickleValue& key = value(items[i]);
    if (key.kind == PickleKind::kText || key.kind == PickleKind::kInt) continue;
    return Bad("the key of a dict is {}, must be a text or a whole number", Describe(pickle_, key));
  }
  return AddToTop(PickleKind::kDict, items);
}

Status PickleMachine::Append() {
  const auto item = Pop();
  if (!item) return Propagate(item);
  return AddToTop(PickleKind::kList, std::array{*item});
}

Status PickleMachine::Appends() {
  const auto items = PopToMark();
  if (!items) return Propagate(items);
  return AddToTop(PickleKind::kList, *items);
}

Status PickleMachine::SetItem() {
  const auto second = Pop();
  if (!second) return Propagate(second);
  const auto first = Pop();
  if (!first) return Propagate(first);
  return AddPairs(std::array{*first, *second});
}

Status PickleMachine::SetItems() {
  const auto items = PopToMark();
  if (!items) return Propagate(items);
  return AddPairs(*items);
}

// ---- calls

Status PickleMachine::Reduce() {
  const auto arguments = Pop();
  if (!arguments) return Propagate(arguments);
  const auto function = Pop();
  if (!function) return Propagate(function);
  if (value(*function).kind != PickleKind::kGlobal || value(*arguments).kind != PickleKind::kTuple) {
    return Bad("a call of {} with {}", Describe(pickle_, value(*function)), Describe(pickle_, value(*arguments)));
  }
  const PickleGlobal& global = *pickle_.globals[value(*function).index];
  const std::vector<uint32_t> items = pickle_.items_of(value(*arguments));  // a copy: the call adds to the tables
  auto made = CallPickleGlobal(pickle_, global, items);
  if (!made) return Propagate(made);
  made->contained = false;
  return Push(*made);
}

// The attributes of an OrderedDict (a state dict's _metadata) and of a Parameter, which are dropped.
Status PickleMachine::Build() {
  const auto state = Pop();
  if (!state) return Propagate(state);
  const auto top = Top();
  if (!top) return Propagate(top);
  const PickleValue& object = value(*top);
  if (object.special && value(*state).kind == PickleKind::kDict) return {};
  return Bad("it gives {} the state {}; only an OrderedDict and a Parameter may have a dict", Describe(pickle_, object),
             Describe(pickle_, value(*state)));
}

Status PickleMachine::PersistentId() {
  const auto id = Pop();
  if (!id) return Propagate(id);
  auto storage = StorageOfId(pickle_, value(*id), words_);
  if (!storage) return Propagate(storage);
  const auto number = static_cast<uint32_t>(pickle_.storages.size());
  const auto [place, is_new] = storage_numbers_.try_emplace(storage->key, number);
  if (is_new) {
    pickle_.storages.push_back(std::move(*storage));
  } else {
    const PickleStorage& known = pickle_.storages[place->second];
    if (known.type != storage->type || known.count != storage->count) {
      return Bad("storage {} is a {} of {} and a {} of {}", Quote(known.key), known.type->name, known.count,
                 storage->type->name, storage->count);
    }
  }
  PickleValue found;
  found.kind = PickleKind::kStorage;
  found.index = place->second;
  return Push(found);
}

// ---- the end

// A key that stands twice: readers would differ about which value counts.
Status PickleMachine::CheckKeys() const {
  std::vector<std::tuple<bool, int64_t, std::string_view>> keys;
  for (const PickleValue& dict : pickle_.values) {
    if (dict.kind != PickleKind::kDict) continue;
    keys.clear();
    const std::vector<uint32_t>& items = pickle_.items_of(dict);
    for (size_t i = 0; i < items.size(); i += 2) {
      const PickleValue& key = value(items[i]);
      const bool is_text = key.kind == PickleKind::kText;
      keys.emplace_back(is_text, key.integer, is_text ? std::string_view(pickle_.text(key)) : std::string_view());
    }
    std::sort(keys.begin(), keys.end());
    const auto twice = std::adjacent_find(keys.begin(), keys.end());
    if (twice == keys.end()) continue;
    const auto& [is_text, integer, text] = *twice;
    return Bad("the key {} stands twice in a dict", is_text ? Quote(text) : fmt::format("{}", integer));
  }
  return {};
}

Result<Pickle> PickleMachine::Finish() {
  const auto root = Pop();
  if (!root) return Propagate(root);
  if (!stack_.empty() || !marks_.empty()) return Bad("it ends with {} values left over", stack_.size());
  pickle_.root = *root;
  if (auto checked = CheckKeys(); !checked) return Propagate(checked);
  return std::move(pickle_);
}

}  // namespace ingot
