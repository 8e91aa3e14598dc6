// No file makes a kernel leave its planes: conformance vectors, also with bytes changed at random and hashes not
// checked, are uploaded, decoded and multiplied on an emulated device, which sees each access; values are the host's.
#include <cstdlib>

#include "tests/abi/emulated_files.h"
#include "tests/support/vectors.h"

namespace ingot::test {
namespace {

const bool kQuick = std::getenv("INGOT_QUICK") != nullptr;

// Decodes it, to what it is on the host, and multiplies with it.
void UseTensor(const std::shared_ptr<Device>& device, const ingot_device* handle, const ingot_device_tensor* tensor,
               const ingot_tensor* host) {
  const ingot_device_tensor_info info = DescribeOnDevice(tensor);
  if (info.can_decode == 0 || info.rows * info.columns > 20000) return;
  const DeviceBuffer out(device, std::max<size_t>(1, info.rows * info.columns * 4));
  INGOT_REQUIRE_OK(ingot_device_tensor_decode(tensor, nullptr, INGOT_F32, out.at(), out.size(), 0, nullptr));
  INGOT_REQUIRE_OK(ingot_device_wait(handle, nullptr));
  std::vector<float> got(info.rows * info.columns), wanted(got.size());
  std::memcpy(got.data(), out.at(), got.size() * 4);
  INGOT_REQUIRE_OK(ingot_tensor_decode(host, nullptr, INGOT_F32, wanted.data(), wanted.size() * 4, 0));
  REQUIRE(CountDifferences(got, wanted) == 0);
  ingot_device_product p = {};
  p.struct_size = sizeof p;
  p.x_dtype = INGOT_BF16, p.x_rows = 2;
  INGOT_REQUIRE_OK(ingot_device_product_scratch(tensor, nullptr, &p, &p.scratch_bytes));
  const DeviceBuffer x(device, Bytes(2 * info.columns * 2)), y(device, 2 * info.rows * 4);
  const DeviceBuffer scratch(device, p.scratch_bytes);
  p.x = x.at(), p.y = reinterpret_cast<float*>(y.at()), p.scratch = scratch.at();
  INGOT_REQUIRE_OK(ingot_device_tensor_multiply(tensor, nullptr, &p, nullptr));
  INGOT_REQUIRE_OK(ingot_device_wait(handle, nullptr));
}

// How many tensors there were to use; -1: the file was refused.
int UseFile(const std::string& path) {
  ingot_open_options options = {};
  options.struct_size = sizeof options, options.threads = 1, options.verify = INGOT_VERIFY_OFF;
  ingot_model* opened = nullptr;
  if (ingot_model_open(path.c_str(), &options, &opened) != INGOT_OK) return -1;
  const ModelHandle model(opened);
  ingot_model_info info = {};
  info.struct_size = sizeof info;
  INGOT_REQUIRE_OK(ingot_model_describe(model.get(), &info));
  const auto device = std::make_shared<KernelDevice>();
  int used = 0;
  {
    ingot_device_options small = {};
    small.struct_size = sizeof small, small.threads = 1, small.ring_bytes = 1 << 20;
    const DeviceHandle handle = WrapDevice(device, &small);
    std::vector<ingot_upload> uploads;
    for (uint32_t t = 0; t < info.tensor_count; ++t) uploads.push_back(UploadOf(t));
    Outcomes outcomes;
    const ingot_upload_hooks hooks = outcomes.hooks();
    INGOT_REQUIRE_OK(ingot_device_upload(handle.get(), model.get(), uploads.data(), uploads.size(), &hooks, nullptr));
    for (const auto& [request, one] : outcomes.of) {
      if (one.tensor == nullptr) {
        REQUIRE((one.status == INGOT_E_DATA || one.status == INGOT_E_IO));
        continue;
      }
      const TensorHandle host = OpenTensor(model.get(), static_cast<uint32_t>(request));
      UseTensor(device, handle.get(), one.tensor.get(), host.get());
      ++used;
    }
  }
  REQUIRE(device->Problems() == "");
  return used;
}

TEST_CASE("every valid vector") {
  for (const std::string& stem : ValidVectors()) {
    CAPTURE(stem);
    CHECK(UseFile(stem + ".ingot") >= 0);
  }
}

// Changes a byte of some plane that is not empty; false: there is none.
bool ChangePlane(const Index& index, Dice& dice, Bytes& image) {
  std::vector<PlaneRecord> planes;
  for (uint32_t i = 0; i < index.count(Table::kPlanes); ++i) {
    if (index.plane(i).size > 0) planes.push_back(index.plane(i));
  }
  if (planes.empty()) return false;
  const PlaneRecord& plane = planes[dice.Below(planes.size())];
  const uint64_t at = plane.offset + dice.Below(plane.framed() ? std::min<uint64_t>(plane.size, 20) : plane.size);
  image.at(at) = static_cast<std::byte>(dice.Below(256));
  return true;
}

TEST_CASE("valid vectors with bytes changed, hashes not checked") {
  Dice dice(91);
  const TempDirectory folder;
  int used = 0, refused = 0;
  for (const std::string& stem : ValidVectors()) {
    const Bytes image = ReadBytes(stem + ".ingot");
    const auto container = Container::Open(stem + ".ingot");
    REQUIRE(container);
    for (int round = 0; round < (kQuick ? 3 : 20); ++round) {
      Bytes changed = image;
      for (uint64_t i = 0, count = 1 + dice.Below(20); i < count; ++i) {
        if (round % 4 == 0 || !ChangePlane((*container)->index(), dice, changed))
          changed[dice.Below(changed.size())] = static_cast<std::byte>(dice.Below(256));
      }
      CAPTURE(stem);
      CAPTURE(round);
      const int got = UseFile(folder.Write("x.ingot", changed));
      ++(got < 0 ? refused : used);
    }
  }
  CHECK(used > refused);
  CHECK(refused > 0);
}

}  // namespace
}  // namespace ingot::test
