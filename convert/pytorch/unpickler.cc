#include "convert/pytorch/unpickler.h"

#include <algorithm>
#include <array>
#include <optional>

#include "convert/pytorch/pickle_stream.h"
#include "format/text.h"

namespace ingot {
namespace {

template <typename... Args>
tl::unexpected<Error> Bad(fmt::format_string<Args...> text, Args&&... args) {
  return Fail(ErrorCode::kBadInput, text, std::forward<Args>(args)...);
}

// Reads instructions with their operands, and passes them on.
class Unpickler {
 public:
  Unpickler(const ByteSource& source, uint64_t begin, uint64_t end, StorageWords words)
      : in_(source, begin, end), machine_(words) {}

  Result<Pickle> Run(const std::string& what) {
    while (!pickle_) {
      const uint64_t at = in_.position();
      if (auto done = Step(); !done) {
        const Error& e = done.error();
        if (e.code != ErrorCode::kBadInput) return Propagate(done);
        return Fail(e.code, "{}: pickle, byte {}: {}", what, at, e.message);
      }
    }
    pickle_->end = in_.position();
    return std::move(*pickle_);
  }

 private:
  struct Opcode {
    uint8_t code;
    std::string_view name;
    Status (Unpickler::*run)();  // null: refused
  };
  static const std::array<Opcode, 68> kOpcodes;

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

  // One without operands of its own.
  template <Status (PickleMachine::*kAction)()>
  Status Do() {
    return (machine_.*kAction)();
  }

  Status Proto() {
    const auto version = in_.Take<uint8_t>();
    if (!version) return Propagate(version);
    if (*version < 2 || *version > 5) return Bad("pickle protocol {} is not read", *version);
    return {};
  }

  Status Stop() {
    auto pickle = machine_.Finish();
    if (!pickle) return Propagate(pickle);
    pickle_ = std::move(*pickle);
    return {};
  }

  Status Global() {
    const auto module = in_.TakeLine(kMaxPickleGlobalName);
    if (!module) return Propagate(module);
    const auto name = in_.TakeLine(kMaxPickleGlobalName);
    if (!name) return Propagate(name);
    const PickleGlobal* global = FindPickleGlobal(*module, *name);
    if (global == nullptr) {
      return Bad("it wants to use {}.{}; only tensors and plain containers are read, no code is run", Escape(*module),
                 Escape(*name));
    }
    if (global->kind == GlobalKind::kUnsupported) return Bad("{}.{}: {}", *module, *name, global->reason);
    return machine_.PushGlobal(*global);
  }

  template <typename T>
  Status Put() {
    const auto number = in_.Take<T>();
    return number ? machine_.Put(*number) : Propagate(number);
  }
  template <typename T>
  Status Get() {
    const auto number = in_.Take<T>();
    return number ? machine_.Get(*number) : Propagate(number);
  }

  template <typename T>
  Status Integer() {
    const auto number = in_.Take<T>();
    return number ? machine_.PushInt(*number) : Propagate(number);
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
    return machine_.PushInt(Load<int64_t>(bytes.data()));
  }

  // Big-endian, unlike everything else.
  Status Float() {
    auto bytes = in_.Take<std::array<std::byte, sizeof(double)>>();
    if (!bytes) return Propagate(bytes);
    std::reverse(bytes->begin(), bytes->end());
    return machine_.PushFloat(Load<double>(bytes->data()));
  }

  Status Text() {
    const auto size = in_.Take<uint32_t>();
    if (!size) return Propagate(size);
    if (*size > kMaxPickleText) return Bad("a text of {} bytes, at most {} are read", *size, kMaxPickleText);
    if (*size > in_.remaining()) return Bad("cut off");
    std::string text(*size, '\0');
    if (auto taken = in_.Take(std::as_writable_bytes(std::span(text))); !taken) return taken;
    return machine_.PushText(std::move(text));
  }

  template <size_t kSize>
  Status TupleOf() {
    return machine_.TupleOf(kSize);
  }
  template <PickleKind kKind>
  Status Empty() {
    return machine_.PushEmpty(kKind);
  }
  template <bool kValue>
  Status Bool() {
    return machine_.PushBool(kValue);
  }

  PickleStream in_;
  PickleMachine machine_;
  std::optional<Pickle> pickle_;  // once it has ended
};

// All instructions of protocols 0 to 5; first those that a checkpoint has most of.
const std::array<Unpickler::Opcode, 68> Unpickler::kOpcodes = {{
    {'q', "BINPUT", &Unpickler::Put<uint8_t>},
    {'r', "LONG_BINPUT", &Unpickler::Put<uint32_t>},
    {'h', "BINGET", &Unpickler::Get<uint8_t>},
    {'j', "LONG_BINGET", &Unpickler::Get<uint32_t>},
    {'(', "MARK", &Unpickler::Do<&PickleMachine::Mark>},
    {'K', "BININT1", &Unpickler::Integer<uint8_t>},
    {'M', "BININT2", &Unpickler::Integer<uint16_t>},
    {'J', "BININT", &Unpickler::Integer<int32_t>},
    {'X', "BINUNICODE", &Unpickler::Text},
    {'t', "TUPLE", &Unpickler::Do<&PickleMachine::Tuple>},
    {0x85, "TUPLE1", &Unpickler::TupleOf<1>},
    {0x86, "TUPLE2", &Unpickler::TupleOf<2>},
    {0x87, "TUPLE3", &Unpickler::TupleOf<3>},
    {')', "EMPTY_TUPLE", &Unpickler::TupleOf<0>},
    {'R', "REDUCE", &Unpickler::Do<&PickleMachine::Reduce>},
    {'Q', "BINPERSID", &Unpickler::Do<&PickleMachine::PersistentId>},
    {'c', "GLOBAL", &Unpickler::Global},
    {0x89, "NEWFALSE", &Unpickler::Bool<false>},
    {0x88, "NEWTRUE", &Unpickler::Bool<true>},
    {'N', "NONE", &Unpickler::Do<&PickleMachine::PushNone>},
    {0x8a, "LONG1", &Unpickler::Long1},
    {'G', "BINFLOAT", &Unpickler::Float},
    {'}', "EMPTY_DICT", &Unpickler::Empty<PickleKind::kDict>},
    {']', "EMPTY_LIST", &Unpickler::Empty<PickleKind::kList>},
    {'s', "SETITEM", &Unpickler::Do<&PickleMachine::SetItem>},
    {'u', "SETITEMS", &Unpickler::Do<&PickleMachine::SetItems>},
    {'a', "APPEND", &Unpickler::Do<&PickleMachine::Append>},
    {'e', "APPENDS", &Unpickler::Do<&PickleMachine::Appends>},
    {'b', "BUILD", &Unpickler::Do<&PickleMachine::Build>},
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
