#include "tools/bench/side_by_side/ingot_side.h"

#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace side {
namespace {

void Must(ingot_status status) {
  if (status != INGOT_OK) Fail(ingot_error_text());
}

}  // namespace

void Fail(const std::string& message) {
  std::fprintf(stderr, "driver: %s\n", message.c_str());
  std::exit(1);
}

void* HugeMemory(size_t bytes) {
  void* at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) Fail("out of memory");
  madvise(at, bytes, MADV_HUGEPAGE);
  std::memset(at, 1, bytes);
  return at;
}

IngotTensor::IngotTensor(const std::string& path, const std::string& name, int copies, int threads) {
  ingot_open_options options{};
  options.struct_size = sizeof options;
  options.access = INGOT_ACCESS_COPY;
  options.threads = static_cast<uint32_t>(threads);
  info_.struct_size = sizeof info_;
  for (int i = 0; i < copies; ++i) {
    ingot_model* model = nullptr;
    ingot_tensor* tensor = nullptr;
    uint32_t number = 0;
    Must(ingot_model_open(path.c_str(), &options, &model));
    Must(ingot_tensor_find(model, name.data(), name.size(), &number));
    Must(ingot_tensor_open(model, number, &tensor));
    Must(ingot_tensor_verify(tensor, nullptr));
    tensors_.push_back(tensor);
  }
  Must(ingot_tensor_describe(tensors_.front(), &info_));
}

void IngotTensor::Decode(int copy, uint64_t rows, float* out) const {
  ingot_slice slice{};
  slice.struct_size = sizeof slice;
  slice.rows = rows;
  Must(ingot_tensor_decode(tensors_[static_cast<size_t>(copy)], &slice, INGOT_F32, out, 4 * rows * info_.columns, 0));
}

void IngotTensor::Multiply(int copy, ingot_precision precision, const float* x, uint64_t batch, float* y) const {
  ingot_product product{};
  product.struct_size = sizeof product;
  product.precision = static_cast<uint32_t>(precision);
  product.x = x, product.x_rows = batch, product.y = y;
  Must(ingot_tensor_multiply(tensors_[static_cast<size_t>(copy)], nullptr, &product));
}

}  // namespace side
