// Opens a file, everything in the index hashed and validated, and reads one tensor by name:  open_bench FILE TENSOR
// [RUNS] Prints milliseconds as JSON: the first call, and the best.
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>

#include "runtime/model.h"
#include "runtime/tensor_reader.h"

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  const int runs = argc > 3 ? std::atoi(argv[3]) : 15;
  double first = 0, best = 1e30;
  for (int i = 0; i < runs; ++i) {
    const auto start = std::chrono::steady_clock::now();
    const auto model = ingot::Model::Open(argv[1]);
    const auto number = model ? (*model)->Find(argv[2]) : std::nullopt;
    if (!number) return 3;
    const auto reader = ingot::TensorReader::Open(**model, *number);
    std::vector<float> values(reader ? reader->element_count() : 0);
    if (!reader || !reader->Decode(0, values.size(), values.data())) return 3;
    const double ms = 1e3 * std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    if (i == 0) first = ms;
    best = std::min(best, ms);
  }
  fmt::print("{{\"first_ms\":{:.3f},\"best_ms\":{:.3f}}}\n", first, best);
  return 0;
}
