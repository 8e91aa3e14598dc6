// An encoded matrix as kernels see it: each plane in memory of its own, lent to them for reading.
#pragma once

#include <doctest/doctest.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "kernels/cuda/decode_plan.h"
#include "kernels/matrix.h"
#include "tests/kernels/cuda/run_step.h"

namespace ingot::test {

class DeviceMatrix {
 public:
  explicit DeviceMatrix(const EncodedMatrix& matrix, const std::string& name = "planes") {
    const auto copy = [&](ByteSpan plane) -> const void* {
      planes_.push_back(std::make_unique<AlignedBytes>(plane.size()));
      if (!plane.empty()) std::memcpy(planes_.back()->data(), plane.data(), plane.size());
      memory.LendReadOnly(planes_.back()->data(), plane.size(), name);
      bytes += plane.size();
      return planes_.back()->data();
    };
    Result<cuda::MatrixView> made = cuda::MakeMatrixView(matrix, copy);
    REQUIRE(made.has_value());
    view = *made;
  }
  DeviceMatrix(const DeviceMatrix&) = delete;

  simt::Memory memory;
  cuda::MatrixView view;
  size_t bytes = 0;  // of all planes

 private:
  std::vector<std::unique_ptr<AlignedBytes>> planes_;
};

}  // namespace ingot::test
