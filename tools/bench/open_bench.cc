// Opens a file through the C interface, everything in the index hashed and validated, and reads one tensor by name:
// open_bench FILE TENSOR [RUNS]. Prints milliseconds as JSON: the first call, and the best.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "runtime/ingot.h"

namespace {

// Whether the tensor could be read.
bool ReadOne(const char* path, const char* name) {
  ingot_model* model = nullptr;
  ingot_tensor* tensor = nullptr;
  uint32_t number = 0;
  ingot_tensor_info info{};
  info.struct_size = sizeof info;
  bool done = ingot_model_open(path, nullptr, &model) == INGOT_OK &&
              ingot_tensor_find(model, name, std::strlen(name), &number) == INGOT_OK &&
              ingot_tensor_open(model, number, &tensor) == INGOT_OK && ingot_tensor_describe(tensor, &info) == INGOT_OK;
  if (done) {
    std::vector<float> values(info.rows * info.columns);
    done = ingot_tensor_decode(tensor, nullptr, INGOT_F32, values.data(), 4 * values.size(), 0) == INGOT_OK;
  }
  ingot_tensor_release(tensor);
  ingot_model_release(model);
  return done;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  const int runs = argc > 3 ? std::atoi(argv[3]) : 15;
  double first = 0, best = 1e30;
  for (int i = 0; i < runs; ++i) {
    const auto start = std::chrono::steady_clock::now();
    if (!ReadOne(argv[1], argv[2])) return std::fprintf(stderr, "%s\n", ingot_error_text()), 3;
    const double ms = 1e3 * std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    if (i == 0) first = ms;
    best = std::min(best, ms);
  }
  std::printf("{\"first_ms\":%.3f,\"best_ms\":%.3f}\n", first, best);
  return 0;
}
