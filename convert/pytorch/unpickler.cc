#include "convert/pytorch/unpickler.h"

#include <algorithm>
#include <array>
#include <bit>
#include <tuple>
#include <unordered_map>

#include "convert/pytorch/pickle_calls.h"
#include "convert/pytorch/pickle_stream.h"
#include "format/text.h"

namespace ingot {
namespace {

// Values that need no place of their own, by their numbers.
constexpr uint32_t kNoneValue = 0, kFalseValue = 1, kTrueValue = 2;

class Unpickler {
 public:
  Unpickler(const ByteSource& source, uint64_t begin, uint64_t end, StorageWords words)
      : in_(source, begin, end), words_(static_cast<size_t>(words)) {
    for (const auto& [kind, integer] :
         {std::pair(PickleKind::kNone, 0), {PickleKind::kBool, 0}, {PickleKind::kBool, 1}}) {
      PickleValue value;
      value.kind = kind;
      value.integer = integer;
      pickle_.values.push_back(value);
    }
  }

  Result<Pickle> Run(const std::string& what) {
    while (!stopped_) {
      const uint64_t at = in_.position();
      if (auto done = Step(); !done) {
        const Error& e = done.error();
        if (e.code != ErrorCode::kBadInput) return Propagate(done);
        return Fail(e.code, "{}: pickle, byte {}: {}", what, at, e.message);
      }
    }
    if (auto checked = CheckKeys(); !checked)
      return Fail(ErrorCode::kBadInput, "{}: {}", what, checked.error().message);
    pickle_.end = in_.position();
    return std::move(pickle_);
  }

 private:
  struct Opcode {
    uint8_t code;
    std::string_view name;
    Status (Unpickler::*run)();  // null: refused
  };
  static const std::array<Opcode, 68> kOpcodes;

  template <typename... Args>
  static tl::unexpected<Error> Bad(fmt::format_string<Args...> text, Args&&... args) {
    return Fail(ErrorCode::kBadInput, text, std::forward<Args>(args)...);
  }

  Status Step() {
    const auto code = in_.Take<uint8_t>();
    if (!code) return Propagate(code);
    for (const Opcode& opcode : kOpcodes) {
      if (opcode.code != *code) continue;
      if (opcode.run != nullptr) return (this->*opcode.run)();
      return Bad("the instruction {} is not one that torch.save writes", opcode.name);
    }
    return Bad("{:#04x} is no instruction of a pickle", *code);
  }

  // ---- the stack

  const PickleValue& value(uint32_t number) const { return pickle_.values[number]; }
  // What lies below the last mark is out of reach.
  size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }

  Status PushNumber(uint32_t number) {
    if (stack_.size() == kMaxPickleStack) return Bad("more than {} values on the stack", kMaxPickleStack);
    stack_.push_back(number);
    return {};
  }
  Status Push(const PickleValue& value) {
    if (pickle_.values.size() == kMaxPickleValues) return Bad("more than {} values", kMaxPickleValues);
    pickle_.values.push_back(value);
    return PushNumber(static_cast<uint32_t>(pickle_.values.size() - 1));
  }
  Result<uint32_t> Pop() {
    if (stack_.size() <= floor()) return Bad("nothing is on the stack");
    const uint32_t number = stack_.back();
    stack_.pop_back();
    return number;
  }
  Result<uint32_t> Top() const {
    if (stack_.size() <= floor()) return Bad("nothing is on the stack");
    return stack_.back();
  }
  Result<std::vector<uint32_t>> PopToMark() {
    if (marks_.empty()) return Bad("no mark is on the stack");
    const auto first = stack_.begin() + static_cast<ptrdiff_t>(marks_.back());
    std::vector<uint32_t> popped(first, stack_.end());
    stack_.erase(first, stack_.end());
    marks_.pop_back();
    return popped;
  }

  // ---- containers

  // Gives `items` a place in a value whose depth so far is `depth`.
  Status Contain(std::span<const uint32_t> items, uint8_t& depth) {
    for (const uint32_t item : items) {
      PickleValue& inner = pickle_.values[item];
      inner.contained = true;
      if (inner.depth >= kMaxPickleDepth) return Bad("values nested more than {} deep", kMaxPickleDepth);
      depth = std::max(depth, static_cast<uint8_t>(inner.depth + 1));
    }
    return {};
  }

  Status PushTuple(std::vector<uint32_t> items) {
    PickleValue tuple;
    tuple.kind = PickleKind::kTuple;
    if (auto contained = Contain(items, tuple.depth); !contained) return contained;
    tuple.index = static_cast<uint32_t>(pickle_.items.size());
    pickle_.items.push_back(std::move(items));
    return Push(tuple);
  }

  Status PushContainer(PickleKind kind) {
    PickleValue container;
    container.kind = kind;
    container.index = static_cast<uint32_t>(pickle_.items.size());
    pickle_.items.emplace_back();
    return Push(container);
  }

  // Adds to the list or dict on top of the stack. One that has a place in another value already stays as it is, so that
  // no value comes to hold itself and depths are final.
  Status AddToTop(PickleKind kind, std::span<const uint32_t> items) {
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

  Status AddPairs(std::span<const uint32_t> items) {
    if (items.size() % 2 != 0) return Bad("{} keys and values", items.size());
    for (size_t i = 0; i < items.size(); i += 2) {
      const PickleValue& key = value(items[i]);
      if (key.kind == PickleKind::kText || key.kind == PickleKind::kInt) continue;
      return Bad("the key of a dict is {}, must be a text or a whole number", Describe(pickle_, key));
    }
    return AddToTop(PickleKind::kDict, items);
  }

  // A key that stands twice: readers would differ about which value counts.
  Status CheckKeys() const {
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

  // ---- instructions

  Status Proto() {
    const auto version = in_.Take<uint8_t>();
    if (!version) return Propagate(version);
    if (*version < 2 || *version > 5) return Bad("pickle protocol {} is not read", *version);
    return {};
  }

  Status Stop() {
    const auto root = Pop();
    if (!root) return Propagate(root);
    if (!stack_.empty() || !marks_.empty()) return Bad("it ends with {} values left over", stack_.size());
    pickle_.root = *root;
    stopped_ = true;
    return {};
  }

  Status Global() {
    const auto module = in_.TakeLine(kMaxPickleGlobalName), name = in_.TakeLine(kMaxPickleGlobalName);
    if (!module) return Propagate(module);
    if (!name) return Propagate(name);
    const PickleGlobal* global = FindPickleGlobal(*module, *name);
    if (global == nullptr) {
      return Bad("it wants to use {}.{}; only tensors and plain containers are read, no code is run",
                 Escape(*module), Escape(*name));
    }
    if (global->kind == GlobalKind::kUnsupported) return Bad("{}.{}: {}", *module, *name, global->reason);
    PickleValue found;
    found.kind = PickleKind::kGlobal;
    found.index = static_cast<uint32_t>(pickle_.globals.size());
    pickle_.globals.push_back(global);
    return Push(found);
  }

  Status Reduce() {
    const auto arguments = Pop();
    if (!arguments) return Propagate(arguments);
    const auto function = Pop();
    if (!function) return Propagate(function);
    if (value(*function).kind != PickleKind::kGlobal || value(*arguments).kind != PickleKind::kTuple) {
      return Bad("a call of {} with {}", Describe(pickle_, value(*function)), Describe(pickle_, value(*arguments)));
    }
    const PickleGlobal& global = *pickle_.globals[value(*function).index];
    const std::vector<uint32_t> copy = pickle_.items_of(value(*arguments));
    auto made = CallPickleGlobal(pickle_, global, copy);
    if (!made) return Propagate(made);
    made->contained = false;
    return Push(*made);
  }

  // The attributes of an OrderedDict (a state dict's _metadata) and of a Parameter, which are dropped.
  Status Build() {
    const auto state = Pop();
    if (!state) return Propagate(state);
    const auto top = Top();
    if (!top) return Propagate(top);
    const PickleValue& object = value(*top);
    const bool may = object.special && (object.kind == PickleKind::kDict || object.kind == PickleKind::kTensor);
    if (may && value(*state).kind == PickleKind::kDict) return {};
    return Bad("it gives {} the state {}; only an OrderedDict and a Parameter may have a dict",
               Describe(pickle_, object), Describe(pickle_, value(*state)));
  }

  Status PersistentId() {
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
        return Bad("storage {} is {} of {} and {} of {}", Quote(known.key), known.type->name, known.count,
                   storage->type->name, storage->count);
      }
    }
    PickleValue found;
    found.kind = PickleKind::kStorage;
    found.index = place->second;
    return Push(found);
  }

  template <typename T>
  Status Put() {
    const auto index = in_.Take<T>();
    if (!index) return Propagate(index);
    const uint32_t number = *index;
    if (number >= kMaxPickleMemo) return Bad("memo entry {}, must be below {}", number, kMaxPickleMemo);
    const auto top = Top();
    if (!top) return Propagate(top);
    memo_[number] = *top;
    return {};
  }

  template <typename T>
  Status Get() {
    const auto index = in_.Take<T>();
    if (!index) return Propagate(index);
    const auto at = memo_.find(*index);
    if (at == memo_.end()) return Bad("memo entry {} was never written", *index);
    return PushNumber(at->second);
  }

  template <typename T>
  Status Integer() {
    const auto number = in_.Take<T>();
    if (!number) return Propagate(number);
    return PushInteger(*number);
  }
  Status PushInteger(int64_t number) {
    PickleValue integer;
    integer.kind = PickleKind::kInt;
    integer.integer = number;
    return Push(integer);
  }

  // Two's complement of any size; those that fit in 64 bits are read.
  Status Long1() {
    const auto size = in_.Take<uint8_t>();
    if (!size) return Propagate(size);
    if (*size > sizeof(int64_t)) return Bad("a whole number of {} bytes, at most 8 are read", *size);
    std::array<std::byte, sizeof(int64_t)> bytes{};
    if (auto taken = in_.Take(std::span(bytes).first(*size)); !taken) return taken;
    if (*size > 0 && (bytes[*size - 1u] & std::byte{0x80}) != std::byte{0}) {
      std::fill(bytes.begin() + *size, bytes.end(), std::byte{0xFF});
    }
    return PushInteger(Load<int64_t>(bytes.data()));
  }

  Status Float() {
    auto bytes = in_.Take<std::array<std::byte, sizeof(double)>>();
    if (!bytes) return Propagate(bytes);
    std::reverse(bytes->begin(), bytes->end());
    PickleValue number;
    number.kind = PickleKind::kFloat;
    number.real = Load<double>(bytes->data());
    return Push(number);
  }

  Status Text() {
    const auto size = in_.Take<uint32_t>();
    if (!size) return Propagate(size);
    if (*size > kMaxPickleText) return Bad("a text of {} bytes, at most {} are read", *size, kMaxPickleText);
    if (*size > in_.remaining()) return Bad("cut off");
    std::string text(*size, '\0');
    if (auto taken = in_.Take(std::as_writable_bytes(std::span(text))); !taken) return taken;
    if (!IsUtf8(text)) return Bad("a text is not UTF-8: {}", Quote(text, 64));
    PickleValue found;
    found.kind = PickleKind::kText;
    found.index = static_cast<uint32_t>(pickle_.texts.size());
    pickle_.texts.push_back(std::move(text));
    return Push(found);
  }

  Status Mark() {
    if (marks_.size() == kMaxPickleMarks) return Bad("more than {} marks", kMaxPickleMarks);
    marks_.push_back(stack_.size());
    return {};
  }

  Status Tuple() {
    auto items = PopToMark();
    if (!items) return Propagate(items);
    return PushTuple(std::move(*items));
  }
  template <size_t kSize>
  Status TupleOf() {
    std::vector<uint32_t> items(kSize);
    for (size_t i = kSize; i-- > 0;) {
      const auto item = Pop();
      if (!item) return Propagate(item);
      items[i] = *item;
    }
    return PushTuple(std::move(items));
  }

  template <PickleKind kKind>
  Status Empty() {
    return PushContainer(kKind);
  }
  template <uint32_t kNumber>
  Status Known() {
    return PushNumber(kNumber);
  }

  Status AddItem() {
    const auto item = Pop();
    if (!item) return Propagate(item);
    return AddToTop(PickleKind::kList, {&*item, 1});
  }
  Status AddItems() {
    const auto items = PopToMark();
    if (!items) return Propagate(items);
    return AddToTop(PickleKind::kList, *items);
  }
  Status SetItem() {
    const auto second = Pop();
    if (!second) return Propagate(second);
    const auto first = Pop();
    if (!first) return Propagate(first);
    return AddPairs(std::array{*first, *second});
  }
  Status SetItems() {
    const auto items = PopToMark();
    if (!items) return Propagate(items);
    return AddPairs(*items);
  }

  PickleStream in_;
  size_t words_;
  Pickle pickle_;
  std::vector<uint32_t> stack_;  // numbers of values
  std::vector<size_t> marks_;    // heights of the stack
  std::unordered_map<uint32_t, uint32_t> memo_;
  std::unordered_map<std::string, uint32_t> storage_numbers_;  // by key
  bool stopped_ = false;
};

// All instructions of protocols 0 to 5; first those that a checkpoint has most of.
const std::array<Unpickler::Opcode, 68> Unpickler::kOpcodes = {{
    {'q', "BINPUT", &Unpickler::Put<uint8_t>},
    {'r', "LONG_BINPUT", &Unpickler::Put<uint32_t>},
    {'h', "BINGET", &Unpickler::Get<uint8_t>},
    {'j', "LONG_BINGET", &Unpickler::Get<uint32_t>},
    {'(', "MARK", &Unpickler::Mark},
    {'K', "BININT1", &Unpickler::Integer<uint8_t>},
    {'M', "BININT2", &Unpickler::Integer<uint16_t>},
    {'J', "BININT", &Unpickler::Integer<int32_t>},
    {'X', "BINUNICODE", &Unpickler::Text},
    {'t', "TUPLE", &Unpickler::Tuple},
    {0x85, "TUPLE1", &Unpickler::TupleOf<1>},
    {0x86, "TUPLE2", &Unpickler::TupleOf<2>},
    {0x87, "TUPLE3", &Unpickler::TupleOf<3>},
    {')', "EMPTY_TUPLE", &Unpickler::TupleOf<0>},
    {'R', "REDUCE", &Unpickler::Reduce},
    {'Q', "BINPERSID", &Unpickler::PersistentId},
    {'c', "GLOBAL", &Unpickler::Global},
    {0x89, "NEWFALSE", &Unpickler::Known<kFalseValue>},
    {0x88, "NEWTRUE", &Unpickler::Known<kTrueValue>},
    {'N', "NONE", &Unpickler::Known<kNoneValue>},
    {0x8a, "LONG1", &Unpickler::Long1},
    {'G', "BINFLOAT", &Unpickler::Float},
    {'}', "EMPTY_DICT", &Unpickler::Empty<PickleKind::kDict>},
    {']', "EMPTY_LIST", &Unpickler::Empty<PickleKind::kList>},
    {'s', "SETITEM", &Unpickler::SetItem},
    {'u', "SETITEMS", &Unpickler::SetItems},
    {'a', "APPEND", &Unpickler::AddItem},
    {'e', "APPENDS", &Unpickler::AddItems},
    {'b', "BUILD", &Unpickler::Build},
    {0x80, "PROTO", &Unpickler::Proto},
    {'.', "STOP", &Unpickler::Stop},
    {'0', "POP", nullptr},
    {'1', "POP_MARK", nullptr},
    {'2', "DUP", nullptr},
    {'F', "FLOAT", nullptr},
    {'I', "INT", nullptr},
    {'L', "LONG", nullptr},
    {'P', "PERSID", nullptr},
    {'S', "STRING", nullptr},
    {'T', "BINSTRING", nullptr},
    {'U', "SHORT_BINSTRING", nullptr},
    {'V', "UNICODE", nullptr},
    {'d', "DICT", nullptr},
    {'g', "GET", nullptr},
    {'i', "INST", nullptr},
    {'l', "LIST", nullptr},
    {'o', "OBJ", nullptr},
    {'p', "PUT", nullptr},
    {'B', "BINBYTES", nullptr},
    {'C', "SHORT_BINBYTES", nullptr},
    {0x81, "NEWOBJ", nullptr},
    {0x82, "EXT1", nullptr},
    {0x83, "EXT2", nullptr},
    {0x84, "EXT4", nullptr},
    {0x8b, "LONG4", nullptr},
    {0x8c, "SHORT_BINUNICODE", nullptr},
    {0x8d, "BINUNICODE8", nullptr},
    {0x8e, "BINBYTES8", nullptr},
    {0x8f, "EMPTY_SET", nullptr},
    {0x90, "ADDITEMS", nullptr},
    {0x91, "FROZENSET", nullptr},
    {0x92, "NEWOBJ_EX", nullptr},
    {0x93, "STACK_GLOBAL", nullptr},
    {0x94, "MEMOIZE", nullptr},
    {0x95, "FRAME", nullptr},
    {0x96, "BYTEARRAY8", nullptr},
    {0x97, "NEXT_BUFFER", nullptr},
    {0x98, "READONLY_BUFFER", nullptr},
}};

}  // namespace

Result<Pickle> ReadPickle(const ByteSource& source, uint64_t begin, uint64_t end, StorageWords words,
                          const std::string& what) {
  return Unpickler(source, begin, std::min(end, begin + kMaxPickleSize), words).Run(what);
}

}  // namespace ingot
