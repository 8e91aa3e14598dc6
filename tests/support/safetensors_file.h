// Small safetensors files, written by the rules of that format and by nothing of Ingot's.
#pragma once

#include <fmt/format.h>

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "format/bytes.h"
#include "format/dtype.h"

namespace ingot::test {

struct DenseTensor {
  std::string name;
  DType dtype;
  std::vector<uint64_t> shape;
  std::vector<std::byte> bytes;

  uint64_t cols() const { return shape.empty() ? 1 : shape.back(); }
  // The elements as f32, one by one; floating dtypes only.
  std::vector<float> Values() const {
    std::vector<float> out;
    const size_t size = InfoOf(dtype).size;
    for (size_t at = 0; at < bytes.size(); at += size) {
      const std::byte* p = bytes.data() + at;
      switch (dtype) {
        case DType::kF32:
          out.push_back(Load<float>(p));
          break;
        case DType::kF64:
          out.push_back(static_cast<float>(Load<double>(p)));
          break;
        case DType::kF16:
          out.push_back(F16ToF32(Load<uint16_t>(p)));
          break;
        case DType::kBF16:
          out.push_back(BF16ToF32(Load<uint16_t>(p)));
          break;
        case DType::kF8E4M3:
          out.push_back(F8E4M3ToF32(Load<uint8_t>(p)));
          break;
        default:
          out.push_back(F8E5M2ToF32(Load<uint8_t>(p)));
      }
    }
    return out;
  }
};

inline uint64_t CountOf(const std::vector<uint64_t>& shape) {
  uint64_t count = 1;
  for (uint64_t dim : shape) count *= dim;
  return count;
}

// A tensor of the given values, rounded to its dtype (not for 8-bit floats).
inline DenseTensor TensorOf(std::string name, DType dtype, std::vector<uint64_t> shape,
                            const std::vector<float>& values) {
  DenseTensor t{std::move(name), dtype, std::move(shape), {}};
  for (float v : values) {
    if (dtype == DType::kF32) Append(t.bytes, v);
    if (dtype == DType::kF64) Append(t.bytes, static_cast<double>(v));
    if (dtype == DType::kF16) Append(t.bytes, F32ToF16(v));
    if (dtype == DType::kBF16) Append(t.bytes, F32ToBF16(v));
  }
  return t;
}

// Normal values with a few large ones, the same for the same seed. Non-floating dtypes get random bytes.
inline DenseTensor RandomTensor(std::string name, DType dtype, std::vector<uint64_t> shape, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal;
  DenseTensor t{std::move(name), dtype, std::move(shape), {}};
  for (uint64_t i = 0; i < CountOf(t.shape); ++i) {
    const double v = normal(random) * (random() % 50 == 0 ? 8 : 0.5);
    if (dtype == DType::kF64) {
      Append(t.bytes, v);
    } else if (dtype == DType::kF8E4M3 || dtype == DType::kF8E5M2) {
      // Codes of moderate exponents: no infinity, no NaN.
      const unsigned most = dtype == DType::kF8E4M3 ? 0x50 : 0x48;
      Append(t.bytes, static_cast<uint8_t>(random() % most | (random() % 2 << 7)));
    } else if (InfoOf(dtype).is_float) {
      const auto one = TensorOf("", dtype, {}, {static_cast<float>(v)});
      Append(t.bytes, ByteSpan(one.bytes));
    } else {
      for (int k = 0; k < InfoOf(dtype).size; ++k)
        t.bytes.push_back(static_cast<std::byte>(random() % (dtype == DType::kBool ? 2 : 256)));
    }
  }
  return t;
}

// The bytes of a file; `metadata` is the JSON of __metadata__, or empty.
inline std::vector<std::byte> SafetensorsOf(const std::vector<DenseTensor>& tensors, const std::string& metadata = "") {
  std::string json = "{";
  if (!metadata.empty()) json += "\"__metadata__\":" + metadata + (tensors.empty() ? "" : ",");
  uint64_t at = 0;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const DenseTensor& t = tensors[i];
    json += fmt::format(R"({}"{}":{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})", i == 0 ? "" : ",", t.name,
                        InfoOf(t.dtype).name, fmt::join(t.shape, ","), at, at + t.bytes.size());
    at += t.bytes.size();
  }
  json += "}";
  std::vector<std::byte> out;
  Append(out, uint64_t{json.size()});
  Append(out, AsBytes(json));
  for (const DenseTensor& t : tensors) Append(out, ByteSpan(t.bytes));
  return out;
}

}  // namespace ingot::test
