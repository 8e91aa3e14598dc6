// The file that the tests on emulated devices share, and what they do with it.
#pragma once

#include <map>

#include "tests/abi/device_test.h"
#include "tests/simt/kernel_device.h"

namespace ingot::test {

inline constexpr uint64_t kMiB = 1 << 20;

// "a": 4-bit, 64 by 512. "b": 3 MiB of bytes. "c": 2 MiB in frames.
struct Files {
  Files() {
    TensorFile file;
    Dice dice(81, false);
    Linear l;
    l.bits = 4, l.rows = 64, l.cols = 512, l.group_rows = 1, l.group_cols = 64;
    l.s = Operand::Array(DType::kF16);
    l.permutation = true;
    const Numbers n = dice.Fill(l);
    values = n.Values();
    file.Add("a", DType::kF32, {64, 512}, file.AddLinear(n));
    Bytes bytes(3 * kMiB);
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i / 1000 * 7 + i % 13);
    file.Add("b", DType::kU8, {3 * kMiB}, file.AddRaw(bytes));
    file.Compress(true);
    file.Add("c", DType::kU8, {2 * kMiB}, file.AddRaw(ByteSpan(bytes).first(2 * kMiB)));
    image = file.Finish();
    header = file.image.header();
    path = folder.Write("x.ingot", image);
  }
  std::string Damaged(const std::string& tensor, uint64_t byte) const {
    Bytes bytes = image;
    bytes[OffsetOfPlane(image, header, tensor, 0) + byte] ^= std::byte{1};
    return folder.Write("damaged.ingot", bytes);
  }
  const TempDirectory folder;
  std::vector<float> values;  // of "a"
  Bytes image;
  Header header;
  std::string path;
};
inline const Files& TheFiles() {
  static const Files files;
  return files;
}
inline const std::vector<ingot_upload> kAll = {UploadOf(0), UploadOf(1), UploadOf(2)};

// What ingot_uploaded was told.
struct Outcomes {
  struct One {
    DeviceTensorHandle tensor;
    ingot_status status;
    std::string text;
  };
  static void Add(void* user, size_t request, ingot_device_tensor* tensor, ingot_status status, const char* text) {
    static_cast<Outcomes*>(user)->of[request] = {DeviceTensorHandle(tensor), status, text};
  }
  ingot_upload_hooks hooks() {
    ingot_upload_hooks h = {};
    h.struct_size = sizeof h, h.user = this, h.uploaded = &Add;
    return h;
  }
  std::map<size_t, One> of;
};

// Decodes "a" and compares it with what it should be; the status of the first call that fails.
inline ingot_status DecodeA(const std::shared_ptr<Device>& device, const ingot_device* handle,
                            const ingot_device_tensor* tensor, void* stream) {
  const DeviceBuffer out(device, 64 * 512 * 4);
  ingot_status status = ingot_device_tensor_decode(tensor, nullptr, INGOT_F32, out.at(), out.size(), 0, stream);
  const ingot_status waited = ingot_device_wait(handle, stream);
  if (status == INGOT_OK) status = waited;
  if (status == INGOT_OK) REQUIRE(std::memcmp(out.at(), TheFiles().values.data(), out.size()) == 0);
  return status;
}

}  // namespace ingot::test
