// What the tests of the C interface's part for devices share. The same cases run on an emulated device, which runs the
// kernels under the executor, and on a GPU, where one is: a program each.
#pragma once

#include <doctest/doctest.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "runtime/abi/abi.h"
#include "tests/support/random_tensors.h"
#include "tests/support/temp_directory.h"

namespace ingot::test {

// ---- the device: defined by each program for itself

// Null, having said why, where there is none.
std::shared_ptr<Device> OpenTestDevice();
// Memory of the host and of the device.
void CopyToDevice(std::byte* to, const std::byte* from, size_t size);
void CopyToHost(std::byte* to, const std::byte* from, size_t size);
// What an emulated device noticed so far, leaks too.
std::string ProblemsOf(Device& device);

// ---- handles that are released with their scope

template <auto kRelease>
struct Releaser {
  template <typename T>
  void operator()(T* handle) const {
    kRelease(handle);
  }
};
using ModelHandle = std::unique_ptr<ingot_model, Releaser<ingot_model_release>>;
using TensorHandle = std::unique_ptr<ingot_tensor, Releaser<ingot_tensor_release>>;
using DeviceHandle = std::unique_ptr<ingot_device, Releaser<ingot_device_release>>;
using DeviceTensorHandle = std::unique_ptr<ingot_device_tensor, Releaser<ingot_device_tensor_release>>;

#define INGOT_REQUIRE_OK(call) REQUIRE_MESSAGE((call) == INGOT_OK, std::string(ingot_error_text()))

inline void CheckRefused(ingot_status got, ingot_status expected, const std::string& word) {
  CHECK(got == expected);
  CHECK_MESSAGE(Contains(ingot_error_text(), word), std::string(ingot_error_text()));
}

inline ModelHandle OpenModel(const std::string& path) {
  ingot_open_options options = {};
  options.struct_size = sizeof options, options.threads = 1;
  ingot_model* model = nullptr;
  INGOT_REQUIRE_OK(ingot_model_open(path.c_str(), &options, &model));
  return ModelHandle(model);
}
inline TensorHandle OpenTensor(ingot_model* model, uint32_t number) {
  ingot_tensor* tensor = nullptr;
  INGOT_REQUIRE_OK(ingot_tensor_open(model, number, &tensor));
  return TensorHandle(tensor);
}
inline DeviceHandle WrapDevice(const std::shared_ptr<Device>& device, const ingot_device_options* options = nullptr) {
  const auto made = abi::MakeDevice(device, options);
  REQUIRE(made);
  return DeviceHandle(*made);
}

inline ingot_slice SliceFrom(const MatrixSlice& s) { return {sizeof(ingot_slice), s.row, s.rows, s.column, s.columns}; }
inline ingot_upload UploadOf(uint32_t tensor) {
  ingot_upload upload = {};
  upload.struct_size = sizeof upload, upload.tensor = tensor;
  return upload;
}
inline ingot_upload UploadOf(uint32_t tensor, const MatrixSlice& slice) {
  ingot_upload upload = UploadOf(tensor);
  upload.slice = SliceFrom(slice);
  return upload;
}

// All or nothing.
inline std::vector<DeviceTensorHandle> Upload(ingot_device* device, ingot_model* model,
                                              const std::vector<ingot_upload>& uploads) {
  std::vector<ingot_device_tensor*> out(uploads.size());
  INGOT_REQUIRE_OK(ingot_device_upload(device, model, uploads.data(), uploads.size(), nullptr, out.data()));
  std::vector<DeviceTensorHandle> handles;
  for (ingot_device_tensor* tensor : out) handles.emplace_back(tensor);
  return handles;
}

inline ingot_device_tensor_info DescribeOnDevice(const ingot_device_tensor* tensor) {
  ingot_device_tensor_info info = {};
  info.struct_size = sizeof info;
  INGOT_REQUIRE_OK(ingot_device_tensor_describe(tensor, &info));
  return info;
}

// Memory of the device, freed with it.
class DeviceBuffer {
 public:
  DeviceBuffer(std::shared_ptr<Device> device, size_t size) : device_(std::move(device)), size_(size) {
    const auto at = device_->Allocate(std::max<size_t>(size, 1));
    REQUIRE(at);
    at_ = *at;
  }
  DeviceBuffer(std::shared_ptr<Device> device, const std::vector<std::byte>& bytes)
      : DeviceBuffer(std::move(device), bytes.size()) {
    if (size_ > 0) CopyToDevice(at_, bytes.data(), size_);
  }
  ~DeviceBuffer() { device_->Free(at_, std::max<size_t>(size_, 1)); }
  DeviceBuffer(const DeviceBuffer&) = delete;

  std::byte* at() const { return at_; }
  size_t size() const { return size_; }
  std::vector<std::byte> Read() const {
    std::vector<std::byte> bytes(size_);
    if (size_ > 0) CopyToHost(bytes.data(), at_, size_);
    return bytes;
  }

 private:
  std::shared_ptr<Device> device_;
  size_t size_;
  std::byte* at_ = nullptr;
};

// A stream of the device, freed with it.
class TestStream {
 public:
  explicit TestStream(std::shared_ptr<Device> device) : device_(std::move(device)) {
    const auto made = device_->MakeStream();
    REQUIRE(made);
    stream_ = *made;
  }
  ~TestStream() {
    (void)device_->WaitForStream(stream_);
    device_->FreeStream(stream_);
  }
  TestStream(const TestStream&) = delete;
  void* get() const { return stream_; }

 private:
  std::shared_ptr<Device> device_;
  DeviceStream stream_ = nullptr;
};

}  // namespace ingot::test
