// Files onto an emulated device, whose copies are late and in no order between its streams.
#include "runtime/device/upload.h"

#include <doctest/doctest.h>

#include <thread>

#include "tests/support/device_planes.h"
#include "tests/support/emulated_device.h"
#include "tests/support/temp_directory.h"
#include "tests/support/vectors.h"

namespace ingot::test {
namespace {

constexpr uint64_t kMiB = 1 << 20;

std::shared_ptr<LoadedModel> Open(const std::string& path, const LoadOptions& options = {}) {
  auto model = LoadedModel::Open(path, options);
  REQUIRE_MESSAGE(model, (model ? "" : model.error().message));
  return *model;
}

std::unique_ptr<Uploader> MakeUploader(const std::shared_ptr<EmulatedDevice>& device, int threads = 2, int streams = 3,
                                       uint64_t ring = 0, DeviceAllocator allocator = {}) {
  auto uploader = Uploader::Make(device, {threads, streams, ring, allocator});
  REQUIRE_MESSAGE(uploader, (uploader ? "" : uploader.error().message));
  return std::move(*uploader);
}

std::vector<UploadRequest> AllOf(const LoadedModel& model) {
  std::vector<UploadRequest> all;
  for (uint32_t i = 0; i < model.model().tensor_count(); ++i) all.push_back({i, {}});
  return all;
}

std::vector<DeviceTensorPtr> UploadAll(Uploader& uploader, LoadedModel& model,
                                       const std::vector<UploadRequest>& requests) {
  auto tensors = uploader.UploadAll(model, requests);
  REQUIRE_MESSAGE(tensors, (tensors ? "" : tensors.error().message));
  return std::move(*tensors);
}

TEST_CASE("tensors and slices at random: what is on the device has their values") {
  const TempDirectory folder;
  Dice dice(31, false);
  for (unsigned round = 0; round < 40; ++round) {
    TensorFile file;
    std::vector<Expected> all;
    for (int i = 0; i < 6; ++i) {
      file.Compress(dice.Below(3) == 0);
      all.push_back(AddTensor(file, dice, "t" + std::to_string(i)));
    }
    const LoadOptions how = {.map = dice.Half(), .verify = VerifyMode::kLazy, .threads = 1, .cache_bytes = 0};
    const auto model = Open(folder.Write("x.ingot", file.Finish()), how);
    const auto device = std::make_shared<EmulatedDevice>(EmulatedOptions{.seed = round, .most_delay_us = 30});
    {
      const auto uploader = MakeUploader(device, static_cast<int>(1 + dice.Below(3)));
      std::vector<UploadRequest> requests = AllOf(*model);
      std::vector<size_t> of = {0, 1, 2, 3, 4, 5};
      for (int i = 0; i < 12; ++i) {
        const auto t = static_cast<uint32_t>(dice.Below(6));
        const uint64_t columns = all[t].shape.back();
        requests.push_back({t, AnySlice(dice, {0, all[t].values.size() / columns, 0, columns})});
      }
      const auto tensors = UploadAll(*uploader, *model, requests);
      for (size_t i = 0; i < tensors.size(); ++i) {
        const uint32_t number = requests[i].tensor;
        CheckPlanes(*tensors[i], model->model(), number);
        CheckValues(*tensors[i], model->model(), number, all[number]);
      }
    }
    CHECK(device->Problems() == "");
  }
}

TEST_CASE("every tensor of every valid vector") {
  const auto device = std::make_shared<EmulatedDevice>();
  {
    const auto uploader = MakeUploader(device);
    for (const std::string& stem : ValidVectors()) {
      CAPTURE(stem);
      const auto model = Open(stem + ".ingot");
      const auto requests = AllOf(*model);
      const auto tensors = UploadAll(*uploader, *model, requests);
      for (uint32_t i = 0; i < tensors.size(); ++i) CheckPlanes(*tensors[i], model->model(), requests[i].tensor);
    }
  }
  CHECK(device->Problems() == "");
}

// Bytes that compress and say where they are.
Bytes Rows(uint64_t bytes, unsigned seed) {
  Bytes out(bytes);
  for (uint64_t i = 0; i < bytes; ++i) out[i] = static_cast<std::byte>((i / 1000 * 7 + i % 13 + seed) & 0xFF);
  return out;
}

// 12 MiB as they are, 4 MiB in frames, and a tied tensor.
std::string WriteLarge(const TempDirectory& folder) {
  TensorFile file;
  file.Add("plain", DType::kU8, {12 * kMiB + 100}, file.AddRaw(Rows(12 * kMiB + 100, 1)));
  file.builder.AddAlias("tied", "plain");
  file.Compress(true);
  file.Add("framed", DType::kU8, {4 * 1024, 1024}, file.AddRaw(Rows(4 * kMiB, 2)));
  return folder.Write("large.ingot", file.Finish());
}

TEST_CASE("each byte is read, hashed and copied once, through a ring that is much smaller") {
  const TempDirectory folder;
  const std::string path = WriteLarge(folder);
  const uint64_t all = 16 * kMiB + 100;
  for (const bool map : {true, false}) {
    for (const VerifyMode verify : {VerifyMode::kLazy, VerifyMode::kOpen, VerifyMode::kOff}) {
      CAPTURE(map);
      CAPTURE(static_cast<int>(verify));
      const auto model = Open(path, {.map = map, .verify = verify, .threads = 2, .cache_bytes = 0});
      const uint64_t private_bytes = model->MemoryInUse().private_bytes;
      const auto device = std::make_shared<EmulatedDevice>(EmulatedOptions{.most_delay_us = 200});
      {
        const auto uploader = MakeUploader(device);
        CHECK(device->pinned_bytes() == 2 * kMiB);
        const auto tensors = UploadAll(*uploader, *model, AllOf(*model));
        CHECK(device->memory_in_use() == tensors[0]->bytes() + tensors[1]->bytes());
        CHECK(tensors[1] == tensors[2]);  // tied
        const UploadCounts first = uploader->counts();
        CHECK(first.copied == all);
        CHECK(first.uploaded == all);
        CHECK(device->copied_bytes() == all);
        CHECK(first.checked == 0);
        // What was verified in the mapped file is not hashed again.
        const uint64_t framed = 4 * kMiB, plain = all - framed;
        CHECK(first.hashed == (verify == VerifyMode::kOff ? 0 : verify == VerifyMode::kLazy || !map ? all : framed));
        CHECK(model->MemoryInUse().verified == (verify == VerifyMode::kOff ? 0 : all));
        for (uint32_t i = 0; i < 3; ++i) CheckPlanes(*tensors[i], model->model(), i);
        (void)UploadAll(*uploader, *model, AllOf(*model));
        CHECK(uploader->counts().hashed == (verify == VerifyMode::kOff ? 0 : map ? framed : framed + plain));
        CHECK(model->MemoryInUse().private_bytes == private_bytes);  // nothing stays on the host
        CHECK(model->MemoryInUse().cache == 0);
      }
      CHECK(device->Problems() == "");
    }
  }
}

TEST_CASE("planes that hold indices are uploaded from their checked copy, which is then dropped") {
  const TempDirectory folder;
  TensorFile file;
  Dice dice(8, false);
  Linear l;
  l.bits = 4, l.rows = 64, l.cols = 512, l.group_rows = 1, l.group_cols = 64;
  l.s = Operand::Array(DType::kF16);
  l.permutation = true;
  l.outliers = OutlierForm::kUnstructured, l.outlier_count = 300;
  const Numbers n = dice.Fill(l);
  file.Add("w", DType::kF32, {64, 512}, file.AddLinear(n));
  const auto model = Open(folder.Write("x.ingot", file.Finish()));
  const uint64_t private_bytes = model->MemoryInUse().private_bytes;
  const auto device = std::make_shared<EmulatedDevice>();
  const auto uploader = MakeUploader(device);
  const auto tensors = UploadAll(*uploader, *model, AllOf(*model));
  const uint64_t indices = 512 * 4 + 65 * 8 + 300 * 2, inverse = 512 * 4;
  CHECK(uploader->counts().checked == indices + inverse);
  CHECK(uploader->counts().copied == PlaneBytesOf(model->model().main().index(), model->model().tensor(0)) - indices);
  CHECK(model->MemoryInUse().private_bytes == private_bytes);
  const DevicePart& part = tensors[0]->parts()[0];
  REQUIRE(part.view);
  CHECK(part.view->stored_column == part.stored_column);
  CHECK(part.view->root.codes[0] == part.planes[0].data);
}

TEST_CASE("a rank reads, verifies and uploads its part") {
  const TempDirectory folder;
  TensorFile file;
  Dice dice(9, false);
  Linear l;
  l.bits = 4, l.rows = 1024, l.cols = 16384, l.group_rows = 1, l.group_cols = 128;  // a chunk is 128 rows
  l.s = Operand::Array(DType::kF16);
  file.Add("w", DType::kF32, {1024, 16384}, file.AddLinear(dice.Fill(l)));
  const std::string path = folder.Write("x.ingot", file.Finish());
  constexpr uint64_t kRanks = 4, kCodes = 8 * kMiB, kScales = 1024 * 128 * 2;
  for (const bool by_rows : {true, false}) {
    CAPTURE(by_rows);
    uint64_t uploaded = 0;
    for (uint64_t rank = 0; rank < kRanks; ++rank) {
      const auto model = Open(path);
      const auto device = std::make_shared<EmulatedDevice>();
      const auto uploader = MakeUploader(device);
      const MatrixSlice slice =
          by_rows ? MatrixSlice{rank * 256, 256, 0, 16384} : MatrixSlice{0, 1024, rank * 4096, 4096};
      const auto tensors = UploadAll(*uploader, *model, {{0, slice}});
      CheckPlanes(*tensors[0], model->model(), 0);
      const DevicePart& part = tensors[0]->parts()[0];
      REQUIRE(part.view);
      CHECK(part.planes[0].rows * part.planes[0].size == kCodes / kRanks);
      uploaded += uploader->counts().uploaded;
      if (by_rows) {
        CHECK(part.view->row_units == 256);
        CHECK(model->MemoryInUse().verified == kCodes / kRanks + kScales);  // the scales are one chunk
        CHECK(tensors[0]->bytes() <= (kCodes + kScales) / kRanks + 2 * kDeviceAlignment);
      } else {
        CHECK(part.view->row_units == 64);
        CHECK(device->copies() < 20);
      }
      // Where a kernel looks for the first unit of the slice.
      const uint64_t unit = slice.row * part.view->row_units + slice.column / 64;
      CHECK(static_cast<const std::byte*>(part.view->root.codes[0]) + unit * 32 == part.planes[0].data);
    }
    // Scales of a slice of columns are one run, from its first one to its last.
    CHECK(uploaded >= kCodes + kScales);
    CHECK(uploaded <= kCodes + (by_rows ? 1 : kRanks) * kScales);
  }
}

TEST_CASE("several devices at once, from one model") {
  const TempDirectory folder;
  const auto model =
      Open(WriteLarge(folder), {.map = true, .verify = VerifyMode::kLazy, .threads = 2, .cache_bytes = 0});
  std::vector<std::shared_ptr<EmulatedDevice>> devices;
  for (unsigned i = 0; i < 3; ++i)
    devices.push_back(std::make_shared<EmulatedDevice>(EmulatedOptions{.seed = i, .most_delay_us = 300}));
  std::vector<std::vector<DeviceTensorPtr>> tensors(devices.size());
  {
    std::vector<std::thread> threads;
    for (size_t i = 0; i < devices.size(); ++i) {
      threads.emplace_back([&, i] {
        auto uploader = Uploader::Make(devices[i], {});
        auto uploaded = (*uploader)->UploadAll(*model, AllOf(*model));
        if (uploaded) tensors[i] = std::move(*uploaded);
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  for (size_t i = 0; i < devices.size(); ++i) {
    REQUIRE(tensors[i].size() == 3);
    for (uint32_t t = 0; t < 3; ++t) CheckPlanes(*tensors[i][t], model->model(), t);
    tensors[i].clear();
    CHECK(devices[i]->Problems() == "");
  }
}

TEST_CASE("one uploader, called from several threads") {
  const TempDirectory folder;
  const auto model = Open(WriteLarge(folder));
  const auto device = std::make_shared<EmulatedDevice>(EmulatedOptions{.most_delay_us = 50});
  {
    const auto uploader = MakeUploader(device);
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (uint32_t i = 0; i < 3; ++i) {
      threads.emplace_back([&, i] {
        const UploadRequest request = {i, {}};
        const auto uploaded = uploader->UploadAll(*model, {&request, 1});
        if (!uploaded || (*uploaded)[0]->name() != model->model().tensor(i).name) ++wrong;
      });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(wrong == 0);
  }
  CHECK(device->Problems() == "");
}

TEST_CASE("tensors outlive model, uploader and file; each is reported once, when it is complete") {
  const TempDirectory folder;
  const auto device = std::make_shared<EmulatedDevice>(EmulatedOptions{.most_delay_us = 300});
  std::vector<DeviceTensorPtr> kept;
  {
    const auto model = Open(WriteLarge(folder));
    const auto uploader = MakeUploader(device);
    std::vector<int> reported(3);
    uint64_t last = 0, total = 0;
    Uploader::Hooks hooks;
    hooks.progress = [&](uint64_t done, uint64_t of) {
      CHECK(done > last);
      CHECK(done <= of);
      last = done, total = of;
      return true;
    };
    hooks.on_tensor = [&](size_t request, const Uploader::Outcome& outcome) {
      ++reported[request];
      REQUIRE(outcome);
      CheckPlanes(**outcome, model->model(), static_cast<uint32_t>(request));  // as it is now
    };
    const auto outcomes = uploader->Upload(*model, AllOf(*model), hooks);
    REQUIRE(outcomes);
    CHECK(reported == std::vector<int>{1, 1, 1});
    CHECK(last == total);
    CHECK(total == 16 * kMiB + 100);
    for (const auto& outcome : *outcomes) kept.push_back(*outcome);
  }
  const Bytes plain = Rows(12 * kMiB + 100, 1);
  CHECK(std::memcmp(kept[1]->parts()[0].planes[0].data, plain.data(), plain.size()) == 0);
  kept.clear();
  CHECK(device->Problems() == "");
}

TEST_CASE("the ring holds back who fills it faster than the device copies") {
  EmulatedDevice device({.most_delay_us = 500});
  {
    const auto ring = StagingRing::Make(device, 4096, 3, 2);
    REQUIRE(ring);
    const auto memory = device.Allocate(4096 * 64);
    REQUIRE(memory);
    int done = 0;
    for (int i = 0; i < 64; ++i) {
      StagingRing::Slot slot = (*ring)->Take();
      CHECK(i - done < 3);
      std::byte* const bytes = slot.bytes();
      std::memset(bytes, i, 4096);
      (*ring)->Send(std::move(slot), {{*memory + i * 4096, bytes, 4096, 1, 0, 0}}, [&](const Status& copied) {
        CHECK(copied);
        ++done;
      });
      if (i % 7 == 0) (void)(*ring)->Take();  // and given back unused
    }
    (*ring)->Drain();
    CHECK(done == 64);
    for (int i = 0; i < 64; ++i) CHECK((*memory)[i * 4096 + 77] == static_cast<std::byte>(i));
    device.Free(*memory, 4096 * 64);
  }
  CHECK(device.Problems() == "");
}

}  // namespace
}  // namespace ingot::test
