// The stack machine that a pickle's instructions drive: what they do, once their bytes are read. It makes plain values
// and calls nothing but convert/pytorch/pickle_calls.h. Not thread-safe. Errors are kBadInput; they say what is wrong,
// where it stands is added by the caller.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "convert/pytorch/pickle.h"
#include "format/status.h"

namespace ingot {

// How a pickle names its storages: by five words in a zip archive, by six in a file of the older format.
enum class StorageWords : uint8_t { kZip = 5, kLegacy = 6 };

class PickleMachine {
 public:
  explicit PickleMachine(StorageWords words);

  // Instructions that put a value on the stack.
  Status PushNone();
  Status PushBool(bool value);
  Status PushInt(int64_t value);
  Status PushFloat(double value);
  Status PushText(std::string text);
  Status PushGlobal(const PickleGlobal& global);
  Status PushEmpty(PickleKind kind);  // kList or kDict

  Status Mark();
  Status Put(uint32_t number);  // remembers what is on top of the stack
  Status Get(uint32_t number);

  // These take their operands from the stack.
  Status Tuple();  // of what lies above the mark
  Status TupleOf(size_t size);
  Status Append();
  Status Appends();
  Status SetItem();
  Status SetItems();
  Status Reduce();
  Status Build();
  Status PersistentId();

  // Takes the only value that is left as the root, and checks what only the end shows.
  Result<Pickle> Finish();

 private:
  const PickleValue& value(uint32_t number) const { return pickle_.values[number]; }
  // What lies below the last mark is out of reach.
  size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }

  Status PushNumber(uint32_t number);
  Status Push(const PickleValue& value);
  Result<uint32_t> Pop();
  Result<uint32_t> Top() const;
  Result<std::vector<uint32_t>> PopToMark();
  Status PushTuple(std::vector<uint32_t> items);
  Status Contain(std::span<const uint32_t> items, uint8_t& depth);
  Status AddToTop(PickleKind kind, std::span<const uint32_t> items);
  Status AddPairs(std::span<const uint32_t> items);
  Status CheckKeys() const;

  size_t words_;
  Pickle pickle_;
  std::vector<uint32_t> stack_;  // numbers of values
  std::vector<size_t> marks_;    // heights of the stack
  std::unordered_map<uint32_t, uint32_t> memo_;
  std::unordered_map<std::string, uint32_t> storage_numbers_;  // by key
};

}  // namespace ingot
