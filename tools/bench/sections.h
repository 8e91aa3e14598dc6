// The sections of `ingot bench`. Each gives its tasks in the order of its table.
#pragma once

#include <string>
#include <vector>

#include "tools/bench/race.h"
#include "tools/bench/synthetic.h"
#include "tools/bench/yardsticks.h"

namespace ingot::bench {

// Decoding of synthetic matrices: 16 K values in cache, 64 M values out of it; every width, group size and output type.
std::vector<Task> DecodeTasks(const Bench& bench);
// Products with one row of activations; matrices of 128 MiB, from memory.
std::vector<Task> GemvTasks(const Bench& bench);
// Products with many rows of activations.
std::vector<Task> GemmTasks(const Bench& bench);
// Opening files of many tensors; verifying one large file. They are made in a temporary folder.
std::vector<Task> OpenTasks(const Bench& bench);
std::vector<Task> VerifyTasks(const Bench& bench);

// What DecodeTasks and GemvTasks measure: every width and group size; products with weights of `code_bytes` of codes.
std::vector<MatrixSpec> DecodeSpecs(uint64_t rows);
std::vector<MatrixSpec> ProductSpecs(uint64_t code_bytes);

// Opening, verifying, decoding and multiplying what is in a file: the sections of these names, those that `wanted` is
// true for.
Result<std::vector<Task>> FileTasks(const Bench& bench, const std::string& path,
                                    const std::function<bool(const std::string& section)>& wanted);

}  // namespace ingot::bench
