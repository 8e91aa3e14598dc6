// A tensor of a GGUF file as the driver uses it: ggml's row functions and its products.
#pragma once

#include <ggml-backend.h>
#include <ggml.h>

#include <cstdint>
#include <string>
#include <vector>

namespace side {

// The same tensor several times, in different memory. Ends with the program.
class GgmlTensor {
 public:
  GgmlTensor(const std::string& path, const std::string& name, int copies);

  ggml_type type() const { return type_; }
  const char* type_name() const { return ggml_type_name(type_); }
  size_t bytes() const { return bytes_; }
  uint64_t rows() const { return rows_; }
  uint64_t columns() const { return columns_; }
  const void* data(int copy) const { return copies_[static_cast<size_t>(copy)]; }
  int copies() const { return static_cast<int>(copies_.size()); }

 private:
  ggml_type type_ = GGML_TYPE_F32;
  size_t bytes_ = 0;
  uint64_t rows_ = 0, columns_ = 0;
  std::vector<void*> copies_;
};

// The row function of a type: of the ggml that this program is linked with, or of another libggml-base.so.
using RowFunction = ggml_to_float_t;
RowFunction RowFunctionOf(ggml_type type);
RowFunction RowFunctionOf(ggml_type type, const char* library);

// Products of all copies with `batch` rows of activations, one after the other, in one graph. One owner.
class GgmlProducts {
 public:
  // `repack`: in the layout that ggml makes for this processor, where it has one.
  GgmlProducts(const GgmlTensor& w, const float* x, uint64_t batch, int threads, bool repack);
  ~GgmlProducts();
  GgmlProducts(const GgmlProducts&) = delete;

  bool possible() const { return possible_; }  // this type has the layout
  void Run() const;
  std::vector<float> Result() const;  // with the first copy, as ingot_product's y

 private:
  void Load(const GgmlTensor& w, const float* x);

  ggml_context *weights_ = nullptr, *nodes_ = nullptr;
  ggml_backend_t cpu_ = nullptr;
  ggml_backend_buffer_t weight_memory_ = nullptr, node_memory_ = nullptr;
  std::vector<ggml_tensor*> w_;
  ggml_tensor *x_ = nullptr, *y_ = nullptr;
  ggml_cgraph* graph_ = nullptr;
  bool possible_ = false;
};

}  // namespace side
