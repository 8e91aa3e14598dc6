// Devices that fail, are late or too small, files that are damaged, and callers that go too far, through the C
// interface: a clear error each, nothing half-visible, nothing leaks.
#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <thread>

#include "tests/abi/device_test.h"
#include "tests/simt/kernel_device.h"

namespace ingot::test {
namespace {

constexpr uint64_t kMiB = 1 << 20;

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
const Files& TheFiles() {
  static const Files files;
  return files;
}
const std::vector<ingot_upload> kAll = {UploadOf(0), UploadOf(1), UploadOf(2)};

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
ingot_status DecodeA(const std::shared_ptr<Device>& device, const ingot_device* handle,
                     const ingot_device_tensor* tensor, void* stream) {
  const DeviceBuffer out(device, 64 * 512 * 4);
  ingot_status status = ingot_device_tensor_decode(tensor, nullptr, INGOT_F32, out.at(), out.size(), 0, stream);
  const ingot_status waited = ingot_device_wait(handle, stream);
  if (status == INGOT_OK) status = waited;
  if (status == INGOT_OK) REQUIRE(std::memcmp(out.at(), TheFiles().values.data(), out.size()) == 0);
  return status;
}

TEST_CASE("a damaged chunk is the error of its tensor, and of all without a hook") {
  for (const size_t number : {1, 2}) {
    const std::string name = number == 1 ? "b" : "c", rule = number == 1 ? "R-CHK-1" : "R-FRM-6";
    const std::string path = TheFiles().Damaged(name, number == 1 ? kMiB + 5 : 100);
    const ModelHandle model = OpenModel(path);
    const auto device = std::make_shared<KernelDevice>(EmulatedOptions{.most_delay_us = 100});
    {
      const DeviceHandle handle = WrapDevice(device);
      Outcomes outcomes;
      const ingot_upload_hooks hooks = outcomes.hooks();
      INGOT_REQUIRE_OK(ingot_device_upload(handle.get(), model.get(), kAll.data(), 3, &hooks, nullptr));
      REQUIRE(outcomes.of.size() == 3);
      for (const auto& [request, one] : outcomes.of) {
        CHECK((one.tensor == nullptr) == (request == number));
        CHECK(one.status == (request == number ? INGOT_E_DATA : INGOT_OK));
        CHECK(one.text.empty() == (request != number));
      }
      for (const std::string& word : {path, "tensor '" + name + "'", rule})
        CHECK_MESSAGE(Contains(outcomes.of[number].text, word), outcomes.of[number].text);
      CHECK(DecodeA(device, handle.get(), outcomes.of[0].tensor.get(), nullptr) == INGOT_OK);
      outcomes.of.clear();
      CHECK(device->memory_in_use() == 0);
      ingot_device_tensor* out[3] = {nullptr, nullptr, nullptr};
      CheckRefused(ingot_device_upload(handle.get(), model.get(), kAll.data(), 3, nullptr, out), INGOT_E_DATA,
                   "tensor '" + name + "'");
      CHECK((out[0] == nullptr && out[1] == nullptr && out[2] == nullptr));
      CHECK(device->memory_in_use() == 0);
    }
    CHECK(device->Problems() == "");
  }
}

TEST_CASE("device tensors outlive model, file and handle of the device; memory is the caller's") {
  struct Pool {
    explicit Pool(Device& of) : device(of) {}
    static void* Allocate(void* user, uint64_t size, uint64_t alignment) {
      auto& pool = *static_cast<Pool*>(user);
      const std::lock_guard lock(pool.mutex);
      CHECK(alignment == kDeviceAlignment);
      if (pool.left-- == 0) return nullptr;
      const auto at = pool.device.Allocate(size);
      REQUIRE(at);
      pool.in_use[*at] = size;
      return *at;
    }
    static void Release(void* user, void* at, uint64_t size) {
      auto& pool = *static_cast<Pool*>(user);
      const std::lock_guard lock(pool.mutex);
      CHECK(pool.in_use.at(at) == size);
      pool.in_use.erase(at);
      pool.device.Free(static_cast<std::byte*>(at), size);
    }
    Device& device;
    std::mutex mutex;
    std::map<void*, uint64_t> in_use;
    int left = 100;
  };
  const auto device = std::make_shared<KernelDevice>(EmulatedOptions{.most_delay_us = 100});
  Pool pool(*device);
  ingot_device_options options = {};
  options.struct_size = sizeof options;
  options.threads = 3, options.streams = 3, options.ring_bytes = 4 * kMiB;
  options.user = &pool, options.allocate = &Pool::Allocate, options.release = &Pool::Release;
  std::vector<DeviceTensorHandle> tensors;
  const DeviceHandle other = WrapDevice(device);  // to wait with
  {
    const ModelHandle model = OpenModel(TheFiles().folder.Write("gone.ingot", TheFiles().image));
    const DeviceHandle handle = WrapDevice(device, &options);
    tensors = Upload(handle.get(), model.get(), kAll);
    CHECK(pool.in_use.size() == 3);
    CHECK(device->pinned_bytes() == 4 * kMiB);
    // The ninth allocation is none: all is given back.
    pool.left = 2;
    ingot_device_tensor* out[3] = {};
    CheckRefused(ingot_device_upload(handle.get(), model.get(), kAll.data(), 3, nullptr, out), INGOT_E_MEMORY,
                 "emulated:0");
    CHECK(pool.in_use.size() == 3);
    CHECK(out[0] == nullptr);
  }
  std::filesystem::remove(TheFiles().folder / "gone.ingot");
  CHECK(DecodeA(device, other.get(), tensors[0].get(), nullptr) == INGOT_OK);
  ingot_device_tensor* const again = ingot_device_tensor_retain(tensors[0].get());
  tensors.clear();
  CHECK(pool.in_use.size() == 1);
  CHECK(DecodeA(device, other.get(), again, nullptr) == INGOT_OK);
  ingot_device_tensor_release(again);
  CHECK(pool.in_use.empty());
  CHECK(device->Problems() == "");
}

TEST_CASE("memory that is too small, before and in the middle: said at once, all released") {
  const ModelHandle model = OpenModel(TheFiles().path);
  for (const uint64_t memory : {uint64_t{0}, 1 * kMiB, 4 * kMiB}) {
    const auto device = std::make_shared<KernelDevice>(EmulatedOptions{.memory = memory});
    {
      const DeviceHandle handle = WrapDevice(device);
      Outcomes outcomes;
      ingot_upload_hooks hooks = outcomes.hooks();
      // Slices are not counted before they are begun: the memory ends in the middle.
      const std::vector<ingot_upload> slices = {UploadOf(0, {0, 64, 0, 512}), UploadOf(1, {0, 1, 0, 3 * kMiB}),
                                                UploadOf(2, {0, 1, 0, 2 * kMiB})};
      for (const auto& uploads : {kAll, slices}) {
        CheckRefused(ingot_device_upload(handle.get(), model.get(), uploads.data(), 3, &hooks, nullptr), INGOT_E_MEMORY,
                     "emulated:0");
        outcomes.of.clear();
        CHECK(device->memory_in_use() == 0);
      }
    }
    CHECK(device->Problems() == "");
  }
}

TEST_CASE("each call of the device that fails in turn, or from then on: INGOT_E_DEVICE with its name") {
  const ModelHandle model = OpenModel(TheFiles().path);
  for (const bool stays : {false, true}) {
    bool through = false;
    for (uint64_t n = 1; !through; n += n < 20 ? 1 : 7) {
      const auto device = std::make_shared<KernelDevice>(EmulatedOptions{.fail_at_call = n, .stays_failed = stays});
      {
        const DeviceHandle handle = WrapDevice(device);
        ingot_device_tensor* out[3] = {};
        const ingot_status uploaded = ingot_device_upload(handle.get(), model.get(), kAll.data(), 3, nullptr, out);
        if (uploaded == INGOT_OK) {
          for (ingot_device_tensor* tensor : out) ingot_device_tensor_release(tensor);
          through = true;
        } else {
          CheckRefused(uploaded, INGOT_E_DEVICE, "emulated:0");
          CHECK((out[0] == nullptr && out[1] == nullptr && out[2] == nullptr));
        }
        CHECK(device->memory_in_use() == 0);
      }
      CHECK(device->Problems() == "");
    }
  }
}

TEST_CASE("what fails on the stream is reported by ingot_device_wait") {
  const ModelHandle model = OpenModel(TheFiles().path);
  const auto device = std::make_shared<KernelDevice>(EmulatedOptions{.most_delay_us = 50, .fail_at_work = 2});
  {
    const DeviceHandle handle = WrapDevice(device);
    const TestStream good(device), bad(device);
    const auto tensors = Upload(handle.get(), model.get(), {UploadOf(0)});
    CHECK(DecodeA(device, handle.get(), tensors[0].get(), good.get()) == INGOT_OK);
    CheckRefused(DecodeA(device, handle.get(), tensors[0].get(), bad.get()), INGOT_E_DEVICE, "emulated:0: work failed");
    CheckRefused(ingot_device_wait(handle.get(), bad.get()), INGOT_E_DEVICE, "emulated:0");  // and again
    CHECK(ingot_device_wait(handle.get(), good.get()) == INGOT_OK);
  }
  CHECK(device->Problems() == "");
}

TEST_CASE("work on a tensor that was released, and beyond a buffer, is noticed") {
  const ModelHandle model = OpenModel(TheFiles().path);
  for (const bool short_buffer : {false, true}) {
    const auto device = std::make_shared<KernelDevice>(EmulatedOptions{.most_delay_us = 20000});
    const DeviceHandle handle = WrapDevice(device);
    auto tensors = Upload(handle.get(), model.get(), {UploadOf(0)});
    const DeviceBuffer out(device, 64 * 512 * 4 - (short_buffer ? 256 : 0));
    // The size that is claimed cannot be checked.
    INGOT_REQUIRE_OK(
        ingot_device_tensor_decode(tensors[0].get(), nullptr, INGOT_F32, out.at(), 64 * 512 * 4, 0, nullptr));
    if (!short_buffer) tensors.clear();
    (void)ingot_device_wait(handle.get(), nullptr);
    CHECK_MESSAGE(Contains(device->Problems(), short_buffer ? "not the device's" : "freed"), device->Problems());
  }
}

TEST_CASE("progress: told of everything, and a way to stop") {
  const ModelHandle model = OpenModel(TheFiles().path);
  const auto device = std::make_shared<KernelDevice>(EmulatedOptions{.most_delay_us = 100});
  {
    const DeviceHandle handle = WrapDevice(device);
    struct Told {
      uint64_t calls = 0, done = 0, total = 0, stop_at = UINT64_MAX;
    } told;
    ingot_upload_hooks hooks = {};
    hooks.struct_size = sizeof hooks, hooks.user = &told;
    hooks.progress = [](void* user, uint64_t done, uint64_t total) {
      auto& t = *static_cast<Told*>(user);
      CHECK(done > t.done);
      t.done = done, t.total = total;
      return ++t.calls >= t.stop_at ? 1 : 0;
    };
    ingot_device_tensor* out[3] = {};
    INGOT_REQUIRE_OK(ingot_device_upload(handle.get(), model.get(), kAll.data(), 3, &hooks, out));
    CHECK(told.done == told.total);
    CHECK(told.total > 5 * kMiB);
    for (ingot_device_tensor*& tensor : out) ingot_device_tensor_release(std::exchange(tensor, nullptr));
    told = {.stop_at = 2};
    CheckRefused(ingot_device_upload(handle.get(), model.get(), kAll.data(), 3, &hooks, out), INGOT_E_ARGUMENT, "");
    CHECK(told.calls == 2);
    CHECK(out[0] == nullptr);
    CHECK(device->memory_in_use() == 0);
  }
  CHECK(device->Problems() == "");
}

TEST_CASE("several devices from one model, each with its share, at once") {
  const ModelHandle model = OpenModel(TheFiles().path);
  std::vector<std::shared_ptr<KernelDevice>> devices;
  for (uint32_t i = 0; i < 3; ++i)
    devices.push_back(std::make_shared<KernelDevice>(EmulatedOptions{.number = i, .seed = i, .most_delay_us = 200}));
  std::vector<Bytes> shares(3, Bytes(20 * 512 * 4));
  std::vector<std::thread> ranks;
  std::atomic<int> wrong{0};
  for (uint32_t i = 0; i < 3; ++i) {
    ranks.emplace_back([&, i] {
      const auto made = abi::MakeDevice(devices[i], nullptr);
      const DeviceHandle handle(*made);
      const ingot_upload upload = UploadOf(0, {20 * i, 20, 0, 512});
      ingot_device_tensor* tensor = nullptr;
      wrong += ingot_device_upload(handle.get(), model.get(), &upload, 1, nullptr, &tensor) != INGOT_OK;
      std::byte* const out = *devices[i]->Allocate(shares[i].size());
      wrong += ingot_device_tensor_decode(tensor, nullptr, INGOT_F32, out, shares[i].size(), 0, nullptr) != INGOT_OK;
      wrong += ingot_device_wait(handle.get(), nullptr) != INGOT_OK;
      std::memcpy(shares[i].data(), out, shares[i].size());
      devices[i]->Free(out, shares[i].size());
      ingot_device_tensor_release(tensor);
    });
  }
  for (std::thread& rank : ranks) rank.join();
  CHECK(wrong == 0);
  for (uint32_t i = 0; i < 3; ++i) {
    CHECK(std::memcmp(shares[i].data(), TheFiles().values.data() + 20 * 512 * i, shares[i].size()) == 0);
    CHECK(devices[i]->Problems() == "");
  }
}

TEST_CASE("many threads on one device, one model, one tensor") {
  const ModelHandle model = OpenModel(TheFiles().path);
  const auto device = std::make_shared<KernelDevice>(EmulatedOptions{.most_delay_us = 20});
  {
    const DeviceHandle handle = WrapDevice(device);
    const auto shared = Upload(handle.get(), model.get(), {UploadOf(0)});
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (uint32_t t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        const DeviceStream stream = *device->MakeStream();
        for (uint64_t i = 0; i < 4; ++i) {
          ingot_device_tensor* tensor = ingot_device_tensor_retain(shared[0].get());
          const ingot_upload upload = UploadOf(0);
          if (i % 2 == 1) {
            ingot_device_tensor_release(tensor);
            wrong += ingot_device_upload(handle.get(), model.get(), &upload, 1, nullptr, &tensor) != INGOT_OK;
          }
          const ingot_slice slice = SliceFrom({t * 16 + i, 5, 0, 512});
          std::byte* const out = *device->Allocate(5 * 512 * 4);
          wrong += ingot_device_tensor_decode(tensor, &slice, INGOT_F32, out, 5 * 512 * 4, 0, stream) != INGOT_OK;
          wrong += ingot_device_wait(handle.get(), stream) != INGOT_OK;
          wrong += std::memcmp(out, TheFiles().values.data() + slice.row * 512, 5 * 512 * 4) != 0;
          device->Free(out, 5 * 512 * 4);
          ingot_device_tensor_release(tensor);
        }
        device->FreeStream(stream);
      });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(wrong == 0);
  }
  CHECK(device->Problems() == "");
}

}  // namespace
}  // namespace ingot::test
