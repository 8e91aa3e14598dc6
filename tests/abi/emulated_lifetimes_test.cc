// How long handles live, whose memory it is, several devices and threads at once, on emulated devices.
#include <atomic>
#include <thread>

#include "tests/abi/emulated_files.h"

namespace ingot::test {
namespace {

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
