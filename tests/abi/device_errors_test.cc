// What callers of the part for devices get wrong, and what is there: each an error code with a text, nothing written.
#include "tests/abi/device_test.h"

namespace ingot::test {
namespace {

// A model of a linear tensor "w" (16 by 128), integers "numbers", foreign blocks "foreign" and a tied "tied".
class Bench {
 public:
  Bench() : device(OpenTestDevice()) {
    if (device == nullptr) return;
    TensorFile file;
    Dice dice(71, false);
    Linear l;
    l.bits = 3, l.rows = 16, l.cols = 128, l.group_rows = 1, l.group_cols = 64;
    l.s = Operand::Array(DType::kF16);
    l.z = Operand::Nested();
    file.Add("w", DType::kF32, {16, 128}, file.AddLinear(dice.Fill(l)));
    file.Add("numbers", DType::kI64, {2, 3}, file.AddRaw(Bytes(48, std::byte{1})));
    const Bytes blocks(18 * 8, std::byte{3});
    file.Add("foreign", DType::kF16, {8, 32},
             file.builder.AddEncoding(EncodingKind::kForeign, EncodeForeign({18, 32, 256, "test.BLOCK"}),
                                      {file.image.Add(blocks)}));
    file.builder.AddAlias("tied", "w");
    model = OpenModel(folder.Write("x.ingot", file.Finish()));
    handle = WrapDevice(device);
    tensors =
        Upload(handle.get(), model.get(), {UploadOf(kW), UploadOf(kNumbers), UploadOf(kForeign), UploadOf(kTied)});
  }
  static constexpr uint32_t kForeign = 0, kNumbers = 1, kTied = 2, kW = 3;  // by their names
  const ingot_device_tensor* w() const { return tensors[0].get(); }

  const TempDirectory folder;
  std::shared_ptr<Device> device;
  ModelHandle model;
  DeviceHandle handle;
  std::vector<DeviceTensorHandle> tensors;
};

template <typename T, typename Call>
void CheckSizes(const Call& call) {
  T out;
  std::memset(static_cast<void*>(&out), 0x5A, sizeof out);
  for (const size_t size : {sizeof(T) + 1, size_t{0}, sizeof(size_t)}) {
    out.struct_size = size;
    CheckRefused(call(&out), INGOT_E_ARGUMENT, "struct_size");
  }
  CHECK(reinterpret_cast<const unsigned char*>(&out)[sizeof(size_t)] == 0x5A);
  out.struct_size = sizeof out;
  CHECK(call(&out) == INGOT_OK);
  CHECK(out.struct_size == sizeof out);
  CheckRefused(call(static_cast<T*>(nullptr)), INGOT_E_ARGUMENT, "out is NULL");
}

TEST_CASE("what is described, in structs of every size") {
  Bench b;
  if (b.device == nullptr) return;
  CheckSizes<ingot_device_info>([&](auto* out) { return ingot_device_describe(b.handle.get(), out); });
  CheckSizes<ingot_device_tensor_info>([&](auto* out) { return ingot_device_tensor_describe(b.w(), out); });
  CheckSizes<ingot_device_plane>([&](auto* out) { return ingot_device_tensor_plane(b.w(), 0, 0, 0, out); });
  ingot_device_info device = {};
  device.struct_size = sizeof device;
  INGOT_REQUIRE_OK(ingot_device_describe(b.handle.get(), &device));
  CHECK(device.architecture >= 75);
  CHECK(device.multiprocessors > 0);
  CHECK(device.name.size > 0);
  CHECK(device.memory_bytes > 0);
  CHECK(device.free_bytes <= device.memory_bytes);
  const ingot_device_tensor_info w = DescribeOnDevice(b.w());
  CHECK(std::string(w.name.data, w.name.size) == "w");
  CHECK(w.rows == 16);
  CHECK(w.slice_columns == 128);
  CHECK(w.part_count == 1);
  CHECK((w.can_decode == 1 && w.can_multiply == 1));
  const ingot_device_tensor_info tied = DescribeOnDevice(b.tensors[3].get());
  CHECK(std::string(tied.name.data, tied.name.size) == "tied");
  CHECK(tied.memory_bytes == w.memory_bytes);
  for (const size_t i : {1, 2}) {
    const ingot_device_tensor_info info = DescribeOnDevice(b.tensors[i].get());
    CHECK((info.can_decode == 0 && info.can_multiply == 0));
  }
}

TEST_CASE("planes of the device are those of the file") {
  Bench b;
  if (b.device == nullptr) return;
  for (size_t t = 0; t < 4; ++t) {
    const TensorHandle host = OpenTensor(b.model.get(), std::vector{b.kW, b.kNumbers, b.kForeign, b.kTied}[t]);
    for (uint32_t child = 0; child <= (t == 0 || t == 3 ? 1u : 0u); ++child) {
      ingot_device_plane plane = {};
      plane.struct_size = sizeof plane;
      ingot_plane expected = {};
      expected.struct_size = sizeof expected;
      uint32_t count = 0;
      while (ingot_tensor_plane(host.get(), 0, child, count, &expected) == INGOT_OK) {
        INGOT_REQUIRE_OK(ingot_device_tensor_plane(b.tensors[t].get(), 0, child, count++, &plane));
        REQUIRE(plane.plane_size == expected.size);
        CHECK(plane.role == expected.role);
        REQUIRE((plane.offset == 0 && plane.rows == 1 && plane.size == expected.size));
        Bytes bytes(plane.size);
        CopyToHost(bytes.data(), static_cast<const std::byte*>(plane.data), bytes.size());
        CHECK(std::memcmp(bytes.data(), expected.data, bytes.size()) == 0);
      }
      CHECK(count > 0);
      CheckRefused(ingot_device_tensor_plane(b.tensors[t].get(), 0, child, count, &plane), INGOT_E_NOT_FOUND, "plane");
    }
  }
  ingot_device_plane plane = {};
  plane.struct_size = sizeof plane;
  CheckRefused(ingot_device_tensor_plane(b.w(), 1, 0, 0, &plane), INGOT_E_NOT_FOUND, "part 1");
  CheckRefused(ingot_device_tensor_plane(b.w(), 0, 2, 0, &plane), INGOT_E_NOT_FOUND, "child 2");
}

TEST_CASE("uploads that are refused") {
  Bench b;
  if (b.device == nullptr) return;
  ingot_device_tensor* out[2] = {nullptr, nullptr};
  ingot_upload u[2] = {UploadOf(b.kW), UploadOf(b.kW)};
  const auto upload = [&] { return ingot_device_upload(b.handle.get(), b.model.get(), u, 2, nullptr, out); };
  CheckRefused(ingot_device_upload(b.handle.get(), nullptr, u, 1, nullptr, out), INGOT_E_ARGUMENT, "model is NULL");
  CheckRefused(ingot_device_upload(b.handle.get(), b.model.get(), nullptr, 1, nullptr, out), INGOT_E_ARGUMENT,
               "uploads is NULL");
  CheckRefused(ingot_device_upload(b.handle.get(), b.model.get(), u, 1, nullptr, nullptr), INGOT_E_ARGUMENT,
               "out is NULL");
  u[1].tensor = 4;
  CheckRefused(upload(), INGOT_E_NOT_FOUND, "uploads[1]");
  u[1] = UploadOf(b.kW), u[1].reserved = 1;
  CheckRefused(upload(), INGOT_E_ARGUMENT, "reserved");
  u[1] = UploadOf(b.kW), u[1].slice.row = 1;  // without a struct_size
  CheckRefused(upload(), INGOT_E_ARGUMENT, "struct_size");
  for (const MatrixSlice& bad : {MatrixSlice{16, 0, 0, 0}, MatrixSlice{0, 17, 0, 0}, MatrixSlice{0, 0, 127, 2},
                                 MatrixSlice{UINT64_MAX, 2, 0, 0}, MatrixSlice{0, 0, 1, UINT64_MAX}}) {
    u[1] = UploadOf(b.kW, bad);
    CheckRefused(upload(), INGOT_E_ARGUMENT, "tensor 'w'");
  }
  u[1] = UploadOf(b.kW), u[1].struct_size = sizeof(ingot_upload) + 1;
  CheckRefused(upload(), INGOT_E_ARGUMENT, "struct_size");
  ingot_upload_hooks hooks = {};
  CheckRefused(ingot_device_upload(b.handle.get(), b.model.get(), u, 1, &hooks, out), INGOT_E_ARGUMENT, "struct_size");
  hooks.struct_size = sizeof hooks;
  hooks.uploaded = [](void*, size_t, ingot_device_tensor*, ingot_status, const char*) {};
  CheckRefused(ingot_device_upload(b.handle.get(), b.model.get(), u, 1, &hooks, out), INGOT_E_ARGUMENT,
               "out must be NULL");
  CHECK((out[0] == nullptr && out[1] == nullptr));
  CHECK(ingot_device_upload(b.handle.get(), b.model.get(), nullptr, 0, nullptr, nullptr) == INGOT_OK);
}

TEST_CASE("buffers of a decoding that are refused") {
  Bench b;
  if (b.device == nullptr) return;
  const DeviceBuffer out(b.device, 16 * 128 * 4 + 8);
  const size_t all = 16 * 128 * 4;
  const auto decode = [&](ingot_dtype dtype, std::byte* at, size_t size, uint64_t stride) {
    return ingot_device_tensor_decode(b.w(), nullptr, dtype, at, size, stride, nullptr);
  };
  CheckRefused(decode(INGOT_F64, out.at(), all, 0), INGOT_E_ARGUMENT, "dtype");
  CheckRefused(decode(INGOT_F32, nullptr, all, 0), INGOT_E_ARGUMENT, "out is NULL");
  CheckRefused(decode(INGOT_F32, out.at(), all - 1, 0), INGOT_E_ARGUMENT, "do not fit");
  CheckRefused(decode(INGOT_F32, out.at(), all, 129), INGOT_E_ARGUMENT, "do not fit");
  CheckRefused(decode(INGOT_F32, out.at(), all, 127), INGOT_E_ARGUMENT, "stride");
  CheckRefused(decode(INGOT_F32, out.at() + 2, all, 0), INGOT_E_ARGUMENT, "multiple of 4");
  CheckRefused(decode(INGOT_F16, out.at() + 1, all, 0), INGOT_E_ARGUMENT, "multiple of 2");
  CheckRefused(ingot_device_tensor_decode(b.tensors[1].get(), nullptr, INGOT_F32, out.at(), all, 0, nullptr),
               INGOT_E_UNSUPPORTED, "'numbers'");
  CheckRefused(ingot_device_tensor_decode(b.tensors[2].get(), nullptr, INGOT_F32, out.at(), all, 0, nullptr),
               INGOT_E_UNSUPPORTED, "'foreign'");
  CHECK(decode(INGOT_F32, out.at(), all, 0) == INGOT_OK);
  CHECK(ingot_device_wait(b.handle.get(), nullptr) == INGOT_OK);
}

TEST_CASE("products that are refused") {
  Bench b;
  if (b.device == nullptr) return;
  const DeviceBuffer x(b.device, Bytes(4 * 128 * 2)), y(b.device, 4 * 16 * 4);
  ingot_device_product good = {};
  good.struct_size = sizeof good;
  good.x_dtype = INGOT_F16, good.x_rows = 4;
  INGOT_REQUIRE_OK(ingot_device_product_scratch(b.w(), nullptr, &good, &good.scratch_bytes));
  REQUIRE(good.scratch_bytes > 0);
  const DeviceBuffer scratch(b.device, good.scratch_bytes + 8);
  good.x = x.at(), good.y = reinterpret_cast<float*>(y.at()), good.scratch = scratch.at();
  const auto refused = [&](ingot_status status, const std::string& word, const auto& change) {
    ingot_device_product p = good;
    change(p);
    CheckRefused(ingot_device_tensor_multiply(b.w(), nullptr, &p, nullptr), status, word);
  };
  refused(INGOT_E_ARGUMENT, "struct_size", [](auto& p) { p.struct_size = 8; });
  refused(INGOT_E_ARGUMENT, "struct_size", [](auto& p) { p.struct_size = sizeof p + 8; });
  refused(INGOT_E_ARGUMENT, "precision", [](auto& p) { p.precision = 4; });
  refused(INGOT_E_UNSUPPORTED, "INT16", [](auto& p) { p.precision = INGOT_PRECISION_INT16; });
  refused(INGOT_E_ARGUMENT, "x_dtype", [](auto& p) { p.x_dtype = INGOT_F64; });
  refused(INGOT_E_UNSUPPORTED, "INGOT_F32", [](auto& p) { p.x_dtype = INGOT_F32; });
  refused(INGOT_E_ARGUMENT, "x is NULL", [](auto& p) { p.x = nullptr; });
  refused(INGOT_E_ARGUMENT, "y is NULL", [](auto& p) { p.y = nullptr; });
  refused(INGOT_E_ARGUMENT, "multiple of 2", [&](auto& p) { p.x = x.at() + 1; });
  refused(INGOT_E_ARGUMENT, "multiple of 4", [&](auto& p) { p.y = reinterpret_cast<float*>(y.at() + 2); });
  refused(INGOT_E_ARGUMENT, "x_stride", [](auto& p) { p.x_stride = 127; });
  refused(INGOT_E_ARGUMENT, "y_stride", [](auto& p) { p.y_stride = 15; });
  refused(INGOT_E_ARGUMENT, "add", [](auto& p) { p.add = 2; });
  refused(INGOT_E_ARGUMENT, "threshold", [](auto& p) { p.threshold = -1; });
  refused(INGOT_E_ARGUMENT, "x_rows", [](auto& p) { p.x_rows = UINT64_MAX; });
  refused(INGOT_E_ARGUMENT, "x:", [](auto& p) { p.x_stride = UINT64_MAX / 2; });
  refused(INGOT_E_ARGUMENT, "scratch_bytes", [](auto& p) { p.scratch_bytes = 0; });
  refused(INGOT_E_ARGUMENT, "scratch is NULL", [](auto& p) { p.scratch = nullptr; });
  refused(INGOT_E_ARGUMENT, "multiple of 256", [&](auto& p) { p.scratch = scratch.at() + 8; });
  size_t bytes = 4711;
  CheckRefused(ingot_device_product_scratch(b.w(), nullptr, &good, nullptr), INGOT_E_ARGUMENT, "out is NULL");
  CheckRefused(ingot_device_product_scratch(b.w(), nullptr, nullptr, &bytes), INGOT_E_ARGUMENT, "product is NULL");
  CheckRefused(ingot_device_tensor_multiply(b.w(), nullptr, nullptr, nullptr), INGOT_E_ARGUMENT, "product is NULL");
  for (const size_t t : {1, 2}) {
    CheckRefused(ingot_device_product_scratch(b.tensors[t].get(), nullptr, &good, &bytes), INGOT_E_UNSUPPORTED,
                 t == 1 ? "'numbers'" : "'foreign'");
    ingot_device_product p = good;
    p.x_stride = p.y_stride = 32;
    CheckRefused(ingot_device_tensor_multiply(b.tensors[t].get(), nullptr, &p, nullptr), INGOT_E_UNSUPPORTED,
                 t == 1 ? "'numbers'" : "'foreign'");
  }
  CHECK(bytes == 4711);
  ingot_device_product fewer = good;
  for (fewer.x_rows = 0; fewer.x_rows < 4; ++fewer.x_rows)
    CHECK(ingot_device_tensor_multiply(b.w(), nullptr, &fewer, nullptr) == INGOT_OK);
  CHECK(ingot_device_tensor_multiply(b.w(), nullptr, &good, nullptr) == INGOT_OK);
  CHECK(ingot_device_wait(b.handle.get(), nullptr) == INGOT_OK);
}

}  // namespace
}  // namespace ingot::test
