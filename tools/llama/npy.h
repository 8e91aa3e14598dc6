// Arrays as numpy saves them: token ids in, logits out.
#pragma once

#include <cstdint>
#include <cstdio>
#include <span>
#include <string>
#include <vector>

namespace llama {

struct Tokens {
  std::vector<int64_t> ids;
  uint64_t windows = 0;  // of a 2-D array; 0: the array has one dimension
  uint64_t length = 0;   // of each window, or of all
};

// Reads a .npy file of dtype int32, int64, uint16 or uint32, little-endian, in C order, of one or two dimensions.
// Memory is taken for bytes that the file has, not for those that its header promises. Throws Failure.
Tokens ReadTokens(const std::string& path);

// Writes a 2-D float32 array row by row: a window's logits need not fit into memory. The file appears under its name
// when Finish is called, or not at all.
class FloatArrayFile {
 public:
  FloatArrayFile(const std::string& path, uint64_t rows, uint64_t columns);
  ~FloatArrayFile();
  FloatArrayFile(const FloatArrayFile&) = delete;
  FloatArrayFile& operator=(const FloatArrayFile&) = delete;

  void Append(std::span<const float> values);
  void Finish();

 private:
  [[noreturn]] void FailWith(int error) const;
  std::string path_, partial_;
  std::FILE* file_ = nullptr;
};

}  // namespace llama
