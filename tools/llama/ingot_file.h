// An open .ingot file and its tensors: the C interface's handles with C++'s lifetimes, and the few calls of it that a
// forward pass needs.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/ingot.h"

namespace llama {

// A tensor. Opening one reads none of its weights; they are used where they lie in the file. Movable; thread-safe.
class Tensor {
 public:
  Tensor() = default;
  explicit Tensor(ingot_tensor* handle);

  explicit operator bool() const { return handle_ != nullptr; }
  std::string name() const;  // as it may be printed
  const ingot_tensor_info& info() const { return info_; }
  bool HasShape(std::initializer_list<uint64_t> shape) const;
  std::string ShapeText() const;

  // One row, decoded: of an embedding, the vector of a token.
  void DecodeRow(uint64_t row, std::span<float> out) const;
  // All of it: for norms and biases only, which are small.
  std::vector<float> DecodeAll() const;
  // Y = X W^T for `count` rows of X, with W as it is packed.
  void Multiply(ingot_precision precision, const float* x, uint64_t count, float* y) const;

 private:
  struct Release {
    void operator()(ingot_tensor* tensor) const { ingot_tensor_release(tensor); }
  };
  std::unique_ptr<ingot_tensor, Release> handle_;
  ingot_tensor_info info_{};
};

class IngotFile {
 public:
  // `threads` 0: the library's default.
  IngotFile(const std::string& path, ingot_verify verify, uint32_t threads);

  const std::string& path() const { return path_; }
  ingot_model* handle() const { return model_.get(); }
  std::optional<Tensor> Find(std::string_view name) const;
  // An attached file, whole.
  std::optional<std::string> Attachment(std::string_view name) const;
  // A number or a string among the metadata. A value of another type is an error that names the key.
  std::optional<double> Number(std::string_view key) const;
  std::optional<std::string> Text(std::string_view key) const;

 private:
  struct Release {
    void operator()(ingot_model* model) const { ingot_model_release(model); }
  };
  std::optional<ingot_metadata> Metadata(std::string_view key) const;

  std::string path_;
  std::unique_ptr<ingot_model, Release> model_;
};

// Text from inside a file as it may stand in a message: whatever is not plain ASCII is escaped.
std::string Printable(std::string_view text);

}  // namespace llama
