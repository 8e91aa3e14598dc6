// Devices that fail or are too small, files that are damaged, and callers that go too far, through the C interface: a
// clear error each, nothing half-visible, nothing leaks.
#include "tests/abi/emulated_files.h"

namespace ingot::test {
namespace {

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

}  // namespace
}  // namespace ingot::test
