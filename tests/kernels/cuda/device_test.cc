// What is said where there is no GPU. Passes with and without one, in builds with and without CUDA.
#include "kernels/cuda/device.h"

#include <doctest/doctest.h>

#include "kernels/cuda/product_device.h"

namespace ingot::cuda {
namespace {

TEST_CASE("a device that is not there is an error with a reason, every time") {
  for (int index : {-1, 1 << 20, -1}) {
    const Result<Device> device = OpenDevice(index);
    REQUIRE(!device.has_value());
    CHECK(device.error().code == ErrorCode::kUnsupported);
    CHECK(device.error().message.substr(0, 6) == "CUDA: ");
    MESSAGE(device.error().message);
  }
}

TEST_CASE("a range outside of the matrix is refused, not launched") {
  MatrixView view;
  view.rows = 2, view.columns = 3;
  CHECK(!DecodeOnDevice({}, view, 4, 3, DType::kF32, nullptr, nullptr).has_value());
  CHECK(!DecodeOnDevice({}, view, ~uint64_t{0}, 2, DType::kF32, nullptr, nullptr).has_value());
  CHECK(!DecodeOnDevice({}, view, 0, 6, DType::kF64, nullptr, nullptr).has_value());
  CHECK(!DecodeOnDevice({}, view, {1, 2, 0, 3}, DType::kF32, nullptr, 3, nullptr).has_value());
  CHECK(!DecodeOnDevice({}, view, {0, 1, ~uint64_t{0}, 2}, DType::kF32, nullptr, 3, nullptr).has_value());
  CHECK(!DecodeOnDevice({}, view, {0, 2, 0, 3}, DType::kF32, nullptr, 2, nullptr).has_value());
  ProductRequest request;
  request.slice = {0, 3, 0, 3};
  CHECK(!MultiplyOnDevice({}, view, request, nullptr).has_value());
  request.slice = {0, 2, 0, 3}, request.x_type = DType::kF32;
  CHECK(!MultiplyOnDevice({}, view, request, nullptr).has_value());
}

}  // namespace
}  // namespace ingot::cuda
