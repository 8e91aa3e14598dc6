// What is in a model, added up: the first page of `ingot inspect`.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "runtime/model.h"

namespace ingot {

// One tensor as listings show it.
struct TensorRow {
  uint32_t number;  // in the model
  uint64_t elements;
  uint64_t bytes;         // of planes, logical
  uint64_t stored_bytes;  // as stored
  std::string encoding;   // DescribeTensor
  std::string kind;       // "raw", "linear", "foreign", "unknown", "mixed"
  std::string alias_of;   // the original's name if it is an alias
  bool alias = false;

  double bits_per_weight() const;  // 0 without elements
};

// Tensors that have something in common. Aliases are not counted.
struct Tally {
  uint64_t tensors = 0, elements = 0, bytes = 0, stored_bytes = 0;

  void Add(const TensorRow& row);
  double bits_per_weight() const;
};

struct Summary {
  std::vector<TensorRow> rows;  // in the order of names
  Tally all;
  std::map<std::string, Tally> by_kind;
  std::map<std::string, Tally> by_encoding;
  uint64_t aliases = 0;
  uint64_t file_bytes = 0;  // of all files
  uint64_t dead_bytes = 0;
  uint64_t tail_bytes = 0;  // after the end of a file: an edit that did not finish
  uint64_t attachment_bytes = 0;
  uint64_t index_bytes = 0;
};

Summary Summarize(const Model& model);

}  // namespace ingot
